# SPDX-License-Identifier: Apache-2.0
"""The back end that runs the golden model: bit-exact, in seconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcore.backends.runs import LayerSaturation, Run, Target, class_indexes
from gradcore.host.progress import Progress, silent
from gradcore.models import graph
from gradcore.models import network as chain
from gradcore.network import GraphNetwork, Network
from gradcore.quantise import quantise, quantise_graph

_BATCH = 16


class GoldenBackend:
    """The bit-exact model of the hardware."""

    def __init__(self, network: Network | GraphNetwork) -> None:
        if isinstance(network, GraphNetwork):
            self._network, self._model = quantise_graph(network), graph
        else:
            self._network, self._model = quantise(network), chain
        self.notes = self._network.notes

    def run(
        self, pictures: Sequence[np.ndarray], methods: Sequence[str], target: Target = None, progress: Progress = silent
    ) -> dict[str, list[Run]]:
        """See ``Backend.run``."""
        runs: dict[str, list[Run]] = {method: [] for method in methods}
        classes = class_indexes(target, len(self._network.classes), len(pictures))
        for start in range(0, len(pictures), _BATCH):
            progress("running the golden model", start, len(pictures))
            part = slice(start, start + _BATCH)
            forward = self._model.forward(self._network, self._network.quantise_image(np.stack(pictures[part])))
            logits = self._network.dequantise_logits(forward.logits)
            targets = np.argmax(logits, axis=1) if classes is None else classes[part]
            for method in methods:
                backward = self._model.backward(self._network, forward, method, targets)
                gradients = self._network.dequantise_attribution(backward.attribution)
                for image, (scores, index, gradient) in enumerate(zip(logits, targets, gradients, strict=True)):
                    counts = self._model.saturations(self._network, forward, backward, image)
                    saturation = tuple(LayerSaturation(*count) for count in counts)
                    runs[method].append(Run(scores, int(index), gradient, saturation=saturation))
        progress("running the golden model", len(pictures), len(pictures))
        return runs

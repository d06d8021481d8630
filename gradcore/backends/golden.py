# SPDX-License-Identifier: Apache-2.0
"""The back end that runs the golden model: bit-exact, in seconds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gradcore.backends.exact import Chain, Graph, Trace
from gradcore.backends.runs import LayerSaturation, Run, Target, class_indexes
from gradcore.host.progress import Progress, silent
from gradcore.models import graph
from gradcore.models import network as chain
from gradcore.network import GraphNetwork, Network
from gradcore.quantise import QuantisedGraph, in_integers
from gradcore.quantise.headroom import with_wider_input
from gradcore.runtime.fixed_point import real_map
from gradcore.runtime.requests import Reply, Request, range_bits, raw_inputs, scaled_seed, shaped_seed

_BATCH = 16
_TEXT = "running the golden model"


class GoldenBackend:
    """The bit-exact model of the hardware."""

    def __init__(self, network: Network | GraphNetwork) -> None:
        self._network = in_integers(network)
        self._model = graph if isinstance(network, GraphNetwork) else chain
        self.notes = self._network.notes
        self._float = network
        self._exact: dict[int, Chain | Graph] = {}
        self.layers = self._with_range(0).layers
        self.classes = tuple(self._network.classes)

    def run(
        self,
        pictures: Sequence[np.ndarray],
        methods: Sequence[str],
        target: Target = None,
        progress: Progress = silent,
        keep: bool = False,
    ) -> dict[str, list[Run]]:
        """See ``Backend.run``."""
        runs: dict[str, list[Run]] = {method: [] for method in methods}
        classes = class_indexes(target, len(self._network.classes), len(pictures))
        for start in range(0, len(pictures), _BATCH):
            progress(_TEXT, start, len(pictures))
            part = slice(start, start + _BATCH)
            forward = self._model.forward(self._network, self._network.quantise_image(np.stack(pictures[part])))
            logits = self._network.dequantise_logits(forward.logits)
            targets = np.argmax(logits, axis=1) if classes is None else classes[part]
            model = self._with_range(0)
            maps = [model.stored(forward, image) if keep else {} for image in range(len(logits))]
            for method in methods:
                backward = self._model.backward(self._network, forward, method, targets)
                gradients = self._network.dequantise_attribution(backward.attribution)
                for image, (scores, index, gradient) in enumerate(zip(logits, targets, gradients, strict=True)):
                    counts = self._model.saturations(self._network, forward, backward, image)
                    saturation = tuple(LayerSaturation(*count) for count in counts)
                    kept = {"activations": maps[image], "gradients": model.followed(backward, image)} if keep else {}
                    runs[method].append(Run(scores, int(index), gradient, saturation=saturation, **kept))
        progress(_TEXT, len(pictures), len(pictures))
        return runs

    def real_inputs(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """See ``Backend.real_inputs``."""
        raw = self._network.quantise_image(np.stack(pictures))
        return raw.transpose(0, 3, 1, 2) * 2.0**-self._network.picture_fraction

    def execute(self, requests: Sequence[Request], progress: Progress = silent) -> list[Reply]:
        """See ``Backend.execute``."""
        model = self._with_range(range_bits(requests, self._network.picture_fraction))
        replies: list[Reply] = []
        for alike, some in itertools.groupby(requests, _alike):
            waiting = list(some)
            size = _BATCH if alike[0] else 1
            for start in range(0, len(waiting), size):
                progress(_TEXT, len(replies), len(requests))
                replies += self._batch(model, waiting[start : start + size], replies[-1].state if replies else None)
        progress(_TEXT, len(requests), len(requests))
        return replies

    def _with_range(self, bits: int) -> Chain | Graph:
        """The model whose input has a format that is ``bits`` wider than the network's."""
        if bits not in self._exact:
            network = with_wider_input(self._float, self._network, bits)
            self._exact[bits] = Graph(network) if isinstance(network, QuantisedGraph) else Chain(network)
        return self._exact[bits]

    def _batch(self, model: Chain | Graph, requests: Sequence[Request], before: Trace | None) -> list[Reply]:
        """Requests that are alike: see ``_alike``."""
        (one, *_) = requests
        if one.inputs is not None:
            first, stop, end = model.span(one.since, one.until, one.back_to)
            fraction = model.fractions(first)[0]
            raw = np.stack([raw_inputs(request.inputs, model.network, fraction) for request in requests])
            traces, counts = model.forward(raw, first, stop), True
        else:
            traces, counts = [one.state or before], False
            stop, end = traces[0].stop, model.span(None, None, one.back_to)[2] if one.back_to else traces[0].first
        fraction, gradient_fraction = model.fractions(stop)
        last = stop == model.span(None, None, None)[1]
        replies, unit = [], model.unit if last else 1.0
        for trace in traces:
            output = real_map(trace.output[0], fraction, unit).astype(np.float64)
            output = output.reshape(-1) if last else output
            maps = model.activations(trace) if one.keep and counts else {}
            replies.append(Reply(output, activations=maps, state=trace, saturation=model.saturations(trace) if counts else ()))
        if one.method is None:
            return replies
        seeds = [shaped_seed(request.seed, reply.output) for request, reply in zip(requests, replies, strict=True)]
        scaled = [scaled_seed(seed, gradient_fraction, last, request.room) for seed, request in zip(seeds, requests, strict=True)]
        shape = traces[0].output.shape[1:]
        raw = np.stack([seed.reshape(shape[2], *shape[:2]).transpose(1, 2, 0) for seed, _ in scaled])
        for number, (gradients, saturation) in enumerate(model.backward(traces, raw, one.method, end)):
            exponent, reply = scaled[number][1], replies[number]
            replies[number] = replace(
                reply,
                gradient=model.reached(gradients, one.back_to, end, exponent),
                gradients=model.gradients(gradients, stop, exponent) if one.keep else {},
                saturation=(*reply.saturation, *saturation),
            )
        return replies


def _alike(request: Request) -> tuple:
    """Requests of which this is equal can be run together; those without inputs are run alone."""
    pixels = None if request.inputs is None else request.inputs.dtype == np.uint8
    return request.inputs is not None, pixels, request.method, request.since, request.until, request.back_to, request.keep

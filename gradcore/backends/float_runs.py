# SPDX-License-Identifier: Apache-2.0
"""PyTorch as a back end with single runs: any input, any seed, and the maps of every layer. Needs PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradcore.backends.pytorch import FloatBackend, Trace
from gradcore.backends.pytorch_graph import GraphTrace
from gradcore.backends.runs import Run, Target
from gradcore.errors import GradCoreError
from gradcore.host.inputs import check_choice
from gradcore.host.progress import Progress, silent
from gradcore.network import GraphNetwork, Network
from gradcore.network.graph import INPUT
from gradcore.runtime.requests import Reply, Request, shaped_seed

_BATCH = 64


class FloatRuns(FloatBackend):
    """``FloatBackend`` that also executes requests; it runs networks as a whole."""

    def __init__(self, network: Network | GraphNetwork, trace: Trace | None = None) -> None:
        super().__init__(network, trace)
        self.classes = tuple(network.classes)
        self._graph = network.graph
        self._stored = _stored(network)  # the node that makes what a layer stores, by the layer's name
        self.layers: Mapping[str, tuple[int, int, int]] = {name: self._graph.shapes[node] for name, node in self._stored.items()}

    def real_inputs(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """See ``Backend.real_inputs``."""
        return self._network.normalise(np.stack(pictures)).astype(np.float64)

    def run(
        self,
        pictures: Sequence[np.ndarray],
        methods: Sequence[str],
        target: Target = None,
        progress: Progress = silent,
        keep: bool = False,
    ) -> dict[str, list[Run]]:
        """See ``Backend.run``."""
        runs = super().run(pictures, methods, target, progress)
        for method in methods if keep else ():
            requests = [Request(picture, method, run.target, keep=True) for picture, run in zip(pictures, runs[method], strict=True)]
            runs[method] = [
                replace(run, activations=reply.activations, gradients=reply.gradients)
                for run, reply in zip(runs[method], self.execute(requests, progress), strict=True)
            ]
        return runs

    def execute(self, requests: Sequence[Request], progress: Progress = silent) -> list[Reply]:
        """See ``Backend.execute``."""
        replies: list[Reply] = []
        waiting = list(requests)
        while waiting:
            progress("running PyTorch", len(replies), len(requests))
            count = next((number for number, one in enumerate(waiting) if _alike(one) != _alike(waiting[0])), len(waiting))
            count = min(count, _BATCH) if waiting[0].inputs is not None else 1
            replies += self._batch(waiting[:count], replies[-1].state if replies else None)
            del waiting[:count]
        progress("running PyTorch", len(requests), len(requests))
        return replies

    def _batch(self, requests: Sequence[Request], before: Any) -> list[Reply]:
        (one, *_) = requests
        if one.since is not None or one.until is not None:
            raise GradCoreError("the float backend runs networks as a whole: take golden or rtl for a part of one")
        if one.back_to is not None:
            check_choice("layer", one.back_to, tuple(self.layers))
        if one.inputs is not None:
            trace = GraphTrace(self._graph)
            pixels = one.inputs.dtype == np.uint8
            stacked = np.stack([request.inputs for request in requests])
            outputs = trace.forward(self._network.normalise(stacked) if pixels else stacked.astype(np.float32)).astype(np.float64)
            states = [(trace, number, outputs) for number in range(len(requests))]
        else:
            states = [one.state or before]
            trace, _, outputs = states[0]
        seeds = np.zeros(outputs.shape)
        for request, (_, number, _) in zip(requests, states, strict=True):
            seeds[number] = shaped_seed(request.seed, outputs[number]) if one.method else 0
        names = [*self._stored.values(), INPUT] if one.keep else [self._stored.get(one.back_to, INPUT)]
        made = trace.gradients(one.method, seeds, names) if one.method else {}
        reached = list(self._stored)[0 if one.back_to is None else list(self._stored).index(one.back_to) :]
        replies = []
        for state in states:
            number = state[1]
            gradients = {name: made[self._stored[name]][number] for name in reached if one.keep and one.method}
            gradient = made[self._stored.get(one.back_to, INPUT)][number].astype(np.float64) if one.method else None
            stored = self._stored.items() if one.keep and one.inputs is not None else ()
            activations = {name: trace.map(node)[number] for name, node in stored}
            replies.append(Reply(outputs[number], gradient, activations, gradients, state))
        return replies


def _alike(request: Request) -> tuple[Any, ...]:
    """Requests of which this is equal can be run together."""
    pixels = None if request.inputs is None else request.inputs.dtype == np.uint8
    return pixels, request.method, request.since, request.until, request.back_to, request.keep


def _stored(network: Network | GraphNetwork) -> dict[str, str]:
    """The node that makes what a layer stores; of a graph every node."""
    nodes = [node.name for node in network.graph.nodes]
    if isinstance(network, GraphNetwork):
        return {name: name for name in nodes}
    names = [layer.name for layer in network.layers]
    ends = [*(nodes.index(name) - 1 for name in names[1:]), len(nodes) - 1]
    return {name: nodes[end] for name, end in zip(names, ends, strict=True)}

# SPDX-License-Identifier: Apache-2.0
"""The golden models of chains and of graphs as ``GoldenBackend.execute`` takes them: forward, backward, and the names of what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.host.inputs import check_choice
from gradcore.models import graph as graph_model
from gradcore.models import network as chain_model
from gradcore.models.quantised import QuantisedNetwork
from gradcore.models.quantised_graph import QuantisedGraph
from gradcore.runtime.fixed_point import real_map
from gradcore.runtime.results import LayerSaturation

Names = dict[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Trace:
    """A forward pass of one input: raw ``output`` (1, H, W, C), and what the backward pass needs of it."""

    output: np.ndarray
    forward: Any
    first: int
    stop: int


class Chain:
    """A chain of layers: activation i + 1 is what layer i stores."""

    def __init__(self, network: QuantisedNetwork) -> None:
        self.network = network

    @property
    def layers(self) -> Names:
        """What each layer stores: (C, H, W) by its name."""
        return {
            layer.name: (channels, height, width)
            for layer, (height, width, channels) in zip(self.network.layers, self.network.shapes[1:], strict=True)
        }

    def position(self, name: str | None, empty: int) -> int:
        """The number of the activation that a layer stores; ``empty`` for None."""
        if name is None:
            return empty
        check_choice("layer", name, tuple(self.layers))
        return list(self.layers).index(name) + 1

    def span(self, since: str | None, until: str | None, back_to: str | None) -> tuple[int, int, int]:
        """(first, stop, end): numbers of the activations where the forward pass begins and ends, and the backward pass ends."""
        first, stop = self.position(since, 0), self.position(until, len(self.network.layers))
        end = self.position(back_to, first)
        if not first <= end < stop:
            raise GradCoreError(f"no layer lies between {back_to or since or 'the input'} and {until or 'the logits'}: name them in order")
        return first, stop, end

    def fractions(self, position: int) -> tuple[int, int]:
        """Fraction bits of an activation, and of its gradient."""
        return self.network.quantisation.activations[position], self.network.quantisation.gradients[position]

    unit = 1.0  # of the logits

    def reached(self, made: Sequence[np.ndarray], back_to: str | None, end: int, exponent: int) -> np.ndarray:
        """Real float64 (C, H, W) of the gradient where a backward pass ended."""
        return real_map(made[0], self.fractions(end)[1] + exponent).astype(np.float64)

    def _segment(self, first: int, stop: int) -> QuantisedNetwork:
        return replace(self.network, layers=self.network.layers[first:stop], shapes=self.network.shapes[first : stop + 1])

    def forward(self, maps: np.ndarray, first: int, stop: int) -> list[Trace]:
        """The forward pass from activation ``first`` (N, H, W, C) on to activation ``stop``, input by input."""
        made = chain_model.forward(self._segment(first, stop), maps)
        traces = []
        for number in range(len(maps)):
            layers = [
                chain_model.LayerForward(*(None if value is None else value[number : number + 1] for value in vars(layer).values()))
                for layer in made.layers
            ]
            alone = chain_model.Forward(made.picture[number : number + 1], tuple(layers))
            traces.append(Trace(alone.layers[-1].output, alone, first, stop))
        return traces

    def backward(self, traces: Sequence[Trace], seeds: np.ndarray, method: str, end: int) -> list[Any]:
        """Gradients (H, W, C) of the activations ``end`` to the last of each trace, and what saturated (see ``saturations``)."""
        first, stop = traces[0].first, traces[0].stop
        segment = self._segment(end, stop)
        joined = []
        for layers in zip(*(trace.forward.layers for trace in traces), strict=True):
            columns = zip(*(vars(layer).values() for layer in layers), strict=True)
            joined.append(chain_model.LayerForward(*(None if column[0] is None else np.concatenate(column) for column in columns)))
        inputs = joined[end - first - 1].output if end > first else np.concatenate([trace.forward.picture for trace in traces])
        forward = chain_model.Forward(inputs, tuple(joined[end - first :]))
        made = chain_model.backward(segment, forward, method, seed=seeds)
        results = []
        for number in range(len(traces)):
            counts = chain_model.saturations(segment, forward, made, number)[len(segment.layers) :]
            results.append(([one[number] for one in made.gradients], tuple(LayerSaturation(*count) for count in counts)))
        return results

    def saturations(self, trace: Trace) -> tuple[LayerSaturation, ...]:
        """What saturated in a forward pass."""
        counts = chain_model.saturations(self._segment(trace.first, trace.stop), trace.forward)
        return tuple(LayerSaturation(*count) for count in counts)

    def stored(self, forward: chain_model.Forward, image: int) -> dict[str, np.ndarray]:
        """Real float32 (C, H, W) of what each layer stored, of one image of a batch."""
        places = enumerate(zip(self.layers, forward.layers, strict=True), 1)
        return {name: real_map(layer.output[image], self.fractions(place)[0]) for place, (name, layer) in places}

    def followed(self, backward: chain_model.Backward, image: int) -> dict[str, np.ndarray]:
        """The same of the gradients."""
        return self.gradients([one[image] for one in backward.gradients], len(self.network.layers), 0)

    def activations(self, trace: Trace) -> dict[str, np.ndarray]:
        """Real float32 (C, H, W) of what each layer stored."""
        names = list(self.layers)[trace.first : trace.stop]
        stored = zip(names, trace.forward.layers, range(trace.first + 1, trace.stop + 1), strict=True)
        return {name: real_map(layer.output[0], self.fractions(position)[0]) for name, layer, position in stored}

    def gradients(self, made: Sequence[np.ndarray], stop: int, exponent: int) -> dict[str, np.ndarray]:
        """The same of the gradients that a backward pass made, the last of them that of activation ``stop``."""
        first = stop - len(made) + 1
        names = ["", *self.layers]
        return {
            names[position]: real_map(one, self.fractions(position)[1] + exponent)
            for position, one in enumerate(made, first)
            if position  # that of the input is the attribution
        }


class Graph:
    """A graph: what is stored are the maps that its passes make. It runs as a whole."""

    def __init__(self, network: QuantisedGraph) -> None:
        self.network = network

    @property
    def layers(self) -> Names:
        """What is stored: (C, H, W) of each map by its name, in the order in which passes make them."""
        made = dict.fromkeys(one.makes.map for one in self.network.passes)
        return {name: (self.network.maps[name].shape[2], *self.network.maps[name].shape[:2]) for name in made}

    def span(self, since: str | None, until: str | None, back_to: str | None) -> tuple[int, int, int]:
        """As for a chain: 0 and 1 are the input and the logits; and where the backward pass ends, counted as ``layers``, from 1 on."""
        if since is not None or until is not None:
            raise GradCoreError("a graph is run as a whole: leave the layers to begin behind and to end with out")
        if back_to is None:
            return 0, 1, 0
        check_choice("layer", back_to, tuple(self.layers))
        if back_to == self.network.output:
            raise GradCoreError(f"no layer lies between {back_to} and the logits: name layers in the order of the network")
        return 0, 1, list(self.layers).index(back_to) + 1

    def fractions(self, position: int) -> tuple[int, int]:
        """Fraction bits of the input (0) or the logits (1), and of its gradient."""
        name = self.network.output if position else graph_model.INPUT
        return self.network.quantisation.activations[name], self.network.quantisation.gradients[name]

    @property
    def unit(self) -> float:
        """Of the logits."""
        return self.network.maps[self.network.output].unit

    def reached(self, made: dict[str, np.ndarray], back_to: str | None, end: int, exponent: int) -> np.ndarray:
        """As for a chain."""
        name = back_to or graph_model.INPUT
        units = self.unit / self.network.maps[name].units
        return real_map(made[name], self.network.quantisation.gradients[name] + exponent, units).astype(np.float64)

    def forward(self, maps: np.ndarray, first: int, stop: int) -> list[Trace]:
        """The forward pass of inputs (N, H, W, C)."""
        traces = []
        for one in maps:
            made = graph_model.forward(self.network, one[None])
            traces.append(Trace(made.maps[self.network.output], made, 0, 1))
        return traces

    def backward(self, traces: Sequence[Trace], seeds: np.ndarray, method: str, end: int) -> list[Any]:
        """As for a chain: of each trace the gradients by the maps' names, and what saturated."""
        results = []
        back_to = list(self.layers)[end - 1] if end else None
        for trace, seed in zip(traces, seeds, strict=True):
            made = graph_model.backward(self.network, trace.forward, method, seed=seed[None], back_to=back_to)
            counts = graph_model.saturations(self.network, trace.forward, made)[len(self.network.passes) :]
            results.append(({name: one[0] for name, one in made.gradients.items()}, tuple(LayerSaturation(*count) for count in counts)))
        return results

    def saturations(self, trace: Trace) -> tuple[LayerSaturation, ...]:
        """What saturated in a forward pass."""
        return tuple(LayerSaturation(*count) for count in graph_model.saturations(self.network, trace.forward))

    def stored(self, forward: graph_model.Forward, image: int) -> dict[str, np.ndarray]:
        """Real float32 (C, H, W) of every map, of one image of a batch."""
        maps = self.network.maps
        return {name: real_map(forward.maps[name][image], maps[name].fraction, maps[name].units) for name in self.layers}

    def followed(self, backward: graph_model.Backward, image: int) -> dict[str, np.ndarray]:
        """The same of the gradients."""
        return self.gradients({name: backward.gradients[name][image] for name in self.layers}, 0, 0)

    def activations(self, trace: Trace) -> dict[str, np.ndarray]:
        """Real float32 (C, H, W) of every map."""
        return self.stored(trace.forward, 0)

    def gradients(self, made: dict[str, np.ndarray], stop: int, exponent: int) -> dict[str, np.ndarray]:
        """The same of the gradients."""
        fractions, output = self.network.quantisation.gradients, self.unit
        return {
            name: real_map(made[name], fractions[name] + exponent, output / self.network.maps[name].units)
            for name in self.layers
            if name in made
        }

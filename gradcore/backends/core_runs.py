# SPDX-License-Identifier: Apache-2.0
"""Requests on the core itself: which part of the program runs, what is written to memory before, and what is read after it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.backends.exact import Chain, real_map
from gradcore.backends.requests import Reply, Request, raw_inputs, scaled_seed, shaped_seed
from gradcore.backends.runs import LayerSaturation
from gradcore.compiler import Program
from gradcore.models import network as golden
from gradcore.runtime.driver import Driver


class CoreRuns:
    """A core with a program, on which requests run one after the other.

    Args:
        driver: of the core, with the program loaded.
        chain: the network that the program was compiled of.
        seconds: after which a run is given up.
    """

    def __init__(self, driver: Driver, chain: Chain, seconds: float) -> None:
        self._driver, self._chain, self._seconds = driver, chain, seconds
        self._program: Program = driver.program
        self._parts: dict[tuple[Any, ...], Program] = {}
        self._before: Any = None

    def run(self, request: Request) -> Reply:
        """See ``Backend.execute``."""
        forward, backward = request.inputs is not None, request.method is not None
        state = None if forward else request.state or self._before
        since, until, output = (request.since, request.until, None) if forward else state[:3]
        first, stop, end = self._chain.span(since, until, request.back_to)
        last = stop == self._program.count
        regions = self._program.regions
        if forward:
            raw = raw_inputs(request.inputs, self._chain.network, self._chain.fractions(first)[0])
            self._driver.put(regions[f"activation_{first}"], raw)
            if not backward or (last and request.seed is None):
                output, measured = self._forward(request, stop, last)
            else:
                output, measured = None, None
        else:
            for name, content in state[3].items():
                self._driver.put_bytes(regions[name], content)
            measured = None
        exponent = 0
        if backward and measured is None:
            measured, exponent, output = self._backward(request, forward, output, (first, stop, end), (since, until))
        cycles, _, saturated = measured
        gradients, activations = {}, {}
        if request.keep:
            names = list(self._chain.layers)
            if forward:
                activations = {names[place - 1]: self._activation(place) for place in range(first + 1, stop + 1)}
            if backward:
                gradients = {names[place - 1]: self._gradient(place, exponent) for place in range(max(end, 1), stop + 1)}
        kept = state[3] if not forward else self._tags(first, stop)
        self._before = (since, until, output, kept)
        gradient = self._gradient(end, exponent).astype(np.float64) if backward else None
        return Reply(output, gradient, activations, gradients, self._before, cycles, self._saturation(saturated))

    def maps(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Activations and gradients of all layers that a whole run has left in memory: see ``Reply``."""
        places = dict(enumerate(self._chain.layers, 1))
        return {name: self._activation(place) for place, name in places.items()}, {
            name: self._gradient(place, 0) for place, name in places.items()
        }

    def _forward(self, request: Request, stop: int, last: bool) -> tuple[np.ndarray, tuple]:
        """A run whose backward pass, if it has one, starts from the class that the core finds; of several equal ones from the first."""
        whole = request.since is None and request.until is None and request.method is None
        self._select(None if whole else request, True, request.method is not None)
        explain = request.method is not None
        mode = "ARG_MAX" if explain else "SUPPLIED"
        measured = self._driver.run_part(request.method or "saliency", explain=explain, timeout=self._seconds, mode=mode)
        output = self._output(stop, last)
        if explain and self._program.class_of(self._driver.read("CLASS_INDEX")) != int(np.argmax(output)):
            seeded = Request(request.inputs, request.method, int(np.argmax(output)), request.since, None, request.back_to)
            measured, _, output = self._backward(seeded, True, output, self._chain.span(request.since, None, request.back_to), (None, None))
        return output, measured

    def _backward(
        self, request: Request, forward: bool, output: np.ndarray | None, span: tuple[int, int, int], names: tuple[str | None, str | None]
    ) -> tuple[tuple, int, np.ndarray]:
        """A run with a backward pass from a seed that is given: what was measured, the seed's exponent, what the forward pass gave."""
        _, stop, _ = span
        last = stop == self._program.count
        height, width, channels = self._chain.network.shapes[stop]
        shape = (height * width * channels,) if last else (channels, height, width)
        seed = shaped_seed(request.seed, np.zeros(shape) if output is None else output)
        raw, exponent = scaled_seed(seed, self._chain.fractions(stop)[1], last, request.room)
        self._driver.put(self._program.regions[f"gradient_{stop}"], raw.reshape(channels, height, width).transpose(1, 2, 0))
        self._select(request, forward, True, names)
        measured = self._driver.run_part(request.method, timeout=self._seconds)
        return measured, exponent, self._output(stop, last) if forward else output

    def _select(self, request: Request | None, forward: bool, backward: bool, names: tuple[str | None, str | None] | None = None) -> None:
        """Take the part of the program that a request runs; None is all of it."""
        if request is None:
            self._driver.select()
            return
        since, until = names or (request.since, request.until)
        key = (since, until, request.back_to, forward, backward)
        if key not in self._parts:
            self._parts[key] = self._program.part(*key[:3], forward=forward, backward=backward)
        self._driver.select(self._parts[key])

    def _output(self, stop: int, last: bool) -> np.ndarray:
        made = self._activation(stop).astype(np.float64)
        return made.reshape(-1) if last else made

    def _activation(self, place: int) -> np.ndarray:
        """Real float32 (C, H, W), from memory."""
        return real_map(self._driver.get(self._program.regions[f"activation_{place}"]), self._chain.fractions(place)[0])

    def _gradient(self, place: int, exponent: int) -> np.ndarray:
        return real_map(self._driver.get(self._program.regions[f"gradient_{place}"]), self._chain.fractions(place)[1] + exponent)

    def _tags(self, first: int, stop: int) -> dict[str, bytes]:
        """What the backward pass needs of the forward pass, from memory: some kilobytes."""
        names = [f"tags_{position}" for position in range(first, stop) if f"tags_{position}" in self._program.regions]
        return {name: self._driver.get_bytes(self._program.regions[name]) for name in names}

    def _saturation(self, saturated: tuple[int, ...]) -> tuple[LayerSaturation, ...]:
        outputs = {(name, direction): count for name, direction, count in golden.passes(self._chain.network)}
        layers = [one for one in self._driver.program.layers if one.direction != "seed"]
        ran = [(one.name if one.direction == "forward" else one.name.removesuffix("_backward"), one.direction) for one in layers]
        return tuple(LayerSaturation(*place, values, outputs[place]) for place, values in zip(ran, saturated, strict=False))

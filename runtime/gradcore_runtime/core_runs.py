# SPDX-License-Identifier: Apache-2.0
"""Requests on the core itself: which part of the program runs, what is written to memory before, and what is read after it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .driver import TIMEOUT, Driver
from .fixed_point import real_map
from .formats import Formats
from .inputs import Progress, silent
from .program import Runnable
from .regions import Region
from .requests import Reply, Request, range_bits, raw_inputs, scaled_seed, shaped_seed
from .results import LayerSaturation


class CoreRuns:
    """A core with a program, on which requests run one after the other.

    Args:
        driver: of the core, with the program loaded.
        seconds: after which a run is given up.
    """

    def __init__(self, driver: Driver, seconds: float = TIMEOUT) -> None:
        self._driver, self._seconds = driver, seconds
        self._program: Runnable = driver.whole
        self._before: Any = None

    def run(self, request: Request) -> Reply:
        """See ``Engine.execute``."""
        program, forward, backward = self._program, request.inputs is not None, request.method is not None
        state = None if forward else request.state or self._before
        since, until, output = (request.since, request.until, None) if forward else state[:3]
        first, stop, end = program.span(since, until, request.back_to)
        last = stop == len(program.maps) - 1
        if forward:
            self._driver.put(program.regions[program.maps[first].region], raw_inputs(request.inputs, program, program.maps[first].fraction))
            if not backward or (last and request.seed is None):
                output, measured = self._forward(request, stop, last)
            else:
                output, measured = None, None
        else:
            for name, content in state[3].items():
                self._driver.put_bytes(program.regions[name], content)
            measured = None
        exponent = 0
        if backward and measured is None:
            measured, exponent, output = self._backward(request, forward, output, stop, (since, until))
        cycles, counters, saturated = measured
        gradients, activations = {}, {}
        if request.keep:
            names = [one.name for one in program.maps]
            if forward:
                activations = {names[place]: self._activation(place) for place in range(first + 1, stop + 1)}
            if backward:
                gradients = {names[place]: self._gradient(place, exponent) for place in self._followed(end, stop)}
        kept = state[3] if not forward else self._tags(first, stop)
        self._before = (since, until, output, kept)
        gradient = self._gradient(end, exponent).astype(np.float64) if backward else None
        return Reply(output, gradient, activations, gradients, self._before, cycles, counters, self._saturation(saturated))

    def maps(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Activations and gradients of all layers that a whole run has left in memory: see ``Reply``."""
        places = {place: one.name for place, one in enumerate(self._program.maps) if place}
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
            measured, _, output = self._backward(seeded, True, output, stop, (None, None))
        return output, measured

    def _backward(
        self, request: Request, forward: bool, output: np.ndarray | None, stop: int, names: tuple[str | None, str | None]
    ) -> tuple[tuple, int, np.ndarray]:
        """A run with a backward pass from a seed that is given: what was measured, the seed's exponent, what the forward pass gave."""
        program = self._program
        last, ends = stop == len(program.maps) - 1, program.maps[stop]
        region = program.regions[ends.gradients[0][0]]
        channels, height, width = region.channels, region.height, region.width
        shape = (height * width * channels,) if last else (channels, height, width)
        seed = shaped_seed(request.seed, np.zeros(shape) if output is None else output)
        raw, exponent = scaled_seed(seed, ends.gradient_fraction, last, request.room)
        self._driver.put(region, raw.reshape(channels, height, width).transpose(1, 2, 0))
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
        if key not in self._driver.parts:
            self._driver.parts[key] = self._program.part(*key[:3], forward=forward, backward=backward)
        self._driver.select(self._driver.parts[key])

    def _output(self, stop: int, last: bool) -> np.ndarray:
        made = self._activation(stop).astype(np.float64)
        return made.reshape(-1) if last else made

    def _activation(self, place: int) -> np.ndarray:
        """Real float32 (C, H, W), from memory."""
        one = self._program.maps[place]
        values = self._driver.get(self._program.regions[one.region])
        lie = self._program.places.get(one.region)
        return real_map(values if lie is None else values[..., lie], one.fraction, one.units or 1.0)

    def _gradient(self, place: int, exponent: int) -> np.ndarray:
        one = self._program.maps[place]
        parts = sorted(one.gradients, key=lambda part: part[1])
        values = np.concatenate([self._driver.get(self._program.regions[name]) for name, _ in parts], axis=2)
        return real_map(values, one.gradient_fraction + exponent, self._program.unit / np.array(one.units or 1.0))

    def _followed(self, end: int, stop: int) -> list[int]:
        """The maps whose gradients a backward pass down to the map ``end`` has made, without the input's, and the one it started from."""
        maps = self._program.maps
        if self._program.chain:
            return list(range(max(end, 1), stop + 1))
        ran = max(maps[end].backward)
        return [place for place in range(1, stop + 1) if max(maps[place].backward, default=0) <= ran]

    def _tags(self, first: int, stop: int) -> dict[str, bytes]:
        """What the backward pass needs of the forward pass, from memory: some kilobytes."""
        regions: dict[str, Region] = self._program.regions
        layers = sorted({layer for one in self._program.maps[first + 1 : stop + 1] for layer in one.layers})
        names = [f"tags_{layer}" for layer in layers if f"tags_{layer}" in regions]
        return {name: self._driver.get_bytes(regions[name]) for name in names}

    def _saturation(self, saturated: Sequence[int]) -> tuple[LayerSaturation, ...]:
        outputs = self._program.outputs()
        ran = self._driver.program.by_name(saturated)
        return tuple(LayerSaturation(*place, values, outputs[place]) for place, values in ran.items())


class CoreEngine:
    """A core, and a program that it runs: an ``Engine``.

    Args:
        driver: of the core.
        program: in its own formats, wherever it lies.
        seconds: after which a run is given up.

    Attributes:
        classes, layers: see ``Engine``.
    """

    def __init__(self, driver: Driver, program: Runnable, seconds: float = TIMEOUT) -> None:
        self._driver, self._program, self._seconds = driver, program, seconds
        self._headroom = 0
        self._loaded: list[Formats] = [(0, 0)]  # of the program in memory; shared by engines of one core
        self.classes, self.layers = tuple(program.classes), program.stored

    def real_inputs(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """See ``Engine.real_inputs``."""
        raw = np.stack([self._program.picture_values(one) for one in pictures])
        return raw.transpose(0, 3, 1, 2) * 2.0 ** -self._program.activations[0]

    def execute(self, requests: Sequence[Request], progress: Progress = silent) -> list[Reply]:
        """See ``Engine.execute``.

        Raises:
            GradCoreError: as there; inputs are larger than the program was compiled for; a run fails.
        """
        self.use(range_bits(requests, self._program.activations[0]))
        core = CoreRuns(self._driver, self._seconds)
        replies = []
        for number, request in enumerate(requests):
            progress("running the core", number, len(requests))
            replies.append(core.run(request))
        progress("running the core", len(requests), len(requests))
        return replies

    def use(self, bits: int = 0) -> None:
        """Have the program in memory in the engine's formats, with an input that is ``bits`` wider."""
        if self._loaded[0] != (self._headroom, bits):
            self._driver.load(self._program.with_formats(self._headroom, bits))
            self._loaded[0] = (self._headroom, bits)
        self._driver.select()

    def levels(self) -> Iterator[tuple[int, CoreEngine]]:
        """(bits of headroom, engine with them): those that the program has, to be tried one after the other until nothing saturates."""
        for bits in sorted({0, *(room for room, _ in self._program.formats)}):
            engine = copy.copy(self)
            engine._headroom = bits
            yield bits, engine

    def close(self) -> None:
        """Leave the program in memory in its own formats, whole."""
        self._headroom = 0
        self.use()

# SPDX-License-Identifier: Apache-2.0
"""One input that is explained, with a network: what methods run, and what that took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import GradCoreError
from ..inputs import Progress
from ..requests import Engine, Reply, Request
from ..results import Cycles, LayerCycles, LayerSaturation, Run

_CHUNK = 256  # requests that are executed together: their inputs are in memory then


@dataclass(frozen=True)
class Aim:
    """What is explained: a class, a class against another one, or any weights of the classes.

    Attributes:
        target: a class by its index; None: the predicted one; or a number for each class.
        against: the class whose logit is subtracted.
    """

    target: int | np.ndarray | None = None
    against: int | None = None

    @property
    def is_class(self) -> bool:
        """Whether the logit of one class is explained."""
        return self.against is None and not isinstance(self.target, np.ndarray)

    def check(self, classes: int) -> None:
        """Refuse weights that are not one for each class.

        Raises:
            GradCoreError: they are none; or the target is weights already, or the same class.
        """
        if isinstance(self.target, np.ndarray):
            if self.target.shape != (classes,) or not np.all(np.isfinite(self.target)):
                shape = " x ".join(map(str, self.target.shape))
                given = "numbers that are not finite" if self.target.shape == (classes,) else f"{shape} numbers"
                raise GradCoreError(f"a target of weights is one finite number for each class, not {given}: give {classes} of them")
            if self.against is not None:
                raise GradCoreError("a target of weights says all: leave the class against it out, or give the target as a class")
        elif self.against is not None and self.against == self.target:
            raise GradCoreError("target and the class against it are the same: give two classes")

    def chosen(self, logits: np.ndarray) -> int:
        """Index of the class that is explained: of weights the one with the largest."""
        if isinstance(self.target, np.ndarray):
            return int(np.argmax(self.target))
        return int(np.argmax(logits)) if self.target is None else int(self.target)

    def seed(self, logits: np.ndarray) -> np.ndarray | int:
        """The gradient of the logits to start from: an index, or float64 (classes,)."""
        index = self.chosen(logits)
        if self.is_class:
            return index
        if isinstance(self.target, np.ndarray):
            return self.target.astype(np.float64)
        if index == self.against:
            raise GradCoreError("the class to explain it against is the predicted one: give another, or a target")
        seed = np.zeros(len(logits))
        seed[index], seed[self.against] = 1.0, -1.0
        return seed


class Case:
    """One input, on one back end.

    Args:
        engine: the back end.
        pixels: uint8 (H, W, C), or any input as real numbers (C, H, W).
        aim: what is explained.
        parameters: of the method, checked.
        runs: how many runs the method takes, for the progress.

    Attributes:
        inputs: float64 (C, H, W): the input as the network sees it.
    """

    def __init__(
        self, engine: Engine, pixels: np.ndarray, aim: Aim, parameters: Mapping[str, Any], *, keep: bool, runs: int, progress: Progress
    ) -> None:
        self.engine, self.parameters = engine, parameters
        self.inputs = engine.real_inputs([pixels])[0] if pixels.dtype == np.uint8 else pixels
        self._pixels, self._aim, self._keep, self._progress = pixels, aim, keep, progress
        self._expected, self._replies = runs, 0
        self._forward: Reply | None = None
        self._gradients: Mapping[str, np.ndarray] = {}
        self._cycles: list[Cycles] = []
        self._counters: Counter[str] = Counter()
        self._counts: dict[tuple[str, str], LayerSaturation] = {}

    def __getitem__(self, parameter: str) -> Any:
        """The value of a parameter."""
        return self.parameters[parameter]

    @property
    def forward(self) -> Reply:
        """The forward pass of the input; it is run when it is first asked for."""
        if self._forward is None:
            self._forward = self._execute([Request(self._pixels, keep=self._keep)])[0]
        return self._forward

    @property
    def seed(self) -> np.ndarray | int:
        """What backward passes start from."""
        return self._aim.seed(self.forward.output)

    def score(self, logits: np.ndarray) -> float:
        """What is explained, as a function of the logits: the class's, or their weighted sum."""
        seed = self.seed
        return float(logits[seed] if isinstance(seed, int) else logits @ seed)

    def backward(self, rule: str, back_to: str | None = None) -> Reply:
        """A backward pass of the input; with its forward pass in one run if that has not been run yet."""
        aim = self._aim
        if self._forward is None and (aim.against is None or aim.target is not None):
            seed = None if aim.is_class and aim.target is None else aim.seed(np.zeros(len(self.engine.classes)))
            (made,) = self._execute([Request(self._pixels, rule, seed, back_to=back_to, keep=self._keep)])
            self._forward = made
        else:
            (made,) = self._execute([Request(None, rule, self.seed, back_to=back_to, keep=self._keep, state=self.forward.state)])
        self._gradients = self._gradients or made.gradients
        return made

    def each(self, inputs: Sequence[np.ndarray], rule: str | None) -> Iterator[Reply]:
        """A run with each of other inputs (C, H, W), real numbers; without ``rule`` forward only."""
        seed = None if rule is None else self.seed
        for start in range(0, len(inputs), _CHUNK):
            yield from self._execute([Request(one, rule, seed) for one in inputs[start : start + _CHUNK]])

    def baseline(self) -> np.ndarray:
        """The parameter ``baselines`` in the input's shape. Raises GradCoreError where it has another."""
        try:
            return np.broadcast_to(self["baselines"], self.inputs.shape)
        except ValueError:
            wanted, given = (" x ".join(map(str, shape)) for shape in (self.inputs.shape, self["baselines"].shape))
            raise GradCoreError(f"baselines have the shape {given}, the input {wanted}: give a number, or an array of that shape") from None

    def layer(self) -> str:
        """The parameter ``layer``; by default the last layer that stores a map of more than one pixel."""
        layers = self.engine.layers
        if self["layer"] is not None:
            if self["layer"] not in layers:
                raise GradCoreError(f"there is no layer {self['layer']!r}: use one of {', '.join(layers)}")
            return self["layer"]
        maps = [name for name, (_, height, width) in layers.items() if height * width > 1]
        if not maps:
            raise GradCoreError(f"no layer of the network stores a map, only vectors: give layer, one of {', '.join(layers)}")
        return maps[-1]

    def result(self, values: np.ndarray) -> Run:
        """All that is known now, with the attribution."""
        forward = self.forward
        seed = self.seed
        return Run(
            forward.output,
            self._aim.chosen(forward.output),
            np.ascontiguousarray(values, dtype=np.float32),
            total_cycles(self._cycles),
            dict(self._counters),
            saturation=tuple(self._counts.values()),
            runs=self._replies,
            activations=forward.activations,
            gradients=self._gradients,
            seed=None if isinstance(seed, int) else seed,
        )

    def _execute(self, requests: Sequence[Request]) -> list[Reply]:
        before = self._replies

        def report(text: str, done: int = 0, total: int = 0) -> None:
            if total == len(requests):
                done, total = before + done, self._expected
            self._progress(text, done, total)

        replies = self.engine.execute(requests, report)
        self._replies += len(replies)
        for reply in replies:
            if reply.cycles is not None:
                self._cycles.append(reply.cycles)
                self._counters.update(reply.counters)
            for one in reply.saturation:
                known = self._counts.get((one.layer, one.direction))
                self._counts[one.layer, one.direction] = (
                    one if known is None else replace(one, values=known.values + one.values, outputs=known.outputs + one.outputs)
                )
        return replies


def total_cycles(runs: Sequence[Cycles]) -> Cycles | None:
    """The sum of the cycles of several runs, layer by layer; None where there are none."""
    if not runs:
        return None
    layers: dict[tuple[str, str], int] = {}
    for run in runs:
        for one in run.layers:
            layers[one.layer, one.direction] = layers.get((one.layer, one.direction), 0) + one.cycles
    summed = tuple(LayerCycles(*place, cycles) for place, cycles in layers.items())
    return Cycles(*(sum(getattr(run, name) for run in runs) for name in ("total", "forward", "backward")), summed)

# SPDX-License-Identifier: Apache-2.0
"""Single runs of a network: any input, any seed, any part of the network; what attribution methods and autograd are made of.

Back ends ``execute`` a list of ``Request``s, in one simulation if they simulate, and give a ``Reply`` to each. Values are real numbers;
a back end in fixed point rounds them to the formats of the network, half up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .errors import GradCoreError
from .fixed_point import quantise
from .inputs import Progress, silent
from .results import Cycles, LayerSaturation
from .targets import class_indexes

MOST_RANGE = 12  # bits by which the input's format may be made wider
_FULL = 14  # a seed inside the network is scaled to 2**13..2**14: one bit of room


@dataclass(frozen=True)
class Request:
    """One run that is asked for.

    Attributes:
        inputs: of the forward pass: uint8 pixels (H, W, C), or real numbers (C, H, W) of the network's normalised input; with ``since``
            what that layer stores. None: no forward pass; the backward pass goes on with ``state``, or without it with the forward
            pass of the request before.
        method: the rule of the ReLUs in the backward pass; None: no backward pass.
        seed: what the backward pass starts from: a class by its index, real numbers (the gradient of the logits in the order of the
            classes, or of what the layer ``until`` stores, (C, H, W)), or None: the class with the largest logit, of several the first.
        since, until, back_to: names of layers. The forward pass begins behind ``since`` and ends with ``until``, the backward pass ends
            at the gradient of what ``back_to`` stores. None: the input, the logits, and where the forward pass began.
        keep: whether the reply has the maps of all layers.
        state: of an earlier reply of the same back end.
        room: bits by which the seed is scaled to be smaller than its format holds, so that no gradient saturates.
    """

    inputs: np.ndarray | None = None
    method: str | None = None
    seed: int | np.ndarray | None = None
    since: str | None = None
    until: str | None = None
    back_to: str | None = None
    keep: bool = False
    state: Any = None
    room: int = 0


@dataclass(frozen=True)
class Reply:
    """What a run gave, in real numbers.

    Attributes:
        output: float64: the logits (classes,), or what ``until`` stores, (C, H, W); with no forward pass that of the run it goes on with.
        gradient: float64 (C, H, W): where the backward pass ended; None without one.
        activations, gradients: float32 (C, H, W) of what each layer stores, by its name, where the request said ``keep``: of the layers
            that ran.
        state: what a backward pass over this forward pass needs, for ``Request.state``.
        cycles, counters: clock cycles, and counters by their registers' names in lower case; only of the core.
        saturation: of the layers that ran; empty with ``float``.
        timeline: what the engines did, when the back end was asked for it.
    """

    output: np.ndarray
    gradient: np.ndarray | None = None
    activations: Mapping[str, np.ndarray] = field(default_factory=dict)
    gradients: Mapping[str, np.ndarray] = field(default_factory=dict)
    state: Any = None
    cycles: Cycles | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    saturation: tuple[LayerSaturation, ...] = ()


class Engine(Protocol):
    """What runs requests: a back end, or a board.

    Attributes:
        classes: their names.
        layers: (C, H, W) of what each layer stores, by its name; the last are the logits. Of a graph the maps that it makes.
    """

    classes: tuple[str, ...]
    layers: Mapping[str, tuple[int, int, int]]

    def real_inputs(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """float64 (N, C, H, W): uint8 pictures (H, W, C) as the network sees them, rounded to its format if it has one."""

    def execute(self, requests: Sequence[Request], progress: Progress = silent) -> list[Reply]:
        """Run single passes, in order, in one simulation if the engine simulates. An input beyond the input's format makes that wider,
        for all of them.

        Raises:
            GradCoreError: a layer, class or seed that does not fit the network; inputs that no format holds.
        """


def levels(engine: Engine) -> Iterator[tuple[int, Engine]]:
    """(bits of headroom, engine with them), to be tried one after the other until nothing saturates; of an engine whose formats are given
    itself."""
    own = getattr(engine, "levels", None)
    return iter([(0, engine)]) if own is None else own()


def one_hot(index: int, size: int) -> np.ndarray:
    """float64 (size,): the seed of a class."""
    seed = np.zeros(size)
    seed[index] = 1.0
    return seed


def scaled_seed(seed: np.ndarray, fraction: int, last: bool, room: int = 0) -> tuple[np.ndarray, int]:
    """A seed in fixed point, times a power of two so that it fits and keeps its bits.

    Args:
        seed: real numbers.
        fraction: of the gradient's format.
        last: whether it is the gradient of the logits: its magnitudes then add up to 1.0 or more than half of it, so that of several
            logits no gradient is larger than of one, for which the formats were chosen; inside the network the format says what fits.
        room: bits by which it is to be smaller.

    Returns:
        (int64 raw, exponent): raw = seed * 2**(exponent + fraction), rounded; what the backward pass makes is to be divided by 2**exponent.

    Raises:
        GradCoreError: it holds what is no finite number.
    """
    seed = np.asarray(seed, dtype=np.float64)
    largest = float(np.abs(seed).sum() if last else np.abs(seed).max(initial=0.0))
    if not math.isfinite(largest):
        raise GradCoreError("a seed holds values that are not finite numbers: give the gradient that the backward pass is to start from")
    most = (fraction if last else _FULL) - room
    exponent = 0 if largest == 0 else most - fraction - math.ceil(math.log2(largest))
    return quantise(seed, fraction + exponent)[0], exponent


def shaped_seed(seed: int | np.ndarray | None, output: np.ndarray) -> np.ndarray:
    """The seed of a request as real numbers of the shape of what the forward pass gave.

    Raises:
        GradCoreError: it has another shape, or is a class that there is not.
    """
    if output.ndim == 1 and (seed is None or isinstance(seed, int | np.integer)):
        return one_hot(int(np.argmax(output) if seed is None else class_indexes(seed, output.size, 1)[0]), output.size)
    values = None if seed is None else np.asarray(seed, dtype=np.float64)
    if values is None or values.shape != output.shape:
        given = "none" if values is None else f"one of {' x '.join(map(str, values.shape)) or '1'}"
        what = f"{output.size} classes" if output.ndim == 1 else f"a map of {' x '.join(map(str, output.shape))}"
        raise GradCoreError(f"the seed must have a number for each of {what}, not {given}: give the gradient of what the run ends with")
    return values


def raw_inputs(inputs: np.ndarray, network: Any, fraction: int) -> np.ndarray:
    """int64 (H, W, C) of a request's inputs: pixels by the network's table, real numbers rounded half up."""
    inputs = np.asarray(inputs)
    if inputs.dtype == np.uint8:
        return network.quantise_image(inputs).astype(np.int64)
    raw, clipped = quantise(inputs, fraction)
    if clipped.any():  # of a layer's output, that is: for the input itself the format was made wide enough
        reach = float(np.abs(inputs).max())
        raise GradCoreError(f"what stands for a layer's output reaches {reach:.3g}, its format {2.0 ** (15 - fraction):.3g}: give headroom")
    return raw.transpose(1, 2, 0)


def range_bits(requests: Iterable[Request], fraction: int) -> int:
    """Bits by which the input's format of ``fraction`` fraction bits must be wider to hold the inputs of all requests; pixels fit.

    Raises:
        GradCoreError: they are not finite, or out of reach.
    """
    values = [one.inputs for one in requests if one.inputs is not None and one.inputs.dtype != np.uint8 and one.since is None]
    ends = np.array([[one.min(), one.max()] for one in values if one.size] or [[0.0, 0.0]], dtype=np.float64)
    for bits in range(MOST_RANGE + 1) if np.all(np.isfinite(ends)) else ():
        if not quantise(ends, fraction - bits)[1].any():
            return bits
    raise GradCoreError(
        f"inputs reach from {ends.min():.3g} to {ends.max():.3g}, a fixed-point input can reach {2.0 ** (15 - fraction + MOST_RANGE):.3g}: "
        "normalise them as the network was trained, or use less noise"
    )

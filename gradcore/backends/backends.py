# SPDX-License-Identifier: Apache-2.0
"""Back ends: what runs a network forward and backward.

All take uint8 pictures and give logits and attribution in real numbers. ``rtl`` simulates the Verilog, ``golden`` is
the bit-exact model in Python: the two agree in every bit. ``float`` is PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.host.progress import Progress, silent
from gradcore.models import arithmetic
from gradcore.network import Network

if TYPE_CHECKING:
    from gradcore.timeline import Timeline

METHODS = arithmetic.METHODS
BACKENDS = ("rtl", "golden", "float")
SIMULATORS = ("verilator", "icarus")
PRESETS = ("small", "paper", "full")
_BATCH = 16
WEAK = 0.5  # of the softmax: on CIFAR-10's test file, answers below are right as often as wrong (docs/training.md)


@dataclass(frozen=True)
class LayerCycles:
    """Clock cycles of one layer in one direction: from the end of the layer before to its own end."""

    layer: str
    direction: str  # 'forward' or 'backward'
    cycles: int


@dataclass(frozen=True)
class Cycles:
    """Clock cycles from START to the interrupt. ``layers`` are in the order in which they ended."""

    total: int
    forward: int
    backward: int
    layers: tuple[LayerCycles, ...]

    def as_dict(self) -> dict[str, Any]:
        """What ``result.json`` holds."""
        return {
            "total": self.total,
            "forward": self.forward,
            "backward": self.backward,
            "layers": [{"layer": one.layer, "pass": one.direction, "cycles": one.cycles} for one in self.layers],
        }


@dataclass(frozen=True)
class LayerSaturation:
    """How many outputs of one layer saturated in one direction: ``gradcore.models.network.saturations`` defines it.

    Attributes:
        layer: its name.
        direction: 'forward' (activations, logits) or 'backward' (the gradient at the layer's input).
        values: outputs that did not fit 16 bits and were clipped.
        outputs: all that the layer computed.
    """

    layer: str
    direction: str
    values: int
    outputs: int


@dataclass(frozen=True)
class Run:
    """One picture's result.

    Attributes:
        logits: float64, one for each class.
        target: index of the class whose gradient was followed.
        attribution: float32, channels x height x width: gradient of the target's logit with respect to the normalised
            input.
        cycles, counters: of the hardware; only ``rtl`` has them. Counters by their registers' names in lower case.
        timeline: what the engines did, when the back end was asked for it.
        saturation: of each layer forward, then backward, in order of execution; empty with ``float``, which has no
            16-bit values.
        headroom: bits by which the number formats of this run were wider than the network's, see ``gradcore.backends.headroom``.
        without_headroom: what saturated in the run with the network's own formats, if this one was made for that.
    """

    logits: np.ndarray
    target: int
    attribution: np.ndarray
    cycles: Cycles | None = None
    counters: dict[str, int] = field(default_factory=dict)
    timeline: Timeline | None = None
    saturation: tuple[LayerSaturation, ...] = ()
    headroom: int = 0
    without_headroom: tuple[LayerSaturation, ...] = ()


def softmax(logits: np.ndarray) -> np.ndarray:
    """float64 (classes,): one share for each class; their sum is 1. Not a number where the logits are not."""
    with np.errstate(invalid="ignore"):  # infinite logits
        shares = np.exp(logits - np.max(logits))
        return shares / shares.sum()


def is_weak(logits: np.ndarray) -> bool:
    """Whether the predicted class has less than ``WEAK`` of the softmax: such answers are often wrong."""
    return bool(softmax(logits)[int(np.argmax(logits))] < WEAK)


Target = int | Sequence[int] | None
"""Class to explain, by index: one for all pictures, one for each, or None: each picture's predicted class (of several equal
largest logits the first)."""


def class_indexes(target: Target, classes: int, pictures: int) -> np.ndarray | None:
    """int64 (pictures,): the index of the class to explain in each picture; None for the predicted ones.

    Raises:
        GradCoreError: there is no such class, or not one for each picture.
    """
    if target is None:
        return None
    indexes = np.asarray(target)
    if not np.issubdtype(indexes.dtype, np.integer) or indexes.shape not in ((), (pictures,)):
        raise GradCoreError(
            f"the target {str(indexes.reshape(-1)[:1])[1:-1]} is no class's index, or there is not one for each of the {pictures} "
            "pictures: give an integer, or one for each picture"
        )
    if indexes.min(initial=0) < 0 or indexes.max(initial=0) >= classes:
        wrong = indexes.reshape(-1)[(indexes.reshape(-1) < 0) | (indexes.reshape(-1) >= classes)]
        raise GradCoreError(f"there is no class {wrong[0]}: give an index from 0 to {classes - 1}")
    return np.broadcast_to(indexes, (pictures,)).astype(np.int64)


class Backend(Protocol):
    """What ``open_backend`` returns.

    Attributes:
        notes: what a user should know of the network, one sentence each.
    """

    notes: tuple[str, ...]

    def run(
        self, pictures: Sequence[np.ndarray], methods: Sequence[str], target: Target = None, progress: Progress = silent
    ) -> dict[str, list[Run]]:
        """Run uint8 pictures, H x W x C, with each method; results by method, in the order of the pictures."""


def load_network(network: str | Path | Network) -> Network:
    """The network itself, or the one in a file, or the one of that name that comes with GradCore.

    Raises:
        GradCoreError: see ``Network.load``.
    """
    return network if isinstance(network, Network) else Network.load(network)


def open_backend(
    name: str,
    network: Network,
    *,
    simulator: str = "verilator",
    preset: str = "full",
    waves: str | Path | None = None,
    timeline: bool = False,
    clock_mhz: float = 100.0,
    headroom: int | None = 0,
) -> Backend:
    """Make a back end ready to run a network. For ``rtl`` that compiles the network; the first run compiles, once, the simulator.

    ``headroom`` is the number of bits by which number formats are wider than the network's; with None pictures in which values
    saturate are run again with some (``gradcore.backends.headroom``).

    Raises:
        GradCoreError: the network cannot be run, or a tool is missing.
    """
    check_choice("backend", name, BACKENDS)
    if waves is not None and name != "rtl":
        raise GradCoreError(f"the {name} backend has no waveforms: leave waves out, or take the backend rtl")
    if timeline and name != "rtl":
        raise GradCoreError(f"the {name} backend has no timeline: leave the trace out, or take the backend rtl")
    if name != "float" and headroom != 0:
        from gradcore.backends.headroom import HeadroomBackend, widen

        def open_one(widened: Network) -> Backend:
            return open_backend(name, widened, simulator=simulator, preset=preset, waves=waves, timeline=timeline, clock_mhz=clock_mhz)

        return HeadroomBackend(network, open_one) if headroom is None else open_one(widen(network, headroom))
    if name == "golden":
        return GoldenBackend(network)
    if name == "float":
        from gradcore.backends.pytorch import FloatBackend

        return FloatBackend(network)
    from gradcore.backends.rtl import RtlBackend

    return RtlBackend(
        network,
        simulator=simulator,
        preset=preset,
        waves=waves,
        timeline=timeline,
        clock_mhz=clock_mhz,
    )


class GoldenBackend:
    """The bit-exact model of the hardware."""

    def __init__(self, network: Network) -> None:
        from gradcore.quantise import quantise

        self._network = quantise(network)
        self.notes = self._network.notes

    def run(
        self, pictures: Sequence[np.ndarray], methods: Sequence[str], target: Target = None, progress: Progress = silent
    ) -> dict[str, list[Run]]:
        """See ``Backend.run``."""
        from gradcore.models import network as golden

        runs: dict[str, list[Run]] = {method: [] for method in methods}
        classes = class_indexes(target, len(self._network.classes), len(pictures))
        for start in range(0, len(pictures), _BATCH):
            progress("running the golden model", start, len(pictures))
            part = slice(start, start + _BATCH)
            forward = golden.forward(self._network, self._network.quantise_image(np.stack(pictures[part])))
            logits = self._network.dequantise_logits(forward.logits)
            targets = np.argmax(logits, axis=1) if classes is None else classes[part]
            for method in methods:
                backward = golden.backward(self._network, forward, method, targets)
                gradients = self._network.dequantise_attribution(backward.attribution)
                for image, (scores, index, gradient) in enumerate(zip(logits, targets, gradients, strict=True)):
                    counts = golden.saturations(self._network, forward, backward, image)
                    saturation = tuple(LayerSaturation(*count) for count in counts)
                    runs[method].append(Run(scores, int(index), gradient, saturation=saturation))
        progress("running the golden model", len(pictures), len(pictures))
        return runs


def check_choice(what: str, value: str, known: Sequence[str]) -> None:
    """Refuse a value that is not one of those known.

    Raises:
        GradCoreError: naming them.
    """
    if value not in known:
        import difflib

        near = difflib.get_close_matches(str(value).lower(), known, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise GradCoreError(f"unknown {what} {value!r}{hint}: use one of {', '.join(known)}")

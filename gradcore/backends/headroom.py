# SPDX-License-Identifier: Apache-2.0
"""Headroom: number formats that hold larger values, and a second run with them of pictures in which values saturated.

Formats that just hold photographs keep most bits for them. Print, line art and patterns make larger activations, which saturate
then, and the attribution with them goes astray. With some bits of headroom they fit; each bit halves the precision of the rest.
Weights stay as they are: only shifts and biases of the compiled network change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from gradcore.backends.backends import Backend, Run, Target
from gradcore.errors import GradCoreError
from gradcore.host.progress import Progress, silent
from gradcore.network import Network
from gradcore.quantise import quantise

STEPS = (2, 4, 6, 8)  # bits of headroom that are tried, one after the other
MOST = 12


def widen(network: Network, bits: int) -> Network:
    """The network with number formats for activations, logits and gradients 2**bits times as large.

    Args:
        network: the network, with stored formats or without.
        bits: of headroom; 0 returns the network itself.

    Raises:
        GradCoreError: bits is not in 0..12.
    """
    if isinstance(bits, bool) or not isinstance(bits, int | np.integer) or not 0 <= bits <= MOST:
        raise GradCoreError(f"{bits!r} bits of headroom cannot be given: use 0 to {MOST}")
    if not bits:
        return network
    formats = quantise(network).quantisation
    activations = (formats.activations[0], *(fraction - int(bits) for fraction in formats.activations[1:]))
    gradients = (*(fraction - int(bits) for fraction in formats.gradients[:-1]), formats.gradients[-1])
    source = f"{formats.source or 'as stored'}, {bits} bits of headroom"
    widened = replace(formats, activations=activations, gradients=gradients, source=source)
    return replace(network, metadata={**network.metadata, "quantisation": widened.to_metadata()})


def read_headroom(text: str) -> int | None:
    """What the command line takes: a number of bits, or ``auto``, which is None.

    Raises:
        GradCoreError: it is neither.
    """
    if text == "auto":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        raise GradCoreError(f"--headroom {text!r} is no number of bits: give auto, or 0 to {MOST}")
    return int(text)


class HeadroomBackend:
    """A back end that runs pictures in which values saturated again, with headroom.

    Attributes:
        notes: of the network as it is.
    """

    def __init__(self, network: Network, open_one: Callable[[Network], Backend]) -> None:
        self._network, self._open = network, open_one
        self._opened = {0: open_one(network)}
        self.notes = self._opened[0].notes

    def run(
        self, pictures: Sequence[np.ndarray], methods: Sequence[str], target: Target = None, progress: Progress = silent
    ) -> dict[str, list[Run]]:
        """See ``Backend.run``. What is said of a run with headroom: ``Run.headroom``, ``Run.without_headroom``."""
        runs = self._opened[0].run(pictures, methods, target, progress)
        for bits in STEPS:
            groups: dict[tuple[int, ...], list[str]] = {}
            for method in methods:
                saturated = [number for number, run in enumerate(runs[method]) if any(one.values for one in run.saturation)]
                groups.setdefault(tuple(saturated), []).append(method)
            for numbers, some in groups.items():
                if not numbers:
                    continue
                if bits not in self._opened:
                    self._opened[bits] = self._open(widen(self._network, bits))
                targets = target if target is None or np.ndim(target) == 0 else [target[number] for number in numbers]
                again = self._opened[bits].run([pictures[number] for number in numbers], some, targets, progress)
                for method in some:
                    for number, run in zip(numbers, again[method], strict=True):
                        before = runs[method][number].without_headroom or runs[method][number].saturation
                        runs[method][number] = replace(run, headroom=bits, without_headroom=before)
        return runs

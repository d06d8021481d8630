# SPDX-License-Identifier: Apache-2.0
"""A second run, with headroom in the number formats, of pictures in which values saturated: see ``gradcore.quantise.headroom``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from gradcore.backends.runs import Backend, Run, Target
from gradcore.host.progress import Progress, silent
from gradcore.network import GraphNetwork, Network
from gradcore.quantise.headroom import widen
from gradcore.runtime.requests import Reply, Request

STEPS = (2, 4, 6, 8)  # bits of headroom that are tried, one after the other


class HeadroomBackend:
    """A back end that runs pictures in which values saturated again, with headroom.

    Attributes:
        notes: of the network as it is.
    """

    def __init__(self, network: Network | GraphNetwork, open_one: Callable[[Network | GraphNetwork], Backend]) -> None:
        self._network, self._open = network, open_one
        self._opened = {0: open_one(network)}
        self.notes = self._opened[0].notes

    @property
    def layers(self) -> dict[str, tuple[int, int, int]]:
        """See ``Backend.layers``."""
        return self._opened[0].layers

    @property
    def classes(self) -> tuple[str, ...]:
        """See ``Backend.classes``."""
        return self._opened[0].classes

    def real_inputs(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """See ``Backend.real_inputs``."""
        return self._opened[0].real_inputs(pictures)

    def execute(self, requests: Sequence[Request], progress: Progress = silent) -> list[Reply]:
        """See ``Backend.execute``: in the network's own formats. Who asks for several runs decides on headroom for all: see ``levels``."""
        return self._opened[0].execute(requests, progress)

    def levels(self) -> Iterator[tuple[int, Backend]]:
        """(bits of headroom, back end with them), to be tried one after the other until nothing saturates."""
        for bits in (0, *STEPS):
            yield bits, self._with(bits)

    def _with(self, bits: int) -> Backend:
        if bits not in self._opened:
            self._opened[bits] = self._open(widen(self._network, bits))
        return self._opened[bits]

    def run(
        self,
        pictures: Sequence[np.ndarray],
        methods: Sequence[str],
        target: Target = None,
        progress: Progress = silent,
        keep: bool = False,
    ) -> dict[str, list[Run]]:
        """See ``Backend.run``. What is said of a run with headroom: ``Run.headroom``, ``Run.without_headroom``."""
        runs = self._opened[0].run(pictures, methods, target, progress, keep)
        for bits in STEPS:
            groups: dict[tuple[int, ...], list[str]] = {}
            for method in methods:
                saturated = [number for number, run in enumerate(runs[method]) if any(one.values for one in run.saturation)]
                groups.setdefault(tuple(saturated), []).append(method)
            for numbers, some in groups.items():
                if not numbers:
                    continue
                targets = target if target is None or np.ndim(target) == 0 else [target[number] for number in numbers]
                again = self._with(bits).run([pictures[number] for number in numbers], some, targets, progress, keep)
                for method in some:
                    for number, run in zip(numbers, again[method], strict=True):
                        before = runs[method][number].without_headroom or runs[method][number].saturation
                        runs[method][number] = replace(run, headroom=bits, without_headroom=before)
        return runs

# SPDX-License-Identifier: Apache-2.0
"""Stall patterns: endless generators that say for each cycle whether a port stalls (True) or may transfer (False)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

STALLS = ("none", "three_of_four", "random")


def stall_pattern(kind: str, rng: random.Random | None = None) -> Iterator[bool]:
    """Return the endless pattern ``kind``: 'none', 'three_of_four' (stalls three cycles in four) or 'random'.

    'random' draws a new density every 16..79 cycles, so that long runs, long stalls and mixtures all occur.
    ``rng`` is a ``random.Random`` (default: the module ``random``, which cocotb seeds); it is needed by 'random' only.
    """
    if kind == "none":
        return itertools.repeat(False)
    if kind == "three_of_four":
        return itertools.cycle((True, True, True, False))
    if kind == "random":
        return _random_stalls(rng if rng is not None else random)
    raise ValueError(f"unknown stall pattern {kind!r}: use one of {', '.join(STALLS)}")


def _random_stalls(rng: random.Random) -> Iterator[bool]:
    """Bernoulli stalls whose density changes from time to time."""
    while True:
        density = rng.choice((0.0, 0.1, 0.5, 0.9))
        for _ in range(rng.randrange(16, 80)):
            yield rng.random() < density

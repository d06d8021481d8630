# SPDX-License-Identifier: Apache-2.0
"""Seeds of the tests: a fixed one, and a fresh one for each session that is printed and can be replayed.

``SEEDS`` is what tests parametrise over. The environment variable ``GRADCORE_SEED`` replaces the fresh seed, so that
``GRADCORE_SEED=<printed seed> pytest ...`` replays a run; ``GRADCORE_RUNS`` asks for more seeds (`make regress`).
``conftest.py`` prints the seed and hands it to the xdist workers.
"""

from __future__ import annotations

import os
import random

import numpy as np

FIXED_SEED = 1
SEED_LIMIT = 1 << 31


def session_seed() -> int:
    """The session's fresh seed in 1..2**31-1: ``GRADCORE_SEED`` when set, else a random one, which is then exported."""
    text = os.environ.get("GRADCORE_SEED", "")
    if text:
        seed = int(text, 0)
        if not 1 <= seed < SEED_LIMIT:
            raise ValueError(f"GRADCORE_SEED={text}: use a number from 1 to {SEED_LIMIT - 1}")
        return seed
    seed = random.SystemRandom().randrange(2, SEED_LIMIT)
    os.environ["GRADCORE_SEED"] = str(seed)
    return seed


def seed_list(fresh: int, runs: int) -> list[int]:
    """The fixed seed, the fresh one, and ``runs - 1`` more that are derived from the fresh one; without duplicates."""
    derive = random.Random(fresh)
    return list(dict.fromkeys((FIXED_SEED, fresh, *(derive.randrange(2, SEED_LIMIT) for _ in range(runs - 1)))))


FRESH_SEED = session_seed()
SEEDS = seed_list(FRESH_SEED, int(os.environ.get("GRADCORE_RUNS", "1")))


def test_rng() -> np.random.Generator:
    """A NumPy generator for the cocotb test that runs now: same seed, same numbers on every simulator.

    cocotb seeds ``random`` by itself, but not NumPy. Call it once for each test, inside the simulator.
    """
    import cocotb

    return np.random.default_rng(int(cocotb.RANDOM_SEED) & 0xFFFFFFFF)


test_rng.__test__ = False  # a helper, whatever its name says to pytest

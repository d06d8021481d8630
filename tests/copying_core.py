# SPDX-License-Identifier: Apache-2.0
"""A simulation of the small core that copies memory, for the tests of the simulator, and the cache that they share."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from gradcore.host.cache import cache_folder
from gradcore.simulator import Simulator

COPY_CORE = Path(__file__).parent / "designs" / "copy_core"


def make(simulator: str, **options: object) -> Simulator:
    """A simulation of the copying core, in a small memory."""
    return Simulator(simulator, rtl=COPY_CORE, parameters={"MEMORY_BYTES": 1 << 20}, **options)


def shared_cache(factory: pytest.TempPathFactory) -> Path:
    """A cache that lives as long as the session, one for all of pytest's processes; what a compiler has made before is the user's."""
    base = factory.getbasetemp()
    cache = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "simulator-cache"
    builds, objects = cache / cache_folder().name, cache_folder() / "ccache"
    builds.mkdir(parents=True, exist_ok=True)
    objects.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (builds / "ccache").symlink_to(objects)
    return cache

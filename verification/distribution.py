# SPDX-License-Identifier: Apache-2.0
"""pytest plugin: which tests go to which of xdist's workers.

The tests of a file go to one worker, so that what they share (a network that the Verilog has run, a wheel, a build) is made once. Files
with the most tests go first; those whose tests share nothing are taken apart, and their tests fill the workers at the end: the last of
them first, since the whole core comes behind the units, and the cells before them, which are quick.
"""

from __future__ import annotations

import os

import pytest
from xdist.scheduler import LoadScopeScheduling

APART = {f"tests/test_{name}.py" for name in ("benches", "formal", "mutants", "netlists")}


class FileScheduling(LoadScopeScheduling):
    """A scope is a file, or a test of a file that is taken apart."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file in APART else file


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In each worker alike."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        items.sort(key=lambda item: item.nodeid.partition("::")[0] in APART)
        first = next((place for place, item in enumerate(items) if item.nodeid.partition("::")[0] in APART), len(items))
        items[first:] = reversed(items[first:])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FileScheduling | None:
    """In place of xdist's default, ``--dist load``."""
    return FileScheduling(config, log) if config.getvalue("dist") == "load" else None

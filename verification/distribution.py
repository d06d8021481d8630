# SPDX-License-Identifier: Apache-2.0
"""pytest plugin: which tests go to which of xdist's workers.

The tests of a file go to one worker, so that what they share (a network that the Verilog has run, a wheel, a build) is made once. Files
with the most tests go first; those whose tests share nothing are taken apart, and their tests fill the workers at the end.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

APART = {f"tests/test_{name}.py" for name in ("benches", "formal", "mutants", "netlists")}


class FileScheduling(LoadScopeScheduling):
    """A scope is a file, or a test of a file that is taken apart."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file in APART else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FileScheduling | None:
    """In place of xdist's default, ``--dist load``."""
    return FileScheduling(config, log) if config.getvalue("dist") == "load" else None

# SPDX-License-Identifier: Apache-2.0
"""GradCore's runtime: runs compiled networks on the core, with NumPy alone. On a board, and in the simulator.

``gradcore.runtime`` is this same package where GradCore itself is installed. Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Board": ".board",
    "Bundle": ".bundle",
    "GradCoreError": ".errors",
    "Program": ".program",
    "Result": ".results",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

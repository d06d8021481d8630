# SPDX-License-Identifier: Apache-2.0
"""GradCore: a CNN accelerator that says why. Explain pictures, quantise and compile networks, simulate the Verilog.

The top-level names are imported when they are first used, so that ``import gradcore`` is cheap.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Explanation": "gradcore.explanation",
    "GradCoreError": "gradcore.errors",
    "Layer": "gradcore.network",
    "Network": "gradcore.network",
    "Program": "gradcore.compiler",
    "Setup": "gradcore.backends",
    "Simulator": "gradcore.simulator",
    "bench": "gradcore.speed.benchmark",
    "calibrate": "gradcore.quantise",
    "compile_network": "gradcore.compiler",
    "draw_heatmap": "gradcore.drawing.heatmap",
    "draw_overlay": "gradcore.drawing.heatmap",
    "evaluate": "gradcore.explanation.evaluation",
    "explain": "gradcore.explanation",
    "explain_dataset": "gradcore.datasets",
    "from_torch": "gradcore.importer.torch_module",
    "load_network": "gradcore.importer.opening",
    "load_picture": "gradcore.pictures.picture",
    "make_bundle": "gradcore.deployment",
    "read_attributions": "gradcore.datasets",
    "read_data": "gradcore.pictures.data",
    "train": "gradcore.training",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

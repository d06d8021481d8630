# SPDX-License-Identifier: Apache-2.0
"""Back ends: what runs a network forward and backward. All take uint8 pictures and give logits and attribution in real numbers.

``rtl`` simulates the Verilog, ``golden`` is the bit-exact model in Python: the two agree in every bit. ``float`` is PyTorch.
"""

from gradcore.backends.golden import GoldenBackend
from gradcore.backends.opening import open_backend
from gradcore.backends.runs import (
    METHODS,
    Backend,
    Cycles,
    LayerCycles,
    LayerSaturation,
    Run,
    Target,
    class_indexes,
    is_weak,
    softmax,
)
from gradcore.backends.setup import BACKENDS, Setup
from gradcore.runtime.requests import Reply, Request

__all__ = [
    "BACKENDS",
    "METHODS",
    "Backend",
    "Cycles",
    "GoldenBackend",
    "LayerCycles",
    "LayerSaturation",
    "Reply",
    "Request",
    "Run",
    "Setup",
    "Target",
    "class_indexes",
    "is_weak",
    "open_backend",
    "softmax",
]

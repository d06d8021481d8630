# SPDX-License-Identifier: Apache-2.0
"""Back ends: what runs a network forward and backward: the Verilog, its bit-exact model, or PyTorch."""

from gradcore.backends.backends import (
    METHODS,
    Backend,
    Cycles,
    GoldenBackend,
    LayerCycles,
    LayerSaturation,
    Run,
    Target,
    check_choice,
    class_indexes,
    is_weak,
    load_network,
    open_backend,
    softmax,
)

__all__ = [
    "Backend",
    "Cycles",
    "GoldenBackend",
    "LayerCycles",
    "LayerSaturation",
    "METHODS",
    "Run",
    "Target",
    "check_choice",
    "class_indexes",
    "is_weak",
    "load_network",
    "open_backend",
    "softmax",
]

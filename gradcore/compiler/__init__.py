# SPDX-License-Identifier: Apache-2.0
"""The compiler: from a quantised network to descriptors and a memory image."""

from gradcore.compiler.configuration import HardwareConfig
from gradcore.compiler.program import LayerInfo, Program
from gradcore.compiler.schedule import DEFAULT_BASE, compile_network

__all__ = ["DEFAULT_BASE", "HardwareConfig", "LayerInfo", "Program", "compile_network"]

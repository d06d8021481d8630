# SPDX-License-Identifier: Apache-2.0
"""The compiler: from a network to descriptors and a memory image."""

from gradcore.compiler.compilation import DEFAULT_BASE, compile_network
from gradcore.compiler.configuration import HardwareConfig
from gradcore.compiler.contents import LayerInfo
from gradcore.compiler.program import Program

__all__ = ["DEFAULT_BASE", "HardwareConfig", "LayerInfo", "Program", "compile_network"]

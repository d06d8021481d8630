# SPDX-License-Identifier: Apache-2.0
"""The simulator: the core with its memory, in Verilator or Icarus Verilog."""

from gradcore.simulator.simulator import MEMORY_BYTES, MOST_MEMORY_BYTES, PRESETS, SIMULATORS, Simulator, bytes_per_1024, memory_for

__all__ = ["MEMORY_BYTES", "MOST_MEMORY_BYTES", "PRESETS", "SIMULATORS", "Simulator", "bytes_per_1024", "memory_for"]

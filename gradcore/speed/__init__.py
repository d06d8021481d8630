# SPDX-License-Identifier: Apache-2.0
"""Speed: the cycle model, the bounds of the machine, and the benchmark of the simulated Verilog."""

# SPDX-License-Identifier: Apache-2.0
"""Benches of the AXI ports and of the memory model."""

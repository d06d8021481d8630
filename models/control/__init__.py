# SPDX-License-Identifier: Apache-2.0
"""Models of registers, counters and the descriptor check."""

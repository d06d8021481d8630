# SPDX-License-Identifier: Apache-2.0
"""Benches of the whole core: ``session`` for gradcore.simulator, ``system_tests`` for cocotb."""

# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/vector/vector_engine.v."""

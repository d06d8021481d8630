# SPDX-License-Identifier: Apache-2.0
"""Bench of rtl/tile_geometry.v."""

# SPDX-License-Identifier: Apache-2.0
"""Drawing: figures that look the same on every machine, and heatmaps."""

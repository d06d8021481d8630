# SPDX-License-Identifier: Apache-2.0
"""Bench of the sums of layers that saturated."""

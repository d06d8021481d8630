# SPDX-License-Identifier: Apache-2.0
"""Benches of what controls a run and counts."""

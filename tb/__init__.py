# SPDX-License-Identifier: Apache-2.0
"""Test benches of GradCore: rooms, in them one folder for each unit; what they share is in ``tb.support``. Never installed."""

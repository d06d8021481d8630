# SPDX-License-Identifier: Apache-2.0
"""Models of the vendor's block RAMs for simulation of netlists, and their bench."""

# SPDX-License-Identifier: Apache-2.0
"""What goes to the board: bundles, and their files for software in C."""

from gradcore.deployment.bundle import make_bundle

__all__ = ["make_bundle"]

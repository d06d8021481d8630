# SPDX-License-Identifier: Apache-2.0
"""Warnings of Yosys that are expected, each with its reason. Any other warning breaks the check `warnings`."""

from __future__ import annotations

import re

# (pattern of the whole warning, why it is harmless)
KNOWN: tuple[tuple[str, str], ...] = ()


def explained(warning: str) -> str:
    """Why a warning is harmless, or an empty text."""
    return next((reason for pattern, reason in KNOWN if re.fullmatch(pattern, warning)), "")

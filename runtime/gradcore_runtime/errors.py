# SPDX-License-Identifier: Apache-2.0
"""The errors that a user can cause."""

from __future__ import annotations

from typing import Any


class GradCoreError(Exception):
    """An error a user can cause. Its text is one line that names the cause and the remedy; command lines exit with 2.

    Attributes:
        report: what a long command had measured before, or None; the command line prints it.
    """

    report: dict[str, Any] | None = None

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))

# SPDX-License-Identifier: Apache-2.0
"""The errors that a user can cause."""

from __future__ import annotations


class GradCoreError(Exception):
    """An error a user can cause. Its text is one line that names the cause and the remedy; the command line exits with 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))

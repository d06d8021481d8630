# SPDX-License-Identifier: Apache-2.0
"""The errors that a user can cause."""

from __future__ import annotations

from collections.abc import Sequence

from gradcore.runtime.errors import GradCoreError

__all__ = ["GradCoreError", "Refusal", "missing_package"]


class Refusal(GradCoreError):
    """What a user gave is refused for several reasons, all of which are known: its text has a line for each behind the first.

    Attributes:
        message: the first line.
        reasons: the other lines, each with cause and remedy.
    """

    def __init__(self, message: str, reasons: Sequence[str]) -> None:
        super().__init__(message)
        self.message = str(self)
        self.reasons = tuple(" ".join(str(reason).split()) for reason in reasons)
        self.args = ("\n".join([*self.args, *(f"  {reason}" for reason in self.reasons)]),)


def missing_package(what: str, extra: str, *, needed_by: str = "", otherwise: str = "") -> GradCoreError:
    """The error where a package is missing that only an extra of GradCore brings.

    Args:
        what: the package, as people call it: 'PyTorch'.
        extra: the extra that brings it: 'torch'. The command has quotes: without them some shells take the brackets for a pattern.
        needed_by: what needs it: 'the float backend'.
        otherwise: what else the user can do: 'leave --timing away'.
    """
    cause = f"{what} is not installed" + (f", {needed_by} needs it" if needed_by else "")
    return GradCoreError(f'{cause}: pip install "gradcore[{extra}]"' + (f", or {otherwise}" if otherwise else ""))

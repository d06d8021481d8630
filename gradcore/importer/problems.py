# SPDX-License-Identifier: Apache-2.0
"""What keeps a network from being imported: every problem that is found, each with its place and remedy, in one refusal."""

from __future__ import annotations

from dataclasses import dataclass

from gradcore.errors import Refusal


@dataclass(frozen=True)
class Problem:
    """One reason for a refusal.

    Attributes:
        node: the node's name in the file or module; '' where it is about the whole.
        operator: of the node, as its format calls it.
        cause: what was found, such as ``dilations = [5, 5]``, and the limit that it breaks.
        remedy: what to do.
    """

    node: str
    operator: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.node} ({self.operator}): " if self.operator else f"{self.node}: " if self.node else ""
        return f"{place}{self.cause}: {self.remedy}"


class Refused(Exception):
    """A node cannot be translated. Never leaves the importer: it becomes a ``Problem``."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause, remedy)
        self.cause, self.remedy = cause, remedy


def refusal(what: str, problems: list[Problem]) -> Refusal:
    """The error for a network with these problems, each once, in the order of its nodes."""
    lines = list(dict.fromkeys(str(problem) for problem in problems))
    count = "there is 1 problem" if len(lines) == 1 else f"there are {len(lines)} problems"
    return Refusal(f"{what} cannot be imported, {count}:", lines)

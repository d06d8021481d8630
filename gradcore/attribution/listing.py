# SPDX-License-Identifier: Apache-2.0
"""The table of methods for people, and parameters as people write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcore.errors import GradCoreError
from gradcore.runtime.attribution import METHODS, check_method

if TYPE_CHECKING:
    from rich.table import Table


def read_parameters(method: str, texts: Sequence[str]) -> dict[str, Any]:
    """Parameters of a method from texts such as ``n_steps=20``, checked.

    Raises:
        GradCoreError: there is no such method or parameter, it cannot have that value, or a text is none of a parameter.
    """
    chosen, given = check_method(method), {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise GradCoreError(f"--parameter {text!r} has no value: write NAME=VALUE, such as n_steps=20")
        if name in given:
            raise GradCoreError(f"--parameter {name} is given twice: leave one out")
        given[name] = value
    read = chosen.read(given)
    chosen.checked(read)
    return read


def as_list() -> list[dict[str, Any]]:
    """Every method, for JSON."""
    return [
        {
            "method": one.name,
            "captum": one.captum,
            "meaning": one.meaning,
            "runs": one.cost,
            "parameters": [{"name": each.name, "default": each.default, "meaning": each.meaning} for each in one.parameters],
        }
        for one in METHODS.values()
    ]


def table() -> Table:
    """Every method with its parameters, a line each."""
    from rich.table import Table

    made = Table(title="attribution methods (names, parameters and defaults are those of Captum)", title_justify="left")
    for heading in ("method", "runs of the core", "what it is; parameters"):
        made.add_column(heading)
    for one in METHODS.values():
        lines = [one.meaning, *(f"  {each.shown}: {each.meaning}" for each in one.parameters)]
        made.add_row(one.name, one.cost, "\n".join(lines))
    return made

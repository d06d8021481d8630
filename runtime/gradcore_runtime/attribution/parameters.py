# SPDX-License-Identifier: Apache-2.0
"""Parameters of attribution methods: what they may be, from a program or from the command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import GradCoreError
from ..inputs import check_choice


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method.

    Attributes:
        name, default: Captum's.
        meaning: for people, one line.
        check: the value as the method takes it, from the parameter's name and what a program gave; GradCoreError for what it cannot be.
        read: the same from a text of the command line.
    """

    name: str
    default: Any
    meaning: str
    check: Callable[[str, Any], Any]
    read: Callable[[str, str], Any]

    @property
    def shown(self) -> str:
        """Name and default, for people."""
        return f"{self.name}={self.default}"


def integer(least: int, most: int) -> dict[str, Any]:
    """A whole number."""

    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
            raise GradCoreError(f"{name} cannot be {value!r}: give a whole number from {least} to {most}")
        return int(value)

    return {"check": check, "read": lambda name, text: check(name, _number(int, text))}


def real(least: float, most: float) -> dict[str, Any]:
    """A real number."""

    def check(name: str, value: Any) -> float:
        number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not least <= value <= most:
            raise GradCoreError(f"{name} cannot be {value!r}: give a number from {least:g} to {most:g}")
        return float(value)

    return {"check": check, "read": lambda name, text: check(name, _number(float, text))}


def flag() -> dict[str, Any]:
    """Yes or no."""

    def check(name: str, value: Any) -> bool:
        if not isinstance(value, bool | np.bool_):
            raise GradCoreError(f"{name} cannot be {value!r}: give True or False")
        return bool(value)

    return {"check": check, "read": lambda name, text: check(name, {"true": True, "false": False}.get(text.lower(), text))}


def choice(*known: str) -> dict[str, Any]:
    """One of some words."""

    def check(name: str, value: Any) -> str:
        check_choice(name, value, known)
        return value

    return {"check": check, "read": check}


def layer() -> dict[str, Any]:
    """A layer by its name, or None; whether there is one only the network knows."""

    def check(name: str, value: Any) -> str | None:
        if value is not None and not isinstance(value, str):
            raise GradCoreError(f"{name} cannot be {value!r}: give the name of a layer")
        return value

    return {"check": check, "read": check}


def baselines() -> dict[str, Any]:
    """A number for all of the input, or an array (C, H, W); None is 0."""

    def check(name: str, value: Any) -> np.ndarray:
        try:
            values = np.asarray(0.0 if value is None else value, dtype=np.float64)
        except (TypeError, ValueError):
            values = np.array(math.nan)
        if not np.all(np.isfinite(values)):
            raise GradCoreError(f"{name} cannot be {value!r}: give a number, or an array of the input's shape")
        return values

    return {"check": check, "read": lambda name, text: check(name, _number(float, text))}


def sizes(alone: bool) -> dict[str, Any]:
    """Whole numbers, one for each of channels, rows and columns, or None; with ``alone`` one for all will do."""

    def check(name: str, value: Any) -> tuple[int, ...] | int | None:
        if value is None:
            return None
        numbers = value if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) else (value,)
        right = all(isinstance(one, int | np.integer) and not isinstance(one, bool) and one > 0 for one in numbers)
        if not right or len(numbers) not in ((1, 3) if alone else (3,)):
            one = "one positive whole number, or one" if alone else "a positive whole number"
            raise GradCoreError(f"{name} cannot be {value!r}: give {one} for each of channels, rows and columns, such as 3,4,4")
        return tuple(int(one) for one in numbers) if len(numbers) == 3 else int(numbers[0])

    def read(name: str, text: str) -> Any:
        return check(name, [_number(int, one) for one in text.split(",")])

    return {"check": check, "read": read}


def _number(kind: type, text: str) -> Any:
    """The number that a text is, or the text, which the check refuses."""
    try:
        return kind(text)
    except ValueError:
        return text

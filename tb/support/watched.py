# SPDX-License-Identifier: Apache-2.0
"""Handles that are read again only when they changed: of the hundreds of signals that environments inside the core look at in every cycle
few change, and a read costs far more than to be told."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.triggers import Event, ValueChange
from cocotb.types import LogicArray


def bits(handle: Any) -> str:
    """What a handle holds, the highest bit first: a character each of those that a LogicArray has."""
    inner = getattr(handle, "_handle", None)
    return str(handle.value) if inner is None else inner.get_signal_val_binstr()  # a LogicArray of it costs three times as much


def number(handle: Any, signed: bool = False) -> int:
    """What a handle holds as a number. Raises ValueError when a bit is not 0 or 1."""
    value = handle.value if getattr(handle, "_handle", None) is None else Seen(bits(handle))
    return value.to_signed() if signed else int(value)


class Seen:
    """A value that was read, given as its bits: ``int()``, ``str()`` and what else a LogicArray can."""

    __slots__ = ("_int", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._int: int | None = None

    def __int__(self) -> int:
        if self._int is None:
            self._int = int(self._text, 2)
        return self._int

    def __str__(self) -> str:
        return self._text

    def __getitem__(self, index: Any) -> Any:
        return LogicArray(self._text)[index]

    def to_signed(self) -> int:
        """As a signed number."""
        return int(self) - (int(self._text[0], 2) << len(self._text))


class Watched:
    """A handle with ``value``, ``len()`` and ``_path``, for monitors: it cannot be driven.

    ``tell(changed, name)``: from now on put ``name`` into ``changed`` whenever the value changes.
    """

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self._path = handle._path
        self._length = len(handle)
        self._value: Any = None  # None: read it
        self._read = Event()
        self._told: list[tuple[dict[str, None], str]] = []
        cocotb.start_soon(self._watch())

    def __len__(self) -> int:
        return self._length

    @property
    def value(self) -> Any:
        """What the handle holds: the same ``Seen`` until it changes."""
        if self._value is None:
            self._value = Seen(bits(self.handle))
            self._read.set()
        return self._value

    def tell(self, changed: dict[str, None], name: str) -> None:
        """Put ``name`` into ``changed`` whenever the value changes, and now."""
        changed[name] = None
        self._told.append((changed, name))

    async def _watch(self) -> None:
        """Note one change after each read: what changes often, or is not looked at, costs nothing."""
        change, read = ValueChange(self.handle), self._read
        while True:
            await read.wait()
            await change
            read.clear()
            self._value = None
            for changed, name in self._told:
                changed[name] = None

# SPDX-License-Identifier: Apache-2.0
"""Slices of flat vectors that behave like signals of their own, so that streams in a bundle need no drivers of their own kind."""

from __future__ import annotations

from typing import Any

from gradcore.models.jobs import Job
from tb.support.watched import Seen, bits


class VectorSlice:
    """Bits [low + width - 1 : low] of a signal: ``value``, ``len()`` and ``_path`` as a cocotb handle has them.

    Slices that are cut together share what they drive: the last write of each in a time step goes out. Reading gives the simulator's value.
    """

    def __init__(self, handle: Any, low: int, width: int, driven: list[int]) -> None:
        self.handle, self.low, self.width, self._driven = handle, low, width, driven
        self._path = f"{handle._path}[{low + width - 1}:{low}]"
        self._mask = (1 << width) - 1
        self._seen = ""  # the handle's bits that were cut last
        self._cut: Any = None

    @classmethod
    def cut(cls, handle: Any, count: int, width: int) -> list[VectorSlice]:
        """Cut a vector into ``count`` slices of ``width`` bits. Raises ValueError when it has another size."""
        if len(handle) != count * width:
            raise ValueError(f"{handle._path} has {len(handle)} bits, not {count} x {width}")
        driven = [0]
        return [cls(handle, width * index, width, driven) for index in range(count)]

    def __len__(self) -> int:
        return self.width

    @property
    def value(self) -> Any:
        """The slice's bits."""
        text = bits(self.handle)
        if text != self._seen:
            self._seen, self._cut = text, Seen(text[len(text) - self.low - self.width : len(text) - self.low])
        return self._cut

    @value.setter
    def value(self, bits: int) -> None:
        self._driven[0] = self._driven[0] & ~(self._mask << self.low) | (int(bits) & self._mask) << self.low
        self.handle.value = self._driven[0]


_DRIVEN: dict[str, list[int]] = {}  # what is driven on a signal, for slices that are cut one by one


def _slice(handle: Any, low: int, width: int) -> VectorSlice:
    return VectorSlice(handle, low, width, _DRIVEN.setdefault(handle._path, [0]))


def job_fields(handle: Any, job: type[Job]) -> dict[str, VectorSlice]:
    """The fields of a port ``job`` by their names, for the type of its jobs. Raises ValueError when it has another size."""
    if len(handle) != job.BITS:
        raise ValueError(f"{handle._path} has {len(handle)} bits, a {job.__name__} {job.BITS}")
    return {name: _slice(handle, low, width) for name, (low, width, _) in job.PLACES.items()}


class Client:
    """One client's share of a unit's ports for several: ``Client(dut, 2, 4).read_request_address`` is client 2's of 4.

    ``name``: what its ports are called here instead of ``prefix``, such as ``rows0_request_address``: for agents, which are named after
    their ports. ``clk`` and ``rst`` are the unit's own.
    """

    def __init__(self, dut: Any, number: int, clients: int, prefix: str = "read", name: str | None = None) -> None:
        self.clk, self.rst = dut.clk, dut.rst
        self._dut, self._number, self._clients, self._prefix, self._name = dut, number, clients, prefix, name or prefix

    def __getattr__(self, name: str) -> VectorSlice:
        port = self._prefix + name.removeprefix(self._name) if name.startswith(f"{self._name}_") else name
        handle = getattr(self._dut, port)
        width, rest = divmod(len(handle), self._clients)
        if rest:
            raise ValueError(f"{handle._path} has {len(handle)} bits: that is nothing for {self._clients} clients")
        return _slice(handle, self._number * width, width)

# SPDX-License-Identifier: Apache-2.0
"""What the tile loader writes to the tile banks in a cycle, as its ports and those of the conv groups have it (rtl/cells/tile_bank.v)."""

from __future__ import annotations

from pyuvm import uvm_component

from tb.support.uvm import CheckFailure

WAYS = ("even", "odd", "two from an even one", "two from an odd one")  # in which a half writes
Entry = tuple[int, int]  # address in the bank, {channel, value}


def entry_writes(monitor: uvm_component, write: int, rows: str, data: str) -> list[list[Entry]]:
    """Of each half the entries that are written, one or two, lowest address first.

    ``write``: a bit for the even and one for the odd RAM of half 0, then of half 1; ``rows``, ``data``: bits of the ports, highest first,
    where parts that are not written may be X. Raises CheckFailure in the name of ``monitor`` when a part is X, or two are no neighbours.
    """
    halves: list[list[Entry]] = [[], []]
    for part in range(4):
        if write >> part & 1:
            row, what = (text[len(text) // 4 * (3 - part) :][: len(text) // 4] for text in (rows, data))
            if (row + what).strip("01"):
                raise CheckFailure(monitor, f"part {part} of an entry's row is {row}, of its data {what}")
            halves[part // 2].append((2 * int(row, 2) + part % 2, int(what, 2)))
    for entries in halves:
        entries.sort()
        if len(entries) == 2 and entries[1][0] != entries[0][0] + 1:
            raise CheckFailure(monitor, f"entries {entries[0][0]} and {entries[1][0]}, written in one cycle, are no neighbours")
    return halves


def written_bits(entries: list[Entry], half: int, row_bits: int, data_bits: int) -> tuple[int, int, int]:
    """The ports' values (write, row, data) that write one entry, or two neighbours, through ``half``; the inverse of ``entry_writes``."""
    write = row = data = 0
    for address, what in entries:
        part = 2 * half + address % 2
        write |= 1 << part
        row |= address // 2 << row_bits * part
        data |= what << data_bits * part
    return write, row, data


def ways(halves: list[list[Entry]]) -> set[tuple[str, tuple]]:
    """(point, bin) of ``POINTS`` for all that a cycle's writes show, for coverage."""
    counts = sorted(len(entries) for entries in halves)
    seen = {("way", (half, WAYS[entries[0][0] % 2 + 2 * (len(entries) - 1)])) for half, entries in enumerate(halves) if entries}
    return seen | {("together", tuple(counts))} if all(counts) else seen


POINTS = {
    "way": [(half, way) for half in (0, 1) for way in WAYS],
    "together": [(1, 1), (1, 2), (2, 2)],  # entries of both halves in one cycle
}

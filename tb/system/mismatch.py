# SPDX-License-Identifier: Apache-2.0
"""Where two memories of a run differ, in the words of the network: layer, unit and tile that wrote it, pixel, channel, both numbers.

The regions are told in the order in which the core makes them, so that the first one named is the first that deviated: what
follows is mostly its consequence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from gradcore.compiler import Program
from gradcore.compiler.layout import MapRegion, Region, TagRegion
from gradcore.models.numbers import value_format
from gradcore.models.tags import WINDOW_PIECES

_SHOWN = 4  # regions that are told in full


def describe(program: Program, got: np.ndarray, want: np.ndarray, start: int) -> str:
    """What differs between two uint8 memories from address ``start`` on: a line for each region, the first to deviate first."""
    wrong = np.flatnonzero(got != want)
    if not len(wrong):
        return "the memories are equal"
    addresses = wrong + start
    lines, named = [], np.zeros(len(wrong), dtype=bool)
    for region in sorted(program.regions.values(), key=lambda region: _order(program, region)):
        inside = (addresses >= region.address) & (addresses < region.end)
        if inside.any():
            named |= inside
            lines.append(_region(program, region, wrong[inside], got, want, start))
    outside = addresses[~named]
    if len(outside):
        place = int(outside[0])
        values = f"{got[place - start]:#04x}, expected {want[place - start]:#04x}"
        lines.append(f"outside every region: {len(outside)} bytes, first at {place:#x}: {values}; window {program.window}")
    more = [f"and {len(lines) - _SHOWN} regions more"] if len(lines) > _SHOWN else []
    return "\n  ".join([f"{len(wrong)} bytes of memory are wrong; in the order in which the core makes them:", *lines[:_SHOWN], *more])


def _order(program: Program, region: Region) -> tuple[int, int]:
    """When the core makes a region: what it only reads comes first, since nothing else can be right then."""
    kind, _, number = region.name.partition("_")
    if not number.isdecimal():
        return (0, region.address)
    position = int(number)
    count = program.count
    step = {"activation": 2 * position, "tags": 2 * position + 3, "gradient": 4 * count + 2 * (count - position)}[kind]
    return (1, step)


def _layer(program: Program, region: Region) -> str:
    """The layer that makes a region, and its direction."""
    kind, _, number = region.name.partition("_")
    position = int(number)
    if kind == "activation":
        return f"{program.forward_layers[position - 1].name}, forward" if position else "the picture"
    if kind == "tags":
        return f"{program.forward_layers[position].name}, forward"
    if position == program.count:
        return "the seed"
    return next((f"{one.name}, backward" for one in program.backward_layers[::-1][position : position + 1]), "backward")


def _region(program: Program, region: Region, wrong: np.ndarray, got: np.ndarray, want: np.ndarray, start: int) -> str:
    """A line for a region: how much of it is wrong, and the first place."""
    first = int(wrong[0]) + start
    if not isinstance(region, MapRegion | TagRegion):
        word = first // 8 * 8 - start
        texts = (memory[word : word + 8].tobytes()[::-1].hex() for memory in (got, want))
        return f"{region.name} ({region.purpose}): {len(wrong)} bytes, first at {first:#x}: word 0x{next(texts)}, expected 0x{next(texts)}"
    offset = first - region.address
    row, rest = divmod(offset, region.row_pitch)
    column, rest = divmod(rest, region.pixel_pitch)
    halfword = first // 2 * 2 - start
    actual, expected = (int(memory[halfword : halfword + 2].view("<i2")[0]) for memory in (got, want))
    writer = next(writers(program, first // 2 * 2), "no job writes there")
    head = f"{region.name} ({_layer(program, region)})"
    if isinstance(region, MapRegion):
        fractions = program.activations if region.name.startswith("activation") else program.gradients
        text = value_format(fractions[int(region.name.rpartition("_")[2])]).text
        channel = f"channel {rest // 2}{' (padding)' if rest // 2 >= region.channels else ''}"
        numbers = f"{text(actual)}, expected {text(expected)}"
        count = f"{len(np.unique(wrong // 2))} of {region.values} values"
    else:
        block, piece = divmod(rest // 2, region.pieces)
        bit = ((actual ^ expected) & 0xFFFF & -((actual ^ expected) & 0xFFFF)).bit_length() - 1
        lane, what = (bit, "mask") if piece == 0 else (8 * (piece - 1) + bit // 2, "pool index")
        if region.pieces == WINDOW_PIECES:
            lane, what = 4 * piece + bit // 4, "pool index"
        channel = f"channel {16 * block + lane} ({what}, bit {bit} of piece {piece} of block {block})"
        numbers = f"piece 0x{actual & 0xFFFF:04x}, expected 0x{expected & 0xFFFF:04x}"
        count = f"{len(np.unique(wrong // 2))} of {region.size // 2} pieces"
        if column >= region.width:
            channel = "behind the row's last pixel"
    return f"{head}: {count}; first at row {row}, column {column}, {channel}: {numbers}; {writer}"


def writers(program: Program, address: int) -> Iterator[str]:
    """The jobs that write the two bytes at ``address``: unit, number of the job or tile, descriptor."""
    tiles = 0
    for index, job in enumerate(program.jobs()):
        opcode = job["opcode"]
        if opcode == "TILE":
            if _in_tile(job, address):
                origin = f"rows {job['unit_rows']} x columns {job['columns_stored']}"
                yield f"written by tile_store, tile {tiles} ({origin}), descriptor {index}"
            tiles += 1
        elif opcode == "VECTOR":
            for half in (0, 1):
                words, pieces = job[f"destination_words{half}"], -(-job[f"destination_words{half}"] // 4) * job["store_tags"]
                for start, size in ((job[f"destination_address{half}"], 8 * words), (job[f"tag_destination{half}"], 2 * pieces)):
                    if start <= address < start + size:
                        yield f"written by vector_engine, half {half}, descriptor {index}"
        elif opcode == "SEED" and 0 <= address - job["seed_address"] < 8 * job["words_per_pixel"] * job["pixels"]:
            yield f"written by seed_unit, descriptor {index}"


def job_place(program: Program, opcode: str, number: int, text: str = "") -> str:
    """Which job the ``number``-th of its opcode is: descriptor, layer, direction; of a tile its number, and where it begins in its map.

    ``text``: a unit's message; a row and column of the tile in it are told as those of the map.
    """
    jobs = [(index, job) for index, job in enumerate(program.jobs()) if job["opcode"] == opcode]
    if number >= len(jobs):
        return f"the program has {len(jobs)} {opcode} descriptors, this would be one more"
    index, job = jobs[number]
    layer = program.layers[job["layer"]]
    words = [f"descriptor {index}, {opcode} of {layer.name}, {layer.direction}"]
    if opcode == "TILE":
        address = job["destination_address"]
        region = next((one for one in program.regions.values() if one.address <= address < one.end), None)
        words.append(f"tile {number}")
        if isinstance(region, MapRegion):
            row, rest = divmod(address - region.address, region.row_pitch)
            column = rest // region.pixel_pitch
            words.append(f"which begins at row {row}, column {column} of {region.name}")
            unit = re.search(r"row (\d+), column (\d+), (?:channels|tag piece)", text)
            if unit:
                pack = 1 if job["pool"] else job["pack_pixels"]
                place = f"row {row + int(unit[1])}, column {column + pack * int(unit[2])}"
                words.append(f"there {place}{f' and the {pack - 1} after it' if pack > 1 else ''}")
    return ", ".join(words)


def _in_tile(job: dict, address: int) -> bool:
    """Whether a TILE job stores a value, or a tag piece, at this address."""
    for start, row_pitch, pixel_pitch, size in (
        (job["destination_address"], job["destination_row_pitch"], job["destination_pixel_pitch"], 8 * job["words_per_pixel_stored"]),
        (
            job["tag_destination"],
            job["tag_destination_row_pitch"],
            job["tag_destination_pixel_pitch"],
            2 * job["pieces_per_pixel"] * job["store_tags"],
        ),
    ):
        row, rest = divmod(address - start, row_pitch) if row_pitch else (0, address - start)
        if address >= start and row < job["unit_rows"]:
            columns = job["columns_stored"]
            column, place = divmod(rest, pixel_pitch) if pixel_pitch else (0, rest)
            if column < columns and place < size:
                return True
    return False

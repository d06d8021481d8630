# SPDX-License-Identifier: Apache-2.0
"""Golden models of the output buffer's places, the tile store and its piece packer.

A word is a 64-bit Python int (byte k in bits [8k+7:8k], little-endian memory), a strobe an 8-bit int (bit k for byte k).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gradcore.models.jobs import TileStoreJob

Beat = tuple[int, int]  # data, bytes outside the strobe being 0; strobe


def pack_pieces(pieces: Sequence[int], address: int) -> list[Beat]:
    """Beats that write the 16-bit ``pieces`` at consecutive addresses from the 2-byte aligned byte ``address`` on.

    The first beat is the 64-bit word that holds ``address``. Raises ValueError for an odd address.
    """
    if address % 2:
        raise ValueError(f"address {address:#x} is odd")
    beats: dict[int, list[int]] = {}
    for number, piece in enumerate(pieces):
        word, byte = divmod(address + 2 * number, 8)
        beat = beats.setdefault(word, [0, 0])
        beat[0] |= piece << (8 * byte)
        beat[1] |= 3 << byte
    return [(data, strobe) for data, strobe in beats.values()]


@dataclass
class HalfWrites:
    """What one half of the tile store does for a job: its requests (byte address, words) and their beats in order."""

    requests: list[tuple[int, int]] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)

    def add(self, address: int, beats: Iterable[Beat]) -> None:
        """One request at the word that holds ``address`` with its beats."""
        beats = list(beats)
        self.requests.append((address & 0xFFFFFFF8, len(beats)))
        self.beats += beats


def store_half(job: TileStoreJob, half: int, words: Sequence[int], pieces: Sequence[int]) -> HalfWrites:
    """Requests and beats of half ``half`` (unit rows r with r % 2 == half) for one job.

    ``words``, ``pieces``: the bank of this side of the output buffer (512 each).
    """
    writes = HalfWrites()
    rows = range(half, job.unit_rows, 2)
    columns, count = range(job.columns_stored), job.words_per_pixel_stored
    for row in rows:
        address = job.destination_address + row * job.destination_row_pitch
        runs = []
        for column in columns:
            first = (row // 2) * job.buffer_row_words + column * job.buffer_pixel_words
            run = [(words[(first + k) % 512], 0xFF) for k in range(count)]
            runs.append((address + column * job.destination_pixel_pitch, run))
        if job.contiguous:
            runs = [(address, [beat for _, run in runs for beat in run])]
        for place, run in runs:
            writes.add(place, run)
    if not job.store_tags:
        return writes
    count = job.pieces_per_pixel
    for row in rows:
        address = job.tag_destination + row * job.tag_destination_row_pitch
        first = (row // 2) * job.buffer_row_pieces
        pixels = [[pieces[(first + column * count + k) % 512] for k in range(count)] for column in columns]
        if job.tag_destination_pixel_pitch == 2 * count:
            writes.add(address, pack_pieces([piece for pixel in pixels for piece in pixel], address))
        else:
            for column, pixel in enumerate(pixels):
                place = address + column * job.tag_destination_pixel_pitch
                writes.add(place, pack_pieces(pixel, place))
    return writes


def apply(memory: bytearray, writes: HalfWrites) -> None:
    """Carry out the writes of one half in ``memory`` (byte address = index)."""
    beats = iter(writes.beats)
    for address, words in writes.requests:
        for position in range(words):
            data, strobe = next(beats)
            write_beat(memory, address + 8 * position, data, strobe)


def write_beat(memory: bytearray, address: int, data: int, strobe: int) -> None:
    """Write the bytes of one beat that the strobe names."""
    for byte in range(8):
        if strobe >> byte & 1:
            memory[address + byte] = data >> (8 * byte) & 0xFF

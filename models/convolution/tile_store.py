# SPDX-License-Identifier: Apache-2.0
"""Golden models of the tile store and its piece packer: from a bank of the output buffer to writes.

Words and strobes as in ``gradcore.models.memory``.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gradcore.models.jobs import TileStoreJob
from gradcore.models.memory import Beat, ByteWrite, bytes_of


def pack_pieces(pieces: Sequence[int], address: int) -> list[Beat]:
    """Beats that write the 16-bit ``pieces`` at consecutive addresses from the 2-byte aligned byte ``address`` on.

    The first beat is the 64-bit word that holds ``address``. Raises ValueError for an odd address.
    """
    if address % 2:
        raise ValueError(f"address {address:#x} is odd")
    return ByteWrite(address, bytes_of(np.array(pieces, dtype="<u2"))).beats()


def stored(job: TileStoreJob, half: int, words: np.ndarray, pieces: np.ndarray) -> list[ByteWrite]:
    """What half ``half`` (unit rows r with r % 2 == half) writes for one job, request by request.

    ``words`` (uint64) and ``pieces`` (uint16) are the bank of this side of the output buffer; their indexes wrap. First all words, a
    request for each row where pixels are contiguous, else one for each pixel; then, if they are stored, the tags likewise.
    """
    writes = []
    kinds = [
        (
            words.astype("<u8"),
            (job.destination_address, job.destination_row_pitch, job.destination_pixel_pitch, bool(job.contiguous)),
            (job.buffer_row_words, job.buffer_pixel_words, job.words_per_pixel_stored),
        )
    ]
    if job.store_tags:
        count, pitch = job.pieces_per_pixel, job.tag_destination_pixel_pitch
        place = (job.tag_destination, job.tag_destination_row_pitch, pitch, pitch == 2 * count)
        kinds.append((pieces.astype("<u2"), place, (job.buffer_row_pieces, count, count)))
    for bank, (start, row_pitch, pixel_pitch, contiguous), (row_items, pixel_items, count) in kinds:
        for row in range(half, job.unit_rows, 2):
            first = row // 2 * row_items + np.arange(job.columns_stored) * pixel_items
            pixels = bank[(first[:, None] + np.arange(count)) % len(bank)]
            address = start + row * row_pitch
            if contiguous:
                writes.append(ByteWrite(address, bytes_of(pixels)))
            else:
                writes += [ByteWrite(address + column * pixel_pitch, bytes_of(pixel)) for column, pixel in enumerate(pixels)]
    return writes


@dataclass
class HalfWrites:
    """What one half of the tile store does for a job: its requests (byte address, words) and their beats in order."""

    requests: list[tuple[int, int]] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)


def store_half(job: TileStoreJob, half: int, words: Sequence[int], pieces: Sequence[int]) -> HalfWrites:
    """Requests and beats of one half, as its port shows them: see ``stored``. ``words``, ``pieces``: 512 each."""
    writes = HalfWrites()
    for one in stored(job, half, np.array(words, dtype=np.uint64), np.array(pieces, dtype=np.uint16)):
        writes.requests.append((one.start, one.words))
        writes.beats += one.beats()
    return writes


def apply(memory: MutableMapping[int, int] | bytearray, writes: HalfWrites) -> None:
    """Carry out the writes of one half in ``memory`` (byte address = index)."""
    beats = iter(writes.beats)
    for address, words in writes.requests:
        for position in range(words):
            data, strobe = next(beats)
            write_beat(memory, address + 8 * position, data, strobe)


def write_beat(memory: MutableMapping[int, int] | bytearray, address: int, data: int, strobe: int) -> None:
    """Write the bytes of one beat that the strobe names."""
    for byte in range(8):
        if strobe >> byte & 1:
            memory[address + byte] = data >> (8 * byte) & 0xFF

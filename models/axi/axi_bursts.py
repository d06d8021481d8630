# SPDX-License-Identifier: Apache-2.0
"""How the AXI ports cut requests in bursts and check them against the window.

A request is a run of 64-bit words: (byte address, number of words). The low 3 bits of the address are ignored.
"""

from __future__ import annotations

WORD_BYTES = 8
BLOCK_BYTES = 128
MAXIMUM_BEATS = BLOCK_BYTES // WORD_BYTES
PAGE_BYTES = 4096
ADDRESS_LIMIT = 1 << 32


def in_window(address: int, words: int, base: int, limit: int) -> bool:
    """Whether all words of a request lie in [base, limit) of byte addresses; a request of 0 words is never accepted."""
    start = address & ~(WORD_BYTES - 1)
    return words > 0 and start >= base and start + WORD_BYTES * words <= limit


def bursts(address: int, words: int) -> list[tuple[int, int]]:
    """The bursts (byte address, beats) of a request, in order: cut after each 128-byte boundary.

    So no burst has more than 16 beats or crosses 4 KiB.
    """
    start = address & ~(WORD_BYTES - 1)
    end = start + WORD_BYTES * words
    result = []
    while start < end:
        stop = min(end, (start // BLOCK_BYTES + 1) * BLOCK_BYTES)
        result.append((start, (stop - start) // WORD_BYTES))
        start = stop
    return result

# SPDX-License-Identifier: Apache-2.0
"""Bench of piece_unpacker.v: rows of pieces with any skip and length, under stalls on each port."""

from __future__ import annotations

import cocotb
import numpy as np

from tb.support.seeds import test_rng
from tb.support.stalls import STALLS
from tb.support.streams import StreamSink, StreamSource, signals, start_clock_and_reset


def row_words(pieces: np.ndarray, skip: int, rng: np.random.Generator) -> np.ndarray:
    """The words that hold a row: ``skip`` foreign pieces, the row's, foreign ones up to the end of the word."""
    words = rng.integers(0, 1 << 16, (skip + len(pieces) + 3) // 4 * 4, dtype="<u2")
    words[skip : skip + len(pieces)] = pieces
    return words.view("<u8")


@cocotb.test()
@cocotb.parametrize(row_stalls=STALLS, word_stalls=STALLS, piece_stalls=STALLS)
async def rows(dut, row_stalls: str, word_stalls: str, piece_stalls: str) -> None:
    """All pieces of all rows come out in order, nothing else does; one a cycle when nobody stalls."""
    rng = test_rng()
    row = StreamSource(dut.clk, dut.row_valid, dut.row_ready, signals(dut, "row", ("skip", "pieces")), row_stalls, rst=dut.rst)
    word = StreamSource(dut.clk, dut.word_valid, dut.word_ready, signals(dut, "word", ("data",)), word_stalls, rst=dut.rst)
    piece = StreamSink(dut.clk, dut.piece_valid, dut.piece_ready, signals(dut, "piece", ("data",)), piece_stalls, rst=dut.rst)
    await start_clock_and_reset(dut)
    expected: list[int] = []
    shapes = [(skip, length) for skip in range(4) for length in (1, 2, 3, 4, 5)]
    shapes += [(int(rng.integers(4)), int(rng.integers(1, 30))) for _ in range(10)]
    start = piece.cycles
    for index in rng.permutation(len(shapes)):
        skip, length = shapes[index]
        pieces = rng.integers(0, 1 << 16, length, dtype="<u2")
        row.send({"skip": skip, "pieces": length})
        for data in row_words(pieces, skip, rng):
            word.send({"data": int(data)})
        expected += [int(data) for data in pieces]
    await piece.wait_for(len(expected), cycles=40 * len(expected))
    if row_stalls == word_stalls == piece_stalls == "none":
        assert piece.cycles - start <= len(expected) + 4, "one piece a cycle, no gap between rows"
    await word.drain()
    assert [item["data"] for item in piece.received] == expected
    assert row.idle and word.idle

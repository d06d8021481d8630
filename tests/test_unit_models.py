# SPDX-License-Identifier: Apache-2.0
"""The models of units, each against a slow one that takes a value, a pixel or a byte at a time, as its unit's page says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradcore.hardware import LANES
from gradcore.models import arithmetic
from gradcore.models.convolution.conv_group import ConvJob, output
from gradcore.models.convolution.output_buffer import OutputBank
from gradcore.models.convolution.tile_loader import TileJob, load_tile, tag_requests
from gradcore.models.convolution.tile_store import HalfWrites, apply, store_half
from gradcore.models.convolution.weight_loader import load_weights, target_groups
from gradcore.models.jobs import SeedUnitJob, TileStoreJob, WeightLoaderJob
from gradcore.models.memory import ByteWrite, Span
from gradcore.models.vector.seed_unit import GIVEN, seed_unit
from tb.support.seeds import SEEDS

DEPTH = 256


def clamp(value: int) -> int:
    return max(-32768, min(32767, value))


def value_of_pixel(job: ConvJob, tile, weights, initial, row: int, column: int, lane: int) -> tuple[int, bool]:
    """(value, whether it was clipped and that counts) of one lane; (row, column) of the pixel's tap (0, 0) in the tile."""
    total = int(initial[lane])
    for y in range(job.kernel_h):
        for x in range(job.kernel_w):
            if inside_buffer(job, row + y, column + x):
                first = job.weight_base + (y * job.kernel_w + x) * job.tap_rows
                for channel, value in enumerate(tile[row + y, column + x]):
                    total += int(value) * int(weights[(first + channel) % DEPTH, lane])
    shifted = total // 2**job.shift
    clipped = not job.clip and (shifted > 32767 or (shifted < -32768 and not job.relu))
    return max(clamp(shifted), 0) if job.relu else clamp(shifted), clipped


def inside_buffer(job: ConvJob, row: int, column: int) -> bool:
    return 0 <= row < job.buffer_rows and 0 <= column < job.buffer_columns


def slow_transfers(job: ConvJob, tile, weights, initial, groups: int, group: int) -> tuple[dict, int, int]:
    """What ``Output`` says of a group: its transfers, and the values that saturated, in stored lanes and behind them."""
    block, own, copies = group % job.blocks, group // job.blocks, groups // job.blocks
    transfers, saturated, behind = {}, 0, 0
    for row in range(job.unit_rows):
        for column in range(job.unit_columns):
            if own >= copies or (row + column) % copies != own:
                continue
            word = tags = winners = 0
            for lane in range(LANES):
                strided = row << job.stride_y_log2, column * job.pack_pixels << job.stride_x_log2
                side = 2 if job.pool else job.window or 1
                first = (2 * row, 2 * column) if job.pool else strided
                places = [(first[0] + y, first[1] + x) for y in range(side) for x in range(side)]
                inside = [inside_buffer(job, y + job.origin_row, x + job.origin_column) or not job.window for y, x in places]
                made = [value_of_pixel(job, tile, weights, initial, y + job.origin_row, x + job.origin_column, lane) for y, x in places]
                values = [value if is_inside else -40000 for (value, _), is_inside in zip(made, inside, strict=True)]
                made = [one for one, is_inside in zip(made, inside, strict=True) if is_inside]
                stored = column < job.unit_columns - 1 or not job.quarters or lane < 4 * job.quarters
                saturated += stored * sum(clipped for _, clipped in made)
                behind += (not stored) * sum(clipped for _, clipped in made)
                word |= (max(values) & 0xFFFF) << 16 * lane
                tags |= (0 < max(values) < 32767 + (not job.clip)) << lane
                winner = values.index(max(values))
                winners |= (winner // side * 3 + winner % side << 4 * lane) if job.window else winner << 2 * lane
            place = column * job.blocks + block
            for part in range(4):
                transfers[0, row % 2, row // 2 * job.buffer_row_words + 4 * place + part] = word >> 64 * part & (1 << 64) - 1
            if job.store_tags:
                first = row // 2 * job.buffer_row_pieces + job.pieces * place
                pieces = [tags, winners & 0xFFFF, winners >> 16] if job.pool else [tags]
                if job.window:
                    pieces = [winners >> 16 * number & 0xFFFF for number in range(4)]
                transfers |= {(1, row % 2, first + number): piece for number, piece in enumerate(pieces)}
    return transfers, saturated, behind


def a_conv_job(rng: np.random.Generator, groups: int) -> ConvJob:
    """A small job; rows of weights wrap, taps leave the tile on each side, rows of the output buffer have gaps."""
    pool, window = ((0, 0), (0, 0), (1, 0), (0, 2), (0, 3))[rng.integers(5)]
    pack = 1 if pool or window else int(rng.choice([1, 1, 2, 4]))
    most = 2 if window else 3  # so that each window sees the tile
    strides = (0, 0) if pool else (int(rng.integers(most)), int(rng.integers(most - pack // 2)))
    kernel, channels = 1 if window else int(rng.choice([1, 3])), int(rng.choice([4, 8]))
    columns, blocks, rectified = int(rng.integers(1, 4)), int(rng.integers(1, groups + 1)), int(rng.integers(3))
    return ConvJob(
        buffer_rows=int(rng.integers(6 if window else 2, 8)),
        buffer_columns=int(rng.integers(6 if window else 2, 8)),
        slot=channels,
        unit_rows=int(rng.integers(1, 4)),
        unit_columns=columns,
        kernel_h=kernel,
        kernel_w=kernel + (pack - 1 << strides[1]),
        pack_pixels=pack,
        stride_y_log2=strides[0],
        stride_x_log2=strides[1],
        blocks=blocks,
        origin_row=int(rng.integers(-1 if window else -2, 2)),
        origin_column=int(rng.integers(-1 if window else -2, 2)),
        shift=int(rng.choice([0, 12, 16, 18, 30])),
        relu=int(rectified > 0),
        clip=int(rectified > 1),
        pool=pool,
        window=window,
        store_tags=int(rng.integers(2)),
        weight_base=int(rng.integers(DEPTH)),
        tap_rows=channels,
        buffer_row_words=columns * blocks * 4 + int(rng.integers(3)),
        buffer_row_pieces=columns * blocks * 4 + int(rng.integers(3)),
        quarters=int(rng.integers(pack)) * 4 // pack,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_conv_group_computes_every_pixel_tap_by_tap(seed):
    rng = np.random.default_rng(seed)
    counted = np.zeros(2, dtype=int)
    for _ in range(12):
        groups = int(rng.choice([1, 2, 4]))
        job, group = a_conv_job(rng, groups), int(rng.integers(groups))
        shape = (job.buffer_rows, job.buffer_columns, job.slot)
        tile = np.where(rng.random(shape) < 0.6, rng.integers(-32768, 32768, shape), 0)
        weights, initial = rng.integers(-32768, 32768, (DEPTH, LANES)), rng.integers(-(1 << 30), 1 << 30, LANES)
        made = output(job, tile, weights, initial, groups, group)
        transfers, saturated, behind = slow_transfers(job, tile, weights, initial, groups, group)
        assert made.transfers == transfers and (made.saturated, made.behind) == (saturated, behind), job
        counted += [saturated > 0, len(transfers) > 0]
        bank = OutputBank(512)
        bank.put(made)
        for (tag, side, address), data in transfers.items():
            assert int((bank.pieces if tag else bank.words)[side, address]) == data
    assert counted.min() > 0


class Words:
    """Memory of words from address 0 on."""

    def __init__(self, rng: np.random.Generator, words: int = 4096) -> None:
        self.words = rng.integers(0, 1 << 64, words, dtype=np.uint64)
        self.bytes = self.words.view(np.uint8)

    def read(self, address: int, words: int) -> np.ndarray:
        assert address % 8 == 0
        return self.words[address // 8 : address // 8 + words]

    def value(self, address: int) -> int:
        return int(self.bytes[address : address + 2].view("<i2")[0])


@pytest.mark.parametrize("method", arithmetic.METHODS)
@pytest.mark.parametrize("unpool", [0, 1])
@pytest.mark.parametrize("by_pixel", [0, 1])
def test_a_tile_loader_places_every_value_by_its_tags(by_pixel, unpool, method):
    """Each source value by itself: its mask bit, the method's rule, its winner's place, the cut, its half and its entry."""
    rng = np.random.default_rng(unpool)
    memory = Words(rng)
    words, rows, columns, pieces = 5, 3, 4, 3 if unpool else 1
    scale = 1 + unpool
    pixel_pitch, tag_pixel_pitch = (8 * words + 24, 2 * 2 * pieces + 6) if by_pixel else (8 * words, 2 * 2 * pieces)
    job = TileJob(
        source_address=64,
        source_row_pitch=pixel_pitch * columns + 16,
        by_pixel=by_pixel,
        source_pixel_pitch=pixel_pitch if by_pixel else 8 * 77,
        tag_pixel_pitch=tag_pixel_pitch if by_pixel else 2 * 33,
        source_rows=rows,
        source_columns=columns,
        words_per_pixel=words,
        tag_address=4098,
        tag_row_pitch=tag_pixel_pitch * columns + 2,
        load_relu=1,
        unpool=unpool,
        tags=1,
        crop_row=unpool,
        crop_column=unpool,
        buffer_rows=scale * rows - unpool,
        buffer_columns=scale * columns - 2 * unpool,
        slot=20,
        row_entries=20 * scale * columns,
    )
    tile = load_tile(job, method, memory.read)
    expected: list[dict[int, list[tuple[int, int]]]] = [{}, {}]
    kept = 0
    for row in range(rows):
        for y in range(scale):
            buffer_row = scale * row + y - unpool
            for column in range(columns):
                for x in range(scale):
                    buffer_column = scale * column + x - unpool
                    if not (0 <= buffer_row < job.buffer_rows and 0 <= buffer_column < job.buffer_columns):
                        continue
                    found = expected[row % 2].setdefault(buffer_row * job.buffer_columns + buffer_column, [])
                    for channel in range(4 * words):
                        address = job.tag_address + row * job.tag_row_pitch + tag_pixel_pitch * column + 2 * pieces * (channel // 16)
                        lane = channel % 16
                        mask = memory.value(address) >> lane & 1
                        index = memory.value(address + 2 + 2 * (lane // 8)) >> 2 * (lane % 8) & 3 if unpool else 0
                        value = memory.value(64 + row * job.source_row_pitch + pixel_pitch * column + 2 * channel)
                        passes = {"saliency": mask, "deconvnet": value > 0, "guided": mask and value > 0}[method]
                        if passes and value and index == 2 * y + x:
                            found.append((channel, value))
    for half in (0, 1):
        assert tile.counts[half] == {place: len(found) for place, found in expected[half].items()}
        for place, found in expected[half].items():
            row, column = divmod(place, job.buffer_columns)
            start = row * job.row_entries + column * job.slot
            assert [tile.entries[half][start + number] for number in range(len(found))] == found
            kept += len(found)
    assert tile.dropped == 4 * words * rows * columns - kept and sum(map(len, tile.entries)) == kept > 20
    reads = list(itertools.chain.from_iterable(tag_requests(job, method)))
    runs = rows * columns if by_pixel else rows
    assert len(reads) == (0 if method == "deconvnet" and not unpool else runs) and all(one.address % 8 == 0 for one in reads)


def test_a_tile_loader_puts_indices_in_channels():
    """Each value by itself, in the order in which they are in memory; the next pixel's tags lie further on."""
    memory = Words(np.random.default_rng(5))
    job = TileJob(
        source_address=64,
        source_row_pitch=800,
        by_pixel=1,
        source_pixel_pitch=80,
        source_rows=3,
        source_columns=4,
        words_per_pixel=3,
        tag_address=4098,
        tag_row_pitch=202,
        tag_pixel_pitch=16,
        index_channel=1,
        tags=1,
        buffer_rows=3,
        buffer_columns=4,
        slot=12,
        row_entries=48,
    )
    tile = load_tile(job, "guided", memory.read)
    for row in range(3):
        for column in range(4):
            found = []
            for channel in range(12):
                value = memory.value(64 + 800 * row + 80 * column + 2 * channel)
                index = memory.value(4098 + 202 * row + 16 * column + 2 * (channel // 4)) >> 4 * (channel % 4) & 15
                found += [(16 * index + channel, value)] if value else []
            start = 48 * row + 12 * column
            assert [tile.entries[row % 2][start + number] for number in range(len(found))] == found
            assert tile.counts[row % 2][4 * row + column] == len(found)


@pytest.mark.parametrize("contiguous", [0, 1])
def test_a_tile_store_moves_every_word_and_piece(contiguous):
    rng = np.random.default_rng(contiguous)
    words, pieces = rng.integers(0, 1 << 64, (2, 512), dtype=np.uint64), rng.integers(0, 1 << 16, (2, 512), dtype=np.uint16)
    pitch = 24 + 8 * (not contiguous)
    job = TileStoreJob(
        unit_rows=5,
        store_tags=1,
        destination_address=0x1000,
        destination_row_pitch=256,
        destination_pixel_pitch=pitch,
        words_per_pixel_stored=3,
        contiguous=contiguous,
        columns_stored=4,
        buffer_pixel_words=4,
        buffer_row_words=180,
        tag_destination=0x2002,
        tag_destination_row_pitch=66,
        tag_destination_pixel_pitch=6 + 4 * (not contiguous),
        pieces_per_pixel=3,
        buffer_row_pieces=200,
    )
    memory, expected = bytearray(0x3000), bytearray(0x3000)
    for half in (0, 1):
        made = store_half(job, half, words[half].tolist(), pieces[half].tolist())
        assert isinstance(made, HalfWrites) and len(made.requests) == (3 - half) * (2 if contiguous else 8)
        apply(memory, made)
    for row in range(5):
        for column in range(4):
            for number in range(3):
                place = 0x1000 + 256 * row + pitch * column + 8 * number
                word = int(words[row % 2, (row // 2 * 180 + 4 * column + number) % 512])
                expected[place : place + 8] = word.to_bytes(8, "little")
                place = 0x2002 + 66 * row + job.tag_destination_pixel_pitch * column + 2 * number
                piece = int(pieces[row % 2, (row // 2 * 200 + 3 * column + number) % 512])
                expected[place : place + 2] = piece.to_bytes(2, "little")
    assert memory == expected


@pytest.mark.parametrize(("groups", "blocks"), [(1, 1), (4, 1), (4, 2), (4, 3), (6, 2)])
def test_a_weight_loader_joins_the_planes_and_copies_the_blocks(groups, blocks):
    rng = np.random.default_rng(groups)
    memory = Words(rng)
    job = WeightLoaderJob(address0=0, address1=16384, rows=9, blocks=blocks, weight_base=60, bias_bank=1)
    rows, initial = load_weights(job, groups, 64, memory.read)
    assert [row.address for row in rows] == [(60 + row) % 64 for _ in range(blocks) for row in range(9)]
    for block in range(blocks):
        copies = {group for group in range(groups // blocks * blocks) if group % blocks == block}
        assert set(target_groups(block, blocks, groups)) == copies
        start = block * (9 * 16 + 64)
        for row in range(9):
            one = rows[block * 9 + row]
            places = [(16384 if lane > 7 else 0) + start + 16 * row + 2 * (lane % 8) for lane in range(16)]
            assert one.weights == tuple(map(memory.value, places)) and one.groups == sum(1 << group for group in copies)
        for lane in range(16):
            one = initial[block * 16 + lane]
            place = (16384 if lane > 7 else 0) + start + 9 * 16 + 8 * (lane % 8)
            raw = int.from_bytes(memory.bytes[place : place + 6].tobytes(), "little", signed=True)
            assert (one.lane, one.bank, one.value) == (lane, 1, raw)


@pytest.mark.parametrize("index", [2, 8, 1 << 28])
def test_a_seed_unit_keeps_the_winner_when_an_index_is_given(index):
    """Index 2 of logits that are largest at 1: the class is 1, the seed stands at 2; beyond the map there are zeros."""
    logits = np.array([5, 9, 9, -3, 8, 0, 7, 32767], dtype="<i2")  # the last one is padding
    job = SeedUnitJob(words_per_pixel=2, pixels=1, channels=7, seed_value=0x4000)
    made = seed_unit(job, GIVEN, index, True, lambda address, words: logits.view("<u8")[:words])
    assert (made.class_index, made.class_value) == (1, 9)
    assert made.seed.view("<i2").tolist() == [0x4000 * (place == index) for place in range(8)]


@pytest.mark.parametrize("address", range(8))
@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 24])
def test_bytes_at_any_place_of_a_word_are_read_and_written(address, size):
    rng = np.random.default_rng(size)
    memory = Words(rng, 8)
    span = Span(16 + address, size)
    assert span.start == 16 and span.words == -(-(address + size) // 8)
    np.testing.assert_array_equal(span.read(memory.read), memory.bytes[16 + address :][:size])
    content = rng.integers(0, 256, size, dtype=np.uint8)
    before = bytearray(memory.bytes.tobytes())
    write = ByteWrite(16 + address, content)
    assert (write.start, write.words) == (16, span.words)
    apply(before, HalfWrites([(write.start, write.words)], write.beats()))
    memory.bytes[16 + address :][:size] = content
    assert before == memory.bytes.tobytes()

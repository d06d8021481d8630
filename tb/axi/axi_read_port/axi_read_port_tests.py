# SPDX-License-Identifier: Apache-2.0
"""Bench of axi_read_port: random requests of several clients against models/axi/axi_bursts.py.

The memory is a pure function of the address. Stalls on every port, windows, errors, flushes, throughput.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from itertools import product

import cocotb
from cocotb.triggers import RisingEdge

from gradcore.models.axi.axi_bursts import bursts, in_window
from tb.support.axi_slave import ReadSlave
from tb.support.declaration import parameter
from tb.support.stalls import STALLS, stall_pattern
from tb.support.streams import start_clock_and_reset

CLIENTS = parameter("CLIENTS")
OUTSTANDING = 8
ALL = 0xFFFF_FFFF


def word_at(address: int) -> int:
    """What the memory holds at an address: a mixture of its bits."""
    return (address * 0x9E37_79B9_7F4A_7C15 ^ address << 40) & 0xFFFF_FFFF_FFFF_FFFF


def bits(handle, index: int, width: int) -> int:
    """Field ``index`` of a flat vector; fails on X."""
    return handle.value[width * (index + 1) - 1 : width * index].to_unsigned()


class Bench:
    """Drives all inputs once a cycle and checks all outputs."""

    def __init__(self, dut, slave: ReadSlave, request_stalls: str = "none", response_stalls: str = "none") -> None:
        self.dut, self.slave = dut, slave
        self.request_stalls = [stall_pattern(request_stalls, random) for _ in range(CLIENTS)]
        self.response_stalls: list[Iterator[bool]] = [stall_pattern(response_stalls, random) for _ in range(CLIENTS)]
        self.queues: list[deque[tuple[int, int]]] = [deque() for _ in range(CLIENTS)]
        self.offered: list[tuple[int, int] | None] = [None] * CLIENTS
        self.words: list[deque[int]] = [deque() for _ in range(CLIENTS)]  # expected addresses of response words
        self.bursts: list[deque[tuple[int, int]]] = [deque() for _ in range(CLIENTS)]  # expected bursts
        self.owners: deque[int] = deque()  # start of each burst on the bus
        self.window_errors: deque[int] = deque()
        self.response_errors: deque[int] = deque()
        self.window = (0, ALL)
        self.ready = 0
        self.cycle = self.beats = self.checked = self.requests = self.refused = self.failed = 0
        self.first_request = self.last_response = 0
        self.seen_bursts = 0
        self.flush = 0  # level to drive
        self.flush_seen = 0  # level at the next edge
        self.flushing = False  # from the first edge with flush until the test says so
        dut.request_valid.value = 0
        dut.request_address.value = 0
        dut.request_words.value = 0
        dut.response_ready.value = 0
        dut.flush.value = 0
        dut.m_axi_arready.value = 0
        dut.m_axi_rvalid.value = 0
        dut.m_axi_rdata.value = 0
        dut.m_axi_rresp.value = 0
        dut.m_axi_rlast.value = 0
        dut.window_base.value, dut.window_limit.value = self.window

    async def begin(self) -> None:
        """Reset, and start the per-cycle task."""
        await start_clock_and_reset(self.dut)
        assert int(self.dut.m_axi_arsize.value) == 3 and int(self.dut.m_axi_arburst.value) == 1
        self.task = cocotb.start_soon(self._run())

    async def _run(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            self.cycle += 1
            self._sample()
            self._drive()

    def _sample(self) -> None:
        dut = self.dut
        assert int(dut.m_axi_rready.value) == 1
        # Errors first: their causes were sampled in earlier cycles.
        if int(dut.error_window.value):
            assert self.window_errors, "unexpected error_window"
            assert int(dut.error_address.value) == self.window_errors.popleft()
            self.refused += 1
        if int(dut.error_response.value):
            assert self.response_errors, "unexpected error_response"
            expected = self.response_errors.popleft()
            assert int(dut.error_window.value) or int(dut.error_address.value) == expected
            self.failed += 1
        assert not self.response_errors, "error_response did not come"
        self.beats += int(dut.beat.value)

        if self.flush_seen and not self.flushing:
            self._forget()

        address = None
        if int(dut.m_axi_arvalid.value):
            address = tuple(int(getattr(dut, f"m_axi_ar{name}").value) for name in ("addr", "len", "size", "burst"))
        beat = self.slave.beat
        if beat is not None and beat[1] and not self.flushing:
            self.response_errors.append(self.owners[0])
        if beat is not None and beat[2]:
            self.owners.popleft()
        self.slave.step(address)
        while len(self.slave.accepted) > self.seen_bursts:
            burst = self.slave.accepted[self.seen_bursts]
            self.seen_bursts += 1
            self.owners.append(burst[0])
            if not self.flushing:
                owner = [client for client in range(CLIENTS) if self.bursts[client] and self.bursts[client][0] == burst]
                assert owner, f"unexpected burst {burst[0]:#x}, {burst[1]} beats"
                self.bursts[owner[0]].popleft()

        accepted = int(dut.request_ready.value)
        for client in range(CLIENTS):
            if self.offered[client] is not None and accepted >> client & 1:
                where, words = self.offered[client]
                self.offered[client] = None
                self.requests += 1
                self.first_request = self.first_request or self.cycle
                if self.flushing:
                    continue
                if in_window(where, words, *self.window):
                    self.bursts[client].extend(bursts(where, words))
                    self.words[client].extend((where & ~7) + 8 * n for n in range(words))
                else:
                    self.window_errors.append(where & ~7)

        valid = int(dut.response_valid.value)
        if not self.flushing:
            for client in range(CLIENTS):
                if valid >> client & 1:
                    assert self.words[client], f"client {client} got a word too many"
                    data = bits(dut.response_data, client, 64)
                    assert data == word_at(self.words[client][0]), f"client {client}: {data:#x} from {self.words[client][0]:#x}"
                    if self.ready >> client & 1:
                        self.words[client].popleft()
                        self.checked += 1
                        self.last_response = self.cycle

    def _forget(self) -> None:
        """A flush begins: nothing is expected any more, and nothing offered."""
        self.flushing = True
        for client in range(CLIENTS):
            for queue in (self.queues, self.words, self.bursts):
                queue[client].clear()
            self.offered[client] = None
        self.window_errors.clear()

    def _drive(self) -> None:
        dut, slave = self.dut, self.slave
        dut.flush.value = self.flush_seen = self.flush
        dut.m_axi_arready.value = int(slave.ready)
        dut.m_axi_rvalid.value = int(slave.beat is not None)
        data, response, last = slave.beat or (random.getrandbits(64), random.getrandbits(2), random.getrandbits(1))
        dut.m_axi_rdata.value, dut.m_axi_rresp.value, dut.m_axi_rlast.value = data, response, last
        valid = where = words = 0
        for client in range(CLIENTS):
            if self.offered[client] is None and self.queues[client] and not next(self.request_stalls[client]):
                self.offered[client] = self.queues[client].popleft()
            valid |= int(self.offered[client] is not None) << client
            request = self.offered[client] or (random.getrandbits(32), random.getrandbits(16))
            where |= request[0] << 32 * client
            words |= request[1] << 16 * client
        dut.request_valid.value, dut.request_address.value, dut.request_words.value = valid, where, words
        self.ready = sum(int(not next(self.response_stalls[client])) << client for client in range(CLIENTS))
        dut.response_ready.value = self.ready

    @property
    def done(self) -> bool:
        """Everything sent, answered and checked."""
        return not (
            any(self.queues)
            or any(self.words)
            or any(self.bursts)
            or any(one is not None for one in self.offered)
            or self.window_errors
            or not self.slave.idle
        )

    async def finish(self, cycles: int) -> None:
        """Wait until all is done and the port idle; check the counts."""
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
            if self.done:
                break
        assert self.done, f"not done: {self.queues} {self.offered} {self.words} {self.bursts} {self.window_errors}"
        for _ in range(4):
            await RisingEdge(self.dut.clk)
        assert int(self.dut.idle.value) == 1
        assert self.beats == self.slave.beats
        assert self.slave.maximum_open <= OUTSTANDING

    def set_window(self, base: int, limit: int) -> None:
        """Change the window (while nothing is in hand)."""
        self.window = (base, limit)
        self.dut.window_base.value, self.dut.window_limit.value = self.window


def make_slave(address: str = "none", data: str = "none", **options) -> ReadSlave:
    """A read slave over ``word_at``."""
    return ReadSlave(word_at, stall_pattern(address, random), stall_pattern(data, random), **options)


async def make_bench(dut, slave: ReadSlave, *stalls: str) -> Bench:
    """A running bench."""
    bench = Bench(dut, slave, *stalls)
    await bench.begin()
    return bench


def random_request(client: int, page: int) -> tuple[int, int]:
    """Round the end of a 4 KiB page of the client's own region."""
    address = client << 24 | page << 12
    address += random.choice((4096 - 8 * random.randrange(1, 40), 8 * random.randrange(512), 0, 4096 - 128))
    return address + random.choice((0, 0, 0, 5)), random.choice((1, 2, 15, 16, 17, random.randrange(1, 70), random.randrange(1, 33)))


@cocotb.test()
async def all_stalls(dut):
    """Every stall pattern on every port; addresses around 4 KiB; some error responses."""
    total = 0
    for index, (one, two, three) in enumerate(product(STALLS, repeat=3)):
        bad = random.randrange(1 << 20)
        slave = make_slave(one, two, latency=random.choice((1, 2, 7, 32)), error=lambda address, bad=bad: (address ^ bad) % 1009 < 20)
        bench = await make_bench(dut, slave, random.choice(STALLS), three)
        for client in range(CLIENTS):
            for page in range(2):
                bench.queues[client].append(random_request(client, 2 * index + page))
        await bench.finish(20000)
        assert bench.checked and bench.requests == 2 * CLIENTS
        total += bench.failed
        bench.task.cancel()
    assert total > 0


@cocotb.test()
async def every_offset(dut):
    """All lengths 1 to 34 at all offsets round a page's end, dealt to the clients."""
    bench = await make_bench(dut, make_slave(latency=3))
    cases = [(4096 - 8 * offset, words) for offset in range(0, 34) for words in (1, 2, 15, 16, 17, 18, 33)]
    for index, (offset, words) in enumerate(cases):
        bench.queues[index % CLIENTS].append(((index % CLIENTS) << 24 | offset, words))
    await bench.finish(30000)
    assert bench.requests == len(cases) and bench.checked == sum(words for _, words in cases)


@cocotb.test()
async def window_edges(dut):
    """Requests at the very edges of windows; those outside make no access."""
    bench = await make_bench(dut, make_slave(latency=2))
    windows = ((0x1000, 0x2000), (0, 0x1000), (0xFFFF_F000, ALL), (0x1004, 0x1FFC), (0, 0), (0x3000, 0x2000))
    for index, (base, limit) in enumerate(windows):
        await bench.finish(1000)
        bench.set_window(base, limit)
        await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        inside = outside = 0
        for start in {(edge & ~7) + step for edge in (base, limit) for step in (-256, -128, -16, -8, 0, 8, 16)}:
            start %= 1 << 32
            for words in (0, 1, 2, 3, 17, 512, 513, 65535):
                if in_window(start, words, base, limit) and words > 600:
                    continue
                bench.queues[index % CLIENTS].append((start, words))
                inside += in_window(start, words, base, limit)
                outside += not in_window(start, words, base, limit)
        before = bench.slave.beats
        await bench.finish(20000)
        if not inside:
            assert bench.slave.beats == before
        assert outside
    assert bench.refused > 100 and bench.checked > 100


@cocotb.test()
async def no_client_blocks_another(dut):
    """Client 0 takes nothing; the others get all of theirs."""
    if CLIENTS == 1:
        return
    bench = await make_bench(dut, make_slave(latency=32))
    bench.response_stalls[0] = iter(lambda: True, False)
    for client in range(CLIENTS):
        for page in range(2):
            bench.queues[client].append((client << 24 | page << 12 | 40, 300))
    for _ in range(900 * CLIENTS):
        await RisingEdge(dut.clk)
        if not any(bench.words[1:]) and not any(bench.queues[1:]) and bench.cycle > 100:
            break
    assert bench.checked == 600 * (CLIENTS - 1)
    bench.response_stalls[0] = stall_pattern("none")
    await bench.finish(2000)


@cocotb.test()
async def one_beat_a_cycle(dut):
    """64 bursts in a row at a latency of 32, 8 outstanding: from one client, from all, and in requests of 8 words."""
    bench = await make_bench(dut, make_slave(latency=32))
    bench.queues[0].append((0x10000, 1024))
    await bench.finish(3000)
    cycles = bench.last_response - bench.first_request
    assert bench.seen_bursts == 64
    assert cycles <= 1024 + 32 + 12, f"64 bursts took {cycles} cycles"
    bench.first_request = 0
    for client in range(CLIENTS):
        bench.queues[client].append((client << 24, 512))
    await bench.finish(512 * CLIENTS + 500)
    cycles = bench.last_response - bench.first_request
    assert cycles <= 512 * CLIENTS + 32 + 12 + 32, f"{32 * CLIENTS} bursts took {cycles} cycles"
    bench.first_request = 0
    for request in range(128):
        bench.queues[0].append((128 * request, 8))
    await bench.finish(3000)
    cycles = bench.last_response - bench.first_request
    assert cycles <= 1024 + 32 + 64, f"128 requests of 8 words took {cycles} cycles"


@cocotb.test()
async def flush(dut):
    """Flushes at random moments: bursts on the bus are completed, none of their data arrives; the port works on."""
    bench = await make_bench(dut, make_slave("random", "random", latency=20), "random", "random")
    busy = 0
    for round_number in range(25):
        for client in range(CLIENTS):
            for page in range(3):
                bench.queues[client].append(random_request(client, 3 * round_number + page))
        for _ in range(random.randrange(1, 150)):
            await RisingEdge(dut.clk)
        bench.flush = 1
        busy += not bench.slave.idle
        while not bench.flushing:
            await RisingEdge(dut.clk)
        length = random.choice((1, 2, 5, 200))
        accepted = None
        for cycle in range(length):
            if cycle == length - 1:
                bench.flush = 0
            await RisingEdge(dut.clk)
            if cycle == 3:
                accepted = bench.seen_bursts + int(dut.m_axi_arvalid.value)
            assert int(dut.response_valid.value) == 0
        if accepted is not None:
            assert bench.seen_bursts <= accepted, "a burst was issued during the flush"
        # The old bursts may still be on the bus; requests wait until they have gone.
        for _ in range(2000):
            if bench.slave.idle and int(dut.idle.value):
                break
            await RisingEdge(dut.clk)
            assert int(dut.response_valid.value) == 0 and int(dut.request_ready.value) == 0
        else:
            raise AssertionError("the port did not become idle after a flush")
        for _ in range(3):
            await RisingEdge(dut.clk)
        bench.flushing = False
        if round_number % 3 == 0:
            bench.queues[0].append(random_request(0, 200 + round_number))
            await bench.finish(3000)
    assert busy > 5 and bench.checked > 100

# SPDX-License-Identifier: Apache-2.0
"""Bench of axi_write_port: random requests of several clients against models/axi/axi_bursts.py and a memory of bytes.

Stalls on every port, windows, errors, flushes, throughput.
"""

from __future__ import annotations

import random
from collections import deque
from itertools import product

import cocotb
from cocotb.triggers import RisingEdge

from gradcore.models.axi.axi_bursts import bursts, in_window
from tb.support.axi_slave import WriteSlave
from tb.support.declaration import parameter
from tb.support.stalls import STALLS, stall_pattern
from tb.support.streams import start_clock_and_reset

CLIENTS = parameter("CLIENTS")
OUTSTANDING = 8
ALL = 0xFFFF_FFFF


class Bench:
    """Drives all inputs once a cycle and checks all outputs."""

    def __init__(self, dut, slave: WriteSlave, request_stalls: str = "none", data_stalls: str = "none") -> None:
        self.dut, self.slave = dut, slave
        self.request_stalls = [stall_pattern(request_stalls, random) for _ in range(CLIENTS)]
        self.data_stalls = [stall_pattern(data_stalls, random) for _ in range(CLIENTS)]
        self.queues: list[deque[tuple[int, int]]] = [deque() for _ in range(CLIENTS)]
        self.offered: list[tuple[int, int] | None] = [None] * CLIENTS
        self.words: list[deque[tuple[int, int, int]]] = [deque() for _ in range(CLIENTS)]  # address, data, strobe to hand over
        self.beat: list[tuple[int, int, int] | None] = [None] * CLIENTS
        self.bursts: list[deque[tuple[int, int, bool]]] = [deque() for _ in range(CLIENTS)]  # expected: address, beats, last
        self.order: deque[tuple[int, int, bool]] = deque()  # bursts on the bus: client, address, last of its request
        self.window_errors: deque[int] = deque()
        self.expected: dict[int, int] = {}
        self.window = (0, ALL)
        self.cycle = self.beats = self.requests = self.refused = self.failed = self.finished = 0
        self.first_request = self.last_response = 0
        self.seen_bursts = 0
        self.pulses = 0  # done pulses due in this cycle
        self.error: int | None = None  # address of the error response due in this cycle
        self.flush = 0  # level to drive
        self.flush_seen = 0  # level at the next edge
        self.flushing = False  # from the first edge with flush until the test says so
        for name in (
            "request_valid",
            "request_address",
            "request_words",
            "data_valid",
            "data",
            "strobe",
            "flush",
            "m_axi_awready",
            "m_axi_wready",
            "m_axi_bvalid",
            "m_axi_bresp",
        ):
            getattr(dut, name).value = 0
        dut.window_base.value, dut.window_limit.value = self.window

    async def begin(self) -> None:
        """Reset, and start the per-cycle task."""
        await start_clock_and_reset(self.dut)
        self.task = cocotb.start_soon(self._run())

    async def _run(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            self.cycle += 1
            self._sample()
            self._drive()

    def _sample(self) -> None:
        dut, slave = self.dut, self.slave
        assert int(dut.m_axi_bready.value) == 1
        window_error = int(dut.error_window.value)
        if window_error:
            assert self.window_errors, "unexpected error_window"
            assert int(dut.error_address.value) == self.window_errors.popleft()
            self.refused += 1
        assert int(dut.error_response.value) == int(self.error is not None), f"error_response; due {self.error}"
        if self.error is not None:
            assert window_error or int(dut.error_address.value) == self.error
            self.failed += 1
        assert int(dut.done.value) == self.pulses, f"done {int(dut.done.value):b}, due {self.pulses:b}"
        self.finished += self.pulses.bit_count()

        if self.flush_seen and not self.flushing:
            self._forget()

        address = data = None
        if int(dut.m_axi_awvalid.value):
            address = tuple(int(getattr(dut, f"m_axi_aw{name}").value) for name in ("addr", "len", "size", "burst"))
        if int(dut.m_axi_wvalid.value):
            strobe = int(dut.m_axi_wstrb.value)
            word = dut.m_axi_wdata.value
            lanes = [word[8 * lane + 7 : 8 * lane].to_unsigned() if strobe >> lane & 1 else 0 for lane in range(8)]
            data = (sum(byte << 8 * lane for lane, byte in enumerate(lanes)), strobe, int(dut.m_axi_wlast.value))
        self.beats += int(dut.beat.value)
        response = slave.response
        self.pulses, self.error = 0, None
        if response is not None:
            client, start, last = self.order.popleft()
            if not self.flushing:
                self.pulses = last << client
                self.error = start if response else None
            self.last_response = self.cycle
        slave.step(address, data)
        while len(slave.accepted) > self.seen_bursts:
            burst = slave.accepted[self.seen_bursts]
            self.seen_bursts += 1
            owner = [client for client in range(CLIENTS) if self.bursts[client] and self.bursts[client][0][:2] == burst]
            if owner:
                self.order.append((owner[0], burst[0], self.bursts[owner[0]].popleft()[2]))
            else:
                assert self.flushing, f"unexpected burst {burst[0]:#x}, {burst[1]} beats"
                self.order.append((0, burst[0], False))

        accepted = int(dut.request_ready.value)
        taken = int(dut.data_ready.value)
        for client in range(CLIENTS):
            if self.offered[client] is not None and accepted >> client & 1:
                where, words = self.offered[client]
                self.offered[client] = None
                self.requests += 1
                self.first_request = self.first_request or self.cycle
                if in_window(where, words, *self.window):
                    cut = bursts(where, words)
                    self.bursts[client].extend((*burst, index == len(cut) - 1) for index, burst in enumerate(cut))
                else:
                    self.window_errors.append(where & ~7)
            if self.beat[client] is not None and taken >> client & 1:
                where, word, strobe = self.beat[client]
                self.beat[client] = None
                for lane in range(8):
                    if strobe >> lane & 1:
                        self.expected[where + lane] = word >> 8 * lane & 0xFF

    def _forget(self) -> None:
        """A flush begins: nothing is expected any more, and nothing offered."""
        self.flushing = True
        for client in range(CLIENTS):
            for queue in (self.queues, self.words, self.bursts):
                queue[client].clear()
            self.offered[client] = self.beat[client] = None
        self.window_errors.clear()

    def _drive(self) -> None:
        dut, slave = self.dut, self.slave
        dut.flush.value = self.flush_seen = self.flush
        dut.m_axi_awready.value = int(slave.address_ready)
        dut.m_axi_wready.value = int(slave.data_ready)
        dut.m_axi_bvalid.value = int(slave.response is not None)
        dut.m_axi_bresp.value = random.getrandbits(2) if slave.response is None else slave.response
        valid = where = words = data_valid = data = strobe = 0
        for client in range(CLIENTS):
            if self.offered[client] is None and self.queues[client] and not next(self.request_stalls[client]):
                request = self.queues[client].popleft()
                self.offered[client] = request
                if in_window(*request, *self.window):
                    for index in range(request[1]):
                        lanes = random.choice((255, 255, 255, 3, 0xF0, 0x80, 0, random.getrandbits(8)))
                        self.words[client].append(((request[0] & ~7) + 8 * index, random.getrandbits(64), lanes))
            if self.beat[client] is None and self.words[client] and not next(self.data_stalls[client]):
                self.beat[client] = self.words[client].popleft()
            valid |= int(self.offered[client] is not None) << client
            request = self.offered[client] or (random.getrandbits(32), random.getrandbits(16))
            where |= request[0] << 32 * client
            words |= request[1] << 16 * client
            data_valid |= int(self.beat[client] is not None) << client
            _, word, lanes = self.beat[client] or (0, random.getrandbits(64), random.getrandbits(8))
            data |= word << 64 * client
            strobe |= lanes << 8 * client
        dut.request_valid.value, dut.request_address.value, dut.request_words.value = valid, where, words
        dut.data_valid.value, dut.data.value, dut.strobe.value = data_valid, data, strobe

    @property
    def done(self) -> bool:
        """Everything sent, written and answered."""
        return not (
            any(self.queues)
            or any(self.words)
            or any(self.bursts)
            or any(one is not None for one in self.offered + self.beat)
            or self.window_errors
            or not self.slave.idle
            or self.order
        )

    async def finish(self, cycles: int) -> None:
        """Wait until all is done and the port idle; compare memory and counts."""
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
            if self.done:
                break
        assert self.done, f"not done: {self.queues} {self.offered} {self.words} {self.bursts} {self.window_errors} {self.order}"
        for _ in range(4):
            await RisingEdge(self.dut.clk)
        assert int(self.dut.idle.value) == 1
        assert self.beats == self.slave.beats
        assert self.slave.maximum_open <= OUTSTANDING
        assert self.slave.memory == self.expected
        assert not int(self.dut.m_axi_awvalid.value) and not int(self.dut.m_axi_wvalid.value)

    def set_window(self, base: int, limit: int) -> None:
        """Change the window (while nothing is in hand)."""
        self.window = (base, limit)
        self.dut.window_base.value, self.dut.window_limit.value = self.window


def make_slave(address: str = "none", data: str = "none", response: str = "none", **options) -> WriteSlave:
    """A write slave."""
    return WriteSlave(*(stall_pattern(kind, random) for kind in (address, data, response)), **options)


async def make_bench(dut, slave: WriteSlave, *stalls: str) -> Bench:
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
    """Every stall pattern on every port; addresses around 4 KiB; data before addresses; some error responses, once nothing else."""
    failed = written = 0
    for index, (one, two, three) in enumerate(product(STALLS, repeat=3)):
        bad = random.randrange(1 << 20)
        slave = make_slave(
            one,
            two,
            random.choice(STALLS),
            latency=random.choice((1, 2, 7, 32)),
            data_first=bool(index % 2),
            error=lambda address, bad=bad, always=index == 0: always or (address ^ bad) % 1009 < 20,
        )
        bench = await make_bench(dut, slave, random.choice(STALLS), three)
        for client in range(CLIENTS):
            for page in range(2):
                bench.queues[client].append(random_request(client, 2 * page))
        await bench.finish(20000)
        assert bench.requests == bench.finished == 2 * CLIENTS
        written += bench.slave.writes  # none in a run of short requests whose strobes are all 0
        failed += bench.failed
        bench.task.cancel()
    assert failed > 0 and written > 2000


@cocotb.test()
async def every_offset(dut):
    """Lengths round 16 at all offsets round a page's end, dealt to the clients."""
    bench = await make_bench(dut, make_slave(latency=3))
    cases = [(4096 - 8 * offset, words) for offset in range(0, 34) for words in (1, 2, 15, 16, 17, 18, 33)]
    for index, (offset, words) in enumerate(cases):
        bench.queues[index % CLIENTS].append(((index % CLIENTS) << 24 | offset, words))
    await bench.finish(30000)
    assert bench.requests == bench.finished == len(cases)
    assert bench.slave.beats == sum(words for _, words in cases)


@cocotb.test()
async def window_edges(dut):
    """Requests at the very edges of windows; those outside make no access, take no data and are never done."""
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
            for words in (0, 1, 2, 3, 17, 513, 65535):
                bench.queues[index % CLIENTS].append((start, words))
                inside += in_window(start, words, base, limit)
                outside += not in_window(start, words, base, limit)
        before = bench.finished
        await bench.finish(40000)
        assert bench.finished == before + inside
        assert outside
    assert bench.refused > 100 and bench.finished > 20


@cocotb.test()
async def one_beat_a_cycle(dut):
    """64 bursts in a row at a response latency of 32: from one client, from all, and in requests of 8 words."""
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
    assert cycles <= 512 * CLIENTS + 32 + 12, f"{32 * CLIENTS} bursts took {cycles} cycles"
    bench.first_request = 0
    for request in range(128):
        bench.queues[0].append((128 * request, 8))
    await bench.finish(3000)
    cycles = bench.last_response - bench.first_request
    assert cycles <= 1024 + 32 + 64, f"128 requests of 8 words took {cycles} cycles"


@cocotb.test()
async def flush(dut):
    """Flushes at random moments: bursts that are out are completed without strobes; the port works afterwards."""
    bench = await make_bench(dut, make_slave("random", "random", "random", latency=20), "random", "random")
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
        for _ in range(random.choice((0, 1, 5, 300))):
            await RisingEdge(dut.clk)
        bench.flush = 0
        for _ in range(3000):
            await RisingEdge(dut.clk)
            assert int(dut.data_ready.value) == 0
            if bench.slave.idle and not bench.order and int(dut.idle.value):
                break
        else:
            raise AssertionError("the port did not become idle after a flush")
        assert not int(dut.m_axi_awvalid.value) and not int(dut.m_axi_wvalid.value)
        assert bench.slave.memory == bench.expected, "a flush wrote other bytes than those handed over"
        for _ in range(3):
            await RisingEdge(dut.clk)
        bench.flushing = False
        if round_number % 3 == 0:
            bench.queues[0].append(random_request(0, 200 + round_number))
            await bench.finish(5000)
    assert busy > 5 and bench.finished > 5

# SPDX-License-Identifier: Apache-2.0
"""Bench of gradcore/simulator/harness/axi_memory.v: it keeps what docs/units/axi/axi_memory.md promises, its checker bites."""

from __future__ import annotations

import random
from collections import deque

import cocotb
from cocotb.triggers import RisingEdge

from gradcore.models.axi.axi_bursts import bursts
from tb.support.declaration import parameter
from tb.support.streams import start_clock_and_reset

LATENCY = 32
OUTSTANDING = 8
WINDOW = 1024
BYTES = parameter("BYTES")
BYTES_PER_1024 = parameter("BYTES_PER_1024")
INPUTS = (
    "araddr",
    "arlen",
    "arsize",
    "arburst",
    "arvalid",
    "rready",
    "awaddr",
    "awlen",
    "awsize",
    "awburst",
    "awvalid",
    "wdata",
    "wstrb",
    "wlast",
    "wvalid",
    "bready",
)


class Port:
    """A master that keeps one port busy: sends bursts and their data as fast as it may, takes everything at once."""

    def __init__(self, dut, index: int) -> None:
        self.dut, self.index = dut, index
        self.reads: deque[tuple[int, int]] = deque()
        self.writes: deque[tuple[int, list[tuple[int, int]]]] = deque()  # address, beats (data, strobe)
        self.write_data: deque[tuple[int, int, int]] = deque()
        self.read_log: list[tuple[int, int, int, int]] = []  # cycle, data, response, last
        self.read_accepted: list[int] = []
        self.write_accepted: list[int] = []
        self.write_beats: list[int] = []
        self.write_ends: list[int] = []  # cycles of last beats
        self.responses: list[tuple[int, int]] = []  # cycle, response
        self.maximum_reads = self.maximum_writes = 0
        self.rready = 1  # to drive
        self.rready_now = 1
        self.address: tuple[int, int] | None = None
        self.write_address: tuple[int, list[tuple[int, int]]] | None = None
        self.beat: tuple[int, int, int] | None = None
        for name in INPUTS:
            self.signal(name).value = 0

    def signal(self, name: str):
        return getattr(self.dut, f"s_axi{self.index}_{name}")

    def get(self, name: str) -> int:
        return int(self.signal(name).value)

    def put(self, name: str, value: int) -> None:
        self.signal(name).value = value

    def step(self, cycle: int) -> None:
        if self.get("rvalid") and self.rready_now:
            self.read_log.append((cycle, self.get("rdata"), self.get("rresp"), self.get("rlast")))
        if self.get("bvalid"):
            self.responses.append((cycle, self.get("bresp")))
        if self.address and self.get("arready"):
            self.read_accepted.append(cycle)
            self.address = None
        if self.write_address and self.get("awready"):
            self.write_accepted.append(cycle)
            self.write_address = None
        if self.beat and self.get("wready"):
            self.write_beats.append(cycle)
            if self.beat[2]:
                self.write_ends.append(cycle)
            self.beat = None
        done = sum(one[3] for one in self.read_log)
        self.maximum_reads = max(self.maximum_reads, len(self.read_accepted) - done)
        self.maximum_writes = max(self.maximum_writes, len(self.write_accepted) - len(self.responses))
        if self.address is None and self.reads:
            self.address = self.reads.popleft()
        if self.write_address is None and self.writes:
            self.write_address = self.writes.popleft()
            beats = self.write_address[1]
            self.write_data.extend((*beat, int(index == len(beats) - 1)) for index, beat in enumerate(beats))
        if self.beat is None and self.write_data:
            self.beat = self.write_data.popleft()
        where, beats = self.address or (0, 1)
        self.put("arvalid", int(self.address is not None))
        self.put("araddr", where)
        self.put("arlen", beats - 1)
        where, data = self.write_address or (0, [0])
        self.put("awvalid", int(self.write_address is not None))
        self.put("awaddr", where)
        self.put("awlen", len(data) - 1)
        word, strobe, last = self.beat or (0, 0, 0)
        self.put("wvalid", int(self.beat is not None))
        self.put("wdata", word)
        self.put("wstrb", strobe)
        self.put("wlast", last)
        self.put("rready", self.rready)
        self.rready_now = self.rready

    @property
    def idle(self) -> bool:
        """Everything sent and answered."""
        return not (self.reads or self.writes or self.write_data or self.address or self.write_address or self.beat) and (
            len(self.read_accepted) == sum(one[3] for one in self.read_log) and len(self.write_accepted) == len(self.responses)
        )


class Bench:
    """Both ports, stepped each cycle."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.ports = [Port(dut, 0), Port(dut, 1)]
        self.cycle = 0
        for port in self.ports:
            port.put("bready", 1)
            port.put("rready", 1)
            for name in ("arsize", "awsize"):
                port.put(name, 3)
            for name in ("arburst", "awburst"):
                port.put(name, 1)

    async def begin(self) -> None:
        await start_clock_and_reset(self.dut)

    async def step(self, cycles: int = 1) -> None:
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
            self.cycle += 1
            for port in self.ports:
                port.step(self.cycle)

    async def finish(self, cycles: int = 20000) -> None:
        for _ in range(cycles):
            await self.step()
            if all(port.idle for port in self.ports):
                break
        assert all(port.idle for port in self.ports)
        assert int(self.dut.violation.value) == 0


async def make_bench(dut) -> Bench:
    """A bench out of reset."""
    bench = Bench(dut)
    await bench.begin()
    return bench


def fill(bench: Bench, port: int, start: int, words: list[int]) -> None:
    """Queue writes of words."""
    index = 0
    for where, beats in bursts(start, len(words)):
        bench.ports[port].writes.append((where, [(word, 255) for word in words[index : index + beats]]))
        index += beats


@cocotb.test()
async def latency_and_data(dut):
    """First beat exactly LATENCY cycles after the address, then one a cycle; strobes; data of the other port."""
    bench = await make_bench(dut)
    words = [random.getrandbits(64) for _ in range(64)]
    fill(bench, 0, 0x100, words)
    await bench.finish()
    assert bench.ports[0].responses[0][0] - bench.ports[0].write_ends[0] == LATENCY
    bench.ports[0].writes.append((0x108, [(0, 0x0F)]))
    await bench.finish()
    words[1] &= 0xFFFFFFFF_00000000
    bench.ports[1].reads.extend(bursts(0x100, 64))
    await bench.finish()
    log = bench.ports[1].read_log
    assert [one[1] for one in log] == words
    assert log[0][0] - bench.ports[1].read_accepted[0] == LATENCY
    assert log[-1][0] - log[0][0] == 63, "not one beat a cycle"
    assert [index for index, one in enumerate(log) if one[3]] == [15, 31, 47, 63]


@cocotb.test()
async def outstanding_bursts(dut):
    """Bursts of one beat: exactly 8 are accepted before the first comes back, for each port and direction."""
    bench = await make_bench(dut)
    for port in bench.ports:
        for index in range(40):
            port.writes.append((0x1000 * (port.index + 1) + 8 * index, [(index, 255)]))
    await bench.finish()
    for port in bench.ports:
        port.reads.extend((0x1000 * (port.index + 1) + 8 * index, 1) for index in range(40))
    await bench.finish()
    for port in bench.ports:
        assert port.maximum_reads == OUTSTANDING and port.maximum_writes == OUTSTANDING
        assert [one[1] for one in port.read_log] == list(range(40))


@cocotb.test()
async def bandwidth(dut):
    """All four directions busy: no window of 1,024 cycles carries more than its share, and the share is used."""
    bench = await make_bench(dut)
    for port in bench.ports:
        fill(bench, port.index, 0x8000 * port.index, [random.getrandbits(64) for _ in range(2048)])
    await bench.finish()
    start = bench.cycle
    for port in bench.ports:
        port.write_beats.clear()
        for _ in range(2):
            fill(bench, port.index, 0x10000 + 0x8000 * port.index, [0] * 2048)
            port.reads.extend(bursts(0x8000 * port.index, 2048))
    await bench.finish()
    beats = [0] * (bench.cycle - start + 1)
    for port in bench.ports:
        for cycle in port.write_beats + [one[0] for one in port.read_log]:
            beats[cycle - start] += 8
    assert max(beats) <= 32
    total = sum(beats)
    assert total == 8 * 4 * 4096
    windows = [sum(beats[first : first + WINDOW]) for first in range(max(1, len(beats) - WINDOW))]
    if BYTES_PER_1024:
        assert max(windows) <= BYTES_PER_1024
        full = -(-total // BYTES_PER_1024) * WINDOW
        assert bench.cycle - start <= full + 200, f"{bench.cycle - start} cycles; {full} would do"
    # All four got their share: the last of each is not far from the end.
    ends = [list_[-1] for port in bench.ports for list_ in (port.write_beats, [one[0] for one in port.read_log])]
    assert min(ends) - start > 0.6 * (bench.cycle - start)


@cocotb.test()
async def reads_do_not_see_unanswered_writes(dut):
    """A write lands with its response, a read takes what is there when its address is accepted."""
    bench = await make_bench(dut)
    fill(bench, 0, 0x40, [1])
    await bench.finish()
    fill(bench, 0, 0x40, [2])
    while not bench.ports[0].write_ends[1:]:
        await bench.step()
    bench.ports[1].reads.append((0x40, 1))
    await bench.finish()
    bench.ports[1].reads.append((0x40, 1))
    await bench.finish()
    assert [one[1] for one in bench.ports[1].read_log] == [1, 2]


@cocotb.test()
async def held_beat_stays(dut):
    """Without rready the beat waits."""
    bench = await make_bench(dut)
    fill(bench, 0, 0, [5, 6, 7])
    await bench.finish()
    bench.ports[0].rready = 0
    bench.ports[0].reads.append((0, 3))
    await bench.step(LATENCY + 20)
    assert int(dut.s_axi0_rvalid.value) and int(dut.s_axi0_rdata.value) == 5
    bench.ports[0].rready = 1
    await bench.finish()
    assert [one[1] for one in bench.ports[0].read_log] == [5, 6, 7]


async def provoke(dut, **changes: int) -> int:
    """Send a burst with some signals changed; returns violation some cycles later."""
    bench = await make_bench(dut)
    values = {"araddr": 0, "arlen": 0, "arsize": 3, "arburst": 1, **changes}
    for name, value in values.items():
        bench.ports[0].put(name, value)
    bench.ports[0].put("arvalid", 1)
    for _ in range(3):
        await RisingEdge(dut.clk)
    return int(dut.violation.value)


@cocotb.test()
async def no_violation_without_cause(dut):
    """The control of the tests below."""
    assert not await provoke(dut)


def violation_test(name: str, **changes: int):
    """Make a test that a bad read burst is noticed (violation stays, so each needs a run of its own)."""

    async def test(dut) -> None:
        assert await provoke(dut, **changes), f"{name} was not noticed"

    test.__name__ = test.__qualname__ = f"violation_{name}"
    return cocotb.test()(test)


violation_long = violation_test("long", arlen=16)
violation_page = violation_test("page", araddr=0xFF8, arlen=1)
violation_size = violation_test("size", arsize=2)
violation_kind = violation_test("kind", arburst=0)
violation_alignment = violation_test("alignment", araddr=4)
violation_range = violation_test("range", araddr=BYTES)


@cocotb.test()
async def violation_withdrawn(dut):
    """An address that goes away before it is accepted."""
    bench = await make_bench(dut)
    bench.ports[0].put("arvalid", 1)
    dut.rst.value = 0
    # Fill the port first, so that arready is low.
    for index in range(60):
        bench.ports[0].put("araddr", 8 * index if int(dut.s_axi0_arready.value) else 0)
        await RisingEdge(dut.clk)
        if not int(dut.s_axi0_arready.value) and index > 3:
            bench.ports[0].put("arvalid", 0)
    assert int(dut.violation.value)


@cocotb.test()
async def violation_last(dut):
    """wlast too early."""
    bench = await make_bench(dut)
    port = bench.ports[0]
    for name, value in {"awaddr": 0, "awlen": 3, "awvalid": 1, "wvalid": 1, "wstrb": 255, "wlast": 1}.items():
        port.put(name, value)
    for _ in range(6):
        await RisingEdge(dut.clk)
    assert int(dut.violation.value)

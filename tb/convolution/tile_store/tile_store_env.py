# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of tile_store.v: jobs, the output buffer, both write ports with their memory, predictor, coverage.

One monitor watches all ports but the job's in each cycle; while active one driver plays the output buffer (read latency 1; a bank is
scrambled when it is released) and the write ports (done of a request comes late, in order).
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterator

from cocotb.triggers import RisingEdge
from pyuvm import uvm_agent, uvm_analysis_port, uvm_component, uvm_monitor

from gradcore.models.convolution.tile_store import HalfWrites, apply, store_half, write_beat
from gradcore.models.jobs import TileStoreJob
from tb.support import watched
from tb.support.base import FlowCoverage, Predictor, UnitEnvironment
from tb.support.stalls import stall_pattern
from tb.support.uvm import CheckFailure, Coverage, SeenItem

MEMORY = 1 << 19
BANK = 512  # words, or tag pieces, of a side and bank
WIDTHS = {"word": 64, "tag": 16}
SCALARS = (
    "rst", "job_valid", "job_ready", "buffer_released", "stored", "active", "wait_input", "wait_output", "word_read_enable",
    "tag_read_enable",
    "write_request_valid", "write_request_ready", "write_data_valid", "write_data_ready", "write_done",
)  # fmt: skip
PARTS = {
    "word_read_address": 10, "tag_read_address": 10, "word_read_data": 64, "tag_read_data": 16,
    "write_request_address": 32, "write_request_words": 16, "write_data": 64, "write_strobe": 8,
}  # fmt: skip


class StoreMonitor(uvm_monitor):
    """Publishes what moves on a port, and `stored`; checks the rules that hold in every cycle.

    Items: ``kind`` "request" (port, address, words), "beat" (port, data, strobe), "read" (memory, side, address, data), "stored", "rst",
    and "released", in the cycle after a job was taken: that of its last reads' data.
    """

    def build_phase(self) -> None:
        self.analysis_port = uvm_analysis_port("analysis_port", self)
        self.cycle = 0
        self.activities: set[str] = set()
        self.moves: set[tuple[int, str, str]] = set()
        self.last = {(port, name): -2 for port in (0, 1) for name in ("request", "data")}
        self._restart()

    def _restart(self) -> None:
        self.held: dict[tuple[int, str], tuple[int, ...]] = {}  # what waits for ready on each port
        self.reading: list[tuple[str, int, int]] = []  # reads of the cycle before: memory, side, address
        self.released = False  # a bank, in the cycle before
        self.dones = [0, 0]

    def fail(self, text: str) -> None:
        """A rule was broken."""
        raise CheckFailure(self, text)

    def number(self, name: str) -> int:
        """What a port holds."""
        try:
            return watched.number(self.ports[name])
        except ValueError:
            return self.fail(f"{name} is {watched.bits(self.ports[name])}")

    def part(self, name: str, side: int) -> int:
        """What a side's part of a port holds; the other may be X."""
        text, width = str(self.ports[name].value), PARTS[name]
        try:
            return int(text[width * (1 - side) :][:width], 2)
        except ValueError:
            return self.fail(f"side {side} of {name} is {text[width * (1 - side) :][:width]}")

    async def run_phase(self) -> None:
        dut = self.get_parent().dut
        self.ports = {name: getattr(dut, name) for name in (*SCALARS, *PARTS)}
        in_reset = True
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            if self.number("rst"):
                if not in_reset:
                    self._restart()
                    self.analysis_port.write(SeenItem(kind="rst"))
                in_reset = True
                continue
            in_reset = False
            for memory, side, address in self.reading:
                self.publish(kind="read", memory=memory, side=side, address=address, data=self.part(f"{memory}_read_data", side))
            self.reading = []
            if self.released:
                self.publish(kind="released")
            for memory in WIDTHS:
                enable = self.number(f"{memory}_read_enable")
                self.reading += [(memory, side, self.part(f"{memory}_read_address", side)) for side in (0, 1) if enable >> side & 1]
            valid = self.number("write_data_valid")
            ready = self.number("write_data_ready") if valid else 0
            self._activity(valid, ready)
            self._port("data", valid, ready, ("write_data", "write_strobe"), ("beat", "data", "strobe"))
            asked = self.number("write_request_valid")
            ready = self.number("write_request_ready") if asked else 0
            self._port("request", asked, ready, ("write_request_address", "write_request_words"), ("request", "address", "words"))
            done = self.number("write_done")
            for port in (0, 1):
                self.dones[port] += done >> port & 1
            self.released = bool(self.number("job_valid") and self.number("job_ready"))
            if self.number("buffer_released") != self.released:
                self.fail(f"buffer_released is {self.number('buffer_released')}, and a job is {'' if self.released else 'not '}taken")
            if self.number("stored"):
                self.publish(kind="stored", dones=tuple(self.dones))

    def publish(self, **fields: object) -> None:
        """One item."""
        self.analysis_port.write(SeenItem(**fields))

    def _activity(self, valid: int, ready: int) -> None:
        """Waiting for output: beats are offered and none is taken. Waiting for input: no job and no beat. Else active."""
        moving, blocked = valid & ready, valid & ~ready
        want = "wait_output" if blocked and not moving else "wait_input" if not valid and not self.number("job_valid") else "active"
        states = [name for name in ("active", "wait_input", "wait_output") if self.number(name)]
        if states != [want]:
            self.fail(f"{states}, expected {want}: beats offered {valid:02b}, taken {moving:02b}, job_valid {self.number('job_valid')}")
        self.activities.add(want)

    def _port(self, name: str, valid: int, ready: int, fields: tuple[str, str], kind: tuple[str, str, str]) -> None:
        """Both ports' requests, or beats: they stand until they are taken."""
        for port in (0, 1):
            held = self.held.pop((port, name), None)
            if not valid >> port & 1:
                if held:
                    self.fail(f"port {port}: {name} valid dropped before ready; it was {held}")
                continue
            now = tuple(self.part(field, port) for field in fields)
            if held and held != now:
                self.fail(f"port {port}: {name} changed while it waited: {held} -> {now}")
            if not ready >> port & 1:
                self.held[port, name] = now
                continue
            before, self.last[port, name] = self.last[port, name], self.cycle
            if held:
                self.moves.add((port, name, "waited"))
            self.moves.add((port, name, "back_to_back" if before == self.cycle - 1 else "gap"))
            self.publish(port=port, **dict(zip(("kind", *kind[1:]), (kind[0], *now), strict=True)))


class Surroundings(uvm_component):
    """Plays output buffer and write ports. ``stalls``: of requests, data and done, also "late": 400 cycles of 460."""

    stalls = ("random", "random", "random")

    def build_phase(self) -> None:
        self.set_stalls(*self.stalls)

    def set_stalls(self, *kinds: str) -> None:
        """From now on stall requests, data and done after these patterns."""

        def pattern(kind: str) -> Iterator[bool]:
            late = itertools.cycle([True] * 400 + [False] * 60)
            return late if kind == "late" else stall_pattern(kind, random.Random(random.getrandbits(32)))

        self.patterns = [[pattern(kind) for kind in kinds] for _ in (0, 1)]

    def restart(self) -> None:
        """The store was reset."""
        self.banks = [self._random_bank(), self._random_bank()]
        self.released = 0
        self.open: list[deque[int]] = [deque(), deque()]  # beats left of each request
        self.complete = [0, 0]  # requests that wait for done
        self.request_ready = self.data_ready = 0
        for name in ("write_request_ready", "write_data_ready", "write_done"):
            getattr(self.dut, name).value = 0

    @staticmethod
    def _random_bank() -> dict[str, list[list[int]]]:
        return {memory: [[random.getrandbits(bits) for _ in range(BANK)] for _ in range(2)] for memory, bits in WIDTHS.items()}

    def start_of_simulation_phase(self) -> None:
        dut = self.dut = self.get_parent().dut
        self.restart()
        dut.word_read_data.value = dut.tag_read_data.value = 0

    async def run_phase(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if int(dut.rst.value):
                self.restart()
                continue
            for memory, width in WIDTHS.items():
                enable, data = int(getattr(dut, f"{memory}_read_enable").value), random.getrandbits(2 * width)
                if enable:
                    text = str(getattr(dut, f"{memory}_read_address").value)
                    for side in (0, 1):
                        if enable >> side & 1:
                            address = int(text[10 * (1 - side) :][:10], 2)
                            value = self.banks[address >> 9][memory][side][address & 511]
                            data = data & ~(((1 << width) - 1) << width * side) | value << width * side
                    getattr(dut, f"{memory}_read_data").value = data
            self._step(dut)
            if int(dut.buffer_released.value):
                self.banks[self.released % 2] = self._random_bank()
                self.released += 1

    def _step(self, dut) -> None:
        """Both write ports."""
        beats = int(dut.write_data_valid.value) & self.data_ready
        requests = int(dut.write_request_valid.value) & self.request_ready
        request_ready = data_ready = done = 0
        for port, (opened, patterns) in enumerate(zip(self.open, self.patterns, strict=True)):
            if beats >> port & 1:
                opened[0] -= 1
                if not opened[0]:
                    opened.popleft()
                    self.complete[port] += 1
            if requests >> port & 1:
                opened.append(int(str(dut.write_request_words.value)[16 * (1 - port) :][:16], 2))
            pulse = self.complete[port] > 0 and not next(patterns[2])
            self.complete[port] -= pulse
            done |= pulse << port
            request_ready |= (len(opened) < 3 and not next(patterns[0])) << port
            data_ready |= (bool(opened) and not next(patterns[1])) << port
        dut.write_done.value = done
        if request_ready != self.request_ready:
            dut.write_request_ready.value = self.request_ready = request_ready
        if data_ready != self.data_ready:
            dut.write_data_ready.value = self.data_ready = data_ready


class PortsAgent(uvm_agent):
    """Output buffer and write ports: the monitor, and while active what surrounds the store."""

    def build_phase(self) -> None:
        super().build_phase()
        self.dut = self.get_parent().dut
        self.monitor = StoreMonitor("monitor", self)
        if self.active():
            self.surroundings = Surroundings("surroundings", self)


class StorePredictor(Predictor):
    """Requests and beats of each job that the store takes, from what it was seen to read; and the memory, byte for byte."""

    def build_phase(self) -> None:
        self.memory: dict[int, int] = {}  # byte address -> what was written there
        self.image: dict[int, int] = {}  # likewise, what must be
        self.most_waiting = 0
        self.strobes: set[int] = set()
        self.restart()

    def restart(self) -> None:
        """The store was reset."""
        self.number = self.stored = 0
        self.content = {memory: [{}, {}] for memory in WIDTHS}  # of the bank that is read: address -> data
        self.reads = [0, 0]  # of words, of tag pieces
        self.jobs: deque[TileStoreJob] = deque()  # taken in this cycle: their last reads have their data in the next
        self.due: list[list[int]] = [[0], [0]]  # requests until the end of each job, of each port
        self.open: list[deque[list[int]]] = [deque(), deque()]  # requests whose beats come: address, beats left

    def happened(self, fields: dict) -> None:
        """Something moved on a port."""
        getattr(self, f"_{fields['kind']}")(fields)

    def job(self, fields: dict[str, int]) -> None:
        """The store has read all of a job's data, and releases the bank."""
        self.jobs.append(TileStoreJob.unpack(fields["job"]))

    def _released(self, fields: dict) -> None:
        self.expect_job(self.jobs.popleft())
        self.number += 1
        self.most_waiting = max(self.most_waiting, self.number - self.stored)

    def _rst(self, fields: dict) -> None:
        scoreboard = self.get_parent().scoreboard
        scoreboard.forget()
        for stream in ("released", "stored"):
            scoreboard.planned[stream] = scoreboard.seen[stream]
        self.restart()

    def _read(self, fields: dict) -> None:
        side, address = fields["side"], fields["address"]
        assert address // BANK == self.number % 2, f"job {self.number}: a read of the wrong bank, at {address}"
        self.content[fields["memory"]][side][address % BANK] = fields["data"]
        self.reads[fields["memory"] == "tag"] += 1

    def _request(self, fields: dict) -> None:
        self.get_parent().scoreboard.actual(f"request{fields['port']}", {"address": fields["address"], "words": fields["words"]})
        self.open[fields["port"]].append([fields["address"], fields["words"]])
        self.get_parent().coverage.sample(request_words=fields["words"])

    def _beat(self, fields: dict) -> None:
        opened = self.open[fields["port"]]
        self.get_parent().scoreboard.actual(f"beat{fields['port']}", {"data": fields["data"], "strobe": fields["strobe"]})
        self.strobes.add(fields["strobe"])
        assert opened, f"port {fields['port']}: a beat that no request announced"
        write_beat(self.memory, opened[0][0], fields["data"], fields["strobe"])
        opened[0][0] += 8
        opened[0][1] -= 1
        if not opened[0][1]:
            opened.popleft()

    def _stored(self, fields: dict) -> None:
        assert self.stored < self.number, "`stored`, but no job was released"
        for port in (0, 1):
            needed = self.due[port][self.stored + 1]
            assert fields["dones"][port] >= needed, f"job {self.stored} reported stored before its last response"
        self.get_parent().scoreboard.actual("stored", {"job": self.stored})
        self.stored += 1

    def expect_job(self, job: TileStoreJob) -> None:
        """Everything that a job must write."""
        scoreboard = self.get_parent().scoreboard
        count = job.unit_rows * job.columns_stored
        want = {"words": count * job.words_per_pixel_stored, "pieces": count * job.pieces_per_pixel * job.store_tags}
        self.expect("released", {"job": self.number} | want)
        scoreboard.actual("released", {"job": self.number, "words": self.reads[0], "pieces": self.reads[1]})
        self.expect("stored", {"job": self.number})
        for stream in ("released", "stored"):
            scoreboard.planned[stream] = scoreboard.planned.get(stream, 0) + 1
        for port in (0, 1):
            writes = self.writes(job, port)
            apply(self.image, writes)
            where = f"job {self.number}, rows {port}, {port + 2}, ..."
            for address, words in writes.requests:
                self.expect(f"request{port}", {"address": address, "words": words}, where)
            for data, strobe in writes.beats:
                self.expect(f"beat{port}", {"data": data, "strobe": strobe}, where)
            self.due[port].append(self.due[port][-1] + len(writes.requests))
        self.content, self.reads = {memory: [{}, {}] for memory in WIDTHS}, [0, 0]
        self.sample(job)

    def writes(self, job: TileStoreJob, port: int) -> HalfWrites:
        """What a half writes: its bank as it was read, with 0x5A5A where nothing was."""
        words, pieces = ([content[port].get(address, 0x5A5A) for address in range(BANK)] for content in self.content.values())
        return store_half(job, port, words, pieces)

    def sample(self, job: TileStoreJob) -> None:
        """Which cases a job was."""
        half = (job.unit_rows + 1) // 2
        last_word = (half - 1) * job.buffer_row_words + (job.columns_stored - 1) * job.buffer_pixel_words + job.words_per_pixel_stored
        last_piece = (half - 1) * job.buffer_row_pieces + job.columns_stored * job.pieces_per_pixel
        coverage = self.get_parent().coverage
        coverage.sample(
            contiguous=job.contiguous,
            tags=job.store_tags,
            rows={1: "one", 2: "two"}.get(job.unit_rows, "odd" if job.unit_rows % 2 else "even"),
            columns={1: "one", 2: "two"}.get(job.columns_stored, "more"),
            words={1: "one", 2: "two"}.get(job.words_per_pixel_stored, "more"),
            partial=int(job.buffer_pixel_words > job.words_per_pixel_stored),
            tag_start=job.tag_destination // 2 % 4 if job.store_tags else None,
            pieces=("even", "odd")[job.pieces_per_pixel % 2] if job.store_tags else None,
            last_place="word" if last_word == BANK else None,
        )
        coverage.sample(last_place="piece" if job.store_tags and last_piece == BANK else None)


class StoreEnvironment(UnitEnvironment):
    """Jobs, output buffer, write ports, predictor, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        for stream in ("request0", "request1", "beat0", "beat1", "released", "stored"):
            self.scoreboard.add_stream(stream)
        self.job = self.source("job", {"job": self.dut.job})
        self.ports = PortsAgent("ports", self)
        self.predictor = StorePredictor.create("predictor", self)
        points = {
            "contiguous": (0, 1),
            "tags": (0, 1),
            "rows": ("one", "two", "odd", "even"),
            "columns": ("one", "two", "more"),
            "words": ("one", "two", "more"),
            "partial": (0, 1),
            "tag_start": range(4),
            "pieces": ("even", "odd"),
            "last_place": ("word", "piece"),
            "request_words": (1, 2, 15, 16, 17),  # a burst has up to 16 beats
            "strobe": (0x03, 0x0C, 0x0F, 0x30, 0x3C, 0x3F, 0xC0, 0xF0, 0xFC, 0xFF),
            "activity": ("active", "wait_input", "wait_output"),
            "moves": [(p, name, kind) for p in (0, 1) for name in ("request", "data") for kind in ("back_to_back", "gap", "waited")],
        }
        crosses = {"shape": ("contiguous", "rows", "tags"), "packing": ("contiguous", "tag_start", "pieces")}
        self.coverage = Coverage("coverage", self, points, crosses)
        self.flow = FlowCoverage("flow", self, {"job": self.job})

    def connect_phase(self) -> None:
        self.predictor.hear(self.ports, self.predictor.happened)
        self.predictor.hear(self.job, self.predictor.job)

    def extract_phase(self) -> None:
        monitor = self.ports.monitor
        for point, bins in (("activity", monitor.activities), ("moves", monitor.moves), ("strobe", self.predictor.strobes)):
            for one in bins:
                self.coverage.sample(**{point: one})

    def check_phase(self) -> None:
        memory, image = self.predictor.memory, self.predictor.image
        if memory != image:
            differs = sorted(address for address in memory | image if memory.get(address) != image.get(address))
            raise CheckFailure(self, f"memory differs at {len(differs)} bytes, first at {differs[0]:#x}")

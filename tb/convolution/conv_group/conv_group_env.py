# SPDX-License-Identifier: Apache-2.0
"""Environment of conv_group: agents of its memories, jobs and transfers, and the predictor, which keeps a copy of the memories."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections import Counter, deque
from typing import Any

import numpy as np
from cocotb.triggers import ClockCycles, Event, FallingEdge, RisingEdge
from pyuvm import uvm_agent, uvm_analysis_port, uvm_component, uvm_driver, uvm_monitor, uvm_sequencer

from gradcore.hardware import LANES, TILE_ENTRIES, TILE_PIXELS, WEIGHT_ROWS
from gradcore.models.arithmetic import VALUE_MIN
from gradcore.models.convolution.conv_group import ConvJob, compute, group_share, own_units, windows
from gradcore.models.convolution.partial_sums import PartialSums
from gradcore.models.expectation import Checked
from tb.convolution.conv_group.conv_group_coverage import chain_bins, group_coverage, job_bins
from tb.support import watched
from tb.support.agents import bundle_ports
from tb.support.base import FlowCoverage, Predictor, UnitEnvironment
from tb.support.entry_writes import entry_writes, ways, written_bits
from tb.support.seeds import test_rng
from tb.support.uvm import CheckFailure, SeenItem, SinkAgent

BESIDE = ("origin_entry", "origin_pixel", "line_entries", "line_pixels", "quarters")  # ports beside the job
TRANSFER = {"tag": 1, "bank": 1, "parity": 1, "address": 9, "data": 64}
ROW_BITS, DATA_BITS = (TILE_ENTRIES // 2 - 1).bit_length(), 27  # of an entry's row in its RAM; {channel, value}
QUEUE = 9  # transfers that wait in a stream when it stops: eight in the queue, one on the port
LIMIT = 4_000  # products and values of a job that fxpmath computes; of larger ones a random sample of so many
PULSES = (
    "tile_loaded", "bank_released", "computed", "entry_write", "count_write", "weight_write", "initial_write",
    "event_issue", "event_output_wait", "event_saturated",
)  # fmt: skip


def job_item(job: ConvJob) -> dict[str, int]:
    """What stands on the job's ports."""
    return {"job": job.pack(), **{name: getattr(job, name) for name in BESIDE}}


class GroupMonitor(uvm_monitor):
    """Publishes every cycle in which something is up but the job and the transfers: the fields that are, and what goes with them."""

    def build_phase(self) -> None:
        self.analysis_port = uvm_analysis_port("analysis_port", self)
        self.cycle = 0

    def number(self, name: str) -> int:
        """What a port holds; X fails."""
        try:
            return watched.number(self.handles[name])
        except ValueError as error:
            raise CheckFailure(self, f"{name} is {watched.bits(self.handles[name])}") from error

    def among(self, name: str, which: int) -> int:
        """The parts of a port for the streams that ``which`` has; 0 for the other, which may be X."""
        text = str(self.handles[name].value) if which else ""
        width, found = len(text) // 2, 0
        for part in (0, 1):
            if which >> part & 1:
                bits = text[width * (1 - part) :][:width]
                if not bits.strip("01"):
                    found |= int(bits, 2) << width * part
                else:
                    raise CheckFailure(self, f"part {part} of {name} is {bits}")
        return found

    async def run_phase(self) -> None:
        dut = self.get_parent().dut
        with_it = {
            "entry_write": ("entry_bank",),
            "count_write": ("count_write_address", "count_write_data"),
            "weight_write": ("weight_write_address", "weight_write_data"),
            "initial_write": ("initial_write_address", "initial_write_data"),
        }
        ports = (
            "entry_write_row",
            "entry_write_data",
            "rst",
            "job_valid",
            "job_ready",
            "job",
            "weights_loaded",
            "transfer_valid",
            "transfer_ready",
        )
        self.handles = {name: getattr(dut, name) for name in (*PULSES, *itertools.chain(*with_it.values()), *ports)}
        token, stood = None, 0  # of the job that stands on the port; how many cycles so far: its fields come in the second
        places = {name: ConvJob.PLACES[name] for name in ("wait_weights", "to_partial")}
        in_reset = True
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            item = SeenItem()
            if self.number("rst"):
                if not in_reset:
                    item.fields = {"rst": 1}
                    self.analysis_port.write(item)
                in_reset, token, stood = True, None, 0
                continue
            in_reset = False
            up = {name: value for name in PULSES if (value := self.number(name))}
            for pulse, names in with_it.items():
                if pulse in up:
                    up |= {name: self.number(name) for name in names}
            if "entry_write" in up:
                rows, data = (str(self.handles[name].value) for name in ("entry_write_row", "entry_write_data"))
                up["entries"] = entry_writes(self, up["entry_write"], rows, data)
            if "event_saturated" in up:  # the bank of the other stream may be X
                banks = dut.event_saturated_bank.value
                up["saturated_banks"] = [int(banks[stream]) for stream in (0, 1) if up["event_saturated"] >> stream & 1]
            up["valid"], up["out_valid"] = self.number("job_valid"), self.number("transfer_valid")
            up["out_ready"] = self.among("transfer_ready", up["out_valid"])
            if up["valid"]:
                up["taken"], up["weights_loaded"] = self.number("job_ready"), self.number("weights_loaded")
                if token is None and (stood or up["taken"]):
                    bits = self.number("job")
                    token = {name: bits >> low & ((1 << width) - 1) for name, (low, width, _) in places.items()}
                up |= token or dict.fromkeys(places)
                stood += 1
                if up["taken"]:
                    token, stood = None, 0
            item.fields = up
            self.analysis_port.write(item)


class Memories(uvm_agent):
    """Tile bank, weight buffer, initial accumulators and tokens: one monitor; while active ``sequencer`` takes tiles and rows to write.

    Items: ``tile`` with ``job`` (the next tile), ``row`` with ``weights``, ``initial`` with ``value``, or ``pause`` (cycles).
    """

    def build_phase(self) -> None:
        super().build_phase()
        self.dut = self.get_parent().dut
        self.monitor = GroupMonitor("monitor", self)
        if self.active():
            self.lanes = {}
            for name, kind in (("tiles", TileDriver), ("weights", WeightDriver)):
                sequencer, driver = uvm_sequencer(f"{name}_sequencer", self), kind(f"{name}_driver", self)
                self.lanes[name] = sequencer, driver
            self.host = Host("host", self)

    def connect_phase(self) -> None:
        if self.active():
            for sequencer, driver in self.lanes.values():
                driver.seq_item_port.connect(sequencer.seq_item_export)

    def restart(self) -> None:
        """The group was reset: the next tile goes to bank 0, and no job is computed."""
        self.host.computed = self.host.unread = self.lanes["tiles"][1].number = 0
        self.host.stores.clear()

    async def start(self, name: str, sequence: Any) -> None:
        """Run a sequence of ``tiles`` or of ``weights`` to its end."""
        await sequence.start(self.lanes[name][0])


class Host(uvm_component):
    """Raises ``weights_loaded`` to ``target``, and reads out the output bank of each job that is computed; ``slow``: late, at random.

    Attributes:
        stores: of each job that is not computed yet, in order, whether it has an output bank.
    """

    slow = True

    def build_phase(self) -> None:
        self.stores: deque[bool] = deque()
        self.computed = self.unread = self.target = self.weights = 0
        self.progress = Event()

    def start_of_simulation_phase(self) -> None:
        dut = self.get_parent().dut
        dut.weights_loaded.value = 0
        dut.bank_released.value = 0

    async def run_phase(self) -> None:
        dut, release = self.get_parent().dut, False
        await FallingEdge(dut.rst)
        while True:
            await RisingEdge(dut.clk)
            if int(dut.rst.value):  # what was read out is forgotten
                release, dut.bank_released.value = False, 0
                continue
            if int(dut.computed.value):
                self.computed += 1
                self.unread += self.stores.popleft()
                self.progress.set()
            before, release = release, self.unread > 0 and (not self.slow or random.random() < 0.05)
            self.unread -= release
            if release != before:
                dut.bank_released.value = int(release)
            if self.weights < self.target and (not self.slow or random.random() < 0.05):
                self.weights += 1
                dut.weights_loaded.value = self.weights


class TileDriver(uvm_driver):
    """Writes tiles, each when the job two before it is computed; random bits stand while nothing is written.

    A half writes one entry in a cycle or two neighbours, at random but for the first ones, which are two where there are.
    """

    def build_phase(self) -> None:
        super().build_phase()
        self.number = 0

    def start_of_simulation_phase(self) -> None:
        dut = self.dut = self.get_parent().dut
        for name in ("entry_write", "count_write", "tile_loaded"):
            getattr(dut, name).value = 0

    async def run_phase(self) -> None:
        while True:
            item = await self.seq_item_port.get_next_item()
            while self.get_parent().host.computed + 2 <= self.number:
                self.get_parent().host.progress.clear()
                await self.get_parent().host.progress.wait()
            await self.write(item.fields["job"], item.fields["tile"])
            self.number += 1
            self.seq_item_port.item_done()

    async def write(self, job: ConvJob, tile: np.ndarray) -> None:
        """All entries and counts of a tile, then ``tile_loaded``."""
        dut = self.dut
        bank = self.number % 2
        dut.entry_bank.value = bank
        writes: list[list[tuple[int, int]]] = [[], []]
        counts = []
        for row in range(job.buffer_rows):
            for column in range(job.buffer_columns):
                channels = np.flatnonzero(tile[row, column])
                base = row * job.row_entries + column * job.slot
                for k, channel in enumerate(channels):
                    writes[row % 2].append((base + k, int(channel) << 16 | int(tile[row, column, channel]) & 0xFFFF))
                counts.append((row * job.buffer_columns + column, len(channels)))
        first = True
        while counts or writes[0] or writes[1]:
            enable, rows, data = 0, random.getrandbits(4 * ROW_BITS), random.getrandbits(4 * DATA_BITS)
            for half, left in enumerate(writes):
                if left:
                    both = len(left) > 1 and left[-1][0] == left[-2][0] + 1 and (first or random.random() < 0.5)
                    some = [left.pop() for _ in range(1 + both)]
                    parts, row, what = written_bits(some, half, ROW_BITS, DATA_BITS)
                    for part in range(4):
                        if parts >> part & 1:
                            rows &= ~(((1 << ROW_BITS) - 1) << ROW_BITS * part)
                            data &= ~(((1 << DATA_BITS) - 1) << DATA_BITS * part)
                    enable, rows, data = enable | parts, rows | row, data | what
            first = False
            dut.entry_write.value, dut.entry_write_row.value, dut.entry_write_data.value = enable, rows, data
            where, what = counts.pop() if counts else (None, random.getrandbits(11))
            dut.count_write.value = int(where is not None)
            dut.count_write_address.value = bank * TILE_PIXELS + where if where is not None else random.getrandbits(10)
            dut.count_write_data.value = what
            await RisingEdge(dut.clk)
        dut.entry_write.value = 0
        dut.count_write.value = 0
        dut.entry_bank.value = random.getrandbits(1)
        dut.tile_loaded.value = 1
        await RisingEdge(dut.clk)
        dut.tile_loaded.value = 0


class WeightDriver(uvm_driver):
    """Writes a row of weights or an initial accumulator a cycle, or pauses."""

    def start_of_simulation_phase(self) -> None:
        dut = self.get_parent().dut
        dut.weight_write.value = 0
        dut.initial_write.value = 0

    async def run_phase(self) -> None:
        dut = self.get_parent().dut
        while True:
            item = await self.seq_item_port.get_next_item()
            fields = item.fields
            if "row" in fields:
                dut.weight_write.value = 1
                dut.weight_write_address.value = fields["row"]
                dut.weight_write_data.value = int.from_bytes(np.asarray(fields["weights"], dtype="<i2").tobytes(), "little")
            if "initial" in fields:
                dut.initial_write.value = 1
                dut.initial_write_address.value = fields["initial"]
                dut.initial_write_data.value = int(fields["value"]) & ((1 << 48) - 1)
            await ClockCycles(dut.clk, fields.get("pause", 1))
            if "pause" not in fields:
                dut.weight_write.value = 0
                dut.initial_write.value = 0
                dut.weight_write_data.value = random.getrandbits(256)
            self.seq_item_port.item_done()


class SumKeeper(Checked):
    """The arithmetic of a job in fxpmath; keeps its sums and pooling windows for coverage."""

    sums = windows = None

    def exact_sum(self, values: np.ndarray, weights: np.ndarray, initial: np.ndarray | int = 0) -> np.ndarray:
        self.sums = super().exact_sum(values, weights, initial)
        return self.sums

    def winners(self, windows: np.ndarray, outside: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        self.windows = windows if outside is None else np.where(outside[..., None], VALUE_MIN - 1, windows)
        return super().winners(windows, outside)


class GroupPredictor(Predictor):
    """What one group makes of each job that it takes, from what was written to its memories; and what must hold in every cycle."""

    def build_phase(self) -> None:
        self.rng = test_rng()
        self.groups, self.group = self.get_parent().numbers
        self.channel = np.zeros((2, TILE_ENTRIES), dtype=np.int64)
        self.value = np.zeros((2, TILE_ENTRIES), dtype=np.int64)
        self.counts = np.zeros((2, TILE_PIXELS), dtype=np.int64)
        self.weights = np.zeros((WEIGHT_ROWS, LANES), dtype=np.int64)
        self.initial = np.zeros((2, LANES), dtype=np.int64)
        self.activities: set[tuple[int, str]] = set()
        self.ways: set[tuple[str, tuple]] = set()  # in which entries were seen written
        self.values: Counter[int] = Counter()  # results, and how often each was expected
        self.reset()

    def reset(self) -> None:
        """After a reset no job is known; the memories hold what they held."""
        self.tiles = self.taken = self.stored = self.computed = self.released = 0  # stored: jobs taken that have an output bank
        self.partial = self.new_partial()
        self.chunks: dict[int, int] = {}  # of a job that left partial sums, by its number in `partial`: chunks that they are made of
        self.sent: list[dict[tuple[int, int, int], int]] = []  # the transfers of each job that stores
        self.open: deque[dict[str, Any]] = deque()  # jobs that were taken and are not computed
        self.received: list[list[tuple[tuple[int, int, int], int, int]]] = [[], []]  # of each bank: key, data, stream
        self.saturated = [0, 0]
        self.issued, self.due = [0, 0], [0, 0]  # entries, of each stream: seen, and of the units that it sent
        self.most = [1, 1]  # transfers that may wait in each stream
        self.have: dict[str, bool] = {}  # what the job on the port has of what it waits for
        self.before: dict[str, bool] = {}  # likewise, a cycle ago
        self.startable = False
        self.arrival: tuple[dict[str, bool], dict[str, bool], int] | None = None

    def new_partial(self) -> PartialSums:
        """The partial sums of an idle group."""
        return PartialSums()

    def formats(self, shift: int) -> Checked:
        """The arithmetic of a job with this shift."""
        return SumKeeper.of_shift(shift, self.rng, limit=LIMIT)

    # ---- What the monitors see ---------------------------------------------------------------------------------

    def happened(self, up: dict[str, Any]) -> None:
        """A cycle of the memories, tokens and events."""
        if "rst" in up:
            scoreboard = self.get_parent().scoreboard
            self.reset()
            scoreboard.forget()
            scoreboard.planned["job"] = scoreboard.seen["job"]
            return
        self.rules_of_events(up)
        self.write(up)
        self.tiles += up.get("tile_loaded", 0)
        self.released += up.get("bank_released", 0)
        for bank in up.get("saturated_banks", ()):
            self.saturated[bank] += 1
        if up.get("computed"):
            self.finish()
        no_bank = bool(up.get("to_partial"))
        have = {"tile": self.tiles > self.taken, "bank": no_bank or self.released + 2 > self.stored, "job": bool(up["valid"])}
        if up["valid"] and up["wait_weights"] is None:  # a job's fields come in its second cycle, and tell then what was there in the first
            self.arrival = self.before, have, up["weights_loaded"]
        elif up["valid"]:
            if self.arrival:
                before, arrived, loaded = self.arrival
                if no_bank and before:
                    before["bank"] = arrived["bank"] = True
                arrived["weights"] = loaded >= up["wait_weights"]
                self.sample_last_tokens(before, arrived)
                self.arrival, self.before = None, arrived
            have["weights"] = up["weights_loaded"] >= up["wait_weights"]
            self.sample_last_tokens(self.before, have)
        self.startable = len(self.before) == 4 and all(self.before.values())
        self.have = have
        self.before = {} if up.get("taken") else have

    def sample_last_tokens(self, before: dict[str, bool], have: dict[str, bool]) -> None:
        """Which tokens were the last that a job waited for, if all have come by now."""
        if all(have.values()):
            for name in have:
                if not before.get(name, False):
                    self.get_parent().coverage.sample(last_token=name)

    def write(self, up: dict[str, Any]) -> None:
        """What goes into the memories."""
        if "entries" in up:
            for address, data in itertools.chain(*up["entries"]):
                self.channel[up["entry_bank"], address] = data >> 16
                self.value[up["entry_bank"], address] = signed(data & 0xFFFF, 16)
            new = ways(up["entries"]) - self.ways
            self.ways |= new
            for point, one in new:
                self.get_parent().coverage.sample(**{point: one})
        if "count_write" in up:
            self.counts[divmod(up["count_write_address"], TILE_PIXELS)] = up["count_write_data"]
        if "weight_write" in up:
            row = np.frombuffer(up["weight_write_data"].to_bytes(32, "little"), dtype="<i2")
            self.weights[up["weight_write_address"]] = row
        if "initial_write" in up:
            self.initial[divmod(up["initial_write_address"], LANES)] = signed(up["initial_write_data"], 48)

    def rules_of_events(self, up: dict[str, Any]) -> None:
        """A stream issues, or waits for its output, or neither; it waits only when its queue can be full; stream 1 stands for a write."""
        issue, wait, frozen = up.get("event_issue", 0), up.get("event_output_wait", 0), up.get("weight_write", 0)
        coverage = self.get_parent().coverage
        assert not (self.taken == self.computed and issue and not self.startable), "an entry was issued for a job that may not start"
        for stream in (0, 1):
            valid, ready, waits = (bits >> stream & 1 for bits in (up["out_valid"], up["out_ready"], wait))
            issues = issue >> stream & 1
            assert not (issues and waits), f"stream {stream} issued while it waited for the output"
            assert not (issues and stream and frozen), "stream 1 issued in the cycle of a weight write"
            assert not waits or valid and self.most[stream] >= QUEUE, f"stream {stream} waits for the output, but its queue is not full"
            self.most[stream] = min(self.most[stream] + 1, QUEUE) - ready if valid else 2
            self.issued[stream] += issues
            for activity in ("output wait",) if waits else ("issue",) if issues else ():
                if (stream, activity) not in self.activities:
                    self.activities.add((stream, activity))
                    coverage.sample(activity=(stream, activity))
        if frozen and any(self.received):
            coverage.sample(write_while="busy")

    def transfer(self, stream: int, fields: dict[str, int]) -> None:
        """One transfer of a stream; compared when its job is computed."""
        key = (fields["tag"], fields["parity"], fields["address"])
        self.received[fields["bank"]].append((key, fields["data"], stream))

    # ---- Jobs --------------------------------------------------------------------------------------------------

    def job(self, fields: dict[str, int]) -> None:
        """The group has scanned a job: its tile and its weights stand in the memories. Expect everything it makes."""
        number, bank = self.taken, self.taken % 2
        unpacked = ConvJob.unpack(fields["job"])
        job = dataclasses.replace(unpacked, quarters=fields["quarters"])
        for name in BESIDE:
            assert fields[name] == getattr(job, name), f"job {number}: {name} is {fields[name]}, {getattr(job, name)} fits the job"
        assert self.have.get("weights", False), f"job {number} was taken before {job.wait_weights} weights were loaded"
        assert self.tiles > number, f"job {number} was taken before its tile was loaded"
        assert job.to_partial or self.released + 2 > self.stored, f"job {number} was taken while its output bank was in use"
        self.taken += 1
        output_bank = None if job.to_partial else self.stored % 2
        self.stored += not job.to_partial
        tile = self.tile(job, bank)
        rules = self.formats(job.shift)
        seen = windows(job, tile)
        share = group_share(job, self.groups, self.group)
        rows, columns = own_units(job, self.groups, self.group)
        goes_on = self.chunks.get(self.partial.queues[0][0].job, 0) if job.from_partial and len(rows) else 0
        waiting = {pixel.job for queue in self.partial.queues for pixel in queue}
        initial, partial = self.initial[job.bias_bank], self.partial
        made = compute(job, seen, self.weights, initial, self.groups, self.group, partial=partial, rules=rules)
        if job.to_partial:
            self.chunks[partial.jobs] = goes_on + 1
        units = {}  # key of a transfer -> unit, what it holds
        for unit, (parity, word, piece) in enumerate(zip(made.parity.tolist(), made.words.tolist(), made.pieces.tolist(), strict=True)):
            for position in range(4):
                units[0, parity, word + position] = unit, f"channels {4 * position} to {4 * position + 3}"
            for position in range(job.pieces if job.store_tags else 0):
                units[1, parity, piece + position] = unit, f"tag piece {position}"
        transfers = self.transfers(made)
        if made.stored:
            self.values.update((made.values & 0xFFFF).reshape(-1).tolist())
        for key in sorted(transfers):
            unit, what = units[key]
            where = f"job {number}, row {rows[unit]}, column {columns[unit]}, {what} of block {share[0]}"
            formats = {} if key[0] else {"data": rules.formats.result}
            self.expect("transfer", dict(zip(("tag", "parity", "address"), key, strict=True)) | {"data": transfers[key]}, where, formats)
        self.expect("job", {"job": number, "transfers": len(transfers), "saturated": made.saturated}, where=f"{job}")
        entries = made.entries.sum(axis=1)
        firsts = {key: unit for key, (unit, what) in units.items() if what.startswith("channels 0")}
        in_turn = bool(job.from_partial or job.to_partial)
        self.open.append({"bank": output_bank, "entries": entries.tolist(), "units": firsts, "in_turn": in_turn})
        self.get_parent().scoreboard.planned["job"] = self.get_parent().scoreboard.planned.get("job", 0) + 1
        job_bins(self.get_parent().coverage, job, tile, self.weights, made, rules, share)
        if share:
            chain_bins(self.get_parent().coverage, job, made, goes_on + 1, waiting, partial)

    def transfers(self, made: Any) -> dict[tuple[int, int, int], int]:
        """{(is tag, parity, address): data} of what the group sends."""
        return made.transfers

    def tile(self, job: ConvJob, bank: int) -> np.ndarray:
        """The values that a bank's lists hold: int64 (buffer_rows, buffer_columns, slot)."""
        tile = np.zeros((job.buffer_rows, job.buffer_columns, job.slot), dtype=np.int64)
        for row in range(job.buffer_rows):
            for column in range(job.buffer_columns):
                first, count = row * job.row_entries + column * job.slot, self.counts[bank, row * job.buffer_columns + column]
                tile[row, column, self.channel[bank, first : first + count]] = self.value[bank, first : first + count]
        return tile

    def finish(self) -> None:
        """The oldest job is computed: all its transfers and events must have come, and each stream must have issued its entries."""
        assert self.open, "`computed`, but no job was taken"
        job = self.open.popleft()
        bank, entries = job["bank"], job["entries"]
        scoreboard = self.get_parent().scoreboard
        received, saturated = [], 0
        if bank is not None:
            received, self.received[bank] = sorted(self.received[bank]), []
            saturated, self.saturated[bank] = self.saturated[bank], 0
            self.sent.append({key: data for key, data, _ in received})
        else:
            self.due = [due + sum(entries[stream::2]) for stream, due in enumerate(self.due)]
        for key, data, stream in received:
            unit = job["units"].get(key)
            if unit is not None:
                self.due[stream] += entries[unit]
                assert not job["in_turn"] or stream == unit % 2, f"unit {unit} of a job in chunks went to stream {stream}: units take turns"
            scoreboard.actual("transfer", dict(zip(("tag", "parity", "address"), key, strict=True)) | {"data": data})
        scoreboard.actual("job", {"job": self.computed, "transfers": len(received), "saturated": saturated})
        self.computed += 1
        for stream in (0, 1):
            issued, due = self.issued[stream], self.due[stream]
            assert issued >= due, f"stream {stream} issued {issued} entries, its units have {due}"
            idle = self.computed == self.taken and not self.before.get("job")
            assert not idle or issued == due, f"stream {stream} issued {issued} entries, its units have {due}"

    def check_phase(self) -> None:
        if any(self.received) or any(self.saturated):
            raise CheckFailure(self, f"left over: {self.received} and {self.saturated} saturated values of no job")
        if not self.open and self.issued != self.due:
            raise CheckFailure(self, f"the streams issued {self.issued} entries, their units have {self.due}")


def signed(word: int, bits: int) -> int:
    """A word as a signed number."""
    return word - (1 << bits) if word >> (bits - 1) else word


class GroupEnvironment(UnitEnvironment):
    """Jobs, memories, both streams of transfers, predictor, scoreboard, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.scoreboard.add_stream("transfer")
        self.scoreboard.add_stream("job")
        dut = self.dut
        self.numbers = self.parameter("GROUPS"), self.parameter("GROUP")
        self.job = self.source("job", {"job": dut.job, **{name: getattr(dut, name) for name in BESIDE}}, options={"late": 1})
        self.memories = Memories("memories", self)
        ports = bundle_ports(dut, "transfer", 2, TRANSFER)
        self.streams = [SinkAgent(f"stream{stream}", self, port) for stream, port in enumerate(ports)]
        self.predictor = GroupPredictor.create("predictor", self)
        self.coverage = group_coverage(self)
        self.flow = FlowCoverage("flow", self, {"job": self.job} | {agent.get_name(): agent for agent in self.streams})

    def connect_phase(self) -> None:
        self.predictor.hear(self.memories, self.predictor.happened)
        self.predictor.hear(self.job, self.predictor.job)
        for stream, agent in enumerate(self.streams):
            self.predictor.hear(agent, lambda fields, stream=stream: self.predictor.transfer(stream, fields))

    def set_stalls(self, stalls: str) -> None:
        """From now on stall both streams of transfers after the pattern."""
        for agent in self.streams:
            agent.set_stalls(stalls)

# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of run_control.v: its pins, a model that says every output of every cycle, what must hold in any, coverage."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Sequence

from gradcore.models.control.run_control import QUIET_PORTS, STATES, RunControl, first_error
from tb.support.agents import PinsAgent, pins
from tb.support.base import ItemSequence, Predictor, UnitEnvironment
from tb.support.declaration import parameter
from tb.support.uvm import Coverage

STOP_LIMIT = parameter("STOP_LIMIT")
CLEAR_CYCLES = 4
ADDRESSES = (0x1000_0008, 0x2000_0010, 0x3000_0018, 0x4000_0020)
ALL_ADDRESSES = sum(address << 32 * port for port, address in enumerate(ADDRESSES))
PULSES = ("start", "soft_reset", "finished", "error_illegal", "error_window", "error_read", "error_write")
LEVELS = ("watchdog_limit", "descriptor_index", "progress", "port_error_address", "port_idle")
OUTPUTS = tuple(RunControl(CLEAR_CYCLES, STOP_LIMIT).outputs)
ERRORS = {"error_illegal": 1, "error_window": 4, "error_read": 2, "error_write": 2}  # bits
QUIET_PINS = (*LEVELS, *OUTPUTS, "start", "soft_reset", "error_window", "error_read", "error_write", "error_illegal")


class RunPredictor(Predictor):
    """The model takes the inputs of each cycle, and says all outputs of the next. Says in the coverage what was seen."""

    def build_phase(self) -> None:
        self.model = RunControl(CLEAR_CYCLES, STOP_LIMIT)
        self.pins: dict[str, int] = {}

    def cycle(self, pins: dict[str, int]) -> None:
        """Compare this cycle's outputs, then take its inputs."""
        self.pins = pins
        model = self.model
        self.expect("outputs", model.outputs, f"in state {model.state} for {model.age} cycles")
        self.get_parent().scoreboard.actual("outputs", {name: pins[name] for name in OUTPUTS})
        self.sample(pins)
        model.step(pins)

    def sample(self, pins: dict[str, int]) -> None:
        """Which cases this cycle is."""
        model, cover = self.model, self.get_parent().coverage
        state, raised = model.state, [name for name in ERRORS if pins[name]]
        for event in (name for name in ("start", "soft_reset", "finished") if pins[name]):
            cover.sample(event_in_state=(event, state))
        if state != "running":
            if raised:
                cover.sample(error_in_state=state)
            if state != "idle" and pins["port_idle"] not in (QUIET_PORTS, 0):
                cover.sample(busy_port=(state, next(port for port in range(4) if not pins["port_idle"] >> port & 1)))
            if state == "stopping" and model.outputs["running"] and model.age == STOP_LIMIT - 1 and not model.quiet(pins):
                cover.sample(stop="given up")
            if state != "idle" and model.quiet(pins):
                cover.sample(clear=(state, "least" if model.age == CLEAR_CYCLES - 1 else "longer"))
            if state == "stopping" and model.quiet(pins):
                cover.sample(stop="quiet" if model.outputs["running"] else "quiet after it was given up")
            return
        watchdog = model.expired(pins)
        error = first_error(pins, watchdog)
        if model.limit and not pins["progress"] and model.still + 1 == model.limit - 1:
            cover.sample(watchdog="one less")
        if error:
            name, port = error
            cover.sample(code=name, port=(name, port) if port is not None else None)
            lost = ["watchdog"] if watchdog and name != "WATCHDOG" else []
            lost += ["finished"] if pins["finished"] else []
            for second in (*raised[1:], *lost):
                cover.sample(at_once=(name, second))
            several = any(bin(pins[signal]).count("1") > 1 for signal in ERRORS)
            if several:
                cover.sample(ports_at_once=name)
        if watchdog:
            cover.sample(watchdog={1: "limit 1", 2: "limit 2"}.get(model.limit, "more"))
        elif not model.limit and model.still == 100:
            cover.sample(watchdog="off")


class Rules(Predictor):
    """What must hold in every cycle, whatever the model says."""

    def build_phase(self) -> None:
        self.before: dict[str, int] = {}
        self.counts: Counter[str] = Counter()

    def cycle(self, now: dict[str, int]) -> None:
        """One cycle; counts interrupts, starts of the sequencer, cycles of running."""
        self.counts["cycles"] += 1
        for name in ("interrupt_event", "sequencer_start", "running"):
            self.counts[name] += now[name]
        assert now["clear"] == now["flush"], "both stop the core together"
        assert not (now["sequencer_start"] and now["clear"]), "the sequencer would miss its start"
        assert now["error"] == (now["code"] != 0), "an error has a code"
        assert not now["running"] or (now["busy"] and not now["done"]), "running is busy and not done"
        assert not now["clear"] or now["busy"], "a core that is cleared is busy"
        if self.before:
            assert now["interrupt_event"] == (now["done"] and not self.before["done"]), "one interrupt a run"
            assert not (self.before["interrupt_event"] and now["interrupt_event"]), "an interrupt lasts a cycle"
        self.before = now


class RunEnvironment(UnitEnvironment):
    """Pins, model, rules, coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.scoreboard.add_stream("outputs")
        rest = dict.fromkeys(PULSES, 0)
        self.pins = PinsAgent("pins", self, pins(self.dut, (*PULSES, *LEVELS), OUTPUTS, rest=rest, quiet=QUIET_PINS))
        self.predictor = RunPredictor.create("predictor", self)
        self.rules = Rules.create("rules", self)
        self.coverage = run_coverage(self)

    def connect_phase(self) -> None:
        self.predictor.hear(self.pins, self.predictor.cycle)
        self.rules.hear(self.pins, self.rules.cycle)


def run_coverage(parent: RunEnvironment) -> Coverage:
    """What a complete run must have tried."""
    clearing = ("prepare", "stopping", "aborting")
    names = {
        "error_illegal": "ILLEGAL_DESCRIPTOR",
        "error_window": "WINDOW",
        "error_read": "READ_RESPONSE",
        "error_write": "WRITE_RESPONSE",
    }
    order = [*names, "watchdog", "finished"]
    points = {
        "event_in_state": list(itertools.product(("start", "soft_reset", "finished"), STATES)),
        "error_in_state": [state for state in STATES if state != "running"],
        "code": [*names.values(), "WATCHDOG"],
        "port": [
            *(("WINDOW", port) for port in range(4)),
            ("READ_RESPONSE", 0),
            ("READ_RESPONSE", 1),
            ("WRITE_RESPONSE", 2),
            ("WRITE_RESPONSE", 3),
        ],
        "at_once": [(name, later) for place, (_, name) in enumerate(names.items()) for later in order[place + 1 :]],
        "ports_at_once": ("WINDOW", "READ_RESPONSE", "WRITE_RESPONSE"),
        "watchdog": ("limit 1", "limit 2", "more", "one less", "off"),
        "busy_port": list(itertools.product(clearing, range(4))),
        "clear": list(itertools.product(clearing, ("least", "longer"))),
        "stop": ("quiet", "given up", "quiet after it was given up"),
    }
    return Coverage("coverage", parent, points)


class RandomRuns(ItemSequence):
    """Cycle after cycle at random: runs that end well, by each error, by several at once, by a soft reset; ports that answer late."""

    runs = 160

    def items(self) -> Iterable[dict[str, int]]:
        yield {"port_error_address": ALL_ADDRESSES, "port_idle": QUIET_PORTS, "progress": 1, "watchdog_limit": 0}
        for number in range(self.runs):
            yield from self.one_run(number)

    def one_run(self, number: int) -> Iterable[dict[str, int]]:
        """A run, and what disturbs it."""
        limit = random.choice((1, 2, 3, 5, 17) if number % 5 == 1 else (0, 1, 2, 3, 5, 17))
        levels = {"watchdog_limit": limit, "progress": 1, "descriptor_index": random.getrandbits(16)}
        levels["port_error_address"] = random.getrandbits(128)
        yield {**levels, "start": 1, "port_idle": random.choice((15, 15, 7, 11, 13, 14))}
        yield from self.waiting(random.randrange(8), (7, 11, 13, 14))
        if number % 20 == 7:
            yield {"soft_reset": 1}
        yield {"port_idle": QUIET_PORTS}
        yield from ({} for _ in range(random.randrange(5, 12)))
        if number % 8 == 0:
            yield {"start": 1}
        if number % 40 == 0:
            yield {"watchdog_limit": 0, "progress": 0}
            yield from ({} for _ in range(120))
            yield {"watchdog_limit": limit, "progress": 1}
        yield {"soft_reset": 1} if number % 20 == 13 else {}
        yield from self.end(number, limit)
        yield from self.stop(number)

    def end(self, number: int, limit: int) -> Iterable[dict[str, int]]:
        """What ends the run: its good end, the watchdog alone or with an error, two errors, one."""
        kind, turn = number % 5, number // 5
        some = {"finished": random.getrandbits(1)}
        if kind == 0:
            yield {"finished": 1, "soft_reset": int(number % 40 == 20)}
        elif kind == 1 and turn % 4 == 2:  # a cycle too early for the watchdog
            yield from ({"progress": 0} for _ in range(limit - 1))
            yield {"progress": 1, "finished": 1}
        elif kind == 1:
            yield from ({"progress": 0} for _ in range(limit - 1))
            yield {**some, "progress": 0, **(self.errors(list(ERRORS)[turn // 2 % 4]) if turn % 2 else {})}
        elif kind == 2:
            yield {**some, **self.errors(*list(itertools.combinations(ERRORS, 2))[turn % 6])}
        else:
            kinds = [{name: 1 << port} for name, ports in ERRORS.items() for port in range(ports)]
            kinds += [{name: (1 << ports) - 1} for name, ports in ERRORS.items()]
            yield {**some, **kinds[(2 * turn + kind) % len(kinds)]}

    def errors(self, *names: str) -> dict[str, int]:
        """These errors, each at some ports."""
        return {name: random.randrange(1, 1 << ERRORS[name]) for name in names}

    def waiting(self, cycles: int, idle: Sequence[int] = (15, 7, 11, 13, 14)) -> Iterable[dict[str, int]]:
        """Cycles of a clear in which, now and then, something comes that must not matter; ``idle``: values of port_idle."""
        for _ in range(cycles):
            chance = random.random()
            item = (
                self.errors(random.choice(list(ERRORS)))
                if chance < 0.1
                else {"finished": 1}
                if chance < 0.2
                else {"start": 1}
                if chance < 0.25
                else {}
            )
            yield {**item, "port_idle": random.choice(idle)}

    def stop(self, number: int) -> Iterable[dict[str, int]]:
        """The ports become idle, soon, late or after the limit; a soft reset, or none."""
        busy = (7, 11, 13, 14)[number % 4]
        yield {"port_idle": random.choice((QUIET_PORTS, busy)), "progress": 1}
        if number % 32 == 3:
            yield {"port_idle": busy}
            yield from ({} for _ in range(STOP_LIMIT + 4))
        yield from self.waiting(random.randrange(6))
        if number % 4 == 0:
            yield {"soft_reset": 1, "port_idle": random.choice((QUIET_PORTS, busy))}
            yield from self.waiting(random.randrange(6))
        if number % 16 == 5:
            yield {"soft_reset": 1}
        yield {"port_idle": QUIET_PORTS}
        yield from ({} for _ in range(random.choice((0, CLEAR_CYCLES, CLEAR_CYCLES + 2, 12))))
        if number % 16 == 9:  # without a run
            yield from ({} for _ in range(CLEAR_CYCLES + 2))
            yield {**self.errors(*ERRORS), "finished": 1}
            yield {"soft_reset": 1}
            yield from ({} for _ in range(number % 7))

# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of run_control.v: its pins, a model that says every output of every cycle, what must hold in any, coverage."""

from __future__ import annotations

import itertools
from collections import Counter

from gradcore.hardware import CLEAR_CYCLES, STOP_LIMIT
from gradcore.models.control.run_control import QUIET_PORTS, STATES, RunControl, first_error
from tb.support.agents import PinsAgent, pins
from tb.support.base import Predictor, UnitEnvironment
from tb.support.uvm import Coverage
from tb.support.vectors import VectorSlice

PULSES = ("start", "soft_reset", "finished", "error_illegal", "error_window", "error_read", "error_write")
LEVELS = ("watchdog_limit", "descriptor_index", "progress", "port_error_address", "port_idle")
OUTPUTS = tuple(RunControl(CLEAR_CYCLES, STOP_LIMIT).outputs)
ERRORS = {"error_illegal": 1, "error_window": 4, "error_read": 2, "error_write": 2}  # bits
ADDRESSES = tuple(f"port_error_address{port}" for port in range(4))  # the four parts, of which most are unknown before an error
FAILURES = ("error_read", "error_read", "error_write", "error_write")  # of each port
QUIET_PINS = (*LEVELS, *OUTPUTS, "start", "soft_reset", "error_window", "error_read", "error_write", "error_illegal")


class RunPredictor(Predictor):
    """The model takes the inputs of each cycle, and says all outputs of the next. Says in the coverage what was seen."""

    run_control = RunControl  # the model

    def build_phase(self) -> None:
        self.model = self.run_control(CLEAR_CYCLES, self.get_parent().parameter("STOP_LIMIT"))
        self.pins: dict[str, int] = {}

    def cycle(self, pins: dict[str, int]) -> None:
        """Compare this cycle's outputs, then take its inputs."""
        self.pins = pins = self.with_addresses(pins)
        model = self.model
        self.expect("outputs", model.outputs, f"in state {model.state} for {model.age} cycles")
        self.get_parent().scoreboard.actual("outputs", {name: pins[name] for name in OUTPUTS})
        self.sample(pins)
        model.step(pins)

    def with_addresses(self, pins: dict[str, int]) -> dict[str, int]:
        """The pins with 0 for the address of a port that has no error, if it is unknown."""
        if pins["port_error_address"] is not None:
            return pins
        addresses = [pins[name] for name in ADDRESSES]
        raised = [pins["error_window"] >> port & 1 for port in range(len(ADDRESSES))]
        raised = [one or pins[name] >> port % 2 & 1 for port, (one, name) in enumerate(zip(raised, FAILURES, strict=True))]
        assert not any(error and address is None for error, address in zip(raised, addresses, strict=True)), (
            "an error with an unknown address"
        )
        return {**pins, "port_error_address": sum((address or 0) << 32 * port for port, address in enumerate(addresses))}

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
            if state == "stopping" and model.outputs["running"] and model.age == model.stop_limit - 1 and not model.quiet(pins):
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
        unknown = ("port_error_address", *ADDRESSES, "descriptor_index")
        ports = pins(self.dut, (*PULSES, *LEVELS), OUTPUTS, rest=rest, quiet=QUIET_PINS, unknown=unknown)
        parts = VectorSlice.cut(self.dut.port_error_address, len(ADDRESSES), 32)
        ports.outputs = {**ports.outputs, **dict(zip(ADDRESSES, parts, strict=True))}
        self.pins = PinsAgent("pins", self, ports)
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

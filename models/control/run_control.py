# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/control/run_control.v, cycle by cycle: states, first error, watchdog, how long a stop lasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradcore.hardware import CODES

IDLE, PREPARE, RUNNING, STOPPING, ABORTING = "idle", "prepare", "running", "stopping", "aborting"
STATES = (IDLE, PREPARE, RUNNING, STOPPING, ABORTING)
PORTS = 4  # read port 0, read port 1, write port 0, write port 1
WRITE_PORTS = 2  # the number of the first write port
QUIET_PORTS = (1 << PORTS) - 1
_NOTHING = dict.fromkeys(
    ("done", "error", "code", "error_index", "error_address", "start_while_busy", "interrupt_event", "running", "clear", "flush",
     "sequencer_start"),
    0,
)  # fmt: skip
_NO_RESULT = {"done": 0, "error": 0, "code": 0, "error_index": 0, "error_address": 0, "start_while_busy": 0}


def first_error(pins: Mapping[str, int], watchdog: bool) -> tuple[str, int | None] | None:
    """(name of the code, port) of the error that wins in a cycle; port None: no access. None: no error."""
    if pins["error_illegal"]:
        return "ILLEGAL_DESCRIPTOR", None
    for name, signal, first in (
        ("WINDOW", "error_window", 0),
        ("READ_RESPONSE", "error_read", 0),
        ("WRITE_RESPONSE", "error_write", WRITE_PORTS),
    ):
        if pins[signal]:
            return name, first + (pins[signal] & -pins[signal]).bit_length() - 1
    return ("WATCHDOG", None) if watchdog else None


@dataclass
class RunControl:
    """``state``, and ``outputs``: what stands on the module's outputs in this cycle; ``step`` goes to the next.

    ``age``: cycles in this state so far. ``still``: cycles of running without progress, this one not included.
    """

    clear_cycles: int
    stop_limit: int
    state: str = IDLE
    outputs: dict[str, int] = field(default_factory=lambda: {"busy": 0, **_NOTHING})
    age: int = 0
    still: int = 0
    limit: int = 0  # of the watchdog, in the cycle before

    def expired(self, pins: Mapping[str, int]) -> bool:
        """Whether the watchdog fires in this cycle."""
        return self.state == RUNNING and not pins["progress"] and 0 < self.limit <= self.still + 1

    def quiet(self, pins: Mapping[str, int]) -> bool:
        """Whether a clear may end: it lasted long enough, and no port is at work."""
        return self.age >= self.clear_cycles - 1 and pins["port_idle"] == QUIET_PORTS

    def step(self, pins: Mapping[str, int]) -> None:
        """One rising edge with these inputs."""
        out = {**self.outputs, "sequencer_start": 0, "interrupt_event": 0}
        state = self.state
        end = {"done": 1, "interrupt_event": 1, "running": 0}
        if pins["start"] and state != IDLE:
            out["start_while_busy"] = 1
        if state == IDLE and pins["start"]:
            state = PREPARE
            out |= {**_NO_RESULT, "clear": 1, "flush": 1, "running": 1}
        elif state == PREPARE and self.quiet(pins):
            state = RUNNING
            out |= {"clear": 0, "flush": 0, "sequencer_start": 1}
        elif state == RUNNING:
            error = first_error(pins, self.expired(pins))
            if error:
                state = STOPPING
                name, port = error
                address = 0 if port is None else pins["port_error_address"] >> 32 * port & 0xFFFFFFFF
                out |= {"clear": 1, "flush": 1, "error": 1, "code": CODES[name]}
                out |= {"error_index": pins["descriptor_index"], "error_address": address}
            elif pins["finished"]:
                state = IDLE
                out |= end
        elif state in (STOPPING, ABORTING):
            given_up = self.age >= self.stop_limit - 1
            if state == STOPPING and out["running"] and (self.quiet(pins) or given_up):
                out |= end
            if self.quiet(pins):
                state = IDLE
                out |= {"clear": 0, "flush": 0}
        if pins["soft_reset"]:
            state = ABORTING
            out = {**_NOTHING, "clear": 1, "flush": 1}
        moved = state != self.state or pins["soft_reset"]
        self.still = self.still + 1 if self.state == RUNNING and not pins["progress"] else 0
        self.limit = pins["watchdog_limit"]
        self.age = 0 if moved else self.age + 1
        self.state = state
        self.outputs = {**out, "busy": int(state != IDLE)}

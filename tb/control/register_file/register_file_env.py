# SPDX-License-Identifier: Apache-2.0
"""pyuvm environment of register_file.v: the register port, the core's side, a predictor that holds the model of all registers, coverage."""

from __future__ import annotations

from collections import deque

from gradcore import hardware
from gradcore.models.control.register_file import OKAY, RUN_PARAMETERS, RegisterFile
from tb.support.agents import PinsAgent, pins
from tb.support.axi_agents import AxiLiteAgent, AxiLiteItem
from tb.support.base import Predictor, UnitEnvironment
from tb.support.uvm import Coverage, listen

STATUS_WIDTHS = {
    "busy": 1,
    "done": 1,
    "error": 1,
    "start_while_busy": 1,
    "code": 8,
    "descriptor_index": 16,
    "error_index": 16,
    "error_address": 32,
    "class_index": 32,
    "class_value": 16,
    "layers_finished": 9,
    "layer_cycles": 32,
    "layer_saturated": 32,
}
# What a core does not know before its first run.
UNSET = ("class_index", "class_value", "descriptor_index", "layer_cycles", "layer_saturated", "counters")
PLAIN = [name for name in hardware.ADDRESSES if not name.endswith(("_LOW", "_HIGH"))]
ALWAYS = ("CONTROL", "INTERRUPT", "LAYER_INDEX")  # taken while busy, too
WRITABLE = [*RUN_PARAMETERS, *ALWAYS]
SETTLED = 4  # cycles after an access: its pulse and the interrupt have shown


def quiet_model(groups: int) -> RegisterFile:
    """The model after reset, with quiet inputs; ``groups``: of the build."""
    return RegisterFile(groups=groups, status=dict.fromkeys(STATUS_WIDTHS, 0), counters=dict.fromkeys(hardware.COUNTERS, 0))


class RegisterPredictor(Predictor):
    """Feeds the model with the accesses and the core's inputs that the monitors saw.

    Outputs are compared SETTLED cycles after the last access: by then a pulse and the interrupt have shown.
    """

    def build_phase(self) -> None:
        self.model = quiet_model(self.get_parent().parameter("GROUPS"))
        self.seen = {"starts": 0, "soft_resets": 0}
        self.counters = -1
        self.due = 0
        self.history: deque[dict[str, int]] = deque([self.model.status], 256)  # the core's side in the last cycles

    def cycle(self, pins: dict[str, int]) -> None:
        """The core's side in one cycle."""
        model, board = self.model, self.get_parent().scoreboard
        model.status = pins
        self.history.append(pins)
        if pins["counters"] not in (self.counters, None):
            self.counters = pins["counters"]
            model.counters = {name: self.counters >> 64 * index & (1 << 64) - 1 for index, name in enumerate(hardware.COUNTERS)}
        model.pending |= pins["interrupt_event"]
        for pulse in ("start", "soft_reset"):
            self.seen[f"{pulse}s"] += pins[pulse]
            if pins[pulse]:
                self.get_parent().coverage.sample(pulse=pulse)
        self.due -= 1
        if self.due == 0:
            board.expect("outputs", model.outputs() | {"starts": model.starts, "soft_resets": model.soft_resets})
            board.actual("outputs", {port: pins[port] for port in model.outputs()} | self.seen)
            self.get_parent().coverage.sample(irq=pins["irq"])

    def access(self, item: AxiLiteItem) -> None:
        """An access and its answer, which was made in the cycle before it stood on the port."""
        model, board = self.model, self.get_parent().scoreboard
        model.status = self.history[max(-1 - item.waited, -len(self.history))]
        name = next((name for name, address in hardware.ADDRESSES.items() if address == item.address & 0xFFC), "hole")
        if item.data is None:
            board.expect("accesses", dict(zip(("data", "response"), model.read(item.address), strict=True)))
            board.actual("accesses", {"data": item.result, "response": item.response})
            self.get_parent().coverage.sample(read=name)
        else:
            response = model.write(item.address, item.data, item.strobe)
            board.expect("accesses", {"response": response})
            board.actual("accesses", {"response": item.response})
            group = "counter" if name.endswith(("_LOW", "_HIGH")) else name
            self.get_parent().coverage.sample(**{"taken" if response == OKAY else "refused": group, "strobe": item.strobe})
        self.due = SETTLED


class RegisterEnvironment(UnitEnvironment):
    """The register port, the core's side, model, scoreboard and coverage."""

    def build_phase(self) -> None:
        super().build_phase()
        self.bus = AxiLiteAgent("bus", self, self.dut)
        inputs = (*STATUS_WIDTHS, "counters", "interrupt_event")
        outputs = (*quiet_model(self.parameter("GROUPS")).outputs(), "start", "soft_reset")
        quiet = [name for name in (*inputs, *outputs) if name not in ("interrupt_event", "start", "soft_reset")]
        self.core = PinsAgent("core", self, pins(self.dut, inputs, outputs, rest={"interrupt_event": 0}, quiet=quiet, unknown=UNSET))
        self.predictor = RegisterPredictor.create("predictor", self)
        self.coverage = Coverage(
            "coverage",
            self,
            points={
                "read": [*hardware.ADDRESSES, "hole"],
                "taken": WRITABLE,
                "refused": [*(name for name in PLAIN if name not in ALWAYS), "hole", "counter"],
                "strobe": (1, 2, 3, 4, 6, 7, 8, 12, 14, 15),
                "pulse": ("start", "soft_reset"),
                "irq": (0, 1),
            },
        )

    def connect_phase(self) -> None:
        listen(self.bus.monitor.analysis_port, self, self.predictor.access)
        self.predictor.hear(self.core, self.predictor.cycle)

# SPDX-License-Identifier: Apache-2.0
"""Drives the simulated core through its registers, as software does, and compares all that it wrote with the golden network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcore import hardware
from gradcore.compiler import Program
from gradcore.models import arithmetic
from gradcore.models import network as golden
from gradcore.quantise import QuantisedNetwork
from gradcore.simulator import Simulator

START = hardware.CONTROL_START | hardware.CONTROL_INTERRUPT_ENABLE
CYCLE_LIMIT = 20_000_000
WATCHDOG_CYCLES = 100_000
ENGINES = {"LOADER": 2, "VECTOR": 2, "STORE": 2}
MACS_OF_ENTRY, MACS_OF_HALF, BEAT_BYTES = 16, 4, 8


@dataclass(frozen=True)
class Outcome:
    """How a run ended: cycles from START to the interrupt, and what STATUS and its neighbours say."""

    cycles: int
    done: bool
    error: bool
    code: int
    descriptor: int
    address: int
    class_index: int


class Device:
    """One core in a started simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def load(self, program: Program) -> None:
        """Put the program in memory, zeros in the rest of its window, and its addresses in the registers."""
        self.simulator.load(program.base, program.new_memory())
        base, limit = program.window
        for register, value in (
            (hardware.PROGRAM_ADDRESS, program.program_address),
            (hardware.WINDOW_BASE, base),
            (hardware.WINDOW_LIMIT, limit),
            (hardware.WATCHDOG, WATCHDOG_CYCLES),
        ):
            self.simulator.write(register, value)

    def start(self, method: str, *, explain: bool = True, seed_mode: str = "ARG_MAX", seed_index: int = 0) -> None:
        """Write the run's registers, START last."""
        self.simulator.write(hardware.METHOD, hardware.METHODS[method])
        self.simulator.write(hardware.SEED_MODE, hardware.SEED_MODES[seed_mode])
        self.simulator.write(hardware.SEED_INDEX, seed_index)
        self.simulator.write(hardware.CONTROL, START | (hardware.CONTROL_EXPLAIN if explain else 0))

    def finish(self) -> Outcome:
        """Wait for the interrupt, read the status, acknowledge."""
        simulator = self.simulator
        cycles = simulator.wait_interrupt(CYCLE_LIMIT)
        status = simulator.read(hardware.STATUS)
        outcome = Outcome(
            cycles=cycles,
            done=bool(status & hardware.STATUS_DONE),
            error=bool(status & hardware.STATUS_ERROR),
            code=hardware.register_field(status, "STATUS.code"),
            descriptor=simulator.read(hardware.DESCRIPTOR_INDEX),
            address=simulator.read(hardware.ERROR_ADDRESS),
            class_index=simulator.read(hardware.CLASS_INDEX),
        )
        simulator.write(hardware.INTERRUPT, hardware.INTERRUPT_PENDING)
        return outcome

    def soft_reset(self) -> None:
        """Stop whatever runs and wait until the core is idle."""
        self.simulator.write(hardware.CONTROL, hardware.CONTROL_SOFT_RESET)
        for _ in range(100):
            if not self.simulator.read(hardware.STATUS) & hardware.STATUS_BUSY:
                return
            self.simulator.idle(100)
        raise AssertionError("still busy 10,000 cycles after a soft reset")

    def memory(self, program: Program) -> np.ndarray:
        """uint8: the program's whole window."""
        base, limit = program.window
        return np.frombuffer(self.simulator.dump(base, limit - base), dtype=np.uint8)

    def counters(self) -> dict[str, int]:
        """All counters by name."""
        return {
            name: self.simulator.read(address) | self.simulator.read(address + 4) << 32
            for name, address in hardware.COUNTERS.items()
        }

    def layer_cycles(self, program: Program) -> dict[int, int]:
        """The time stamp of every layer, by identifier."""
        stamps = {}
        for layer in program.layers:
            self.simulator.write(hardware.LAYER_INDEX, layer.identifier)
            stamps[layer.identifier] = self.simulator.read(hardware.LAYER_CYCLES)
        return stamps

    def check_run(
        self,
        network: QuantisedNetwork,
        program: Program,
        picture: np.ndarray,
        method: str,
        *,
        target: int | None = None,
        vector: np.ndarray | None = None,
    ) -> Outcome:
        """Run one picture int (H, W, C) and compare every value, mask, index and gradient with the golden network.

        ``target`` is a class to explain, ``vector`` a seed gradient of the logits' shape; without either the arg-max.
        """
        self.simulator.load(*program.picture_bytes(picture))
        mode = "SUPPLIED" if vector is not None else "ARG_MAX" if target is None else "INDEX"
        if vector is not None:
            memory = np.zeros(program.seed.size, dtype=np.uint8)
            program.seed.write(memory, program.seed.address, vector.reshape(program.seed.height, program.seed.width, -1))
            self.simulator.load(program.seed.address, memory)
        self.start(method, seed_mode=mode, seed_index=0 if target is None else program.seed_index(target))
        outcome = self.finish()
        assert outcome.done and not outcome.error, f"{program.name}, {method}: {outcome}"
        forward = golden.forward(network, picture[None])
        seed = None if vector is None else vector.reshape(1, -1)
        backward = golden.backward(network, forward, method, target, seed)
        compare(program, self.memory(program), forward, backward)
        assert program.class_of(outcome.class_index) == arithmetic.arg_max(forward.logits[0])
        return outcome


def compare(
    program: Program, memory: np.ndarray, forward: golden.Forward, backward: golden.Backward | None
) -> int:
    """Assert that memory holds the golden activations, masks, indices and gradients, padding included. Returns values checked."""
    checked = 0

    def same(actual: np.ndarray, expected: np.ndarray, what: str) -> None:
        nonlocal checked
        expected = expected.reshape(actual.shape)
        wrong = np.argwhere(actual != expected)
        assert not len(wrong), (
            f"{program.name}, {what}: {len(wrong)} of {actual.size} differ, the first at {tuple(wrong[0])}: "
            f"{actual[tuple(wrong[0])]} for {expected[tuple(wrong[0])]}"
        )
        checked += actual.size

    for number, layer in enumerate(forward.layers):
        name = f"layer {number}"
        same(program.read_activation(memory, number + 1), layer.output[0], f"{name} output")
        padded = program.read_activation(memory, number + 1, padding=True)
        assert not padded[..., layer.output.shape[-1] :].any(), f"{program.name}, {name}: padding is not zero"
        tags = program.read_tags(memory, number)
        if tags is not None:
            same(tags[0], layer.mask[0], f"{name} mask")
            if layer.index is not None:
                same(tags[1], layer.index[0], f"{name} pool index")
    if backward is not None:
        for number, gradient in enumerate(backward.gradients):
            same(program.read_gradient(memory, number), gradient[0], f"gradient of activation {number}")
    assert checked, "nothing was compared"
    return checked


def check_counters(device: Device, groups: int, cycles: int) -> None:
    """The identities of docs/registers.md."""
    counters = device.counters()
    assert abs(counters["CYCLES"] - cycles) <= 8, f"{counters['CYCLES']} counted, {cycles} waited"
    for engine, units in {**ENGINES, "CONV": 2 * groups}.items():
        total = sum(counters[f"{engine}_{kind}"] for kind in ("ACTIVE", "WAIT_INPUT", "WAIT_OUTPUT"))
        assert total == units * counters["CYCLES"], f"{engine}: {total} of {units} x {counters['CYCLES']} cycles"
    macs = MACS_OF_ENTRY * counters["CONV_ACTIVE"] + MACS_OF_HALF * counters["VECTOR_ACTIVE"]
    assert counters["MACS_ISSUED"] == macs
    for direction in ("READ", "WRITTEN"):
        assert counters[f"BYTES_{direction}"] and counters[f"BYTES_{direction}"] % BEAT_BYTES == 0

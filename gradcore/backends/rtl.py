# SPDX-License-Identifier: Apache-2.0
"""The back end that runs the Verilog itself: compile, load memory, write registers, wait, read memory back."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gradcore import hardware
from gradcore.backends.runs import Cycles, LayerCycles, LayerSaturation, Run, Target, class_indexes
from gradcore.backends.setup import Setup
from gradcore.compiler import HardwareConfig, Program, compile_network
from gradcore.compiler.layout import MapRegion
from gradcore.errors import GradCoreError
from gradcore.host.progress import Progress, silent
from gradcore.host.scratch import scratch_folder
from gradcore.models import network as golden
from gradcore.network import Network
from gradcore.quantise import quantise
from gradcore.simulator import MEMORY_BYTES, Simulator
from gradcore.timeline.activity import Activity
from gradcore.timeline.tracks import build_timeline

WATCHDOG_CYCLES = 1_000_000
_START = hardware.CONTROL_START | hardware.CONTROL_INTERRUPT_ENABLE


class RtlBackend:
    """The Verilog in a simulator.

    Attributes:
        notes: what a user should know of the network.
        macs: multipliers of the simulated hardware: conv groups and vector engine.
        quantised: the network as it is compiled.
        program: the compiled network; its memory starts at address 0 of the simulated memory.
    """

    def __init__(self, network: Network, setup: str | Setup = "rtl", **options: Any) -> None:
        """``setup`` and ``options``: see ``open_backend``; number formats are those of the network, whatever the headroom.

        Raises:
            GradCoreError: the network cannot be run, or a tool is missing.
        """
        setup = Setup.of(setup, **options)
        config = HardwareConfig.of_preset(setup.preset)
        self.quantised = quantise(network)
        self.notes = self.quantised.notes
        self.macs = config.macs
        self.program: Program = compile_network(self.quantised, config, base=0)
        memory = MEMORY_BYTES
        while memory < self.program.window[1]:
            memory *= 2
        self._activity: Path | None = None
        if setup.trace is not None:
            stack = contextlib.ExitStack()
            self._activity = stack.enter_context(scratch_folder()) / "activity.txt"
            weakref.finalize(self, stack.close)
        self._simulator = Simulator(
            setup.simulator,
            setup.preset,
            clock_mhz=setup.clock_mhz,
            waves=setup.waves,
            activity=self._activity,
            parameters={"MEMORY_BYTES": memory},
        )
        self._simulator.check()

    def run(
        self, pictures: Sequence[np.ndarray], methods: Sequence[str], target: Target = None, progress: Progress = silent
    ) -> dict[str, list[Run]]:
        """See ``Backend.run``. All pictures and methods run one after the other in one simulation.

        Raises:
            GradCoreError: a timeline is wanted and there is more than one picture and method.
        """
        classes = class_indexes(target, len(self.program.classes), len(pictures))
        targets = [None] * len(pictures) if classes is None else [int(one) for one in classes]
        runs: dict[str, list[Run]] = {method: [] for method in methods}
        total = len(pictures) * len(methods)
        with self._simulator.start(progress):
            self._set_up()
            for number, (picture, one) in enumerate(zip(pictures, targets, strict=True)):
                self._simulator.load(*self.program.picture_bytes(np.asarray(picture)))
                for position, method in enumerate(methods):
                    report = _RunProgress(progress, number * len(methods) + position, total)
                    runs[method].append(self._run_one(method, one, report))
        if self._activity is not None:
            (run,) = (run for made in runs.values() for run in made)
            if target is None and run.target != int(np.argmax(run.logits)):  # see _run_one; a timeline is of one run
                return self.run(pictures, methods, int(np.argmax(run.logits)), progress)
            progress("drawing up the timeline", total, total)
            activity = Activity.read(self._activity)
            for method, (run,) in runs.items():
                runs[method] = [replace(run, timeline=build_timeline(activity, self.program, run.cycles.total))]
        return runs

    def infer(self, pictures: Sequence[np.ndarray], progress: Progress = silent) -> list[Run]:
        """Inference alone: a run that ends with the class. The attributions of the results are empty."""
        runs = []
        with self._simulator.start(progress):
            self._set_up()
            for number, picture in enumerate(pictures):
                self._simulator.load(*self.program.picture_bytes(np.asarray(picture)))
                report = _RunProgress(progress, number, len(pictures))
                runs.append(self._run_one("saliency", None, report, explain=False))
        return runs

    def _set_up(self) -> None:
        """Load the program and set what is the same for all runs."""
        program, simulator = self.program, self._simulator
        simulator.load(program.base, program.image)
        base, limit = program.window
        for register, value in (
            (hardware.PROGRAM_ADDRESS, program.program_address),
            (hardware.WINDOW_BASE, base),
            (hardware.WINDOW_LIMIT, limit),
            (hardware.WATCHDOG, WATCHDOG_CYCLES),
        ):
            simulator.write(register, value)

    def _run_one(self, method: str, target: int | None, progress: Progress, explain: bool = True) -> Run:
        """One picture, which is in memory, with one method; without ``explain`` forward only.

        Of several equal maxima in a map of logits the core takes the first in memory, and the other back ends the first class: then
        the run is repeated for that class.
        """
        program, simulator = self.program, self._simulator
        simulator.write(hardware.METHOD, hardware.METHODS[method])
        simulator.write(hardware.SEED_MODE, hardware.SEED_MODES["ARG_MAX" if target is None else "INDEX"])
        if target is not None:
            simulator.write(hardware.SEED_INDEX, program.seed_index(target))
        simulator.write(hardware.CONTROL, _START | (hardware.CONTROL_EXPLAIN if explain else 0))
        cycles = simulator.wait_interrupt(_limit(program), progress)
        self._check_status()
        simulator.write(hardware.INTERRUPT, hardware.INTERRUPT_PENDING)
        logits = program.dequantise_logits(program.in_class_order(self._read(program.logits)))
        attribution = np.zeros((0, 0, 0), np.float32)
        if explain:
            attribution = program.dequantise_attribution(self._read(program.attribution).transpose(2, 0, 1))
        predicted, first = program.class_of(simulator.read(hardware.CLASS_INDEX)), int(np.argmax(logits))
        if target is None and predicted != first and logits[predicted] == logits[first]:
            if explain and self._activity is None:
                return self._run_one(method, first, progress)
            predicted = predicted if explain else first
        return Run(
            logits,
            predicted if target is None else target,
            attribution,
            self._cycles(cycles, explain),
            self._counters(),
            saturation=self._saturation(explain),
        )

    def _read(self, region: MapRegion) -> np.ndarray:
        """int64 (H, W, C) of a map in the simulated memory."""
        return region.read(np.frombuffer(self._simulator.dump(region.address, region.size), dtype=np.uint8), region.address)

    def _check_status(self) -> None:
        """Refuse a run that ended with an error."""
        status = self._simulator.read(hardware.STATUS)
        if status & hardware.STATUS_ERROR or not status & hardware.STATUS_DONE:
            code = hardware.register_field(status, "STATUS.code")
            name = next((name for name, number in hardware.CODES.items() if number == code), str(code))
            index = self._simulator.read(hardware.DESCRIPTOR_INDEX)
            address = self._simulator.read(hardware.ERROR_ADDRESS)
            raise GradCoreError(
                f"the simulated hardware stopped with {name} (status {status:#x}) at descriptor {index}, address {address:#x}: "
                "this is a bug of GradCore; look at it with --waves and report it"
            )

    def _cycles(self, total: int, explain: bool) -> Cycles:
        """Split the cycles of a run at the layers' time stamps; what comes after the last belongs to the last."""
        layers, before = [], 0
        finished = [info for info in self.program.layers if explain or info.direction != "backward"]
        for info in finished:
            if info is finished[-1]:
                stamp = total
            else:
                self._simulator.write(hardware.LAYER_INDEX, info.identifier)
                stamp = self._simulator.read(hardware.LAYER_CYCLES)
            name = info.name.removesuffix("_backward") if info.direction == "backward" else info.name
            layers.append(LayerCycles(name, "forward" if info.direction == "forward" else "backward", stamp - before))
            before = stamp
        forward = sum(one.cycles for one in layers if one.direction == "forward")
        return Cycles(total, forward, total - forward, tuple(layers))

    def _saturation(self, explain: bool) -> tuple[LayerSaturation, ...]:
        """How many outputs of each layer saturated, in order of execution."""
        counts = []
        for info in self.program.layers:
            if info.direction == "forward" or (explain and info.direction == "backward"):
                self._simulator.write(hardware.LAYER_INDEX, info.identifier)
                counts.append(self._simulator.read(hardware.LAYER_SATURATED))
        passes = golden.passes(self.quantised)
        return tuple(
            LayerSaturation(name, direction, values, outputs) for (name, direction, outputs), values in zip(passes, counts, strict=False)
        )

    def _counters(self) -> dict[str, int]:
        """All counters, by their names in lower case."""
        values = {}
        for name, address in hardware.COUNTERS.items():
            low = self._simulator.read(address)
            values[name.lower()] = low | self._simulator.read(address + 4) << 32
        return values


class _RunProgress:
    """Turns the simulator's progress within one run into progress of all runs."""

    def __init__(self, progress: Progress, done: int, total: int) -> None:
        self._progress, self._done, self._total = progress, done, total
        self("", 0)

    def __call__(self, text: str, done: int = 0, total: int = 0) -> None:
        """``done`` is the number of clock cycles so far."""
        self._progress(f"simulating the Verilog, {done:,} cycles", self._done, self._total)


def _limit(program: Program) -> int:
    """Cycles after which a run is given up: far more than the smallest hardware needs when it skips nothing."""
    return 10_000_000 + 2 * sum(layer.macs_dense for layer in program.layers)

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

from gradcore.backends.runs import LayerSaturation, Run, Target, class_indexes
from gradcore.backends.setup import Setup
from gradcore.compiler import HardwareConfig, Program, compile_network
from gradcore.errors import GradCoreError
from gradcore.host.progress import Progress, silent
from gradcore.host.scratch import scratch_folder
from gradcore.models import network as golden
from gradcore.network import Network
from gradcore.quantise import quantise
from gradcore.runtime.driver import Driver, Stopped
from gradcore.simulator import MEMORY_BYTES, Simulator
from gradcore.simulator.device import SimulatedDevice
from gradcore.timeline.activity import Activity
from gradcore.timeline.tracks import build_timeline


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
        self._device = SimulatedDevice(self._simulator, address=self.program.base)
        self._seconds = _limit(self.program) / (setup.clock_mhz * 1e6)

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
            driver = self._driver()
            for number, (picture, one) in enumerate(zip(pictures, targets, strict=True)):
                for position, method in enumerate(methods):
                    self._device.progress = _RunProgress(progress, number * len(methods) + position, total)
                    runs[method].append(self._run_one(driver, None if position else picture, method, one))
        if self._activity is not None:
            (run,) = (run for made in runs.values() for run in made)
            if target is None and run.target != int(np.argmax(run.logits)):  # see Driver.run; a timeline is of one run
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
            driver = self._driver()
            for number, picture in enumerate(pictures):
                self._device.progress = _RunProgress(progress, number, len(pictures))
                runs.append(self._run_one(driver, picture, "saliency", None, explain=False))
        return runs

    def _driver(self) -> Driver:
        """The driver of the core that runs, with the program in memory."""
        driver = Driver(self._device)
        driver.load(self.program)
        return driver

    def _run_one(self, driver: Driver, picture: np.ndarray | None, method: str, target: int | None, explain: bool = True) -> Run:
        """One picture with one method; None is the picture that is in memory. Without ``explain`` forward only."""
        again = self._activity is None  # see ``run``
        try:
            made = driver.run(picture, method, target, explain=explain, timeout=self._seconds, first=again)
        except Stopped as error:
            raise GradCoreError(f"{error}: this is a bug of GradCore; look at it with --waves and report it") from None
        program = self.program
        attribution = program.dequantise_attribution(made.attribution) if explain else np.zeros((0, 0, 0), np.float32)
        saturation = tuple(
            LayerSaturation(name, direction, values, outputs)
            for (name, direction, outputs), values in zip(golden.passes(self.quantised), made.saturated, strict=False)
        )
        chosen = made.predicted if target is None else target
        return Run(program.dequantise_logits(made.logits), chosen, attribution, made.cycles, made.counters, saturation=saturation)


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

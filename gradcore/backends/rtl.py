# SPDX-License-Identifier: Apache-2.0
"""The back end that runs the Verilog itself: compile, load memory, write registers, wait, read memory back."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator, Sequence
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
from gradcore.network import GraphNetwork, Network
from gradcore.quantise import in_integers
from gradcore.quantise.headroom import with_wider_input
from gradcore.runtime.core_runs import CoreRuns
from gradcore.runtime.driver import Driver, Stopped
from gradcore.runtime.requests import Reply, Request, range_bits
from gradcore.simulator import Simulator, memory_for
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

    def __init__(self, network: Network | GraphNetwork, setup: str | Setup = "rtl", **options: Any) -> None:
        """``setup`` and ``options``: see ``open_backend``; number formats are those of the network, whatever the headroom.

        Raises:
            GradCoreError: the network cannot be run, or a tool is missing.
        """
        setup = Setup.of(setup, **options)
        config = HardwareConfig.of_preset(setup.preset)
        self.quantised = in_integers(network)
        self.notes = self.quantised.notes
        self.macs = config.macs
        self._config = config
        self.program: Program = compile_network(self.quantised, config, base=0)
        self._float = network
        self._programs = {0: self.program}
        self.layers, self.classes = self.program.stored, tuple(self.program.classes)
        self._activity: Path | None = None
        if setup.trace is not None or setup.observe:
            stack = contextlib.ExitStack()
            self._activity = stack.enter_context(scratch_folder()) / "activity.txt"
            weakref.finalize(self, stack.close)
        self._simulator = Simulator(
            setup.simulator,
            setup.preset,
            clock_mhz=setup.clock_mhz,
            waves=setup.waves,
            activity=self._activity,
            parameters={"MEMORY_BYTES": memory_for(self.program.window[1])},
        )
        self._simulator.check()
        self._device = SimulatedDevice(self._simulator, address=self.program.base)
        self._seconds = _limit(self.program) / (setup.clock_mhz * 1e6)

    def run(
        self,
        pictures: Sequence[np.ndarray],
        methods: Sequence[str],
        target: Target = None,
        progress: Progress = silent,
        keep: bool = False,
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
                    run = self._run_one(driver, None if position else picture, method, one)
                    if keep:
                        activations, gradients = CoreRuns(driver, self._seconds).maps()
                        run = replace(run, activations=activations, gradients=gradients)
                    runs[method].append(run)
        if self._activity is not None:
            (run,) = (run for made in runs.values() for run in made)
            if target is None and run.target != int(np.argmax(run.logits)):  # see Driver.run; a timeline is of one run
                return self.run(pictures, methods, int(np.argmax(run.logits)), progress, keep)
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

    def real_inputs(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """See ``Backend.real_inputs``."""
        raw = self.quantised.quantise_image(np.stack(pictures))
        return raw.transpose(0, 3, 1, 2) * 2.0**-self.quantised.picture_fraction

    def execute(self, requests: Sequence[Request], progress: Progress = silent) -> list[Reply]:
        """See ``Backend.execute``. All run one after the other in one simulation; each leaves what the next goes on from in its memory.

        Raises:
            GradCoreError: as there; or a timeline is wanted of more than one run.
        """
        if self._activity is not None and len(requests) > 1:
            raise GradCoreError(f"a trace is of one run, and this takes {len(requests)}: trace saliency, deconvnet or guided")
        bits = range_bits(requests, self.quantised.picture_fraction)
        if bits not in self._programs:
            self._programs[bits] = compile_network(with_wider_input(self._float, self.quantised, bits), self._config, base=0)
        replies: list[Reply] = []
        with self._simulator.start(progress):
            core = CoreRuns(self._driver(self._programs[bits]), self._seconds)
            for number, request in enumerate(requests):
                self._device.progress = _RunProgress(progress, number, len(requests))
                with self._stopped():
                    replies.append(core.run(request))
        return replies

    def _driver(self, program: Program | None = None) -> Driver:
        """The driver of the core that runs, with the program in memory."""
        driver = Driver(self._device)
        driver.load(program or self.program)
        return driver

    @staticmethod
    @contextlib.contextmanager
    def _stopped() -> Iterator[None]:
        """A core that stops is our fault."""
        try:
            yield
        except Stopped as error:
            raise GradCoreError(f"{error}: this is a bug of GradCore; look at it with --waves and report it") from None

    def _run_one(self, driver: Driver, picture: np.ndarray | None, method: str, target: int | None, explain: bool = True) -> Run:
        """One picture with one method; None is the picture that is in memory. Without ``explain`` forward only."""
        again = self._activity is None  # see ``run``
        with self._stopped():
            made = driver.run(picture, method, target, explain=explain, timeout=self._seconds, first=again)
        program, total = self.program, self.program.outputs()
        attribution = program.dequantise_attribution(made.attribution) if explain else np.zeros((0, 0, 0), np.float32)
        saturation = tuple(LayerSaturation(*place, values, total[place]) for place, values in program.by_name(made.saturated).items())
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

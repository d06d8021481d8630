# SPDX-License-Identifier: Apache-2.0
"""What a user does with a board: open it, load a program, run pictures, measure, validate."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .attribution import METHODS, Aim, Method, attribute, rules
from .bundle import Bundle
from .core_runs import CoreEngine, CoreRuns
from .device import Device
from .driver import TIMEOUT, Driver
from .errors import GradCoreError
from .fixed_point import quantise
from .inputs import Progress, silent
from .program import Program, Runnable
from .results import Result

BACKENDS = ("pynq", "uio", "simulated")


class Board:
    """A core, and the program that it runs.

    Args:
        device: what the core is reached through; see ``open`` for those that there are.
        program: the file of a program, or a program; or a ``Bundle``'s folder. ``load`` gives another later.

    Raises:
        GradCoreError: there is no core, or it does not fit the program.
    """

    def __init__(self, device: Device, program: str | Path | Runnable | None = None) -> None:
        self.device = device
        self.driver = Driver(device)
        if program is not None:
            self.load(program)

    @classmethod
    def open(cls, source: str | Path, backend: str | None = None, **options: Any) -> Board:
        """Open the board, and load the program when there is one.

        Args:
            source: a bundle's folder, whose bitstream is loaded (pynq) and whose program runs; or a program's file.
            backend: 'pynq', 'uio' or 'simulated'; None takes the first that is there.
            options: of the back end's device: see its module.

        Raises:
            GradCoreError: a file of the bundle is damaged, there is no such board, or it does not fit the program.
        """
        bundle = Bundle.open(source) if Path(source).is_dir() else None
        device = open_device(backend, bundle, **options)
        try:
            return cls(device, bundle.program if bundle else source)
        except BaseException:
            device.close()
            raise

    def load(self, program: str | Path | Runnable) -> None:
        """Load a program: its file, a bundle's folder, or what ``gradcore.compile_network`` gave.

        Raises:
            GradCoreError: it is no program, it is for another preset, or there is not enough memory for it.
        """
        if isinstance(program, (str, Path)):
            program = Program.load(Bundle.open(program).program if Path(program).is_dir() else program)
        self.driver.load(program)

    @property
    def program(self) -> Runnable:
        """The program that is loaded. Raises GradCoreError when there is none."""
        if self.driver.program is None:
            raise GradCoreError("no program is loaded: call load with a program's file or a bundle's folder")
        return self.driver.program

    def execute(
        self,
        images: np.ndarray | Sequence[np.ndarray],
        method: str = "saliency",
        target: int | str | Sequence[int | str] | np.ndarray | None = None,
        *,
        against: int | str | None = None,
        seed: np.ndarray | None = None,
        explain: bool = True,
        keep: bool = False,
        headroom: bool = True,
        timeout: float = TIMEOUT,
        progress: Progress = silent,
        **parameters: Any,
    ) -> list[Result]:
        """Run pictures, one after the other.

        Args:
            images: uint8 pixels, or integers that are quantised: (H, W, C), or several of them.
            method: a key of ``attribution.METHODS``: 'saliency', 'guided', 'integrated_gradients' and so on.
            target: the class to explain, its index or its name; one for all pictures or one for each; None is what each shows; real numbers
                (classes,) say how much of each logit is explained.
            against: the class whose logit is subtracted: why the target and not this one.
            seed: int16 (H, W, C) of the logits' shape: the raw gradient to start from, in place of a target; for one run.
            explain: whether the runs go backward, too. Without, they end with the class.
            keep: whether results have the maps of all layers: see ``Result.activation``.
            headroom: whether a picture in which values saturate is run again with wider formats, where the program has them, as
                ``gradcore.explain`` does; not from a raw seed, nor without ``explain``.
            timeout: seconds after which a run is given up.
            progress: ``progress(text, done, total)`` is called while several runs are made.
            parameters: of the method, by Captum's names: ``n_steps``, ``stdevs`` and so on.

        Returns:
            One ``Result`` for each picture.

        Raises:
            GradCoreError: there is no such method, parameter, class or layer, a picture has another shape, or a run fails.
        """
        if method not in METHODS:
            raise GradCoreError(f"there is no method {method!r}: use one of {', '.join(METHODS)}")
        chosen = METHODS[method]
        given = chosen.checked(parameters)
        pictures = [np.asarray(images)] if np.ndim(images) == 3 else [np.asarray(one) for one in images]
        weights = np.ndim(target) == 1 and np.asarray(target).dtype.kind == "f"
        targets: Sequence[Any] = [np.asarray(target)] * len(pictures) if weights else self._targets(target, len(pictures))
        other = None if against is None else self._targets(against, 1)[0]
        single = chosen.rule and not weights and against is None
        if seed is not None and not (single and target is None):
            raise GradCoreError(f"a raw seed says all, and is for one run: give it with one of {', '.join(rules())}, and no target")
        if not explain and not single:
            raise GradCoreError(f"{method} without its backward runs is none: leave explain=False out, or the method")
        if single:
            again = headroom and explain and seed is None
            return [self._one(picture, method, one, seed, explain, keep, again, timeout) for picture, one in zip(pictures, targets)]  # noqa: B905
        return self._several(pictures, chosen, targets, other, given, keep, headroom, timeout, progress)

    def _one(
        self,
        picture: np.ndarray,
        method: str,
        target: int | None,
        seed: np.ndarray | None,
        explain: bool,
        keep: bool,
        again: bool,
        timeout: float,
    ) -> Result:
        """A rule at the ReLUs, and one class: one run; with ``again`` more of them, with headroom, until nothing saturates."""
        own = self.program
        if seed is not None:
            _check_seed(np.asarray(seed), own)
        whole = CoreEngine(self.driver, own, timeout)
        try:
            for room, engine in whole.levels():
                engine.use()
                program, bits = self.program, room
                made = self.driver.run(picture, method, target, seed=seed, explain=explain, timeout=timeout)
                if not (again and any(made.saturated)):
                    break
            activations, gradients = CoreRuns(self.driver, timeout).maps() if keep and explain else ({}, {})
        finally:
            whole.close()
        return Result(
            program.name,
            method,
            self.device.name,
            tuple(program.classes),
            program.dequantise_logits(made.logits),
            made.predicted if target is None else target,
            program.dequantise_attribution(made.attribution),
            made.cycles,
            float(self.device.clock_mhz),
            made.counters,
            made.saturated,
            activations=activations,
            gradients=gradients,
            headroom=bits,
        )

    def _several(
        self,
        pictures: Sequence[np.ndarray],
        method: Method,
        targets: Sequence[Any],
        against: int | None,
        parameters: dict[str, Any],
        keep: bool,
        headroom: bool,
        timeout: float,
        progress: Progress,
    ) -> list[Result]:
        """By any method, as ``gradcore.explain``."""
        program, classes, results = self.program, tuple(self.program.classes), []
        engine = CoreEngine(self.driver, program, timeout)
        tried: Any = engine if headroom else _OwnFormats(engine)
        try:
            for picture, target in zip(pictures, targets):  # noqa: B905
                aim = Aim(target, against)
                program.picture_values(picture)  # its shape and type
                pixels = picture if picture.dtype == np.uint8 else engine.real_inputs([picture])[0]
                (run,) = attribute(tried, [pixels], method, aim, parameters, progress, keep)
                results.append(
                    Result(
                        program.name,
                        method.name,
                        self.device.name,
                        classes,
                        run.logits,
                        run.target,
                        run.attribution,
                        run.cycles,
                        float(self.device.clock_mhz),
                        run.counters,
                        tuple(one.values for one in run.saturation),
                        run.runs,
                        parameters,
                        None if against is None else classes[against],
                        run.seed,
                        run.activations,
                        run.gradients,
                        run.headroom,
                    )
                )
        finally:
            engine.close()
        return results

    def _targets(self, target: int | str | Sequence[int | str] | np.ndarray | None, pictures: int) -> list[int | None]:
        """The class's index for each picture."""
        if target is None:
            return [None] * pictures
        classes = list(self.program.classes)
        several = [target] * pictures if isinstance(target, str) or np.ndim(target) == 0 else list(target)
        indexes = [classes.index(one) if isinstance(one, str) and one in classes else one for one in several]
        wrong = [one for one in indexes if isinstance(one, str) or not 0 <= int(one) < len(classes)]
        if wrong or len(indexes) != pictures:
            said = f"there is no class {wrong[0]!r}" if wrong else f"{len(indexes)} targets are not one for each of {pictures} pictures"
            raise GradCoreError(f"{said}: give an index from 0 to {len(classes) - 1}, or one of {', '.join(classes)}")
        return [int(one) for one in indexes]

    def throughput_test(self, batch: int = 100, method: str = "saliency", *, explain: bool = True) -> dict[str, float]:
        """Run ``batch`` pictures of random pixels; what it took, by the names of FINN's driver where they mean the same.

        Returns:
            ``runtime[ms]`` of all runs with everything around them, ``throughput[images/s]``, ``core[ms]`` by the core's own
            counter, ``DRAM_in_bandwidth[MB/s]`` and ``DRAM_out_bandwidth[MB/s]`` while the core runs, ``fclk[mhz]``,
            ``batch_size``.
        """
        picture = self.program.picture
        shape = (batch, picture.height, picture.width, picture.channels)
        images = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        start = self.device.now()
        results = self.execute(images, method, explain=explain, headroom=False)
        seconds = self.device.now() - start
        core = sum(one.latency_ms for one in results) / 1e3
        return {
            "batch_size": batch,
            "fclk[mhz]": results[0].clock_mhz,
            "runtime[ms]": 1e3 * seconds,
            "throughput[images/s]": batch / seconds,
            "core[ms]": 1e3 * core,
            "DRAM_in_bandwidth[MB/s]": sum(one.counters["bytes_read"] for one in results) / core / 1e6,
            "DRAM_out_bandwidth[MB/s]": sum(one.counters["bytes_written"] for one in results) / core / 1e6,
        }

    def validate(self, data: str | Path | tuple[np.ndarray, np.ndarray], limit: int | None = None) -> dict[str, Any]:
        """Classify pictures and count what is right.

        Args:
            data: (images, labels), uint8 (N, H, W, C) and integers (N,); or an npz file with arrays of these names.
            limit: only the first so many.

        Returns:
            ``images``, ``ok``, ``nok`` and ``accuracy``.

        Raises:
            GradCoreError: the file cannot be read, or is no such file.
        """
        if isinstance(data, (str, Path)):
            try:
                with np.load(data, allow_pickle=False) as arrays:
                    data = arrays["images"], arrays["labels"]
            except (OSError, ValueError, KeyError, EOFError) as error:
                raise GradCoreError(
                    f"{data} is no npz file with the arrays images and labels ({type(error).__name__}): write one"
                ) from None
        images, labels = (part[:limit] for part in data)
        if len(images) != len(labels) or not len(images):
            raise GradCoreError(f"{len(images)} pictures and {len(labels)} labels: give one label for each picture")
        predicted = [one.predicted for one in self.execute(images, explain=False)]
        ok = int(np.sum(np.asarray(predicted) == labels))
        return {"images": len(labels), "ok": ok, "nok": len(labels) - ok, "accuracy": ok / len(labels)}

    def selftest(self, bundle: Bundle) -> list[str]:
        """Run a bundle's sample by every method; what differs from what is expected, one line each: none when all is well."""
        expected = bundle.sample()
        differences = []
        for method in (name for name in expected if name not in ("picture", "logits")):
            made = self.driver.run(expected["picture"], method)
            for name, got, wanted in (("logits", made.logits, expected["logits"]), ("attribution", made.attribution, expected[method])):
                wrong = got.size if got.shape != wanted.shape else int(np.count_nonzero(got != wanted))
                if wrong:
                    differences.append(f"{method}: {wrong} of {wanted.size} values of the {name} differ")
        return differences

    def close(self) -> None:
        """Give the device back."""
        self.device.close()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _OwnFormats:
    """An engine without headroom."""

    def __init__(self, engine: CoreEngine) -> None:
        self.classes, self.layers, self.real_inputs, self.execute = engine.classes, engine.layers, engine.real_inputs, engine.execute


def _check_seed(seed: np.ndarray, program: Runnable) -> None:
    """Refuse a raw seed that is none of the program's."""
    region = program.seed
    shape = (region.height, region.width, region.channels)
    if seed.shape != shape or seed.dtype.kind not in "iu" or (quantise(seed, 0)[0] != seed).any():
        raise GradCoreError(
            f"a raw seed holds integers of 16 bits, {' x '.join(map(str, shape))} of them, not {seed.dtype} "
            f"{' x '.join(map(str, seed.shape)) or 'alone'}: give the gradient of the logits, or real numbers as target"
        )


def open_device(backend: str | None = None, bundle: Bundle | None = None, **options: Any) -> Device:
    """The device of a back end; without a name that of the first that is there.

    Raises:
        GradCoreError: it is not there, or there is no back end of that name.
    """
    if backend not in (None, *BACKENDS):
        raise GradCoreError(f"there is no back end {backend!r}: use one of {', '.join(BACKENDS)}")
    for name in BACKENDS if backend is None else (backend,):
        if name == "simulated":
            try:
                simulator = importlib.import_module("gradcore.simulator.device")
            except ImportError:
                continue
            preset = {} if bundle is None else {"preset": bundle.manifest["preset"]}
            return _made(name, simulator.SimulatedDevice, **{**preset, **options})
        try:
            module = importlib.import_module(f".{name}_device", __package__)
        except GradCoreError:  # what it needs is not installed
            if backend is not None:
                raise
            continue
        if backend is not None or module.available():
            return _made(name, module.open_device, bundle, **options)
    raise GradCoreError(
        "there is no board (neither pynq nor a UIO device gradcore), and GradCore's simulator is not installed: see docs/board.md"
    )


def _made(backend: str, make: Callable[..., Device], *arguments: Any, **options: Any) -> Device:
    """The device; an option that it does not have is the user's mistake."""
    try:
        return make(*arguments, **options)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise GradCoreError(f"the back end {backend} has no such option ({error}): see docs/board.md") from None

# SPDX-License-Identifier: Apache-2.0
"""Explain pictures: what a network sees in them, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.attribution import METHODS, Aim, Method, attribute, check_method, keeps, rules
from gradcore.backends import Backend, Run, Setup, open_backend
from gradcore.errors import GradCoreError
from gradcore.explanation.result import Explanation
from gradcore.host.files import check_outputs
from gradcore.host.progress import Progress, silent
from gradcore.importer.opening import Given, load_network
from gradcore.network import Network, check_pictures
from gradcore.pictures.classes import listed
from gradcore.pictures.picture import Picture, load_picture
from gradcore.timeline import check_trace, overview, save_timeline

if TYPE_CHECKING:
    from PIL import Image

_PART = 16  # pictures that are run together
EQUAL, NOT_RUN = "equal", "not run"  # what the Verilog said


def explain(
    images: Sequence[str | Path | bytes | np.ndarray | Image.Image] | str | Path | np.ndarray,
    network: Given = "cifar10",
    method: str = "saliency",
    target: str | int | np.ndarray | None = None,
    backend: str | Setup = "rtl",
    *,
    against: str | int | None = None,
    keep: bool | None = None,
    progress: Progress | None = None,
    ready: Callable[[int, Explanation], object] = lambda number, result: None,
    **options: Any,
) -> list[Explanation]:
    """Run a network on pictures, forward and backward, and return an explanation of each.

    With the back end ``rtl`` the golden model runs first, which takes seconds; then the simulator is compiled, once, and the
    Verilog must give the same scores and attributions in every bit.

    Args:
        images: one picture or several: paths, file contents, arrays (uint8 or float in 0..1, H x W x 3), Pillow images,
            or ``gradcore.pictures.picture.Picture``.
        network: 'cifar10', the path of a network file, a ``Network``, or a ``GraphNetwork``.
        method: a key of ``gradcore.attribution.METHODS``: 'saliency', 'guided', 'integrated_gradients' and so on.
        target: class to explain: an integer is its index, a text its name; None is the predicted class; a vector (classes,) says how much
            of each logit is explained.
        against: class whose logit is subtracted: why the target and not this one.
        keep: whether results have the maps of all layers (``Explanation.activation``); None: unless they are large.
        backend: 'rtl' simulates the Verilog, 'golden' is the bit-exact model, 'float' is PyTorch; or a ``Setup``, which says more.
        progress: see ``gradcore.host.progress``.
        ready: called with a picture's number and its explanation as soon as there is one; with ``rtl`` again when the Verilog
            has confirmed it, and again when the trace is written.
        options: parameters of the method, such as ``n_steps``; and attributes of ``Setup``, in place of the set-up's: ``preset``,
            ``simulator``, ``clock_mhz``, ``headroom``, ``waves``, ``trace``.

    Raises:
        GradCoreError: anything that a user can put right: a bad picture, network, class, option or a missing tool; waves or
            trace would overwrite a picture or the network. Or the Verilog differs from its model.
    """
    chosen, setup, parameters = read_options(method, backend, options)
    loaded = load_network(network)
    aim = read_aim(target, against, loaded.classes)
    for what, asked in (("waves", setup.waves), ("a trace", setup.trace)):
        if asked is not None and not (chosen.rule and aim.is_class):
            raise GradCoreError(f"{what} cannot be had of several runs: take one of {', '.join(rules())}, and one class")
    several = isinstance(images, list | tuple)
    pictures = [_picture(image, number, loaded) for number, image in enumerate(images if several else [images])]
    if not pictures:
        return []
    if not (len(pictures) == 1 and chosen.rule and aim.is_class):  # a timeline is of one run
        setup = replace(setup, observe=False)
    if setup.trace is not None and setup.simulated:
        check_trace(setup.trace, len(pictures))
    check_outputs([("the waves", setup.waves), ("the trace", setup.trace)], inputs_of(pictures, loaded))
    task = _Task(loaded, setup, chosen, parameters, aim, pictures, progress or silent, ready, keep)
    if not setup.simulated:
        return _explain(task, open_backend(setup, loaded))
    verilog = open_backend(replace(setup, headroom=0), loaded)  # before the model runs: what is missing is told at once
    results = _explain(task, open_backend("golden", loaded, headroom=setup.headroom))
    _confirm(task, results, verilog)
    return results


def read_options(method: str, backend: str | Setup, options: Mapping[str, Any]) -> tuple[Method, Setup, dict[str, Any]]:
    """The method, the set-up and the method's parameters, from what callers of ``explain`` may write.

    Raises:
        GradCoreError: there is no such method or parameter, or it cannot have that value.
    """
    chosen, options = check_method(method), dict(options)
    known = {parameter.name for one in METHODS.values() for parameter in one.parameters}
    given = {name: options.pop(name) for name in known & options.keys()}
    return chosen, Setup.of(backend, **options), chosen.checked(given)


def read_aim(target: str | int | np.ndarray | None, against: str | int | None, classes: Sequence[str]) -> Aim:
    """What is explained, from what callers of ``explain`` may write.

    Raises:
        GradCoreError: there is no such class, or not one weight for each.
    """
    weights = isinstance(target, np.ndarray) and target.ndim > 0 or isinstance(target, list | tuple)
    index = None if target is None else np.asarray(target, np.float64) if weights else find_class(target, classes)
    aim = Aim(index, None if against is None else find_class(against, classes))
    aim.check(len(classes))
    return aim


@dataclass(frozen=True)
class _Task:
    """What a call asks for."""

    network: Network
    setup: Setup
    method: Method
    parameters: dict[str, Any]
    aim: Aim
    pictures: Sequence[Picture]
    progress: Progress
    ready: Callable[[int, Explanation], object]
    keep: bool | None

    def runs(self, engine: Backend, numbers: Sequence[int], part: int = _PART) -> Iterator[Run]:
        """The run of each picture; those of a part are ready when it is done, so that a failure in the next one costs them nothing."""
        if not (self.method.rule and self.aim.is_class):
            pixels = [self.pictures[number].pixels for number in numbers]
            yield from attribute(engine, pixels, self.method, self.aim, self.parameters, self.progress, self.keep)
            return
        keep = keeps(engine) if self.keep is None else self.keep
        for start in range(0, len(numbers), part):
            pixels = [self.pictures[number].pixels for number in numbers[start : start + part]]

            def report(text: str, done: int = 0, total: int = 0, start: int = start, count: int = len(pixels)) -> None:
                self.progress(text, *((start + done, len(numbers)) if total == count else (done, total)))

            yield from engine.run(pixels, [self.method.name], self.aim.target, report, keep)[self.method.name]


def _explain(task: _Task, engine: Backend) -> list[Explanation]:
    """The explanation of each picture by the model, or by PyTorch; of the Verilog nothing is known yet."""
    setup, results = task.setup, []
    given = 0 if setup.headroom is None or setup.backend == "float" else setup.headroom
    for number, run in enumerate(task.runs(engine, range(len(task.pictures)))):
        results.append(
            Explanation(
                task.pictures[number].name,
                task.network.label,
                task.method.name,
                setup.backend,
                tuple(task.network.classes),
                run.logits,
                run.target,
                run.attribution,
                task.pictures[number],
                remarks=tuple(engine.notes),
                saturation=run.saturation,
                headroom=run.headroom or given,
                without_headroom=run.without_headroom,
                runs=run.runs,
                parameters=task.parameters,
                against=None if task.aim.against is None else task.network.classes[task.aim.against],
                seed=run.seed,
                activations=run.activations,
                gradients=run.gradients,
                verilog=NOT_RUN if setup.simulated else None,
                preset=setup.preset,
                simulator=setup.simulator if setup.simulated else None,
            )
        )
        task.ready(number, results[-1])
    return results


def _confirm(task: _Task, results: list[Explanation], engine: Backend) -> None:
    """Run the Verilog, which must be equal to the model; its cycles, waves and trace are added to the results.

    Args:
        engine: the Verilog with the network's own formats. Pictures that needed headroom get one with theirs.
    """
    setup = task.setup
    groups: dict[int, list[int]] = {}
    for number, result in enumerate(results):
        groups.setdefault(result.headroom, []).append(number)
    if setup.waves is not None and len(groups) > 1:
        raise GradCoreError(
            f"{results[groups[max(groups)][0]].image} needs headroom and others do not, and waves are of one simulation: take one picture, "
            "or give the headroom for all"
        )
    for bits, numbers in groups.items():
        widened = open_backend(replace(setup, headroom=bits), task.network) if bits else engine
        part = _PART if setup.waves is None else len(numbers)  # waves are of one simulation
        for number, run in zip(numbers, task.runs(widened, numbers, part), strict=True):
            _check_equal(results[number], run)
            files = results[number].files | ({} if setup.waves is None else {"waves": str(setup.waves)})
            measured = {"cycles": run.cycles, "clock_mhz": setup.clock_mhz, "counters": run.counters, "files": files}
            made = None if run.timeline is None else overview(run.timeline, setup.clock_mhz)
            results[number] = replace(results[number], verilog=EQUAL, overview=made, **measured)
            task.ready(number, results[number])
    if setup.trace is not None:
        metadata = {"network": task.network.label, "method": task.method.name, "picture": results[0].image, "preset": setup.preset}
        save_timeline(run.timeline, setup.trace, setup.clock_mhz, {**metadata, "counters": run.counters})
        results[0].files["trace"] = str(setup.trace)
        task.ready(0, results[0])


def inputs_of(pictures: Sequence[Picture], network: Network) -> list[tuple[str, str | Path | None]]:
    """What explaining pictures reads, for ``files.check_outputs``."""
    read: list[tuple[str, str | Path | None]] = [("the picture", picture.path) for picture in pictures]
    return [*read, ("the network", network.origin)]


def _check_equal(result: Explanation, run: Run) -> None:
    """Refuse a run of the Verilog that differs from the golden model in any bit."""
    found = []
    if run.target != result.target:
        found.append(f"class {run.target} was explained instead of {result.target}")
    if run.runs != result.runs:
        found.append(f"{run.runs} runs instead of {result.runs}")
    maps = [
        (f"values of the {kind} of {name}", ours.get(name, np.zeros(0)), other)
        for kind, ours, others in (
            ("activation", run.activations, result.activations),
            ("gradient", run.gradients, result.gradients),
        )
        for name, other in others.items()
    ]
    compared = [("scores", run.logits, result.logits), ("values of the attribution", run.attribution, result.attribution), *maps]
    for what, one, other in compared:
        if one.shape != other.shape:
            found.append(f"{what} of shape {one.shape} instead of {other.shape}")
        elif one.tobytes() != other.tobytes():
            differ = np.flatnonzero(one.reshape(-1) != other.reshape(-1))
            first = differ[0] if differ.size else 0
            found.append(
                f"{differ.size} of {one.size} {what} (the first at {tuple(int(i) for i in np.unravel_index(first, one.shape))}: "
                f"{one.reshape(-1)[first]:g} instead of {other.reshape(-1)[first]:g})"
            )
    if run.saturation and run.saturation != result.saturation:
        found.append("counts of saturated values")
    if found:
        raise GradCoreError(
            f"{result.image}: the Verilog differs from its model: {', '.join(found)}: this is a bug of GradCore; please report it "
            "with the picture and the network"
        )


def find_class(target: str | int, classes: Sequence[str]) -> int:
    """Index of a class. An integer is an index. A text is a name, its case only matters where names differ by nothing else;
    one that is no name may be an index in digits.

    Raises:
        GradCoreError: there is no such class; the message lists those there are. Or several have that name but for its case.
    """
    index = None
    if isinstance(target, str):
        text = target.strip()
        for found in (
            [number for number, name in enumerate(classes) if target == name],
            [number for number, name in enumerate(classes) if text.casefold() == name.strip().casefold()],
        ):
            if len(found) > 1:
                raise GradCoreError(
                    f"{len(found)} classes are called {text!r} but for upper and lower case, the first two are {found[0]} "
                    f"({classes[found[0]]!r}) and {found[1]} ({classes[found[1]]!r}): write it as it is, or give the index"
                )
            if found:
                return found[0]
        index = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
    elif isinstance(target, int | np.integer) and not isinstance(target, bool):
        index = int(target)
    if index is not None and 0 <= index < len(classes):
        return index
    raise GradCoreError(f"unknown class {target!r}: use one of {listed(classes)}, or an index from 0 to {len(classes) - 1}")


def _picture(image: Any, number: int, network: Network) -> Picture:
    if isinstance(image, Picture):
        check_pictures(image.pixels[None], network.input_shape)
        return image
    channels, height, width = network.input_shape
    name = None if isinstance(image, str | Path) else f"picture-{number}"
    return load_picture(image, height=height, width=width, channels=channels, name=name)

# SPDX-License-Identifier: Apache-2.0
"""Explain pictures: what a network sees in them, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.backends import (
    METHODS,
    Backend,
    Cycles,
    LayerSaturation,
    Run,
    Setup,
    is_weak,
    open_backend,
    softmax,
)
from gradcore.drawing import heatmap
from gradcore.errors import GradCoreError
from gradcore.explanation.result_folders import FILES, source
from gradcore.host.files import check_outputs, write_atomically
from gradcore.host.inputs import check_choice
from gradcore.host.progress import Progress, silent
from gradcore.host.streams import strict_json
from gradcore.network import Network, check_pictures, load_network
from gradcore.pictures.picture import Picture, load_picture
from gradcore.quantise import precision
from gradcore.timeline import check_trace, save_timeline

if TYPE_CHECKING:
    from PIL import Image

_PART = 16  # pictures that are run together
EQUAL, NOT_RUN = "equal", "not run"  # what the Verilog said
_BROKEN = "the network's weights are too large, or no numbers"

__all__ = ["METHODS", "Explanation", "explain", "find_class"]


@dataclass(frozen=True)
class Explanation:
    """What the network said of one picture, and the gradient that tells why.

    Attributes:
        image: the picture's path or name.
        network, method, backend: what made it.
        classes: the network's class names, in the order of the logits.
        logits: float64, one score for each class.
        target: index of the class that was explained.
        attribution: float32, channels x height x width: the signed gradient of the target's logit with respect to the
            network's (normalised) input.
        picture: the picture as the network saw it.
        cycles: clock cycles; only the back end ``rtl`` has them.
        clock_mhz: the clock that ``latency_ms`` is for; only with ``cycles``.
        remarks: what a user should know of the network, one sentence each.
        saturation, headroom, without_headroom: how many values of each layer saturated, and in which number formats: see
            ``gradcore.backends.Run``.
        files: waves, trace, and what ``save`` wrote: paths by name.
        verilog: with ``rtl`` 'equal' when the Verilog has given the same scores and attribution in every bit, until then
            'not run'; None with other back ends.
    """

    image: str
    network: str
    method: str
    backend: str
    classes: tuple[str, ...]
    logits: np.ndarray
    target: int
    attribution: np.ndarray
    picture: Picture
    cycles: Cycles | None = None
    clock_mhz: float | None = None
    remarks: tuple[str, ...] = ()
    saturation: tuple[LayerSaturation, ...] = ()
    headroom: int = 0
    without_headroom: tuple[LayerSaturation, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    verilog: str | None = None

    @property
    def predicted(self) -> int:
        """Index of the largest logit; the first wins a tie."""
        return int(np.argmax(self.logits))

    @property
    def latency_ms(self) -> float | None:
        """Forward and backward time in milliseconds at ``clock_mhz``."""
        return None if self.cycles is None or not self.clock_mhz else self.cycles.total / (self.clock_mhz * 1e3)

    @property
    def softmax(self) -> np.ndarray:
        """float64, one share for each class: see ``backends.softmax``."""
        return softmax(self.logits)

    @property
    def weak(self) -> bool:
        """See ``backends.is_weak``."""
        return is_weak(self.logits)

    @property
    def notes(self) -> list[str]:
        """What a user should know of this picture: what was done to it, what its answer is worth, what there is to see."""
        notes = [*self.picture.notes, *precision.saturation_notes(self.saturation, self.headroom, self.without_headroom)]
        predicted = self.classes[self.predicted]
        if self.picture.resized or self.weak:
            notes.append(f"the network knows only {listed(self.classes)}: of all else it names what comes nearest")
        if self.weak:
            notes.append(
                f"its answer is weak, {predicted} has {self.softmax[self.predicted]:.0%} of the softmax: it may be wrong, or "
                "see nothing that it knows"
            )
        if not np.all(np.isfinite(self.logits)):
            notes.append(f"{np.sum(~np.isfinite(self.logits))} of the {len(self.logits)} scores are not finite numbers: {_BROKEN}")
        marked = heatmap.not_numbers(self.attribution)
        if marked:
            notes.append(f"the gradient is not finite in {marked} pixels, which are {heatmap.MARK} in the heatmap: {_BROKEN}")
        elif not np.any(self.attribution):
            notes.append(f"the gradient of class {self.classes[self.target]} is zero everywhere: the heatmap is empty")
        return notes

    @property
    def title(self) -> str:
        """What a heatmap of it is labelled with."""
        return f"why {self.classes[self.target]}: {self.method}"

    def as_dict(self) -> dict[str, Any]:
        """What ``result.json`` holds."""
        return {
            "image": self.image,
            "source": source(self.picture),
            "network": self.network,
            "method": self.method,
            "backend": self.backend,
            "classes": list(self.classes),
            "logits": [float(value) if np.isfinite(value) else None for value in self.logits],
            "predicted": self.classes[self.predicted],
            "target": self.classes[self.target],
            "weak": self.weak,
            "verilog": self.verilog,
            "cycles": None if self.cycles is None else self.cycles.as_dict(),
            "latency_ms": self.latency_ms,
            "clock_mhz": self.clock_mhz,
            "saturation": precision.saturation_dict(self.saturation),
            "headroom": self.headroom,
            "without_headroom": precision.saturation_dict(self.without_headroom),
            "files": dict(self.files),
            "notes": [*self.remarks, *self.notes],
        }

    def save(self, folder: str | Path) -> dict[str, str]:
        """Write attribution.npy, result.json, heatmap.png and overlay.png to ``folder``; return ``files``.

        What was computed is written first: after an error ``files`` and result.json name what is there.

        Raises:
            GradCoreError: a file cannot be written.
        """
        paths = {name: Path(folder) / file for name, file in FILES.items()}
        write_atomically(paths["attribution"], lambda stream: np.save(stream, self.attribution))
        self.files["attribution"] = str(paths["attribution"])
        self.save_result(folder)
        heatmap.draw_heatmap(self.attribution, paths["heatmap"], title=self.title)
        self.files["heatmap"] = str(paths["heatmap"])
        heatmap.draw_overlay(self.picture.pixels, self.attribution, paths["overlay"], title=self.title)
        self.files["overlay"] = str(paths["overlay"])
        self.save_result(folder)
        return self.files

    def save_result(self, folder: str | Path) -> None:
        """Write result.json alone: strict JSON of ``as_dict``.

        Raises:
            GradCoreError: it cannot be written.
        """
        path = Path(folder) / FILES["result"]
        before = dict(self.files)
        self.files["result"] = str(path)
        try:
            write_atomically(path, strict_json(self.as_dict()) + "\n")
        except GradCoreError:
            self.files.clear()
            self.files.update(before)
            raise


def explain(
    images: Sequence[str | Path | bytes | np.ndarray | Image.Image] | str | Path | np.ndarray,
    network: str | Path | Network = "cifar10",
    method: str = "saliency",
    target: str | int | None = None,
    backend: str | Setup = "rtl",
    *,
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
        network: 'cifar10', the path of a network file, or a ``Network``.
        method: 'saliency', 'deconvnet' or 'guided'.
        target: class to explain: an integer is its index, a text its name; None is the predicted class.
        backend: 'rtl' simulates the Verilog, 'golden' is the bit-exact model, 'float' is PyTorch; or a ``Setup``, which says more.
        progress: see ``gradcore.host.progress``.
        ready: called with a picture's number and its explanation as soon as there is one; with ``rtl`` again when the Verilog
            has confirmed it, and again when the trace is written.
        options: attributes of ``Setup``, in place of the set-up's: ``preset``, ``simulator``, ``clock_mhz``, ``headroom``,
            ``waves``, ``trace``.

    Raises:
        GradCoreError: anything that a user can put right: a bad picture, network, class, option or a missing tool; waves or
            trace would overwrite a picture or the network. Or the Verilog differs from its model.
    """
    setup = Setup.of(backend, **options)
    check_choice("method", method, METHODS)
    progress = progress or silent
    loaded = load_network(network)
    waves, trace = setup.waves, setup.trace
    index = None if target is None else find_class(target, loaded.classes)
    several = isinstance(images, list | tuple)
    pictures = [_picture(image, number, loaded) for number, image in enumerate(images if several else [images])]
    if not pictures:
        return []
    if trace is not None and setup.simulated:
        check_trace(trace, len(pictures))
    check_outputs([("the waves", waves), ("the trace", trace)], inputs_of(pictures, loaded))
    engine = open_backend(replace(setup, headroom=0) if setup.simulated else setup, loaded)
    pixels = [picture.pixels for picture in pictures]
    model = open_backend("golden", loaded, headroom=setup.headroom) if setup.simulated else engine
    results: list[Explanation] = []
    for picture, run in zip(pictures, _runs(model, pixels, method, index, progress), strict=True):
        results.append(
            Explanation(
                picture.name,
                loaded.label,
                method,
                setup.backend,
                tuple(loaded.classes),
                run.logits,
                run.target,
                run.attribution,
                picture,
                remarks=tuple(engine.notes),
                saturation=run.saturation,
                headroom=run.headroom or (0 if setup.headroom is None or setup.backend == "float" else setup.headroom),
                without_headroom=run.without_headroom,
                verilog=NOT_RUN if setup.simulated else None,
            )
        )
        ready(len(results) - 1, results[-1])
    if not setup.simulated:
        return results
    groups: dict[int, list[int]] = {}
    for number, result in enumerate(results):
        groups.setdefault(result.headroom, []).append(number)
    if waves is not None and len(groups) > 1:
        raise GradCoreError(
            f"{results[groups[max(groups)][0]].image} needs headroom and others do not, and waves are of one simulation: take one picture, "
            "or give the headroom for all"
        )
    for bits, numbers in groups.items():
        engine = open_backend(replace(setup, headroom=bits), loaded) if bits else engine
        part = _PART if waves is None else len(numbers)  # waves are of one simulation
        runs = _runs(engine, [pixels[number] for number in numbers], method, index, progress, part)
        for number, run in zip(numbers, runs, strict=True):
            _check_equal(results[number], run)
            files = results[number].files | ({} if waves is None else {"waves": str(waves)})
            results[number] = replace(results[number], cycles=run.cycles, clock_mhz=setup.clock_mhz, verilog=EQUAL, files=files)
            ready(number, results[number])
    if trace is not None:
        metadata = {"network": loaded.label, "method": method, "picture": pictures[0].name, "preset": setup.preset}
        save_timeline(run.timeline, trace, setup.clock_mhz, {**metadata, "counters": run.counters})
        results[0].files["trace"] = str(trace)
        ready(0, results[0])
    return results


def _runs(
    engine: Backend, pixels: Sequence[np.ndarray], method: str, target: int | None, progress: Progress, part: int = _PART
) -> Iterator[Run]:
    """The run of each picture; those of a part are ready when it is done, so that a failure in the next one costs them nothing."""
    for start in range(0, len(pixels), part):
        some = pixels[start : start + part]

        def report(text: str, done: int = 0, total: int = 0, start: int = start, count: int = len(some)) -> None:
            progress(text, *((start + done, len(pixels)) if total == count else (done, total)))

        yield from engine.run(some, [method], target, report)[method]


def inputs_of(pictures: Sequence[Picture], network: Network) -> list[tuple[str, str | Path | None]]:
    """What explaining pictures reads, for ``files.check_outputs``."""
    read: list[tuple[str, str | Path | None]] = [("the picture", picture.path) for picture in pictures]
    return [*read, ("the network", network.origin)]


def _check_equal(result: Explanation, run: Run) -> None:
    """Refuse a run of the Verilog that differs from the golden model in any bit."""
    found = []
    if run.target != result.target:
        found.append(f"class {run.target} was explained instead of {result.target}")
    for what, one, other in (("scores", run.logits, result.logits), ("values of the attribution", run.attribution, result.attribution)):
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


def listed(classes: Sequence[str]) -> str:
    """The names of the classes, the first of many."""
    return ", ".join(classes[:20]) + (f", ... ({len(classes)} in all)" if len(classes) > 20 else "")


def _picture(image: Any, number: int, network: Network) -> Picture:
    if isinstance(image, Picture):
        check_pictures(image.pixels[None], network.input_shape)
        return image
    channels, height, width = network.input_shape
    name = None if isinstance(image, str | Path) else f"picture-{number}"
    return load_picture(image, height=height, width=width, channels=channels, name=name)

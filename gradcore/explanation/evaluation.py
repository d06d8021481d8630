# SPDX-License-Identifier: Apache-2.0
"""Evaluate a network on labelled pictures: accuracy, and agreement of its attributions with PyTorch's autograd."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.backends import METHODS, Backend, Run, Setup, is_weak, open_backend
from gradcore.errors import GradCoreError
from gradcore.host.inputs import check_choice
from gradcore.host.progress import Progress, silent
from gradcore.importer.opening import Given, load_network
from gradcore.network import Network
from gradcore.quantise import precision

if TYPE_CHECKING:
    from rich.table import Table


PATTERNS = 20
_BACKENDS = ("golden", "float")  # the Verilog is equal to the first, and slow
_NOTHING = np.zeros(0)  # in place of what is not needed any more
_BATCH = 64


def evaluate(
    data: str | Path,
    *,
    network: Given = "cifar10",
    limit: int | None = None,
    backend: str | Setup = "golden",
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Measure accuracy and attributions on labelled pictures.

    Args:
        data: Parquet file with the columns ``image`` and ``label``.
        network: 'cifar10', the path of a network file, a ``Network``, or a ``GraphNetwork``.
        limit: take only so many of the first pictures.
        backend: 'golden' or 'float', or a ``Setup`` with one of them.
        progress: see ``gradcore.host.progress``.
        options: attributes of ``Setup``, in place of the set-up's: ``headroom``.

    Returns:
        A dictionary with ``accuracy`` (0..1), ``weak`` (answers of less than half of the softmax: how many ``pictures``, and
        which share of the ``right`` and of the ``wrong`` answers), ``images``, ``network``, ``backend``, ``notes`` (on what was
        done to the pictures, on how classes were matched, on the network and on what saturated) and ``methods``; for each method
        ``pearson_median``, ``pearson_min`` and ``below_0.99`` (a number of pictures): over the pictures, the correlation of
        the attribution (all channels, signed) with float autograd's, both of the class that the back end predicts. Where one
        of the two is zero everywhere, r counts as 0, where both are as 1. ``saturation`` (None with 'float') says in how many
        ``pictures`` values saturated in the network's own formats, in which ``layers``, how many were ``run_again`` with
        headroom, and, under ``methods``, how well these pictures agree.

    Raises:
        GradCoreError: anything that a user can put right.
    """
    setup = Setup.of(backend, **options)
    check_choice("backend", setup.backend, _BACKENDS)
    progress = progress or silent
    loaded = load_network(network)
    from gradcore.pictures.classes import match_classes
    from gradcore.pictures.data import read_parquet

    progress("reading the pictures", 0, 0)
    read = read_parquet(data, limit, shape=loaded.input_shape)
    pictures, notes = match_classes(read, loaded.classes, data=str(data), other="the network")
    engine = open_backend(setup, loaded)
    measured = _measure(engine, loaded, pictures.images, progress)
    hits = int(np.sum(measured.targets == pictures.labels))
    return {
        "network": loaded.label,
        "backend": setup.backend,
        "images": len(pictures),
        "accuracy": hits / len(pictures),
        "weak": _weak_shares(measured.weak, measured.targets == pictures.labels),
        "notes": [*pictures.notes, *notes, *engine.notes, *measured.notes()],
        "methods": measured.agreement(),
        "saturation": measured.saturated(),
    }


def evaluate_patterns(
    count: int = PATTERNS,
    *,
    network: Given = "cifar10",
    backend: str | Setup = "golden",
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Measure how well attributions of high-contrast pictures (see ``gradcore.pictures.patterns``) agree with PyTorch's autograd.

    Args:
        count: pictures of each kind and ink.
        network, backend, progress, options: as for ``evaluate``.

    Returns:
        A dictionary as ``evaluate`` does, without ``accuracy``, and with ``kinds``: a list with, for each kind of pictures,
        ``kind``, ``images``, ``methods`` and ``saturation``.

    Raises:
        GradCoreError: anything that a user can put right.
    """
    setup = Setup.of(backend, **options)
    check_choice("backend", setup.backend, _BACKENDS)
    if count < 1:
        raise GradCoreError(f"{count} pictures of each kind cannot be measured: give 1 or more")
    from gradcore.pictures.patterns import INKS, KINDS, patterns

    loaded = load_network(network)
    drawn = patterns(loaded.input_shape, count)
    images = np.concatenate([drawn[kind, ink] for kind in KINDS for ink in INKS])
    engine = open_backend(setup, loaded)
    measured = _measure(engine, loaded, images, progress or silent)
    each = count * len(INKS)
    kinds = []
    for number, kind in enumerate(KINDS):
        part = measured.part(slice(number * each, (number + 1) * each))
        kinds.append({"kind": kind, "images": each, "methods": part.agreement(), "saturation": part.saturated()})
    return {
        "network": loaded.label,
        "backend": setup.backend,
        "images": len(images),
        "notes": [*engine.notes, *measured.notes()],
        "methods": measured.agreement(),
        "saturation": measured.saturated(),
        "kinds": kinds,
    }


@dataclass(frozen=True)
class _Measured:
    """Results of pictures: predicted classes and whether they are weak (N,), by method r (N,), and of each picture the runs by method."""

    targets: np.ndarray
    weak: np.ndarray
    correlations: dict[str, np.ndarray]
    runs: list[list[Run]]

    def part(self, which: slice) -> _Measured:
        correlations = {method: values[which] for method, values in self.correlations.items()}
        return _Measured(self.targets[which], self.weak[which], correlations, self.runs[which])

    def notes(self) -> list[str]:
        first = self.saturation
        left = precision.saturation_report([run.saturation for run in runs] for runs in self.runs)
        again = any(run.headroom for runs in self.runs for run in runs)
        return [*precision.report_notes(first, len(self.runs), again), *(precision.report_notes(left, len(self.runs)) if again else [])]

    def agreement(self) -> dict[str, Any]:
        return {
            method: {
                "pearson_median": float(np.median(values)),
                "pearson_min": float(np.min(values)),
                "below_0.99": int(np.sum(values < 0.99)),
            }
            for method, values in self.correlations.items()
        }

    @property
    def saturation(self) -> dict[str, Any] | None:
        """Of the runs with the network's own formats."""
        return precision.saturation_report([run.without_headroom or run.saturation for run in runs] for runs in self.runs)

    def saturated(self) -> dict[str, Any] | None:
        """``precision.saturation_report``, with ``methods``: the agreement of the pictures in which anything saturated."""
        report = self.saturation
        if report is None:
            return None
        which = report.pop("which")
        chosen = {method: values[which] for method, values in self.correlations.items()}
        again = sum(any(run.headroom for run in runs) for runs in self.runs)
        agreement = _Measured(self.targets[which], self.weak[which], chosen, []).agreement() if which else {}
        return {**report, "run_again": again, "methods": agreement}


def _measure(engine: Backend, network: Network, images: np.ndarray, progress: Progress) -> _Measured:
    """Run pictures with every method and compare with PyTorch."""
    reference = open_backend("float", network)
    targets: list[int] = []
    weak: list[bool] = []
    correlations: dict[str, list[float]] = {method: [] for method in METHODS}
    runs: list[list[Run]] = []
    for start in range(0, len(images), _BATCH):
        progress("evaluating", start, len(images))
        batch = list(images[start : start + _BATCH])
        results = engine.run(batch, METHODS)
        found = [run.target for run in results[METHODS[0]]]
        expected = reference.run(batch, METHODS, found)
        targets += found
        weak += [is_weak(run.logits) for run in results[METHODS[0]]]
        for method in METHODS:
            correlations[method] += [
                pearson(one.attribution, other.attribution) for one, other in zip(results[method], expected[method], strict=True)
            ]
        runs += [
            [replace(results[method][number], attribution=_NOTHING, logits=_NOTHING) for method in METHODS] for number in range(len(batch))
        ]
    progress("evaluating", len(images), len(images))
    return _Measured(np.array(targets), np.array(weak), {method: np.array(values) for method, values in correlations.items()}, runs)


def _weak_shares(weak: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """How many answers are weak, and their shares among the right and the wrong ones; None where there are no such answers."""
    among = {name: weak[which] for name, which in (("right", right), ("wrong", ~right))}
    return {"pictures": int(weak.sum()), **{name: float(values.mean()) if values.size else None for name, values in among.items()}}


def pearson(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's r of two arrays; 1 where neither varies, 0 where one does not."""
    one, other = (np.asarray(values, dtype=np.float64).reshape(-1) for values in (one, other))
    one, other = one - one.mean(), other - other.mean()
    lengths = np.linalg.norm(one), np.linalg.norm(other)
    if not all(lengths):
        return float(lengths[0] == lengths[1])
    return float(np.clip(one @ other / (lengths[0] * lengths[1]), -1.0, 1.0))


def tables(report: dict[str, Any]) -> list[Table]:
    """The report as tables for people."""
    from rich.table import Table

    accuracy = f": accuracy {report['accuracy']:.2%}" if "accuracy" in report else ""
    table = Table(
        title=f"{report['network']}, {report['backend']}, {report['images']} pictures{accuracy}",
        title_justify="left",
    )
    for heading, justify in (
        ("attribution against float autograd", "left"),
        ("median of r", "right"),
        ("least r", "right"),
        ("below 0.99", "right"),
        ("least r where values saturated", "right"),
    ):
        table.add_column(heading, justify=justify)
    among = (report["saturation"] or {}).get("methods", {})
    for method, values in report["methods"].items():
        least = f"{among[method]['pearson_min']:.6f}" if method in among else ""
        table.add_row(method, f"{values['pearson_median']:.6f}", f"{values['pearson_min']:.6f}", f"{values['below_0.99']}", least)
    if "weak" in report:
        shares = (f"{share:.1%} of the {name} ones" for name in ("right", "wrong") if (share := report["weak"][name]) is not None)
        table.caption = f"weak answers (less than half of the softmax): {report['weak']['pictures']}; {', '.join(shares)}"
        table.caption_justify = "left"
    return [table, *([_kinds_table(report["kinds"], Table)] if "kinds" in report else [])]


def _kinds_table(kinds: list[dict[str, Any]], table_class: type[Table]) -> Table:
    """Pictures of high contrast, kind by kind."""
    methods = list(kinds[0]["methods"])
    table = table_class(title="kind by kind: least r, and pictures below 0.99", title_justify="left")
    for heading in ("pictures", "", "values saturated in", *methods):
        table.add_column(heading, justify="right" if heading != "pictures" else "left")
    for one in kinds:
        saturated = "" if one["saturation"] is None else str(one["saturation"]["pictures"])
        cells = [f"{one['methods'][method]['pearson_min']:.4f} ({one['methods'][method]['below_0.99']})" for method in methods]
        table.add_row(one["kind"], str(one["images"]), saturated, *cells)
    return table

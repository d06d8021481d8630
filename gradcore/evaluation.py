# SPDX-License-Identifier: Apache-2.0
"""Evaluate a network on labelled pictures: accuracy, and agreement of its attributions with PyTorch's autograd."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.backends import METHODS, check_choice, load_network, open_backend
from gradcore.progress import Progress, silent

if TYPE_CHECKING:
    from rich.table import Table

    from gradcore.network import Network

_BATCH = 64


def evaluate(
    data: str | Path,
    *,
    network: str | Path | Network = "cifar10",
    limit: int | None = None,
    backend: str = "golden",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure accuracy and attributions on labelled pictures.

    Args:
        data: Parquet file with the columns ``image`` and ``label``.
        network: 'cifar10', the path of a network file, or a ``Network``.
        limit: take only so many of the first pictures.
        backend: 'golden' or 'float'.
        progress: see ``gradcore.progress``.

    Returns:
        A dictionary with ``accuracy`` (0..1), ``images``, ``network``, ``backend``, ``notes`` (on what was done to the
        pictures, and on how classes were matched; one sentence each) and ``methods``; for each method
        ``pearson_median`` and ``pearson_min``: over the pictures, the correlation of the attribution (all channels,
        signed) with float autograd's, both of the class that the back end predicts. Where one of the two is zero
        everywhere, r counts as 0, where both are as 1.

    Raises:
        GradCoreError: anything that a user can put right.
    """
    check_choice("backend", backend, ("golden", "float"))
    progress = progress or silent
    loaded = load_network(network)
    from gradcore.classes import match_classes
    from gradcore.data import read_parquet

    progress("reading the pictures", 0, 0)
    read = read_parquet(data, limit, shape=loaded.input_shape)
    pictures, notes = match_classes(read, loaded.classes, data=str(data), other="the network")
    notes = [*pictures.notes, *notes]
    engine = open_backend(backend, loaded)
    reference = open_backend("float", loaded)
    hits = 0
    correlations: dict[str, list[float]] = {method: [] for method in METHODS}
    for start in range(0, len(pictures), _BATCH):
        progress("evaluating", start, len(pictures))
        batch = list(pictures.images[start : start + _BATCH])
        results = engine.run(batch, METHODS)
        targets = [run.target for run in results[METHODS[0]]]
        expected = reference.run(batch, METHODS, targets)
        hits += int(np.sum(targets == pictures.labels[start : start + _BATCH]))
        for method in METHODS:
            correlations[method] += [
                pearson(one.attribution, other.attribution)
                for one, other in zip(results[method], expected[method], strict=True)
            ]
    progress("evaluating", len(pictures), len(pictures))
    name = str(network) if isinstance(network, str | Path) else loaded.name
    return {
        "network": name,
        "backend": backend,
        "images": len(pictures),
        "accuracy": hits / len(pictures),
        "notes": notes,
        "methods": {
            method: {"pearson_median": float(np.median(values)), "pearson_min": float(np.min(values))}
            for method, values in correlations.items()
        },
    }


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

    table = Table(
        title=f"{report['network']}, {report['backend']}, {report['images']} pictures: "
        f"accuracy {report['accuracy']:.2%}",
        title_justify="left",
    )
    for heading, justify in (
        ("attribution against float autograd", "left"),
        ("median of r", "right"),
        ("least r", "right"),
    ):
        table.add_column(heading, justify=justify)
    for method, values in report["methods"].items():
        table.add_row(method, f"{values['pearson_median']:.6f}", f"{values['pearson_min']:.6f}")
    return [table]

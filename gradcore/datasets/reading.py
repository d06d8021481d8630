# SPDX-License-Identifier: Apache-2.0
"""Reads what ``explain-dataset`` has written: Parquet parts as NumPy arrays with real values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gradcore.datasets.integers import unpack
from gradcore.datasets.storage import open_part, vectors
from gradcore.datasets.task import named
from gradcore.errors import GradCoreError
from gradcore.host.inputs import check_choice, unreadable

_SHOWN = 5


@dataclass(frozen=True)
class Batch:
    """Results of N rows of the data file, in their order.

    Attributes:
        rows: int64 (N,): their numbers in the data file, from 0.
        labels: int32 (N,), as the network numbers the classes; None where the data file has none.
        predicted: int32 (N,): the class with the largest logit.
        targets: int32 (N,): the class that was explained; of weights the one with the largest.
        logits: float64 (N, classes).
        attributions: float32 (N, C, H, W), as of ``Explanation.attribution``: with the methods of one backward pass equal to it in every
            bit, with others rounded to 16 bits.
        saturated: int64 (N,): values that saturated in the run.
        headroom: int8 (N,): bits by which its number formats were wider than the network's.
    """

    rows: np.ndarray
    labels: np.ndarray | None
    predicted: np.ndarray
    targets: np.ndarray
    logits: np.ndarray
    attributions: np.ndarray
    saturated: np.ndarray
    headroom: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


class Attributions:
    """The results of a run, part by part: iterate over them, a ``Batch`` a part, or ``read()`` all at once.

    Args:
        folder: that ``explain-dataset`` has written to.
        run: the run's name, where the folder holds several.
        partial: whether parts may be missing.

    Attributes:
        name: of the run.
        about: what its parts say of it, see docs/datasets.md: ``network``, ``method``, ``classes`` and so on.

    Raises:
        GradCoreError: no such folder, or one without results, or with those of several runs; a part is missing, or damaged.
    """

    def __init__(self, folder: str | Path, run: str | None = None, *, partial: bool = False) -> None:
        files = parts_in(Path(folder))
        if not files:
            raise GradCoreError(f"{folder} holds no attributions: give the folder that gradcore explain-dataset --out named")
        if run is None and len(files) > 1:
            raise GradCoreError(f"{folder} holds the parts of {len(files)} runs: name one of them as run, {', '.join(sorted(files))}")
        self.name = run if run is not None else next(iter(files))
        check_choice("run", self.name, tuple(sorted(files)))
        self._paths = files[self.name]
        with open_part(self._paths[min(self._paths)]) as (_, described):
            self.about: dict[str, Any] = {name: value for name, value in described.items() if name not in ("part", "rows")}
        missing = [number for number in range(self.about["parts"]) if number not in self._paths]
        if missing and not partial:
            some = ", ".join(map(str, missing[:_SHOWN])) + (" ..." if len(missing) > _SHOWN else "")
            raise GradCoreError(
                f"{folder}: {len(missing)} of the {self.about['parts']} parts of {self.name} are missing ({some}): run gradcore "
                "explain-dataset again, which makes them, or read with partial=True"
            )

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the logits."""
        return self.about["classes"]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an attribution: (C, H, W)."""
        return tuple(self.about["shape"])

    def __len__(self) -> int:
        """The number of rows that are there."""
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        for number in sorted(self._paths):
            yield self._part(number)

    def read(self) -> Batch:
        """All rows at once."""
        parts = list(self)
        columns = {one.name: [getattr(part, one.name) for part in parts] for one in fields(Batch)}
        return Batch(**{name: None if values[0] is None else np.concatenate(values) for name, values in columns.items()})

    @cached_property
    def _count(self) -> int:
        total = 0
        for path in self._paths.values():
            with open_part(path) as (opened, _):
                total += opened.metadata.num_rows
        return total

    def _part(self, number: int) -> Batch:
        path = self._paths[number]
        with open_part(path) as (opened, described):
            if (described["name"], described["part"]) != (self.name, number):
                raise GradCoreError(f"{path} holds part {described['part']} of {described['name']}: it was renamed; give it its name again")
            stored, unit = opened.read(), self.about["unit"]
            logits = unpack(vectors(stored["logits"]), stored["logits_exponent"].to_numpy(), unit)
            maps = unpack(vectors(stored["attribution"]), stored["attribution_exponent"].to_numpy(), unit)
            return Batch(
                stored["row"].to_numpy(),
                stored["label"].to_numpy() if "label" in stored.column_names else None,
                stored["predicted"].to_numpy(),
                stored["target"].to_numpy(),
                logits,
                maps.astype(np.float32).reshape(-1, *self.shape),
                stored["saturated"].to_numpy(),
                stored["headroom"].to_numpy(),
            )


def read_attributions(folder: str | Path, run: str | None = None, *, partial: bool = False) -> Attributions:
    """Open the results of ``explain-dataset``; see ``Attributions``."""
    return Attributions(folder, run, partial=partial)


def parts_in(folder: Path) -> dict[str, dict[int, Path]]:
    """The parts in a folder, by their run and number.

    Raises:
        GradCoreError: there is no such folder, or it cannot be read.
    """
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        raise GradCoreError(f"{folder}: there is no such folder: check the path") from None
    except NotADirectoryError:
        raise GradCoreError(f"{folder} is a file: give the folder that gradcore explain-dataset --out named") from None
    except OSError as error:
        raise unreadable(folder, error) from None
    found: dict[str, dict[int, Path]] = {}
    for path in paths:
        place = named(path)
        if place is not None:
            found.setdefault(place[0], {})[place[1]] = path
    return found

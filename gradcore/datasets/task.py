# SPDX-License-Identifier: Apache-2.0
"""What a run over a data set is: its settings, its name, and the parts that it is cut into."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradcore.attribution import Aim
from gradcore.backends import Setup
from gradcore.network import GraphNetwork, Network

MOST_ROWS = 256  # of a part, if nothing else is said; fewer where a row takes many runs, or makes many values:
_RUNS, _VALUES = 4096, 1 << 25  # so many of these a part
SAMPLE = 4  # pictures that run through the Verilog, too, if nothing else is said; fewer where a picture takes many runs:
_SAMPLE_RUNS = 200  # up to so many in all
_DIGITS = 12  # of the hash in a run's name
_NAME = re.compile(rf"(?P<run>.+-[0-9a-f]{{{_DIGITS}}})-(?P<part>\d{{5,}})\.parquet")


@dataclass(frozen=True)
class Part:
    """Consecutive rows of one row group: what a task of the farm does.

    Attributes:
        number: from 0, in the order of the rows.
        start, stop: rows ``start`` to ``stop - 1`` of the data file.
    """

    number: int
    start: int
    stop: int

    @property
    def rows(self) -> range:
        """The rows."""
        return range(self.start, self.stop)


@dataclass(frozen=True)
class Task:
    """All that whoever makes a part must know; it travels to the workers.

    Attributes:
        data, out: absolute paths of the data file and of the folder of the results.
        name: of the run; two runs of different settings, networks, data or sources have different names.
        network: it.
        method, parameters, aim, setup: as of ``explain``.
        exponents: of the core's formats without headroom: of the logits, and of the attribution.
        unit: of both.
        version: see ``identity.source_version``.
        described: what every part's metadata say of the run, as JSON holds it.
    """

    data: str
    out: str
    name: str
    network: Network | GraphNetwork
    method: str
    parameters: dict[str, Any]
    aim: Aim
    setup: Setup
    exponents: tuple[int, int]
    unit: float
    version: str
    described: dict[str, Any]

    def path(self, part: Part) -> Path:
        """Where a part's results go."""
        return Path(self.out) / f"{self.name}-{part.number:05d}.parquet"


def run_name(network: str, method: str, key: str) -> str:
    """The name of a run: for people the network and the method, and of the hash of all settings the first digits."""
    stem = re.sub(r"[^A-Za-z0-9_.]+", "_", Path(network).stem)[:80].strip("._") or "network"
    return f"{stem}-{method}-{key[:_DIGITS]}"


def named(path: Path) -> tuple[str, int] | None:
    """The run and the number of the part that a file's name says; None where it is no part's."""
    found = _NAME.fullmatch(path.name)
    return (found["run"], int(found["part"])) if found else None


def cut(groups: Sequence[int], rows: int, limit: int | None = None) -> list[Part]:
    """The parts of a data file: each row group, cut into pieces of ``rows`` rows, the last of a group smaller; ``limit`` rows in all."""
    parts: list[Part] = []
    first, total = 0, sum(groups) if limit is None else min(limit, sum(groups))
    for count in groups:
        for start in range(first, min(first + count, total), rows):
            parts.append(Part(len(parts), start, min(start + rows, first + count, total)))
        first += count
    return parts


def rows_of_a_part(runs: int, values: int) -> int:
    """How many rows a part has, if nothing else is said.

    Args:
        runs: of the network, for a row.
        values: of the input.
    """
    return max(1, min(MOST_ROWS, _RUNS // runs, _VALUES // values))


def sample_size(runs: int) -> int:
    """How many pictures run through the Verilog, too, if nothing else is said: see ``rows_of_a_part``."""
    return max(1, min(SAMPLE, _SAMPLE_RUNS // runs))


def shard(parts: Sequence[Part], index: int, count: int) -> list[Part]:
    """Shard ``index`` of ``count``: consecutive parts, in every shard as many as in the others or one less; every part is in one."""
    return list(parts[(index - 1) * len(parts) // count : index * len(parts) // count])


def sample(parts: Sequence[Part], size: int, seed: int) -> dict[int, list[int]]:
    """A sample of the parts' rows without repetition, by the parts' numbers; all rows where there are not more."""
    rows = np.concatenate([np.arange(part.start, part.stop) for part in parts])
    numbers = np.repeat([part.number for part in parts], [len(part.rows) for part in parts])
    chosen = np.sort(np.random.default_rng(seed).choice(len(rows), min(size, len(rows)), replace=False))
    found: dict[int, list[int]] = {}
    for place in chosen:
        found.setdefault(int(numbers[place]), []).append(int(rows[place]))
    return found

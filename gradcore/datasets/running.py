# SPDX-License-Identifier: Apache-2.0
"""``explain-dataset``: every picture of a data file, in parts that are made once, whatever is killed meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.attribution import METHODS
from gradcore.backends import Setup
from gradcore.compiler import compile_network
from gradcore.datasets import farm, identity
from gradcore.datasets import task as tasks
from gradcore.datasets.checking import check_rows
from gradcore.datasets.storage import FORMAT, is_there, open_part, remove_leftovers
from gradcore.datasets.task import Part, Task
from gradcore.datasets.working import Outcome
from gradcore.errors import GradCoreError
from gradcore.explanation.explanation import read_aim, read_options
from gradcore.host.files import check_folder, unwritable
from gradcore.host.inputs import check_choice, input_path, read_shard
from gradcore.host.progress import Progress, silent
from gradcore.importer.opening import Given, load_network
from gradcore.models.passes import INPUT
from gradcore.network import GraphNetwork, Network
from gradcore.pictures.classes import match_classes
from gradcore.pictures.data import DataSet, Notes
from gradcore.pictures.parquet import Contents, read_contents
from gradcore.quantise import in_integers

if TYPE_CHECKING:
    from rich.table import Table

BACKENDS = ("golden", "rtl")  # those with integers
_SEEN_SECONDS = 10.0  # in which a file that a worker has written must be seen here


def explain_dataset(
    data: str | Path,
    out: str | Path,
    *,
    network: Given = "cifar10",
    method: str = "saliency",
    target: str | int | np.ndarray | None = None,
    against: str | int | None = None,
    backend: str | Setup = "golden",
    rows: int | None = None,
    limit: int | None = None,
    shard: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    timeout: float = farm.TIMEOUT,
    verify: int | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Explain every picture of a Parquet file, and write the results as Parquet parts to a folder: see docs/datasets.md.

    Parts that are there are not made again, so a call that was killed goes on where it stopped. With workers, which import the module that
    runs, a script must call this behind ``if __name__ == "__main__":``.

    Args:
        data: Parquet file with the column ``image``, and ``label`` if there are labels.
        out: folder of the results, which may hold those of other runs.
        network, method, target, against, options: as for ``gradcore.explain``.
        backend: 'golden', or 'rtl', which runs every picture through the Verilog; or a ``Setup`` with one of them.
        rows: of the data file that make a part, at most; default is 256, or fewer where a picture takes many runs or has many values.
        limit: take only so many of the first rows.
        shard: 'i/n': only the i-th of n shares of the parts.
        workers: processes on this machine; 0: this process alone, without Dask. Default: one a core, with ``shard`` 0.
        scheduler: address of a Dask scheduler, whose workers do the work.
        timeout: seconds in which the scheduler must answer.
        verify: how many pictures, chosen at random, run through the Verilog, which must be equal in every bit to what is stored; default 4,
            or fewer where a picture takes many runs.
        seed: of the choice; default is a fresh one.
        progress: see ``gradcore.host.progress``.

    Returns:
        ``network``, ``method``, ``backend``, ``run`` (its name), ``rows`` (of this shard), ``shard``, ``parts`` (``total``, ``made`` now,
        ``found``), ``accuracy`` (None without labels), ``saturation`` (``pictures`` in whose run values saturated in the network's own
        formats, ``run_again`` with headroom, and ``left``, where values saturated even so), ``verified`` (``pictures``, ``rows``,
        ``seed``; None where none), ``seconds``, ``pictures_per_second`` (of those made now; None where none), ``notes``, ``files``
        (``out``).

    Raises:
        GradCoreError: anything that a user can put right. What was made until then stays, and is not made again.
    """
    began = time.monotonic()
    progress = progress or silent
    task, parts, labels, notes = _planned(data, out, network, method, target, against, backend, rows, limit, options)
    check_choice("backend", task.setup.backend, BACKENDS)
    index, count = (1, 1) if shard is None else read_shard(shard)
    mine = tasks.shard(parts, index, count)
    if not mine:
        raise GradCoreError(f"shard {shard} has none of the {len(parts)} parts: give at most {len(parts)} shards, or fewer --rows a part")
    if workers is not None and scheduler is not None:
        raise GradCoreError("--workers are processes on this machine, and a scheduler has its own: give one of the two")
    if workers is None:
        workers = 0 if shard is not None else farm.cores()
    _check_numbers(workers, verify, timeout)
    sample = _Sample.of(task, mine, verify, seed)
    _make_folder(task.out)
    if sample.size:
        progress(f"a sample of {sample.size} pictures is checked against the Verilog, chosen with seed {sample.seed}")
    found = [part for part in mine if is_there(task, part)]
    there = {part.number for part in found}
    remove_leftovers(task, found)
    missing = [part for part in mine if part.number not in there]
    made = 0
    try:
        for part in found:
            sample.check(task, part, progress)
        with contextlib.closing(_outcomes(task, missing, labels, progress, workers, scheduler, timeout)) as outcomes:
            for outcome in outcomes:
                made += _counted(task, parts[outcome.part], outcome)
                sample.check(task, parts[outcome.part], progress)
    except (KeyboardInterrupt, SystemExit) as error:
        done = sum(is_there(task, part) for part in mine)
        error.add_note(f"{done} of {len(mine)} parts are done: the same command goes on")
        raise
    seconds = time.monotonic() - began
    results = _Results.of(task, mine)
    pictures = sum(len(part.rows) for part in missing)
    return {
        "network": task.network.label,
        "method": task.method,
        "backend": task.setup.backend,
        "run": task.name,
        "rows": len(results.predicted),
        "shard": f"{index}/{count}",
        "parts": {"total": len(mine), "made": made, "found": len(mine) - made},
        "accuracy": results.accuracy,
        "saturation": results.saturation,
        "verified": {"pictures": sample.size, "rows": sample.rows, "seed": sample.seed} if sample.size else None,
        "seconds": seconds,
        "pictures_per_second": pictures / seconds if made else None,
        "notes": [*results.notes, *notes],
        "files": {"out": task.out},
    }


def _planned(
    data: str | Path,
    out: str | Path,
    network: Given,
    method: str,
    target: Any,
    against: Any,
    backend: str | Setup,
    rows: int | None,
    limit: int | None,
    options: dict[str, Any],
) -> tuple[Task, list[Part], farm.Labels, list[str]]:
    """The run, all its parts, their labels, and notes on network and classes."""
    chosen, setup, parameters = read_options(method, backend, options)
    if setup.waves is not None or setup.trace is not None:
        raise GradCoreError("waves and a trace are of one picture: explain it with gradcore explain")
    check_choice("backend", setup.backend, BACKENDS)
    for name, number in (("rows", rows), ("limit", limit)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1):
            raise GradCoreError(f"{name} cannot be {number!r}: give a whole number, 1 or more")
    loaded = load_network(network)
    aim = read_aim(target, against, loaded.classes)
    path = input_path(data, what="a Parquet file")
    contents = read_contents(path)
    check_folder(out, option="--out")
    runs = METHODS[method].runs(parameters, loaded.input_shape)
    size = rows or tasks.rows_of_a_part(runs, int(np.prod(loaded.input_shape)))
    parts = tasks.cut(contents.groups, size, limit)
    labels, notes = _labels(contents, loaded, parts[-1].stop, str(data))
    described, exponents, remarks = _described(loaded, chosen.name, setup)
    settings = {
        **described,
        "data": {"rows": parts[-1].stop, "digest": identity.data_digest(path)},
        "parts": len(parts),
        "rows_of_a_part": size,
        "parameters": {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in parameters.items()},
        "target": aim.target.tolist() if isinstance(aim.target, np.ndarray) else None if aim.target is None else loaded.classes[aim.target],
        "against": None if aim.against is None else loaded.classes[aim.against],
        "runs": runs,
    }
    name = tasks.run_name(loaded.label, method, identity.digest(settings))
    settings = {"format": FORMAT, "name": name, "network": loaded.label, "data_file": path.name, **settings}
    place, folder = os.path.abspath(path), os.path.abspath(out)
    task = Task(place, folder, name, loaded, method, parameters, aim, setup, exponents, described["unit"], described["version"], settings)

    def of_part(part: Part) -> np.ndarray | None:
        return None if labels is None else labels[part.start : part.stop]

    return task, parts, of_part, [*notes, *remarks]


def _described(network: Network | GraphNetwork, method: str, setup: Setup) -> tuple[dict[str, Any], tuple[int, int], list[str]]:
    """What parts say of network and method; the exponents of logits and attribution in the core's own formats; notes on the network."""
    quantised = in_integers(network)
    formats, remarks = quantised.quantisation, list(quantised.notes)
    graph = isinstance(network, GraphNetwork)
    first, last = (INPUT, quantised.output) if graph else (0, len(formats.activations) - 1)
    try:
        program = hashlib.sha256(compile_network(quantised, setup.preset).image.tobytes()).hexdigest()
    except GradCoreError as error:
        if setup.simulated:
            raise
        program = None
        remarks.append(f"the core cannot run the network: {str(error).splitlines()[0]}")
    described = {
        "network_digest": identity.network_digest(network),
        "program_digest": program,
        "method": method,
        "version": identity.source_version(),
        "backend": setup.backend,
        "preset": setup.preset,
        "headroom": setup.headroom,
        "formats": formats.to_metadata(),
        "unit": float(quantised.maps[last].unit) if graph else 1.0,
        "classes": list(network.classes),
        "input_shape": list(network.input_shape),
        "mean": list(network.mean),
        "std": list(network.std),
    }
    return described, (-int(formats.activations[last]), -int(formats.gradients[first])), remarks


def _labels(contents: Contents, network: Network | GraphNetwork, rows: int, data: str) -> tuple[np.ndarray | None, list[str]]:
    """The rows' labels as the network numbers the classes, and notes on how they were matched."""
    if contents.labels is None:
        return None, []
    labels = contents.labels[:rows]
    names = contents.names or [str(label) for label in range(int(labels.max()) + 1)]
    unread = DataSet(np.zeros((0, 1, 1, 3), np.uint8), labels, names, named=bool(contents.names))
    matched, notes = match_classes(unread, network.classes, data=data, other="the network")
    return matched.labels, notes


def _check_numbers(workers: int, verify: int | None, timeout: float) -> None:
    if workers < 0:
        raise GradCoreError(f"{workers} workers cannot be started: give 1 or more, or 0 to work without Dask")
    if verify is not None and verify < 0:
        raise GradCoreError(f"{verify} pictures cannot be checked against the Verilog: give 0 or more")
    if not timeout > 0:
        raise GradCoreError(f"a time-out of {timeout} s is none: give seconds, more than 0")


def _make_folder(out: str) -> None:
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error, "--out") from None


def _outcomes(
    task: Task, parts: Sequence[Part], labels: farm.Labels, progress: Progress, workers: int, scheduler: str | None, timeout: float
) -> Generator[Outcome, None, None]:
    """What becomes of the parts that are missing. Workers end when it is closed."""
    if parts and scheduler is None and workers == 0:
        yield from farm.here(task, parts, labels, progress)
    elif parts:
        yield from farm.on_workers(task, parts, labels, progress, min(workers, len(parts)), scheduler, timeout)


def _counted(task: Task, part: Part, outcome: Outcome) -> int:
    """1 for a part that was made now, 0 for one that was there. Raises GradCoreError for one that is not."""
    if outcome.error is not None:
        raise GradCoreError(outcome.error)
    until = time.monotonic() + _SEEN_SECONDS
    while not is_there(task, part):  # file systems of clusters show new files after some seconds
        if time.monotonic() > until:
            raise GradCoreError(
                f"the worker ({outcome.worker}) has written {task.path(part)}, which is not there: --out must lie where all machines see it"
            )
        time.sleep(0.2)
    return int(outcome.made)


@dataclass(frozen=True)
class _Sample:
    """Rows that run through the Verilog, by the numbers of their parts."""

    seed: int
    chosen: dict[int, list[int]]
    preset: str
    simulator: str

    @classmethod
    def of(cls, task: Task, parts: Sequence[Part], size: int | None, seed: int | None) -> _Sample:
        """A sample of the parts' rows. Raises GradCoreError where the core cannot run the network."""
        size = tasks.sample_size(task.described["runs"]) if size is None else size
        if size and task.described["program_digest"] is None:
            raise GradCoreError(
                f"the core cannot run {task.network.label}, so nothing can be checked against the Verilog: give --verify 0 (gradcore "
                "inspect says why)"
            )
        seed = random.SystemRandom().randrange(2**31) if seed is None else seed
        chosen = tasks.sample(parts, size, seed) if size else {}
        return cls(seed, chosen, task.setup.preset, task.setup.simulator)

    @property
    def rows(self) -> list[int]:
        """All of them, in order."""
        return sorted(row for rows in self.chosen.values() for row in rows)

    @property
    def size(self) -> int:
        """How many."""
        return len(self.rows)

    def check(self, task: Task, part: Part, progress: Progress) -> None:
        """Check those of a part that is stored."""
        if part.number in self.chosen:
            check_rows(task, part, self.chosen[part.number], self.preset, self.simulator, progress)


@dataclass(frozen=True)
class _Results:
    """What is stored of parts, without logits and attributions."""

    predicted: np.ndarray
    labels: np.ndarray | None
    saturation: dict[str, int]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, task: Task, parts: Sequence[Part]) -> _Results:
        """Read them."""
        columns: dict[str, list[np.ndarray]] = {}
        said = Notes()
        for part in parts:
            with open_part(task.path(part)) as (opened, _):
                wanted = ("label", "predicted", "saturated", "headroom", "saturated_without_headroom")
                there = [name for name in wanted if name in opened.schema_arrow.names]
                stored = opened.read(columns=[*there, "notes"])
            for name in there:
                columns.setdefault(name, []).append(stored[name].to_numpy())
            for row, notes in zip(part.rows, stored["notes"].to_pylist(), strict=True):
                said.add(row, notes)
        joined = {name: np.concatenate(values) for name, values in columns.items()}
        saturation = {
            "pictures": int(np.sum(joined["saturated_without_headroom"] > 0)),
            "run_again": 0 if task.setup.headroom is not None else int(np.sum(joined["headroom"] > 0)),
            "left": int(np.sum(joined["saturated"] > 0)),
        }
        return cls(joined["predicted"], joined.get("label"), saturation, said.told(len(joined["predicted"])))

    @property
    def accuracy(self) -> float | None:
        """Share of the pictures whose label was predicted."""
        return None if self.labels is None else float(np.mean(self.predicted == self.labels))


def table(report: dict[str, Any]) -> Table:
    """The summary for people."""
    from rich.table import Table as RichTable

    made = RichTable(title=f"{report['network']}, {report['method']}, {report['backend']}", title_justify="left", show_header=False)
    made.add_column()
    made.add_column(justify="right")
    parts, saturation, verified = report["parts"], report["saturation"], report["verified"]
    shard = "" if report["shard"] == "1/1" else f" (shard {report['shard']})"
    made.add_row(f"pictures{shard}", f"{report['rows']:,}")
    made.add_row("parts: made now, found", f"{parts['made']}, {parts['found']}")
    if report["accuracy"] is not None:
        made.add_row("accuracy", f"{report['accuracy']:.2%}")
    made.add_row(
        "pictures with saturated values; run again; left", f"{saturation['pictures']}; {saturation['run_again']}; {saturation['left']}"
    )
    made.add_row(
        "equal to the Verilog in every bit", "not checked" if verified is None else f"{verified['pictures']} (seed {verified['seed']})"
    )
    speed = "" if report["pictures_per_second"] is None else f", {report['pictures_per_second']:.1f} pictures a second"
    made.add_row("time", f"{report['seconds']:.0f} s{speed}")
    made.add_row("run", report["run"])
    return made

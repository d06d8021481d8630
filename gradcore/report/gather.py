# SPDX-License-Identifier: Apache-2.0
"""From result folders to what a report shows: results of one picture together, each picture measured once."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradcore.attribution import METHODS
from gradcore.errors import GradCoreError
from gradcore.host.progress import Progress, silent
from gradcore.network import GraphNetwork, Network
from gradcore.pictures.picture import SAMPLES
from gradcore.report.hardware import Hardware, hardware_of
from gradcore.report.measured import Measured, measure
from gradcore.report.stored import Stored, network_of, read_result


@dataclass(frozen=True)
class Subject:
    """One picture with its results, by different methods.

    Attributes:
        results: the first is the one whose run is shown.
        fingerprint: of the network's weights; '' without the network.
    """

    results: tuple[Stored, ...]
    measured: Measured
    hardware: Hardware
    fingerprint: str

    @property
    def first(self) -> Stored:
        return self.results[0]


def gather(
    folders: Sequence[str | Path], networks: Mapping[str, Network | GraphNetwork] | None = None, progress: Progress | None = None
) -> list[Subject]:
    """Read result folders and measure what they do not hold.

    Args:
        folders: each that of one result.
        networks: those that are loaded already, by the name that results have for them.
        progress: see ``gradcore.host.progress``.

    Raises:
        GradCoreError: a folder holds no result; see ``read_result``. A network that is gone is no error: the report says so.
    """
    report = progress or silent
    read: list[Stored] = []
    seen: set[Path] = set()
    for number, folder in enumerate(folders):
        report("reading results", number, len(folders))
        place = Path(folder).resolve()
        if place not in seen:
            read.append(read_result(folder))
            seen.add(place)
    groups: dict[tuple, list[Stored]] = {}
    for result in read:
        of_one = groups.setdefault(result.picture_key, [])
        if not any(_same(result, other) for other in of_one):
            of_one.append(result)
    loaded: dict[str, Network | GraphNetwork | str] = dict(networks or {})
    subjects = []
    for number, results in enumerate(groups.values()):
        report("measuring pictures", number, len(groups))
        results.sort(key=lambda one: one.timeline is None)  # a run that was recorded is shown; else the first that was named
        name = str(results[0].about["network"])
        if name not in loaded:
            try:
                loaded[name] = network_of(results[0])
            except GradCoreError as error:
                loaded[name] = str(error)
        measured = measure(results, loaded[name], beside=len(groups) == 1, progress=progress)
        run = hardware_of(results[0], measured.network)
        subjects.append(Subject(tuple(results), measured, run, _fingerprint(measured.network)))
    return subjects


def _same(one: Stored, other: Stored) -> bool:
    """Whether two folders hold the same result, as of a picture that was named twice."""
    keys = ("method", "backend", "parameters", "preset", "clock_mhz", "cycles")
    return all(one.about.get(key) == other.about.get(key) for key in keys) and np.array_equal(one.attribution, other.attribution)


def _fingerprint(network: Network | GraphNetwork | None) -> str:
    """Of all weights, by name: twelve letters."""
    if network is None:
        return ""
    digest = hashlib.sha256()
    weights = network.graph.weights
    for name in sorted(weights):
        digest.update(name.encode() + np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()[:12]


def command(result: Stored) -> str:
    """The command that gives the result again; '' where there is none, for it was no file, or it has parameters that are arrays."""
    about = result.about
    path = about.get("source", {}).get("path")
    if path is None and about["image"] not in SAMPLES:
        return ""
    if about.get("seed") is not None and result.against is None:
        return ""
    parts = ["gradcore", "explain", *([path] if path else []), "--network", str(about["network"]), "--method", result.method]
    known = {one.name: one.default for one in METHODS[result.method].parameters}
    for name, value in about.get("parameters", {}).items():
        if isinstance(value, list) and value and isinstance(value[0], list):
            return ""
        if value is not None and value != known.get(name):
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            parts += ["--parameter", f"{name}={text}"]
    parts += ["--target", about["target"]]
    if about.get("against") is not None:
        parts += ["--against", str(about["against"])]
    parts += ["--backend", about["backend"]]
    if about["backend"] == "rtl":
        parts += ["--preset", str(about.get("preset") or "full"), "--clock", f"{about.get('clock_mhz') or 100:g}"]
        if about.get("simulator") not in (None, "verilator"):
            parts += ["--simulator", str(about["simulator"])]
    if about.get("headroom") and not about.get("without_headroom"):
        parts += ["--headroom", str(about["headroom"])]
    return shlex.join(parts)

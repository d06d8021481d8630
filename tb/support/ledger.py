# SPDX-License-Identifier: Apache-2.0
"""What a run of a bench proves, kept for the verification plan and the coverage report.

The simulator's side appends the functional coverage of each environment that passed (``covered``) to a file in the run's work
directory; the launcher's side (``record``) takes it, the names of the tests that passed, and Verilator's counts of lines and toggles
to the folder that ``GRADCORE_EVIDENCE`` names, when a run passed as a whole. Without that variable nothing is kept.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

EVIDENCE = "GRADCORE_EVIDENCE"
_COVERED = "functional_coverage.jsonl"


def covered(component: str, points: Mapping[str, Mapping[str, int]]) -> None:
    """Note the hits of each bin of each point and cross of ``component`` (its full name), in the simulator's work directory."""
    if os.environ.get(EVIDENCE):
        with open(_COVERED, "a", encoding="utf-8") as file:
            file.write(json.dumps({"component": component, "points": points}) + "\n")


def passed(results: Path) -> list[str]:
    """Names of the tests of a cocotb results file that ran and passed."""
    bad = ("failure", "error", "skipped")
    cases = ElementTree.parse(results).iter("testcase")
    return [case.get("name", "?") for case in cases if not any(case.find(kind) is not None for kind in bad)]


def record(work: Path, results: Path, **facts: object) -> None:
    """Keep what a run that passed left in ``work``, with ``facts`` about it (toplevel, module, simulator ...): one JSON file a run."""
    folder = os.environ.get(EVIDENCE)
    if not folder or not results.is_file():
        return
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex
    lines = (work / _COVERED).read_text(encoding="utf-8").splitlines() if (work / _COVERED).exists() else []
    text = json.dumps({**facts, "tests": passed(results), "coverage": [json.loads(line) for line in lines]}, default=str)
    (place / f"{name}.json").write_text(text, encoding="utf-8")
    if (work / "coverage.dat").exists():
        shutil.move(work / "coverage.dat", place / f"{name}.dat")

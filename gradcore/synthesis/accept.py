# SPDX-License-Identifier: Apache-2.0
"""Keeps the resources of the presets from growing unnoticed: measures, compares with what was accepted, accepts anew.

Run it as ``python -m gradcore.synthesis.accept FILE DESIGNS`` (``make accept-resources``) to measure all presets: FILE takes the figures,
DESIGNS the fingerprints of what was measured, by which a test knows a design that need not be measured again.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradcore.host.files import check_writable, write_atomically
from gradcore.host.progress import Progress, ProgressDisplay
from gradcore.simulator import PRESETS
from gradcore.synthesis import yosys
from gradcore.synthesis.report import sources_hash, synth
from gradcore.synthesis.resources import KINDS

TOLERANCE = 0.01


def figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a report: the four numbers, the deepest path, and the four numbers of every unit."""
    return {
        **{kind: report[kind]["used"] for kind in KINDS},
        "levels": report["timing"]["levels"],
        "modules": [
            {"module": row["module"], "instances": row["instances"], **{kind: row[kind] for kind in KINDS}} for row in report["modules"]
        ],
    }


def worse(accepted: Mapping[str, Any], measured: Mapping[str, Any]) -> list[str]:
    """What has grown by more than 1 % (or by a level), one line each; the LUTs and flip-flops of units for a hint."""
    found = [
        f"{kind}: {measured[kind]:,} instead of {accepted[kind]:,} ({measured[kind] / max(accepted[kind], 1) - 1:+.1%})"
        for kind in KINDS
        if measured[kind] > accepted[kind] * (1 + TOLERANCE)
    ]
    if measured["levels"] > accepted["levels"]:
        found.append(f"levels: {measured['levels']} instead of {accepted['levels']}")
    if found:
        before, after = _by_module(accepted), _by_module(measured)
        for module in sorted(after):
            for kind in KINDS:
                grown = after[module][kind] - before.get(module, {}).get(kind, 0)
                if grown > 0:
                    found.append(f"  {module}: {grown:+,} {kind}")
    return found


def measure(preset: str, progress: Progress | None = None) -> dict[str, Any]:
    """The figures of a preset now."""
    return figures(synth(preset, progress=progress))


def fingerprint(preset: str) -> str:
    """Of all that the figures of a preset follow from: the elaborated Verilog without its places in files, the script, Yosys's version."""
    design = yosys.elaborate(yosys.TOP, PRESETS[preset])
    texts = [yosys.renumbered(re.sub(r"[\w.]+\.vh?:[\d.]+(?:-[\d.]+)?", "", text)) for _, text in sorted(design.text.items())]
    facts = (yosys.version(), yosys.SETTINGS, yosys.SYNTHESIS, yosys.UNITS, texts)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def main(path: Path, designs: Path) -> None:
    """Measure all presets and write the files."""
    check_writable(path)
    check_writable(designs)
    with ProgressDisplay() as progress:
        presets = {preset: measure(preset, progress) for preset in PRESETS}
        write_atomically(path, json.dumps({"sources": sources_hash(), "presets": presets}, indent=1) + "\n")
        write_atomically(designs, json.dumps({preset: fingerprint(preset) for preset in PRESETS}, indent=1) + "\n")
        for preset, numbers in presets.items():
            progress.note(f"{preset}: " + ", ".join(f"{kind} {numbers[kind]:,}" for kind in (*KINDS, "levels")))


def _by_module(numbers: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Module -> kind -> number, of all its variants together."""
    sums: dict[str, dict[str, float]] = {}
    for row in numbers["modules"]:
        entry = sums.setdefault(row["module"], dict.fromkeys(KINDS, 0))
        for kind in KINDS:
            entry[kind] += row[kind]
    return sums


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m gradcore.synthesis.accept FILE DESIGNS")
    main(*map(Path, sys.argv[1:]))

# SPDX-License-Identifier: Apache-2.0
"""The report of `gradcore synth`: resources, checks and timing of a preset, or of one unit of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcore.errors import GradCoreError
from gradcore.host.progress import Progress, silent
from gradcore.simulator import PRESETS
from gradcore.simulator.build import header_files, source_files
from gradcore.synthesis import checks, ecp5, yosys
from gradcore.synthesis.linking import linked, module_of
from gradcore.synthesis.paths import LIMIT_DEPTH, PathAnalysis
from gradcore.synthesis.resources import BUDGET_FULL, KINDS, PAPER, XC7Z020, Resources, count_types

if TYPE_CHECKING:
    from rich.table import Table

DEVICE = "XC7Z020"
_PATHS = 10
_LABELS = {"lut": "LUT", "ff": "FF", "bram36": "BRAM36", "dsp": "DSP"}


def synth(
    preset: str = "full",
    unit: str | None = None,
    *,
    timing: bool = False,
    speed_grade: int = ecp5.FASTEST,
    rtl: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Synthesise the core, or one module of it, for 7-series devices, and report.

    Args:
        preset: size of the core.
        unit: a module of the Verilog; None is the whole core.
        timing: also place and route for an ECP5 with nextpnr (minutes to an hour).
        speed_grade: of the ECP5, see ``ecp5.SPEED_GRADES``.
        rtl: folder of other Verilog sources.
        progress: see ``gradcore.host.progress``.

    Returns:
        A dictionary with ``preset``, ``unit``, ``parameters``, ``device``, ``tool``; for each of ``lut``, ``ff``,
        ``bram36``, ``dsp`` the dictionary ``used``, ``total`` (of the device); ``paper`` (its Table II) and ``budget``
        (of the full preset, or None) with the same four numbers; ``modules`` (module, parameters, instances, and the
        four numbers of all instances together); ``timing`` (``tool``, ``levels``, ``limit``, ``register_paths``,
        ``input_paths``, ``output_paths``, and ``place_and_route``: None or what nextpnr says, see
        ``ecp5.place_and_route``); ``checks`` (see ``checks.Check``); ``sources`` (hash of the Verilog).

    Raises:
        GradCoreError: unknown preset, unit or speed grade; Yosys or nextpnr is missing or fails. If nextpnr does, the error's
            ``report`` is what Yosys gave.
    """
    progress = progress or silent
    if preset not in PRESETS:
        raise GradCoreError(f"unknown preset {preset!r}: use one of {', '.join(PRESETS)}")
    ecp5.check_speed_grade(speed_grade)
    version = yosys.version()
    if timing:
        ecp5.version()
    design = yosys.elaborate(yosys.TOP, PRESETS[preset], rtl=rtl, progress=progress)
    if unit is None:
        units = yosys.synthesise(design, yosys.TOP, progress=progress)
    else:
        units = yosys.synthesise(design, yosys.find_module(design, unit), progress=progress)
    top = units[-1].module
    progress("analysing the netlist", 0, 0)
    rows, used = _modules(units)
    netlist = linked(units)
    analysis = PathAnalysis(netlist)
    found = checks.check_all(
        netlist,
        analysis,
        checks.memories_of(design, top),
        [*design.warnings_of(top), *(warning for one in units for warning in yosys.warnings(one.log))],
        checks.count_macs(design, top),
    )
    histogram = analysis.histogram()
    report: dict[str, Any] = {
        "preset": preset,
        "unit": unit,
        "parameters": dict(units[-1].parameters),
        "device": DEVICE,
        "tool": version,
        **{kind: {"used": getattr(used, kind), "total": getattr(XC7Z020, kind)} for kind in KINDS},
        "paper": PAPER.as_dict(),
        "budget": BUDGET_FULL.as_dict() if preset == "full" else None,
        "modules": rows,
        "timing": {
            "tool": f"depth of the paths in {version}'s netlist",
            "levels": max(histogram, default=0),
            "limit": LIMIT_DEPTH,
            "pins_by_level": {str(depth): number for depth, number in histogram.items()},
            **{
                f"{between}_paths": [path.as_dict() for path in analysis.worst(between, count)]
                for between, count in (("register", _PATHS), ("input", 3), ("output", 3))
            },
            "place_and_route": None,
        },
        "checks": {name: check.as_dict() for name, check in found.items()},
        "sources": sources_hash(rtl),
    }
    if timing:
        try:
            report["timing"]["place_and_route"] = ecp5.place_and_route(design, top, progress, grade=speed_grade)
        except GradCoreError as error:
            error.report = report
            raise
    return report


def _modules(units: Sequence[yosys.UnitNetlist]) -> tuple[list[dict[str, Any]], Resources]:
    """Rows of the table, one for each unit and the rest, and their sum."""
    boxes = {unit.module for unit in units}
    rows, total = [], Resources()
    for unit in units:
        cells = module_of(unit)["cells"].values()
        all_instances = count_types((cell["type"] for cell in cells), other=[*boxes, "$scopeinfo"]) * unit.instances
        total += all_instances
        rows.append(
            {
                "module": unit.source,
                "parameters": dict(unit.parameters),
                "instances": unit.instances,
                **all_instances.as_dict(),
            }
        )
    return rows, total


def sources_hash(rtl: str | Path | None = None) -> str:
    """Hash of all Verilog of the core without comments and layout: changes when the hardware may change."""
    digest = hashlib.sha256()
    folder = Path(rtl) if rtl is not None else None
    for path in [*source_files(folder), *header_files(folder)]:
        text = re.sub(r"//.*|/\*.*?\*/", " ", path.read_text())
        digest.update(path.name.encode() + b"\0" + " ".join(text.split()).encode() + b"\0")
    return digest.hexdigest()[:20]


# Tables --------------------------------------------------------------------------------------------------------------


def tables(report: dict[str, Any]) -> list[Table]:
    """The report as tables for people."""
    from rich.table import Table
    from rich.text import Text

    what = report["unit"] or f"core, {report['preset']} preset"
    resources = Table(title=f"{what} on the {report['device']}, by {report['tool']}", title_justify="left")
    resources.add_column("")
    for kind in KINDS:
        resources.add_column(_LABELS[kind], justify="right")
    for row in sorted(report["modules"], key=lambda row: (row["module"] == yosys.TOP, row["module"])):
        name = "the rest" if row["module"] == yosys.TOP else row["module"]
        times = f" x {row['instances']}" if row["instances"] > 1 else ""
        resources.add_row(f"{name}{times}", *(_number(row[kind]) for kind in KINDS))
    resources.add_section()
    resources.add_row("used", *(_number(report[kind]["used"]) for kind in KINDS))
    if report["unit"] is None:
        if report["budget"]:
            resources.add_row("budget", *(_number(report["budget"][kind]) for kind in KINDS))
        resources.add_row("the paper's", *(_number(report["paper"][kind]) for kind in KINDS))
    resources.add_row("device", *(_number(report[kind]["total"]) for kind in KINDS))
    resources.add_row("share", *(f"{report[kind]['used'] / report[kind]['total']:.1%}" for kind in KINDS))

    rules = Table(title="checks", title_justify="left")
    for column in ("", "rule", "measured"):
        rules.add_column(column)
    for check in report["checks"].values():
        rules.add_row("ok" if check["holds"] else "BROKEN", Text(check["rule"]), Text(check["measured"]))

    timing = report["timing"]
    paths = Table(title=f"longest paths, by {timing['tool']}", title_justify="left")
    for column, justify in (("levels", "right"), ("carry", "right"), ("from", "left"), ("to", "left")):
        paths.add_column(column, justify=justify, overflow="fold")
    for between in ("register", "input", "output"):
        for path in timing[f"{between}_paths"]:
            carry = str(path["carry_bits"]) if path["chains"] else ""
            ends = (f"{path[end]} ({path[f'{end}_source'] or path[f'{end}_kind']})" for end in ("start", "end"))
            paths.add_row(str(path["depth"]), carry, *map(Text, ends))
        paths.add_section()
    found = [resources, rules, paths]
    broken = [(name, check) for name, check in report["checks"].items() if not check["holds"]]
    if broken:
        violations = Table(title="what breaks the rules", title_justify="left")
        violations.add_column("check")
        violations.add_column("")
        for name, check in broken:
            for line in check["violations"][:_PATHS]:
                violations.add_row(name, Text(line))
            if len(check["violations"]) > _PATHS:
                violations.add_row(name, f"and more, in all {len(check['violations'])}: see --json")
        found.append(violations)
    routed = timing["place_and_route"]
    if routed:
        table = Table(
            title=f"{routed['mhz']:g} MHz by {routed['tool']}: {routed['nanoseconds']} ns, of it routing {routed['routing']} ns",
            title_justify="left",
        )
        table.add_column("cell")
        table.add_column("")
        table.add_column("ns", justify="right")
        for step in routed["path"]:
            if step["nanoseconds"]:
                table.add_row(Text(step["cell"]), step["kind"], f"{step['nanoseconds']:.2f}")
        found.append(table)
    return found


def _number(value: float) -> str:
    return f"{value:,.1f}" if value % 1 else f"{value:,.0f}"

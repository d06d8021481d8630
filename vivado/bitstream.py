# SPDX-License-Identifier: Apache-2.0
"""`make bitstream`: tells Vivado what the Verilog says of itself (files, ports, parameters), then runs vivado/build.tcl in batch mode.

Nothing about the core is written down twice: files come from rtl/rtl.f, ports and default parameters from rtl/gradcore.v, presets from
gradcore.simulator, the version from pyproject.toml, what the core takes of the device from tests/expected/resources.json.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from gradcore import hardware
from gradcore.errors import GradCoreError
from gradcore.host.streams import tell
from gradcore.simulator import PRESETS
from gradcore.simulator.build import header_files, source_files

ROOT = Path(__file__).resolve().parents[1]
CLOCKS = ("100", "150")  # MHz; each has its PLL in ps7_pynq_z2.tcl
MOST_JOBS = 8
# What a build is for. PYNQ wants the bitstream and its description under one stem, and takes an .xsa of that stem for the
# description, which it is not: the platform has a stem of its own.
RESULTS = {"bitstream": "gradcore.bit", "description": "gradcore.hwh", "platform": "gradcore_platform.xsa"}
UNSUPPORTED = set("!#$%^&*()`;<>?,[]{}'\"|\\")  # by Vivado in paths (UG973, naming conventions)
INTERRUPTED = 130
SECONDS_TO_END = 20  # for Vivado after Ctrl-C


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


def read_registers() -> dict[str, dict[str, object]]:
    """Registers by name: byte offset, and fields with their lowest bit and width."""
    registers: dict[str, dict[str, object]] = {}
    for name, offset in hardware.ADDRESSES.items():
        own = {
            field.partition(".")[2].upper(): place for field, place in hardware.REGISTER_FIELDS.items() if field.partition(".")[0] == name
        }
        fields = {field: [str(low), str(width)] for field, (low, width, _) in own.items()}
        registers[name] = {"offset": f"{offset:#x}", "fields": fields}
    return registers


def read_settings(root: Path, preset: str, clock: str, output: Path) -> dict[str, object]:
    """All that build.tcl is told."""
    top = (root / "rtl" / "gradcore.v").read_text()
    choices: dict[str, list[str]] = {name: [default] for name, default in read_parameters(top).items()}
    for name in PRESETS[preset]:
        choices[name] = sorted({str(values[name]) for values in PRESETS.values()}, key=int)
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    expected = json.loads((root / "tests" / "expected" / "resources.json").read_text())["presets"][preset]
    return {
        "preset": preset,
        "clock_mhz": clock,
        "version": ".".join(version.split(".")[:2]),
        "output": str(output),
        "log": str(output / "vivado.log"),
        "jobs": str(min(os.cpu_count() or 1, MOST_JOBS)),
        "sources": [str(path) for path in source_files(root / "rtl")],
        "headers": [str(path) for path in header_files(root / "rtl")],
        "constraints": str(root / "constraints" / "pynq_z2.xdc"),
        "allowed_warnings": str(root / "vivado" / "allowed_critical_warnings.txt"),
        "ports": read_ports(top),
        "parameters": {name: str(value) for name, value in PRESETS[preset].items()},
        "choices": choices,
        "results": RESULTS,
        "registers": read_registers(),
        "expected": {name: str(expected[name]) for name in ("bram36", "dsp")},
    }


def tcl(value: object) -> str:
    """A string, list or dictionary as an element of a Tcl list."""
    if isinstance(value, dict):
        value = [item for pair in value.items() for item in pair]
    if isinstance(value, list):
        return "{" + " ".join(tcl(item) for item in value) + "}"
    if re.search(r"[{}\\]", str(value)):
        raise GradCoreError(f"{value} has a brace or a backslash, which Vivado's scripts cannot hold")
    return "{" + str(value) + "}"


def write_settings(path: Path, settings: dict[str, object]) -> None:
    """The settings as one Tcl dictionary, an entry a line."""
    path.write_text("".join(f"{name} {tcl(value)}\n" for name, value in settings.items()), encoding="utf-8")


def check_path(path: Path) -> None:
    """Refuse a folder whose name Vivado does not support, before it fails in some step of its own."""
    odd = sorted({letter for letter in str(path) if letter in UNSUPPORTED or not letter.isascii() or not letter.isprintable()})
    if odd:
        raise GradCoreError(f"{path} has {' '.join(map(repr, odd))}, which Vivado does not support in paths: move the checkout elsewhere")


def command(vivado: Sequence[str], root: Path, output: Path) -> list[str]:
    """Vivado's command line, to be run in ``output``, which exists: paths relative to it, so that none has a space."""
    script = os.path.relpath((root / "vivado" / "build.tcl").resolve(), output.resolve())
    return [*vivado, *"-mode batch -notrace -source".split(), script, *"-log vivado.log -journal vivado.jou -tclargs settings.txt".split()]


@contextlib.contextmanager
def only_one(output: Path) -> Iterator[None]:
    """Nobody else builds in this folder meanwhile. Raises GradCoreError when somebody does."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.with_name(f"{output.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GradCoreError(f"another build is running in {output}: wait for it, or end it") from None
        yield


def make_room(output: Path) -> None:
    """An empty folder. A finished build that is there is kept as ``<name>-previous`` until the next one."""
    try:
        if (output / RESULTS["bitstream"]).exists():
            previous = output.with_name(f"{output.name}-previous")
            if previous.exists():
                shutil.rmtree(previous)
            output.rename(previous)
        elif output.exists():
            shutil.rmtree(output)
        output.mkdir(parents=True)
    except OSError as error:
        place = error.filename or output
        raise GradCoreError(f"{place} cannot be removed or made ({error.strerror or error}): see who owns it and what uses it") from None


def run_vivado(arguments: list[str], output: Path) -> int:
    """Run Vivado in ``output``; returns its exit status."""
    try:
        with subprocess.Popen(arguments, cwd=output) as process:
            try:
                return process.wait()
            except KeyboardInterrupt:  # Ctrl-C reaches Vivado, too
                with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                    process.wait(SECONDS_TO_END)
                process.kill()
                raise
    except OSError as error:
        raise GradCoreError(f"{arguments[0]} cannot be started ({error.strerror or error}): check the installation of Vivado") from None


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
    check_path(output.resolve())
    settings = read_settings(ROOT, preset, clock, output)
    with only_one(output):
        make_room(output)
        write_settings(output / "settings.txt", settings)
        results, log = [output / name for name in RESULTS.values()], output / "vivado.log"
        finished = False
        try:
            status = run_vivado(command([vivado], ROOT, output), output)
            if status < 0:
                raise GradCoreError(f"Vivado was ended by signal {-status}, perhaps for lack of memory: see {log}")
            missing = [path.name for path in results if not path.exists()]
            if status == 0 and missing:
                raise GradCoreError(f"{vivado} ended without an error and without {missing[0]}: see {log}, and whether it is Vivado")
            finished = status == 0
        finally:
            if not finished:  # half of a result is none
                for path in results:
                    path.unlink(missing_ok=True)
        return status


def main() -> int:
    """Command line. An error that a user can put right is one line, with exit status 2."""
    parser = argparse.ArgumentParser(description="Build the bitstream for the PYNQ-Z2 with Vivado.")
    parser.add_argument("--preset", default="full", help=f"size of the core: {', '.join(PRESETS)} (default: full)")
    parser.add_argument("--clock", default="100", help=f"MHz: {' or '.join(CLOCKS)} (default: 100)")
    arguments = parser.parse_args()
    try:
        return build(arguments.preset, arguments.clock)
    except GradCoreError as error:
        tell(f"gradcore: {error}")
        return 2
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        tell(f"gradcore: {place}{error.strerror or error}: check that the checkout is whole, writable and has room")
        return 2
    except KeyboardInterrupt:
        tell("gradcore: interrupted")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())

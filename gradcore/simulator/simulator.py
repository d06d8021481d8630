# SPDX-License-Identifier: Apache-2.0
"""Simulates the core with the memory that speed is measured against, in Verilator or Icarus Verilog.

``Simulator`` builds the Verilog once into a cache and then holds a dialogue with the running simulation: load memory,
write and read registers, wait for the interrupt, read memory back. Cycle counts are the same in both simulators.

``gradcore.simulator.build`` makes the program, ``gradcore.simulator.session`` runs it.
"""

from __future__ import annotations

import contextlib
import signal
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.hardware import PRESETS
from gradcore.host.cache import check_cache, discard
from gradcore.host.processes import cannot_run, ended_by_signals
from gradcore.host.progress import Progress, silent
from gradcore.host.tools import find_tools
from gradcore.simulator.build import build, run_command
from gradcore.simulator.output_files import OutputFile, check_waves
from gradcore.simulator.session import Gone, Session, Silent, lost, told

SIMULATORS = ("verilator", "icarus")
MEMORY_BYTES = 64 << 20
MOST_MEMORY_BYTES = 1 << 30  # numbers of axi_memory.v have 31 bits
MEMORY_BYTES_PER_SECOND = 1.6e9
WINDOW_CYCLES = 1024

# Cycles between two reports of progress while waiting for the interrupt.
_SLICE_CYCLES = {"verilator": 50_000, "icarus": 1_000}
_ANSWER_SECONDS = 600.0
# At these each program ends and closes its waves.
_POLITE = {"verilator": signal.SIGTERM, "icarus": signal.SIGINT}


def bytes_per_1024(clock_mhz: float) -> int:
    """What the memory gives in 1,024 cycles: 1.6 GB/s, whatever the clock of the core."""
    return int(MEMORY_BYTES_PER_SECOND * WINDOW_CYCLES / (clock_mhz * 1e6))


def memory_for(end: int) -> int:
    """Bytes of simulated memory for a program that ends at address ``end``: at least the usual ones, and few sizes, as each is a build.

    Raises:
        GradCoreError: it needs more than can be simulated.
    """
    if end > MOST_MEMORY_BYTES:
        raise GradCoreError(
            f"the program needs {-(-end >> 20)} MiB of memory, and at most {MOST_MEMORY_BYTES >> 20} MiB can be simulated: use smaller "
            "inputs or fewer channels, or the back end golden"
        )
    return max(MEMORY_BYTES, 1 << (end - 1).bit_length())


class Simulator:
    """A simulation of the core in its memory. Use it in a ``with`` block, or call ``close``.

    Args:
        simulator: 'verilator' or 'icarus'.
        preset: size of the core, a key of ``PRESETS``.
        clock_mhz: clock frequency; it sets how many bytes a cycle the memory gives (1.6 GB/s), and the time in waves.
        waves: FST file to write, or None. Also when a run fails or is interrupted, it holds all up to there.
        activity: file to write what the engines do to (see ``gradcore.timeline.activity``), or None; needs a core of GradCore.
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
        self._outputs = [
            OutputFile(kind, Path(path).expanduser().resolve())
            for kind, path in (("waves", waves), ("activity", activity))
            if path is not None
        ]
        if waves is not None:
            check_waves(Path(waves))
        self._plusargs = {
            "half_period": round(500_000 / clock_mhz),
            "bytes_per_1024": bytes_per_1024(clock_mhz),
            "stall": round(stalls * 1000) if stalls < 0.999 else 999,
            "seed": seed & 0x7FFFFFFF,
            **(options or {}),
        }
        self._session: Session | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        self._signals = contextlib.ExitStack()
        self._build: Path | None = None  # the folder of what runs
        self._made_again = False

    @property
    def settings(self) -> dict[str, int]:
        """What clock and memory are told, by name: ``stall`` in 1/1000, ``seed`` and so on."""
        return dict(self._plusargs)

    # Building --------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Find out, before anything is run, whether the simulator can be built: its tools, and the cache.

        Raises:
            GradCoreError: a tool is missing, or the cache cannot be made.
        """
        find_tools(self.simulator)
        check_cache()

    def build(self, progress: Progress = silent) -> Path:
        """Compile the core and its harness unless the cache holds them; returns the program to run.

        Raises:
            GradCoreError: a tool is missing, the cache cannot be written, or compilation fails (it names the log).
        """
        kinds = [output.kind for output in self._outputs]
        return build(
            self.simulator,
            self.parameters,
            rtl=self._rtl,
            activity="activity" in kinds,
            waves="waves" in kinds,
            progress=progress,
        )

    # Running ---------------------------------------------------------------------------------------------------------

    def start(self, progress: Progress = silent) -> Simulator:
        """Build if need be, and start the simulation; the core comes out of reset. Memory is undefined. Returns itself.

        Raises:
            GradCoreError: see ``build``; or the file for waves cannot be written.
        """
        if self._session is None:
            program = self.build(progress)
            try:
                self._session = self._run(program)
            except OSError:  # it does not run on this machine: make it here
                discard(program.parent)
                program = self.build(progress)
                try:
                    self._session = self._run(program)
                except OSError as error:
                    raise cannot_run(self._command(program)[0], program.parent, error) from error
            self._finalizer = weakref.finalize(self, self._session.end, True)
        return self

    def _command(self, program: Path) -> list[str]:
        command = run_command(self.simulator, program)
        if self.simulator == "icarus" and any(output.kind == "waves" for output in self._outputs):
            command.append("-fst")
        return command

    def _run(self, program: Path) -> Session:
        arguments = [
            f"+{name}={value:x}" if name.endswith(("_base", "_limit")) else f"+{name}={value}" for name, value in self._plusargs.items()
        ]
        self.log.clear()
        self._build = program.parent
        return Session([*self._command(program), *arguments], self._outputs, _POLITE[self.simulator])

    def close(self) -> None:
        """End the simulation; waves are complete afterwards. Does nothing when none runs.

        Raises:
            GradCoreError: the waves or the activity could not be written; an earlier file is as it was.
        """
        lost(self._end(failed=False))

    def _end(self, failed: bool) -> list[str]:
        session, self._session = self._session, None
        if session is None:
            return []
        self._finalizer.detach()
        return session.end(failed)

    def __enter__(self) -> Simulator:
        self._signals.enter_context(ended_by_signals())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self.close()
            elif said := told(self._outputs, self._end(failed=True)):
                if isinstance(error, GradCoreError):
                    error.args = (f"{error}; {said}",)
                else:
                    error.add_note(said)
        finally:
            self._signals.__exit__(kind, error, trace)

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
        cycles = self.interrupt_within(limit, progress, text)
        if cycles is None:
            raise GradCoreError(
                f"the core gave no interrupt within {limit} cycles: this is a bug of GradCore or of its program; look at it with --waves"
            )
        return cycles

    def interrupt_within(self, limit: int, progress: Progress = silent, text: str = "simulating") -> int | None:
        """As ``wait_interrupt``; None when there was no interrupt within ``limit`` cycles."""
        waited = 0
        while waited < limit:
            step = min(_SLICE_CYCLES[self.simulator], limit - waited)
            answer = self._ask(f"I {step:x}")
            if answer:
                return int(answer[0], 16)
            waited += step
            progress(text, waited, 0)
        return None

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
        try:
            path.write_bytes(np.pad(digits, ((0, 0), (0, 1)), constant_values=ord("\n")).tobytes())
        except OSError as error:
            raise self._no_room(error.strerror) from error
        self._ask(f"L {address:x} {len(words):x} {path.name}")

    def dump(self, address: int, size: int) -> bytes:
        """Read ``size`` bytes of memory at a multiple of 8.

        Raises:
            GradCoreError: some were never written (Icarus knows; in Verilator they are zero), or the temporary folder is full.
        """
        words = -(-size // 8)
        self._check_range(address, 8 * words)
        path = self._path("dump.hex")
        path.unlink(missing_ok=True)  # an old one must not pass for this one
        self._ask(f"D {address:x} {words:x} {path.name}")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise self._no_room(error.strerror) from error
        if len(content) != 17 * words:
            raise self._no_room("what the simulator wrote is cut")
        digits = np.frombuffer(content, dtype=np.uint8).reshape(-1, 17)[:, :16]
        try:
            data = bytes.fromhex(digits.tobytes().decode())
        except ValueError:
            word = next(row for row in range(words) if any(digit not in b"0123456789abcdef" for digit in digits[row].tobytes()))
            raise GradCoreError(
                f"the memory at {address + 8 * word:#x} was never written: load it first, or find out why the core did not write it"
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
        return self._session.folder / name

    def _no_room(self, reason: str) -> GradCoreError:
        return GradCoreError(
            f"the temporary folder {self._session.folder.parent} does not hold the simulated memory ({reason}): make room "
            "there, or set TMPDIR to another folder"
        )

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
            raise GradCoreError(f"the core refused the access to register {address:#x}: this is a bug of GradCore, report it")

    def _ask(self, command: str) -> list[str]:
        """Send a command; return the words of its answer after the letter."""
        self.start()
        self._session.send(command)
        while True:
            try:
                line = self._session.line(_ANSWER_SECONDS)
            except Silent:
                self._fail(
                    f"the simulator gave no answer for {_ANSWER_SECONDS:.0f} s and was stopped: run it on a machine with less "
                    "load, or with --simulator verilator"
                )
            except Gone as gone:
                if gone.unusable and not self._made_again:
                    self._made_again = True
                    self._start_again()
                    return self._ask(command)
                self._fail(gone.cause(" | ".join(list(self.log)[-3:]), self._build))
            if line.startswith("@"):
                letter, *words = line[1:].split()
                if letter != command[0] and (letter, command[0]) != ("T", "I"):
                    self._fail(f"the simulator answered {line!r} to {command!r}: this is a bug of GradCore, report it")
                return words
            self.log.append(line)
            if line.startswith("VIOLATION"):
                self._fail(
                    f"the core broke the rules of its memory ({line.removeprefix('VIOLATION').strip()}): "
                    "this is a bug of GradCore; run with --waves and report it"
                )
            if line.startswith("ASSERTION"):
                self._fail(
                    f"the core broke a rule of its own ({line.removeprefix('ASSERTION').strip()}): "
                    "this is a bug of GradCore; run with --waves and report it"
                )
            if line.startswith("HANG"):
                self._fail(f"the core does not answer ({line}): this is a bug of GradCore; run with --waves and report it")

    def _start_again(self) -> None:
        """The build does not run on this machine: make it anew, and start at the first command."""
        loaded = self._path("load.hex")
        content = loaded.read_bytes() if loaded.exists() else b""
        self._end(failed=True)
        discard(self._build)
        self._path("load.hex").write_bytes(content)

    def _fail(self, message: str) -> NoReturn:
        """End the simulation and raise."""
        said = told(self._outputs, self._end(failed=True))
        raise GradCoreError(f"{message}; {said}" if said else message)

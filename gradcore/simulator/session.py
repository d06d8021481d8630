# SPDX-License-Identifier: Apache-2.0
"""One run of a simulator's program: its folder, its pipes, the files it writes, and its end, whatever that is."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from gradcore.errors import GradCoreError
from gradcore.host.processes import Child
from gradcore.host.scratch import scratch_folder
from gradcore.host.tools import clean_environment
from gradcore.simulator.output_files import OutputFile

_END_SECONDS = 600.0  # to close large waves
_STOP_SECONDS = 60.0  # the same, when something went wrong
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP}


class Silent(Exception):
    """The simulator gave no answer in time."""


class Gone(Exception):
    """The simulator has ended.

    Attributes:
        status: as of subprocess: negative for a signal.
        unusable: the program does not run on this machine.
    """

    def __init__(self, status: int, unusable: bool) -> None:
        super().__init__(status)
        self.status = status
        self.unusable = unusable

    def cause(self, said: str, build: Path) -> str:
        """One line: what happened, and what to do."""
        if self.status < 0:
            number = -self.status
            name = signal.Signals(number).name if number in signal.valid_signals() else f"signal {number}"
        else:
            name = ""
        what = f"the simulator ended unexpectedly with status {self.status}" + (f", {name}" if name else "")
        if "bad_alloc" in said or "memory" in said.lower():
            return f"{what} ({said}): it had too little memory; end other programs, or use a smaller network"
        if self.status < 0 and -self.status not in _CRASHES:
            return (
                f"{what}: something outside GradCore ended it, most often a system that is out of memory; end other programs and run again"
            )
        return f"{what} ({said or 'it said nothing'}): remove {build} and try again; if it comes again, report it"


class Session:
    """A running simulation.

    Args:
        command: the program, with arguments that name no file of the user's.
        outputs: the files that it writes; each becomes an argument ``+kind=name``.
        polite: the signal at which the program ends and closes its files.

    Raises:
        GradCoreError: there is no place for temporary files, or an output cannot be written.
        OSError: the program cannot be started.
    """

    def __init__(self, command: Sequence[str], outputs: Sequence[OutputFile], polite: signal.Signals) -> None:
        self._owner = os.getpid()
        self._outputs = outputs
        self._pending = b""
        self.answered = False  # it has said something
        with contextlib.ExitStack() as stack:
            self.folder = stack.enter_context(scratch_folder())
            for output in outputs:
                stack.enter_context(output.opened(self.folder))
            names = [f"+{output.kind}={output.argument}" for output in outputs]
            self._child = Child(
                [*command, *names],
                polite,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=clean_environment(self.folder),
                restore_signals=False,  # SIGPIPE stays ignored: the program closes its files when this process is gone
            )
            self._stack = stack.pop_all()
        self.process = self._child.process

    def send(self, text: str) -> None:
        """Send a line."""
        with contextlib.suppress(OSError):  # it has ended; what it said comes next
            self.process.stdin.write(text.encode() + b"\n")
            self.process.stdin.flush()

    def line(self, seconds: float) -> str:
        """The next line that it says.

        Raises:
            Silent: it said nothing for that time.
            Gone: it has ended.
        """
        deadline = time.monotonic() + seconds
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Silent
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                status = self.process.wait()
                # Before its first answer: made for another processor, for other libraries, by another version of Icarus.
                raise Gone(status, not self.answered and (status > 0 or status == -signal.SIGILL))
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        text = line.decode(errors="replace").rstrip()
        self.answered = self.answered or text.startswith("@")
        return text

    def end(self, failed: bool) -> list[str]:
        """End the simulation and put its files in place.

        Args:
            failed: do not wait for what it does.

        Returns:
            For each file, what is wrong with it, or ''.
        """
        if os.getpid() != self._owner:  # a copy of the process that runs it
            return []
        with self._stack:
            try:
                if failed:
                    self._child.ask()  # before its input ends: the end of that may make it close its files, and a signal then kills it
                else:
                    self.send("E")
                with contextlib.suppress(OSError):
                    self.process.stdin.close()
                if not failed:
                    self._drain(_END_SECONDS)
            finally:
                self._child.end(_STOP_SECONDS)
                self.process.stdout.close()
            return [output.finish() for output in self._outputs]

    def _drain(self, seconds: float) -> None:
        """Wait for its end; read what it says meanwhile, so that it never waits for this process."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self.process.stdout], [], [], 1.0)[0] and not os.read(self.process.stdout.fileno(), 65536):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(max(0.0, deadline - time.monotonic()))
                return


def told(outputs: Sequence[OutputFile], problems: Sequence[str]) -> str:
    """What to say of the files of a simulation that went wrong; '' if it wrote none."""
    return "; ".join(
        problem or f"the {output.kind} up to there: {output.target}" for output, problem in zip(outputs, problems, strict=False)
    )


def lost(problems: Sequence[str]) -> None:
    """Raise the first problem.

    Raises:
        GradCoreError: there is one.
    """
    for problem in problems:
        if problem:
            raise GradCoreError(problem)

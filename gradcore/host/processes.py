# SPDX-License-Identifier: Apache-2.0
"""Programs that GradCore starts: each ends with all that it started, however this process ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from gradcore.errors import GradCoreError
from gradcore.host.progress import Progress
from gradcore.host.streams import tell

_SECONDS = 0.2  # between two reports of progress
_GRACE_SECONDS = 2.0  # for a tool to end when it is asked to
# Waits for the end of its input, which comes when this process is gone, and then ends the process group $1 with signal $2.
_WATCHER = 'read -r _; kill -s "$2" -- "-$1"; sleep 5; kill -s KILL -- "-$1"'
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Ended(SystemExit):
    """A signal asks this process to end. What stands in ``with`` and ``finally`` is done before it does."""


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Clean up when SIGTERM or SIGHUP ends this process: within, they are an exception, and then take their effect.

    Does nothing in other threads than the main one, and to signals that the program handles or ignores.
    """
    came: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        if not came:  # further ones must not stop the cleaning up
            came.append(number)
            raise Ended(128 + number)

    changed = []
    if threading.current_thread() is threading.main_thread():
        changed = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, end)
    try:
        yield
    except Ended as error:
        if came:
            tell("gradcore: " + "; ".join([f"ended by {signal.Signals(came[0]).name}", *getattr(error, "__notes__", ())]))
        raise
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
        if came:
            os.kill(os.getpid(), came[0])


class Child:
    """A program in a process group of its own: signals of the terminal do not reach it, and it never outlives this process.

    Args:
        command: what to run.
        polite: the signal that asks it to end.
        options: of subprocess.Popen.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, command: Sequence[str], polite: signal.Signals = signal.SIGTERM, **options: Any) -> None:
        self.process = subprocess.Popen(command, start_new_session=True, **options)
        self._polite = polite
        self._asked = False
        self._watcher: subprocess.Popen[bytes] | None = None
        with contextlib.suppress(OSError):
            self._watcher = subprocess.Popen(
                ["/bin/sh", "-c", _WATCHER, "sh", str(self.process.pid), polite.name.removeprefix("SIG")],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def ask(self) -> None:
        """Ask it to end, but once: some programs die of a second signal while they close their files."""
        if not self._asked and self.process.poll() is None:
            self._asked = True
            self._signal(self._polite)

    def end(self, seconds: float) -> None:
        """Ask it to end unless it has; kill it, and what it has started, after ``seconds``."""
        try:
            if self.process.poll() is None:
                self.ask()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(seconds)
        finally:
            self._signal(signal.SIGKILL)
            self.process.wait()
            self.dismiss()

    def dismiss(self) -> None:
        """It has ended: forget it."""
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.wait()
            self._watcher.stdin.close()
            self._watcher = None

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def run_tool(
    command: Sequence[str],
    folder: Path,
    log: Path,
    text: str,
    progress: Progress,
    *,
    environment: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
) -> int:
    """Run a command in ``folder``; what it says is appended to ``log``.

    Args:
        text: what ``progress`` says meanwhile.
        environment: of the command; default is that of this process.
        stop: ends the command early when it is set.

    Returns:
        Its exit status.

    Raises:
        GradCoreError: it cannot be started, or the log cannot be written.
    """
    try:
        with open(log, "ab") as output:
            child = Child(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, env=environment)
    except OSError as error:
        raise cannot_run(command[0], folder, error) from error
    try:
        while child.process.poll() is None and not (stop and stop.is_set()):
            progress(text, 0, 0)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(_SECONDS)
    finally:
        child.end(_GRACE_SECONDS)
    return child.process.returncode


def cannot_run(program: str, folder: Path, error: OSError) -> GradCoreError:
    """The error for a program that could not be started in ``folder``."""
    if error.filename is not None and str(error.filename) != program:
        return GradCoreError(f"{error.filename}: {error.strerror}: make room in {folder.parent}, or set TMPDIR to another folder")
    place = Path(program).parent
    if runs_no_programs(place):
        return GradCoreError(f"{place} lies on a file system that runs no programs (noexec): install {Path(program).name} elsewhere")
    return GradCoreError(f"{program} cannot be run ({error.strerror}): install it again")


def runs_no_programs(folder: Path) -> bool:
    """Whether the file system of a folder, which need not exist yet, is mounted with noexec."""
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return bool(os.statvfs(place).f_flag & getattr(os, "ST_NOEXEC", 0))
    return False

# SPDX-License-Identifier: Apache-2.0
"""Runs a compiler or another long tool: its output goes to a file, progress is shown, and it does not outlive its caller."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from gradcore.progress import Progress

_SECONDS = 0.2  # between two reports of progress


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
    """
    with open(log, "ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, env=environment
        )
        try:
            while process.poll() is None and not (stop and stop.is_set()):
                progress(text, 0, 0)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return process.returncode

# SPDX-License-Identifier: Apache-2.0
"""pytest set-up: the checkout's root on sys.path, and the session's seed printed and shared with all workers."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tb.support.seeds import FRESH_SEED  # noqa: E402  (needs the path above)

# A shell lets what it starts in the background ignore Ctrl-C, and so would the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["verification.skips", "verification.evidence", "verification.instrument", "verification.distribution"]


@pytest.fixture
def one_thread():
    """PyTorch on one thread: on small maps more of them cost many times what they bring."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pytest_report_header() -> str:
    """Print the seed, so that every run can be replayed."""
    return f"seed: {FRESH_SEED} (replay with GRADCORE_SEED={FRESH_SEED})"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seed again at the end, where it is looked for, and what tests tell in one line, by the property ``summary``."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in getattr(report, "user_properties", ()):
            if name == "summary":
                terminalreporter.write_line(value)
    terminalreporter.write_line(f"seed: {FRESH_SEED} (replay with GRADCORE_SEED={FRESH_SEED})")

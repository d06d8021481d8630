# SPDX-License-Identifier: Apache-2.0
"""What the tests add to pytest: a skip fails unless it is listed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from verification import skips

ROOT = Path(__file__).resolve().parent.parent


def pytest_run(folder: Path, text: str, *options: str) -> str:
    """What pytest says of a file of tests, with our plugins."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "verification.skips", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def test_a():\n    pytest.skip('no tool')\n", "test_it.py::test_a skipped (Skipped: no tool)"),
        ("@pytest.mark.skipif(True, reason='why not')\ndef test_a():\n    pass\n", "test_it.py::test_a skipped (Skipped: why not)"),
        ("pytest.importorskip('no_such_module')\ndef test_a():\n    pass\n", "could not import 'no_such_module'"),
        ("@pytest.fixture\ndef tool():\n    pytest.skip('no tool')\ndef test_a(tool):\n    pass\n", "no tool"),
    ],
    ids=["call", "mark", "module", "fixture"],
)
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_skip_fails(tmp_path: Path, text: str, said: str, workers: str) -> None:
    """However it is written, and in a worker, too."""
    output = pytest_run(tmp_path, "import pytest\n" + text, "-n", workers)
    assert said in output and "list it in verification/skips.py" in output, output
    assert "1 failed" in output or "1 error" in output, output


def test_what_passes_or_fails_as_expected_stays(tmp_path: Path) -> None:
    """Only skips are touched."""
    text = "import pytest\ndef test_a():\n    pass\n@pytest.mark.xfail\ndef test_b():\n    assert False\n"
    assert "1 passed, 1 xfailed" in pytest_run(tmp_path, text, "-n", "0")


def test_the_list_names_tests_that_exist_and_skip() -> None:
    """An exception that is not needed any more goes."""
    for nodeid, reason in skips.ALLOWED.items():
        file, _, function = nodeid.partition("::")
        text = (ROOT / file).read_text()
        assert f"def {function}(" in text and "skip" in text and len(reason.split()) > 3, nodeid

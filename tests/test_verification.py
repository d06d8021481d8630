# SPDX-License-Identifier: Apache-2.0
"""What a run is held to: a skip fails unless it is listed; shards of a regression cover all of it once, and make one report."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from junitparser import JUnitXml

from verification import pages, regress, skips, verilog_format
from verification.plan import pytest_functions

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
        assert (not function or f"def {function}(" in text) and "skip" in text and len(reason.split()) > 3, nodeid


def shard(folder: Path, index: int, count: int, names: list[str], failed: bool = False, revision: str = "abc") -> None:
    """Write the report of a shard."""
    body = "<failure/>" if failed else ""
    cases = "".join(f'<testcase classname="tests.test_a" name="{name}">{body}</testcase>' for name in names)
    properties = f'<properties><property name="revision" value="{revision}"/></properties>'
    (folder / f"shard-{index}-of-{count}.xml").write_text(
        f'<testsuites><testsuite name="pytest" tests="{len(names)}" failures="{failed * len(names)}" errors="0" skipped="0">'
        f"{cases}{properties}</testsuite></testsuites>"
    )


def test_shards_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One report holds the tests of all; a failure in one shard fails the whole; a missing or foreign shard is refused."""
    monkeypatch.setattr(regress, "ROOT", tmp_path)
    shard(tmp_path, 1, 2, ["a", "b"])
    with pytest.raises(regress.Refused, match="lacks the shards 2/2"):
        regress.merge(tmp_path, narrowed=True)
    shard(tmp_path, 2, 2, ["c"])
    assert regress.merge(tmp_path, narrowed=True) == 0
    names = [case.name for suite in JUnitXml.fromfile(str(tmp_path / "report.xml")) for case in suite]
    assert names == ["a", "b", "c"]
    shard(tmp_path, 2, 2, ["c"], failed=True)
    assert regress.merge(tmp_path, narrowed=True) == 1
    shard(tmp_path, 2, 2, ["b"])
    with pytest.raises(regress.Refused, match="repeats tests"):
        regress.merge(tmp_path, narrowed=True)
    shard(tmp_path, 2, 2, ["c"], revision="def")
    with pytest.raises(regress.Refused, match="different sources"):
        regress.merge(tmp_path, narrowed=True)
    shard(tmp_path, 1, 3, ["d"])
    with pytest.raises(regress.Refused, match="of 2 and of 3"):
        regress.merge(tmp_path, narrowed=True)


def test_shards_cover_everything_once() -> None:
    """Whatever the number of shards: each test is in exactly one, and the same ones each time."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/test_support_runner.py"]
    environment = {**os.environ, "GRADCORE_SEED": "5"}

    def collected(*options: str) -> list[str]:
        said = subprocess.run([*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
        return [line for line in said.splitlines() if "::" in line]

    every, parts = collected(), [collected(*regress.split(index, 3)) for index in (1, 2, 3)]
    assert len(every) > 10 and sorted(sum(parts, [])) == sorted(every)
    assert parts[1] == collected(*regress.split(2, 3))
    in_order = sorted(every, key=lambda nodeid: nodeid.partition("::")[2])
    assert [sorted(part) for part in parts] == [sorted(in_order[place::3]) for place in range(3)]  # neighbours go apart


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/2/3", "-1/2"])
def test_bad_shards_are_refused(text: str) -> None:
    """In one line that says how it is written."""
    with pytest.raises(regress.Refused, match=r"give i/n, with i from 1 to n"):
        regress.shard_of(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["run", "--shard", "1/2"], "SHARD needs SEED"), (["merge"], "give the SEED"), (["run", "--seed", "x"], "give a number")],
)
def test_the_command_refuses_in_one_line(arguments: list[str], said: str, monkeypatch, capsys) -> None:
    """No traceback, status 2."""
    monkeypatch.setattr(sys, "argv", ["regress", *arguments])
    assert regress.main() == 2
    assert said in (error := capsys.readouterr().err) and error.count("\n") == 1


def test_what_make_check_runs_exists() -> None:
    """Its list in the Makefile names files and functions that are there, and a run of the core."""
    text = (ROOT / "Makefile").read_text()
    names = re.findall(r"tests/\w+\.py(?:::\w+)?", text[text.index("CHECKS :=") : text.index("\ncheck:")])
    assert len(names) > 4 and any("test_system" in name for name in names)
    for name in names:
        file, _, function = name.partition("::")
        assert (ROOT / file).is_file() and (not function or function in pytest_functions(ROOT / file)), (
            f"{name}: see CHECKS in the Makefile"
        )


def test_each_unit_has_its_page() -> None:
    """With a picture, the ports that the Verilog has, and the timing."""
    assert not (told := pages.problems()), "\n".join(told)
    assert len(pages.pages()) > 20


def test_what_a_page_lacks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what to do, for each of it."""
    good = (ROOT / "docs/units/cells/relu_keep.md").read_text()
    unit = {Path("docs/units/cells/relu_keep.md"): ["relu_keep"]}
    monkeypatch.setattr(pages, "pages", lambda: unit)
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    file = tmp_path / "docs" / "units" / "cells" / "relu_keep.md"
    file.parent.mkdir(parents=True)
    (told,) = pages.problems()
    assert "is missing" in told
    file.write_text(good)
    assert pages.problems() == []
    for old, new, said in (
        ("```", "", "has no picture"),
        ("**Timing", "Timing", "says nothing of timing"),
        ("tb/cells/relu_keep", "its bench", "does not say who verifies it"),
        ("<!-- ports of relu_keep -->", "", "has no table of ports"),
        ("`mask[3:0]`", "`mask[2:0]`", "its ports are not those of the Verilog: run make pages"),
    ):
        file.write_text(good.replace(old, new))
        assert any(said in one for one in pages.problems()), said
    file.with_name("gone.md").write_text("x")
    assert any("gone.md is the page of no unit" in one for one in pages.problems())


def test_the_verilog_is_formatted() -> None:
    """As verible-verilog-format writes it."""
    assert not (told := verilog_format.problems()), "\n".join(told)


def test_what_is_not_formatted_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that differs; text that is no Verilog is refused."""
    good = "module a (\n    input wire b\n);\n  wire c = b;\nendmodule\n"
    monkeypatch.setattr(verilog_format, "ROOT", tmp_path)
    monkeypatch.setattr(verilog_format, "file_list", lambda: [tmp_path / "a.v"])
    (tmp_path / "a.v").write_text(good)
    assert verilog_format.problems() == []
    (tmp_path / "a.v").write_text(good.replace("  wire", " wire"))
    assert verilog_format.problems() == ["a.v is not as the formatter writes it: run make format"]
    monkeypatch.setattr(sys, "argv", ["verilog_format", "--write"])
    assert verilog_format.main() == 0 and (tmp_path / "a.v").read_text() == good
    (tmp_path / "a.v").write_text("module a (;\n")
    with pytest.raises(RuntimeError, match="a.v cannot be formatted"):
        verilog_format.problems()


def test_the_documents_name_what_exists() -> None:
    """Files and folders of the checkout that pages name in code, and relative links, are there."""
    folders = "rtl|tb|models|gradcore|registers|docs|tests|verification|formal"
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
        for name in re.findall(rf"`((?:{folders})/[\w/.*-]+)`", text):
            assert list(ROOT.glob(name.rstrip("/"))), f"{page.relative_to(ROOT)} names {name}, which is not there"
        for link in re.findall(r"\]\(([^)#\s]+)", text):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page.relative_to(ROOT)} links to {link}, which is not there"

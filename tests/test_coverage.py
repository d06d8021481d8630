# SPDX-License-Identifier: Apache-2.0
"""The coverage report: counts of several runs add up, what is missing is named and linked, exclusions have reasons and are needed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tb.support.declaration import all_benches
from tb.support.launch import run_declared
from tb.support.places import ROOT
from tb.support.runner import file_list
from verification import coverage
from verification.evidence import read

FIFO = next(path for path in file_list() if path.stem == "fifo")


def point(kind: str, line: int, comment: str, hits: int, lines: str = "", column: int = 3, path: Path = FIFO) -> str:
    """A line of Verilator's file."""
    fields = {"f": str(path), "l": line, "n": column, "t": kind, "o": comment, **({"S": lines} if lines else {}), "h": "top.x"}
    return f"C '{''.join(f'{chr(1)}{key}{chr(2)}{value}' for key, value in fields.items())}' {hits}\n"


def evidence(folder: Path, *files: str) -> Path:
    """A folder with these files of counts, and one run of a bench."""
    folder.mkdir()
    for number, text in enumerate(files):
        (folder / f"{number}.dat").write_text("# SystemC::Coverage-3\n" + text)
    bins = {"component": "environment.coverage", "points": {"sign": {"plus": 3, "minus": 0}}}
    (folder / "run.json").write_text(json.dumps({"toplevel": "fifo", "tests": ["a"], "coverage": [bins]}))
    return folder


BODY = FIFO.read_text().splitlines().index("  always @(posedge clk) begin") + 1


def test_counts_of_runs_add_up(tmp_path: Path) -> None:
    """A block that one run missed and another ran is covered; instances with other parameters count together; other files do not."""
    first = point("line", BODY, "block", 0, f"{BODY}-{BODY + 1}") + point("toggle", 16, "rst:0->1", 0) + point("toggle", 16, "rst:1->0", 0)
    second = point("line", BODY, "block", 5, f"{BODY}-{BODY + 1}") + point("toggle", 16, "rst:0->1", 1)
    second += point("branch", BODY + 1, "if", 0, f"{BODY + 1}", 5) + point("line", 3, "block", 0, "3", path=ROOT / "axi_memory.v")
    folder = evidence(tmp_path / "e", first, second)
    report = coverage.make_report(folder, read(folder), [])
    (fifo,) = [one for one in report.files if one.path == FIFO]
    assert (fifo.line.hit, fifo.line.total) == (1, 2) and [line for line, _ in fifo.missing_lines] == [BODY + 1]
    assert (fifo.toggle.hit, fifo.toggle.total) == (1, 2) and fifo.missing_toggles == [(16, "rst: :1->0")]
    assert "line coverage is 50.00 %, at least 98 % are wanted" in report.problems
    assert "fifo: environment.coverage.sign was never minus" in report.problems
    assert any("nothing of rtl/cells/skid_buffer.v was counted" in one for one in report.problems)
    text = coverage.page(report, ROOT / "build" / "coverage" / "index.html")
    assert f'<a href="../../{fifo.name}">' in text and "sign" in text and f"line {BODY + 1}:" in text
    shown = {
        name: re.sub(r"<[^>]+>|\s", " ", row).split()[1:]
        for row, name in re.findall(r"(<tr><td><a[^>]+>([^<]+)</a>.*?</tr>)", text, flags=re.S)
    }
    assert shown[fifo.name] == ["50.00", "%", "1", "/", "2"] * 2 and shown["rtl/gradcore.v"] == ["none", "none"]
    for link in re.findall(r'href="\.\./\.\./([^"]+)"', text):
        assert (ROOT / link).exists(), link


def test_exclusions(tmp_path: Path) -> None:
    """They take only what is not covered; one that takes nothing is told; each needs a reason."""
    folder = evidence(
        tmp_path / "e", point("toggle", 16, "rst:0->1", 1) + point("toggle", 16, "rst:1->0", 0) + point("line", BODY, "block", 1)
    )
    rows = [
        coverage.Exclusion("toggle", "fi*", "it is never set again in a run", match="^rst:"),
        coverage.Exclusion("line", "fifo", "x", "initial"),
    ]
    report = coverage.make_report(folder, read(folder), rows)
    assert (report.toggle.hit, report.toggle.total, report.toggle.excluded) == (1, 1, 1)
    assert "the exclusion of lines of fifo (initial) excludes nothing: remove it from coverage_exclusions.yaml" in report.problems
    assert not any("(^rst:)" in one for one in report.problems)
    for text in ('- {kind: line, files: "*", reason: "a reason of four words"}', '- {kind: line, files: "*", region: initial, reason: ""}'):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(ValueError, match="give kind"):
            coverage.exclusions(tmp_path / "x.yaml")
    assert coverage.exclusions()


def test_regions_of_a_file(tmp_path: Path) -> None:
    """Checks of parameters and assertions are found by their lines."""
    lines = ["module m;", "initial begin", "if (x) begin", "$finish;", "end", "end", "reg a;", "`ifdef SIMULATION", "`ifdef MORE", "`endif"]
    lines += ["always @* b = 1;", "`endif", "endmodule"]
    (tmp_path / "m.v").write_text("\n".join(lines))
    found = coverage.regions(tmp_path / "m.v")
    assert found["initial"] == set(range(2, 7)) and found["assertions"] == set(range(8, 13))


@pytest.mark.regress
def test_a_bench_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real run: every line of the FIFO but its check of parameters, and nearly every bit."""
    monkeypatch.setenv("GRADCORE_COVERAGE", "1")
    monkeypatch.setenv("GRADCORE_EVIDENCE", str(tmp_path / "e"))
    bench = all_benches()["fifo"]
    run_declared(bench, bench.runs[0], "verilator", 1, tmp_path)
    report = coverage.make_report(tmp_path / "e", read(tmp_path / "e"), coverage.exclusions())
    (fifo,) = [one for one in report.files if one.path == FIFO]
    assert fifo.line.total > 20 and fifo.line.percent == 100 and fifo.toggle.percent > 90


def test_the_command_needs_counts(tmp_path: Path) -> None:
    """One line when nothing was counted."""
    said = subprocess.run(
        [sys.executable, "-m", "verification.coverage", str(tmp_path), "x.html"], cwd=ROOT, capture_output=True, text=True
    )
    assert said.returncode == 2 and said.stderr == f"{tmp_path} holds no counts of Verilator: run make coverage\n"

# SPDX-License-Identifier: Apache-2.0
"""The verification plan: it and the sources agree; what is missing, stale, or did not run is told in a line that says what to do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tb.support.declaration import all_benches
from tb.support.ledger import covered, record
from tb.support.places import ROOT
from verification import plan
from verification.evidence import Evidence, read

PLAN = plan.load()


def test_every_bench_is_planned() -> None:
    """Rows name what exists; each bench, each of its tests, each test of the whole core and each module of rtl/ stands on one."""
    problems = plan.source_problems(PLAN)
    assert not problems, "\n".join(problems)


def changed(unit: str, name: str, **fields: object) -> plan.Plan:
    """The plan with one row of a unit changed."""
    rows = tuple(replace(row, **fields) if row.name == name else row for row in PLAN.units[unit])
    assert rows != PLAN.units[unit]
    return replace(PLAN, units={**PLAN.units, unit: rows})


FIRST = PLAN.units["fifo"][0]
WITHOUT_FIFO = {unit: rows for unit, rows in PLAN.units.items() if unit != "fifo"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (changed("fifo", FIRST.name, tests=("no_such",)), "fifo: .*: the bench of fifo has no test no_such: name one that exists"),
        (changed("fifo", FIRST.name, tests=("none:x",)), "the bench of none has no test x"),
        (changed("fifo", FIRST.name, tests=("tests/test_lint.py::test_none",)), "there is no tests/test_lint.py::test_none"),
        (changed("fifo", FIRST.name, tests=("stream_register:hangs",)), "no run in tb/support/bench.py selects hangs"),
        (changed("fifo", FIRST.name, cover=("no_such_point",)), "the bench of fifo has no cover point no_such_point"),
        (replace(PLAN, units=WITHOUT_FIFO), r"tb/cells/fifo: fifo is on no row: add `fifo:` to units in docs/verification-plan.yaml"),
        (replace(PLAN, units={**PLAN.units, "gone": ()}), "gone: no tb/<room>/<unit>/bench.py declares this toplevel"),
        (replace(PLAN, core={}), r"tests/test_system\w*.py::\w+ is on no row: add it to `tests`"),
        (replace(PLAN, core={}), "the mode guided has no row in modes"),
        (replace(PLAN, modules={**PLAN.modules, "fifo": ()}), "fifo is in `modules` of no unit"),
        (replace(PLAN, modules={**PLAN.modules, "fifo": ("fifo", "gone")}), "rtl/rtl.f has no module gone"),
    ],
)
def test_what_differs_is_told(wrong: plan.Plan, said: str) -> None:
    """One line that names the row, or the row to add."""
    problems = plan.source_problems(wrong)
    assert any(re.search(said, problem) for problem in problems), problems
    assert all("\n" not in problem for problem in problems)


def test_a_test_on_no_row_is_told() -> None:
    """A new test of a bench needs a row."""
    rows = {unit: tuple(row for row in rows if unit != "requantise") for unit, rows in PLAN.units.items()}
    problems = plan.source_problems(replace(PLAN, units=rows))
    tests = plan.bench_tests(all_benches()["requantise"])
    assert {f"the test {name} is on no row" for name in tests} <= {problem.split(": ")[1] for problem in problems}, problems


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{intent: x}", "lacks its intent or its tests"),
        ("{tests: [a]}", "lacks its intent or its tests"),
        ("{intent: x, tests: [a], test: [b]}", "has test"),
    ],
)
def test_rows_of_another_form_are_refused(tmp_path: Path, row: str, said: str) -> None:
    """A misspelt key would drop a check in silence."""
    (tmp_path / "plan.yaml").write_text(f"units: {{fifo: {{features: {{order: {row}}}}}}}\ncore: {{}}\n")
    with pytest.raises(plan.PlanError, match=said):
        plan.load(tmp_path / "plan.yaml")


def everything() -> Evidence:
    """Evidence of a run in which all passed that the plan names."""
    found = Evidence()
    for row in PLAN.features():
        for test in row.tests:
            if "::" in test:
                found.tests.add(test)
            else:
                toplevel, colon, name = test.rpartition(":")
                found.benches[toplevel or row.unit].add(name)
        for point in row.cover:
            toplevel, colon, name = point.rpartition(":")
            found.points[toplevel or row.unit]["environment.coverage"][name] = {"a": 1}
    return found


@pytest.mark.parametrize("regress", [False, True])
def test_what_did_not_run_is_told(regress: bool) -> None:
    """Of a run that lacks a bench's test, a test of pytest, or a cover point."""
    assert plan.run_problems(PLAN, everything(), regress) == []
    found = everything()
    found.benches["fifo"].discard(FIRST.tests[0])
    (problem,) = (one for one in plan.run_problems(PLAN, found, regress) if "bench of fifo" in one)
    assert problem.startswith(f"docs/verification-plan.yaml: fifo: {FIRST.name}: {FIRST.tests[0]} of") and "did not pass" in problem
    functions = {f"tests/{path.name}::{name}": one for path in plan.system_files() for name, one in plan.pytest_functions(path).items()}
    test = next(name for name, one in functions.items() if (one.in_regress if regress else one.in_test))
    found = everything()
    found.tests.discard(test)
    assert any(f"{test} did not pass" in one for one in plan.run_problems(PLAN, found, regress))
    wrong = changed("fifo", FIRST.name, cover=("no_such_point",))
    assert any("no_such_point of the bench of fifo was not reported" in one for one in plan.run_problems(wrong, everything(), regress))


def test_evidence_of_runs_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the simulator's side notes and the launcher keeps: tests that passed, hits of bins; none of a netlist's."""
    evidence, work = tmp_path / "evidence", tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("GRADCORE_EVIDENCE", raising=False)  # `make test` keeps evidence of its own
    results = work / "results.xml"
    results.write_text('<s><testcase name="a/x=1"/><testcase name="b"><skipped/></testcase><testcase name="c"><failure/></testcase></s>')
    covered("environment.coverage", {"sign": {"plus": 2, "minus": 0}})
    record(work, results, toplevel="t", netlist=False)
    assert not evidence.exists(), "nothing is kept that nobody asked for"
    monkeypatch.setenv("GRADCORE_EVIDENCE", str(evidence))
    covered("environment.coverage", {"sign": {"plus": 2, "minus": 0}})
    for netlist in (False, False, True):
        record(work, results, toplevel="t", netlist=netlist)
    found = read(evidence)
    assert found.benches == {"t": {"a"}} and found.tests == set()
    assert found.points["t"]["environment.coverage"] == {"sign": {"plus": 4, "minus": 0}}


@pytest.mark.parametrize(("options", "held"), [((), True), (("-k", "one"), False)])
def test_a_session_is_held_to_the_plan(tmp_path: Path, options: tuple[str, ...], held: bool) -> None:
    """`make test` fails when a row did not run; a session that was narrowed by hand does not."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text("def test_one():\n    pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    command = [sys.executable, "-m", "pytest", "-p", "verification.evidence", "-p", "no:cacheprovider", "--evidence", "kept"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    said = subprocess.run([*command, "--check-plan", *options], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (said.returncode != 0) == held, said.stdout
    assert ("docs/verification-plan.yaml: fifo:" in said.stdout) == held
    (session,) = (tmp_path / "kept").glob("session-*.json")
    assert json.loads(session.read_text())["pytest"] == ["tests/test_it.py::test_one"]

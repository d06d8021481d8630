# SPDX-License-Identifier: Apache-2.0
"""pytest plugin: keep what a session proves (``--evidence FOLDER``), and hold it against the verification plan (``--check-plan``).

Each run of a bench leaves a file in the folder (``tb.support.ledger``), and the session one with the names of its tests that passed.
``--check-plan`` fails the session when a row of the plan names what did not pass; a session that was narrowed by hand is not held to it.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tb.support.ledger import EVIDENCE


@dataclass
class Evidence:
    """What passed. ``tests``: ids of pytest without parameters. ``benches``: toplevel -> names of tests of its bench without parameters.
    ``points``: toplevel -> component -> point -> bin -> hits, of the Verilog alone."""

    tests: set[str] = field(default_factory=set)
    benches: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    points: dict[str, dict[str, dict[str, dict[str, int]]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(dict)))


def read(*folders: Path) -> Evidence:
    """All that is in folders of evidence; hits of equal bins are added up."""
    found = Evidence()
    for path in sorted(path for folder in folders for path in folder.glob("*.json")):
        one = json.loads(path.read_text(encoding="utf-8"))
        if "pytest" in one:
            found.tests |= {nodeid.partition("[")[0] for nodeid in one["pytest"]}
            continue
        found.benches[one["toplevel"]] |= {name.partition("/")[0].rpartition(".")[2] for name in one["tests"]}
        if one.get("netlist"):
            continue
        for coverage in one["coverage"]:
            points = found.points[one["toplevel"]][coverage["component"]]
            for point, bins in coverage["points"].items():
                counts = points.setdefault(point, {})
                for name, hits in bins.items():
                    counts[name] = counts.get(name, 0) + hits
    return found


class _Collector:
    """The session's controller: names of tests that passed, and the plan at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self.config, self.passed, self.problems = config, set(), []
        self.folder = Path(config.getoption("evidence")).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        os.environ[EVIDENCE] = str(self.folder)  # xdist's workers inherit it

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        text = json.dumps({"pytest": sorted(self.passed)})
        (self.folder / f"session-{uuid.uuid4().hex}.json").write_text(text, encoding="utf-8")
        option = self.config.option  # what picks tests; without the cache's plugin there is no `lf`
        narrowed = option.keyword or getattr(option, "lf", False) or option.collectonly or list(self.config.args) != ["tests"]
        if not self.config.getoption("check_plan") or narrowed:
            return
        from verification import plan

        self.problems = plan.run_problems(plan.load(), read(self.folder), regress=False)
        if self.problems and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.problems:
            terminalreporter.section("verification plan")
            for problem in self.problems:
                terminalreporter.write_line(problem, red=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("verification")
    group.addoption("--evidence", metavar="FOLDER", help="keep what each run of a bench proves in this folder")
    group.addoption("--check-plan", action="store_true", help="fail when a row of docs/verification-plan.yaml names what did not pass")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("evidence") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Collector(config), "evidence-collector")

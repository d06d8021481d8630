# SPDX-License-Identifier: Apache-2.0
"""The verification plan (docs/verification-plan.yaml): read it, and say where it and the sources, or a run, differ.

A unit is a toplevel that a bench declares (``tb/<room>/<unit>/bench.py``). Its rows are features, each with the intent, the tests that
show it, and the cover points that say that the tests reached it. A test is written

- ``name``: a cocotb or pyuvm test of the unit's bench, without parameters; ``<toplevel>:<name>`` of another bench;
- ``tests/<file>.py::<function>``: a pytest function.

A cover point is the name of a point or cross of a ``Coverage``, or of the ``Coverage`` component for all of its points; written with
``<toplevel>:`` it is one of another bench. What runs in ``make regress`` only follows from the declarations and marks.
``python -m verification.plan`` prints what is wrong, and rows to paste for tests that are on none.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from gradcore import hardware
from tb.support.declaration import Bench, Run, all_benches
from tb.support.places import ROOT
from tb.support.runner import file_list
from verification.evidence import Evidence

PLAN = ROOT / "docs" / "verification-plan.yaml"
NAME = "docs/verification-plan.yaml"
_ROW = {"intent", "tests", "cover"}


@dataclass(frozen=True)
class Feature:
    """A row. ``unit``: the toplevel, or the heading of rows that belong to no bench."""

    unit: str
    name: str
    intent: str
    tests: tuple[str, ...] = ()
    cover: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where the row stands, for messages."""
        return f"{NAME}: {self.unit}: {self.name}"


@dataclass(frozen=True)
class Plan:
    """Rows of units and of the whole core, and which unit each module of rtl/ is verified by."""

    units: dict[str, tuple[Feature, ...]]
    core: dict[str, tuple[Feature, ...]]
    modules: dict[str, tuple[str, ...]]

    def features(self) -> Iterator[Feature]:
        """Every row."""
        for rows in (*self.units.values(), *self.core.values()):
            yield from rows


class PlanError(ValueError):
    """The plan cannot be read: it says where and why."""


def load(path: Path = PLAN) -> Plan:
    """Read a plan. Raises PlanError for a row of another form."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if set(data) != {"units", "core"}:
        raise PlanError(f"{NAME}: it has the parts {', '.join(data)}, not units and core")
    modules = {unit: tuple(body.get("modules") or ()) for unit, body in data["units"].items()}
    units = {unit: tuple(_rows(unit, body.get("features") or {})) for unit, body in data["units"].items()}
    return Plan(units, {part: tuple(_rows(part, rows)) for part, rows in data["core"].items()}, modules)


def _rows(unit: str, rows: dict[str, dict]) -> Iterator[Feature]:
    for name, row in rows.items():
        wrong = set(row) - _ROW
        if wrong or not row.get("intent") or not row.get("tests"):
            said = f"has {', '.join(sorted(wrong))}" if wrong else "lacks its intent or its tests"
            raise PlanError(f"{NAME}: {unit}: {name} {said}: a row has intent, tests and, if need be, cover")
        yield Feature(unit, name, row["intent"], *(tuple(row.get(key) or ()) for key in ("tests", "cover")))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _is_test(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return name in ("test", "must_fail") or name.endswith("_test")


def bench_tests(bench: Bench, root: Path = ROOT) -> dict[str, str]:
    """The tests of a bench's module: name without parameters -> first line of the docstring."""
    path = root / (bench.module.replace(".", "/") + ".py")
    found = {}
    for node in _tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and any(map(_is_test, node.decorator_list)):
            found[node.name] = (ast.get_docstring(node) or "").split("\n")[0]
    return found


def runs_of(bench: Bench, name: str) -> list[Run]:
    """The declared runs on the Verilog that select a test, which may have parameters."""
    return [
        run
        for run in bench.runs
        if run.tests is None or any(re.fullmatch(run.tests, text) for text in (name, f"{name}/x")) or f"{name}/" in run.tests
    ]


@dataclass(frozen=True)
class PytestFunction:
    """A test function of pytest: its docstring's first line, and in which of `make test` and `make regress` it runs."""

    intent: str
    in_test: bool
    in_regress: bool


def pytest_functions(path: Path) -> dict[str, PytestFunction]:
    """The test functions of a file of pytest, by name."""
    marks = {ast.unparse(node.value) for node in _tree(path).body if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node)}
    found = {}
    for node in _tree(path).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            text = " ".join([*marks, *map(ast.unparse, node.decorator_list)])
            regress, hardware = "mark.regress" in text, "mark.hardware" in text
            found[node.name] = PytestFunction((ast.get_docstring(node) or "").split("\n")[0], not regress, regress or hardware)
    return found


def system_files(root: Path = ROOT) -> list[Path]:
    """The files of pytest that run the whole core: each of their tests stands on a row."""
    return sorted((root / "tests").glob("test_system*.py"))


@cache
def _strings(folder: Path) -> frozenset[str]:
    """Every string in the Python files of a bench's folder and of the kit: where names of cover points come from."""
    files = [*folder.glob("*.py"), *(ROOT / "tb" / "support").glob("*.py")]
    nodes = (node for path in files for node in ast.walk(_tree(path)))
    return frozenset(
        text for node in nodes for text in ([node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else [])
    ) | frozenset(word.arg for path in files for word in ast.walk(_tree(path)) if isinstance(word, ast.keyword) and word.arg)


def _split(unit: str, test: str) -> tuple[str, str]:
    """(toplevel, name) of a bench's test as a row writes it."""
    toplevel, colon, name = test.partition(":")
    return (toplevel, name) if colon else (unit, test)


def source_problems(plan: Plan, benches: dict[str, Bench] | None = None) -> list[str]:
    """Where the plan and the sources differ, one line each that says what to do."""
    benches = all_benches() if benches is None else benches
    problems = []
    named: dict[str, set[str]] = {toplevel: set() for toplevel in benches}
    functions: set[str] = set()
    for unit in plan.units.keys() - benches.keys():
        problems.append(f"{NAME}: {unit}: no tb/<room>/<unit>/bench.py declares this toplevel: remove the unit, or rename it")
    for feature in plan.features():
        for test in feature.tests:
            if "::" in test:
                functions.add(test)
                file, _, function = test.partition("::")
                if not (ROOT / file).is_file() or function not in pytest_functions(ROOT / file):
                    problems.append(f"{feature.place}: there is no {test}: name a test that exists")
                continue
            toplevel, name = _split(feature.unit, test)
            if toplevel not in benches or name not in bench_tests(benches[toplevel]):
                problems.append(f"{feature.place}: the bench of {toplevel} has no test {name}: name one that exists")
            elif not runs_of(benches[toplevel], name):
                problems.append(
                    f"{feature.place}: no run in {benches[toplevel].folder}/bench.py selects {name}: add one, or remove the test"
                )
            else:
                named[toplevel].add(name)
        for point in feature.cover:
            toplevel, name = _split(feature.unit, point)
            if toplevel not in benches or name not in _strings(ROOT / benches[toplevel].folder):
                problems.append(f"{feature.place}: the bench of {toplevel} has no cover point {name}: name one that exists")
    for toplevel, bench in benches.items():
        if toplevel not in plan.units:
            problems.append(f"{bench.folder}: {toplevel} is on no row: add `{toplevel}:` to units in {NAME} (python -m verification.plan)")
            continue
        for name in sorted(bench_tests(bench).keys() - _named_by_siblings(bench, benches, named)):
            if not runs_of(bench, name):
                continue  # as those that fail on purpose, run by name in tests/test_support_runner.py
            problems.append(f"{bench.folder}: the test {name} is on no row: add it to `tests` of a feature of {toplevel} in {NAME}")
    for path in system_files():
        for function in pytest_functions(path):
            if (test := f"tests/{path.name}::{function}") not in functions:
                problems.append(f"{test} is on no row: add it to `tests` of a feature under core in {NAME}")
    return problems + _module_problems(plan) + _mode_problems(plan)


def _named_by_siblings(bench: Bench, benches: dict[str, Bench], named: dict[str, set[str]]) -> set[str]:
    """Tests of the bench's module that rows name, for this toplevel or for another one that shares the module."""
    return set().union(*(named[other.toplevel] for other in benches.values() if other.module == bench.module))


def _module_problems(plan: Plan) -> list[str]:
    """Each module of rtl/ is verified by a unit, and none that is not there."""
    wanted = {path.stem for path in file_list()}
    listed = {module for modules in plan.modules.values() for module in modules}
    return [
        *(f"{NAME}: {module} is in `modules` of no unit: add it to that of the bench that checks it" for module in sorted(wanted - listed)),
        *(f"{NAME}: rtl/rtl.f has no module {module}: remove it from `modules`" for module in sorted(listed - wanted)),
    ]


def _mode_problems(plan: Plan) -> list[str]:
    """Each mode of a run stands on a row of its own."""
    named = {feature.name for feature in plan.core.get("modes", ())}
    wanted = ("inference", *hardware.METHODS, *hardware.SEED_MODES)
    return [f"{NAME}: core: the mode {mode} has no row in modes: add it" for mode in wanted if mode not in named]


def run_problems(plan: Plan, evidence: Evidence, regress: bool) -> list[str]:
    """What rows name that did not pass in a run of `make test`, or with ``regress`` of `make regress`."""
    problems, benches = [], all_benches()
    for feature in plan.features():
        for test in feature.tests:
            if "::" in test:
                file, _, name = test.partition("::")
                function = pytest_functions(ROOT / file)[name]
                if (function.in_regress if regress else function.in_test) and test not in evidence.tests:
                    problems.append(f"{feature.place}: {test} did not pass in this run")
                continue
            toplevel, name = _split(feature.unit, test)
            expected = regress or not all(run.regress for run in runs_of(benches[toplevel], name))
            if expected and name not in evidence.benches.get(toplevel, ()):
                problems.append(f"{feature.place}: {name} of the bench of {toplevel} did not pass in this run")
        for point in feature.cover:
            toplevel, name = _split(feature.unit, point)
            if name not in set(_point_names(evidence, toplevel)):
                problems.append(f"{feature.place}: the cover point {name} of the bench of {toplevel} was not reported by this run")
    return problems


def _point_names(evidence: Evidence, toplevel: str) -> Iterable[str]:
    """Names by which a row may name what a run covered: points, crosses, and components."""
    for component, points in evidence.points.get(toplevel, {}).items():
        yield component.rpartition(".")[2]
        yield from points


def rows_to_paste(plan: Plan) -> str:
    """YAML for what is on no row: features with the docstrings as intents, to be edited."""
    named = {_split(feature.unit, test) for feature in plan.features() for test in feature.tests}
    text = ""
    for toplevel, bench in all_benches().items():
        tests = {name: said for name, said in bench_tests(bench).items() if (toplevel, name) not in named and runs_of(bench, name)}
        if tests:
            body = {name.replace("_", " "): {"intent": said, "tests": [name]} for name, said in tests.items()}
            rows = yaml.safe_dump({toplevel: {"features": body}}, sort_keys=False, width=160, default_flow_style=None, allow_unicode=True)
            text += "".join(f"  {line}\n" for line in rows.splitlines())
    return text


def main() -> int:
    """Print what is wrong with the plan, and rows to paste."""
    try:
        plan = load()
    except PlanError as error:
        print(error, file=sys.stderr)
        return 2
    problems = source_problems(plan)
    print("\n".join(problems) or f"{sum(1 for _ in plan.features())} rows: every bench and test of the core stands on one")
    if problems and (rows := rows_to_paste(plan)):
        print(f"\nrows to paste, to be edited:\n{rows}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

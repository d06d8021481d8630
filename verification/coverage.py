# SPDX-License-Identifier: Apache-2.0
"""``make coverage``: lines and toggles of the Verilog as Verilator counted them, functional coverage of the benches, one HTML page.

``python -m verification.coverage EVIDENCE PAGE`` reads a folder of evidence (``tb.support.ledger``), in which each run of a bench, and
of the core, left its counts. Runs with other parameters count together: a line or a bit of a signal is covered when any run
covered it in any instance. What cannot be covered stands in ``verification/coverage_exclusions.yaml`` with its reason. Exit status 1
below the thresholds, for an exclusion that excludes nothing, and for a hole in functional coverage.

A line counts as covered when every block that Verilator names for it ran; a toggle is one bit of one signal going up, or down.
"""

from __future__ import annotations

import fnmatch
import html
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import jinja2
import yaml

from tb.support.declaration import all_benches
from tb.support.places import ROOT
from tb.support.runner import file_list
from verification import plan
from verification.evidence import Evidence, read

EXCLUSIONS = ROOT / "verification" / "coverage_exclusions.yaml"
TEMPLATE = ROOT / "verification" / "coverage.html.j2"
THRESHOLDS = {"line": 98.0, "toggle": 90.0}
_POINT = re.compile(r"^C '(.*)' (\d+)$")


@dataclass(frozen=True)
class Toggle:
    """A bit of a signal, in one direction: ``count[3]:0->1``."""

    line: int
    name: str


@dataclass
class ModuleCounts:
    """Hits of a file of rtl/: of each block on a line, and of each toggle."""

    lines: dict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    toggles: dict[Toggle, int] = field(default_factory=dict)

    def add(self, point: dict[str, str], hits: int) -> None:
        """Count a point of Verilator's."""
        if point["t"] == "toggle":
            toggle = Toggle(int(point["l"]), point["o"])
            self.toggles[toggle] = self.toggles.get(toggle, 0) + hits
            return
        block = f"{point['l']}:{point['n']}:{point['o']}"
        for line in _lines(point.get("S") or point["l"]):
            self.lines[line][block] = self.lines[line].get(block, 0) + hits


def _lines(text: str) -> Iterator[int]:
    """The numbers of a text like ``31-34,40``."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def counts(folder: Path) -> dict[Path, ModuleCounts]:
    """What all ``*.dat`` files of a folder count together, by file of rtl/; other files, as the memory's, are left out."""
    total: Counter[str] = Counter()  # by Verilator's key: that of a point in all instances of a run is mostly that of other runs
    for dump in folder.glob("*.dat"):
        for match in map(_POINT.match, dump.read_text(encoding="utf-8", errors="replace").splitlines()):
            if match:
                total[match[1].partition("\x01h\x02")[0]] += int(match[2])
    files = {path.name: path for path in file_list() if path.parent.name != "checks"}  # those check, and are not checked
    found = {path: ModuleCounts() for path in files.values()}
    for key, hits in total.items():
        point = dict(part.split("\x02", 1) for part in key.split("\x01")[1:])
        path = files.get(Path(point["f"]).name)
        if path is not None:
            found[path].add(point, hits)
    return found


@dataclass
class Exclusion:
    """Lines or toggles that are not counted: of files that match, in a ``region``, or whose text or name matches. Used: how many."""

    kind: str
    files: str
    reason: str
    region: str = ""
    match: str = ""
    used: int = 0

    def takes(self, path: Path, line: int, name: str) -> bool:
        """Whether it excludes a line (``name``: its text) or a toggle (``name``) of a file."""
        if not fnmatch.fnmatch(path.stem, self.files):
            return False
        if self.region and line not in regions(path)[self.region]:
            return False
        return not self.match or re.search(self.match, name) is not None


def exclusions(path: Path = EXCLUSIONS) -> list[Exclusion]:
    """The exclusions of the file. Raises ValueError for one without a reason, or that says nothing of what it excludes."""
    found = [Exclusion(**row) for row in yaml.safe_load(path.read_text(encoding="utf-8"))]
    for one in found:
        if one.kind not in THRESHOLDS or len(one.reason.split()) < 4 or not (one.region or one.match):
            raise ValueError(f"{path.name}: {one}: give kind (line or toggle), files, region or match, and a reason")
    return found


@cache
def regions(path: Path) -> dict[str, frozenset[int]]:
    """Line numbers inside `initial` blocks (checks of parameters) and between `ifdef SIMULATION and its `endif (assertions)."""
    found: dict[str, set[int]] = {"initial": set(), "assertions": set()}
    depth, inside, nested = 0, False, 0
    for number, text in enumerate(path.read_text().splitlines(), 1):
        plain = text.partition("//")[0]
        if re.match(r"\s*`ifdef\s+SIMULATION\b", plain):
            nested = 1
        elif nested and re.match(r"\s*`if", plain):
            nested += 1
        if nested:
            found["assertions"].add(number)
        if nested and re.match(r"\s*`endif", plain):
            nested -= 1
        if re.match(r"\s*initial\b", plain):
            inside, depth = True, 0
        if inside:
            found["initial"].add(number)
            depth += len(re.findall(r"\bbegin\b", plain)) - len(re.findall(r"\bend\b", plain))
            inside = depth > 0 or not plain.rstrip().endswith((";", "end"))
    return {name: frozenset(lines) for name, lines in found.items()}


@dataclass
class Share:
    """How much of something is covered."""

    hit: int = 0
    total: int = 0
    excluded: int = 0

    def __iadd__(self, other: Share) -> Share:
        self.hit, self.total, self.excluded = self.hit + other.hit, self.total + other.total, self.excluded + other.excluded
        return self

    @property
    def percent(self) -> float:
        """100 where there is nothing to cover."""
        return 100.0 * self.hit / self.total if self.total else 100.0


@dataclass
class FileReport:
    """Coverage of a file, and what is not covered: (line, text) and (line, signal, bits and directions)."""

    path: Path
    line: Share = field(default_factory=Share)
    toggle: Share = field(default_factory=Share)
    missing_lines: list[tuple[int, str]] = field(default_factory=list)
    missing_toggles: list[tuple[int, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Relative to the checkout."""
        return self.path.relative_to(ROOT).as_posix()


def file_report(path: Path, counted: ModuleCounts, excluded: Iterable[Exclusion]) -> FileReport:
    """What of a file is covered."""
    report, text = FileReport(path), path.read_text().splitlines()
    rows = list(excluded)
    for line, blocks in sorted(counted.lines.items()):
        source = text[line - 1].strip() if line <= len(text) else ""
        _count(report.line, all(blocks.values()), _taker(rows, "line", path, line, source)) or report.missing_lines.append((line, source))
    missing: dict[tuple[int, str], list[str]] = defaultdict(list)
    for toggle, hits in sorted(counted.toggles.items(), key=lambda item: (item[0].line, item[0].name)):
        if not _count(report.toggle, hits > 0, _taker(rows, "toggle", path, toggle.line, toggle.name)):
            signal = re.match(r"[^\[:]+", toggle.name)[0]
            missing[toggle.line, signal].append(toggle.name.removeprefix(signal))
    report.missing_toggles = [(line, f"{signal}: {_short(bits)}") for (line, signal), bits in missing.items()]
    return report


def _short(bits: list[str]) -> str:
    """At most six of the bits of a signal that did not toggle."""
    return ", ".join(bits[:6]) + (f" and {len(bits) - 6} more" if len(bits) > 6 else "")


def _taker(rows: list[Exclusion], kind: str, path: Path, line: int, name: str) -> Exclusion | None:
    return next((row for row in rows if row.kind == kind and row.takes(path, line, name)), None)


def _count(share: Share, covered: bool, taker: Exclusion | None) -> bool:
    """Count one thing; returns whether nothing is missing. What is covered counts, excluded or not."""
    if not covered and taker is not None:
        taker.used += 1
        share.excluded += 1
        return True
    share.total += 1
    share.hit += covered
    return covered


@dataclass
class Report:
    """All of it: of files, of functional coverage by bench, and what is wrong."""

    files: list[FileReport]
    functional: dict[str, dict[str, dict[str, dict[str, int]]]]
    excluded: list[Exclusion]
    line: Share
    toggle: Share
    problems: list[str]


def make_report(folder: Path, evidence: Evidence, rows: list[Exclusion]) -> Report:
    """The report of a folder of evidence."""
    files = [file_report(path, counted, rows) for path, counted in counts(folder).items()]
    line, toggle = Share(), Share()
    for one in files:
        line += one.line
        toggle += one.toggle
    problems = [
        f"{kind} coverage is {share.percent:.2f} %, at least {THRESHOLDS[kind]:.0f} % are wanted"
        for kind, share in (("line", line), ("toggle", toggle))
        if share.percent < THRESHOLDS[kind]
    ]
    unseen = [one.name for one in files if not one.line.total and not one.toggle.total]  # wiring has toggles alone
    problems += [f"nothing of {name} was counted: no bench runs it in Verilator" for name in unseen]
    unused = [f"{one.kind}s of {one.files} ({one.match or one.region})" for one in rows if not one.used]
    problems += [f"the exclusion of {what} excludes nothing: remove it from {EXCLUSIONS.name}" for what in unused]
    for toplevel, components in evidence.points.items():
        for component, points in components.items():
            for point, bins in points.items():
                holes = [name for name, hits in bins.items() if not hits]
                problems += [f"{toplevel}: {component}.{point} was never {', '.join(holes)}"] if holes else []
    return Report(files, evidence.points, rows, line, toggle, problems)


def page(report: Report, target: Path) -> str:
    """The HTML page; links are relative to ``target``."""
    up = "../" * len(target.resolve().relative_to(ROOT).parent.parts)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    planned = plan.load()
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        report=report, up=up, thresholds=THRESHOLDS, benches=all_benches(), plan=planned, escape=html.escape
    )


def main() -> int:
    """The command."""
    if len(sys.argv) != 3:
        print("usage: python -m verification.coverage EVIDENCE PAGE.html", file=sys.stderr)
        return 2
    folder, target = Path(sys.argv[1]), Path(sys.argv[2])
    if not list(folder.glob("*.dat")):
        print(f"{folder} holds no counts of Verilator: run make coverage", file=sys.stderr)
        return 2
    report = make_report(folder, read(folder), exclusions())
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(report, target), encoding="utf-8")
    for kind, share in (("lines", report.line), ("toggles", report.toggle)):
        print(f"{kind}: {share.percent:.2f} % of {share.total}, {share.excluded} excluded")
    print("\n".join([*report.problems, f"page: {target}"]))
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""``make regress``: the benches of the Verilog with many seeds, in one piece or in shards for a job array, with JUnit XML.

``run`` runs all, or shard i of n. The collected tests are dealt to the shards in turn, in the order of their names (pytest-split): so long
ones, which are often neighbours, go to different shards, the same ones each time, and none needs another. Each writes
``shard-<i>-of-<n>.xml`` and ``evidence-<i>-of-<n>/`` in the folder of its seed and runs. ``merge`` makes one ``report.xml`` of them, holds
what ran against the verification plan, and refuses an incomplete set, or shards of different sources.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

from junitparser import JUnitXml

from gradcore import GradCoreError
from gradcore.host.inputs import read_shard
from tb.support.places import ROOT
from tb.support.seeds import SEED_LIMIT
from verification import evidence, plan

RESULTS = ROOT / "build" / "regress"
# Every bench and system run and all that is long; quick tests of Python alone stay with `make test`.
SELECTION = ["-m", "hardware or regress"]
SHARD_FILE = re.compile(r"shard-(\d+)-of-(\d+)\.xml")


class Refused(Exception):
    """What the user can put right, in one line."""


def shard_of(text: str) -> tuple[int, int]:
    """``"2/8"`` as (2, 8): shards are numbered from 1."""
    try:
        return read_shard(text)
    except GradCoreError:
        raise Refused(f"SHARD={text}: give i/n, with i from 1 to n, as SHARD=2/8") from None


def revision() -> str:
    """The sources' commit, with a mark when files differ from it; empty without git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return said.stdout.strip()


def folder_of(seed: int, runs: int) -> Path:
    """Where the shards of a regression leave their reports."""
    return RESULTS / f"seed-{seed}-runs-{runs}"


def split(index: int, count: int) -> list[str]:
    """pytest's options for shard ``index`` of ``count``. Nothing is recorded of how long tests take, so all count as equally long."""
    return ["--splits", str(count), "--group", str(index), "--splitting-algorithm", "least_duration"]


def run(seed: str, runs: str, shard: str, jobs: str, options: list[str]) -> int:
    """Run a regression, or one shard of it; returns pytest's exit status."""
    if shard and not seed:
        raise Refused("SHARD needs SEED=<number>: all shards of a regression share their seed")
    number = int(seed) if seed else random.SystemRandom().randrange(2, SEED_LIMIT)
    times = int(runs or "8")
    index, count = shard_of(shard or "1/1")
    folder = folder_of(number, times)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"shard-{index}-of-{count}.xml"
    file.unlink(missing_ok=True)
    again = f"make regress SEED={number} RUNS={times}" + (f" SHARD={shard}" if shard else "")
    print(f"regression with seed {number}: replay with {again}", flush=True)
    command = [sys.executable, "-m", "pytest", "-n", jobs or "2", *SELECTION, f"--junitxml={file}", "-o", "junit_family=xunit1"]
    kept = folder / f"evidence-{index}-of-{count}"
    shutil.rmtree(kept, ignore_errors=True)
    command += ["--evidence", str(kept)]
    if count > 1:
        command += split(index, count)
    environment = {**os.environ, "GRADCORE_SEED": str(number), "GRADCORE_RUNS": str(times)}
    status = subprocess.run([*command, *options], cwd=ROOT, env=environment, check=False).returncode
    if file.exists():
        report = JUnitXml.fromfile(str(file))
        for suite in report:
            for name, value in (("seed", number), ("runs", times), ("shard", f"{index}/{count}"), ("revision", revision())):
                suite.add_property(name, str(value))
        report.write(str(file))
    if status:
        print(f"failed: replay with {again}", file=sys.stderr)
    if count == 1 and file.exists():
        return merge(folder, narrowed=bool(options)) or status
    return status


def merge(folder: Path, narrowed: bool = False) -> int:
    """Make one report of a regression's shards; returns 1 when a test failed, or did not run that the verification plan names, else 0.

    ``narrowed``: the tests were picked by hand, and are not held to the plan. Raises Refused for a set that is not whole.
    """
    files = {path: SHARD_FILE.fullmatch(path.name) for path in sorted(folder.glob("shard-*.xml"))}
    shards = {(int(found[1]), int(found[2])): path for path, found in files.items() if found}
    if not shards:
        raise Refused(f"{folder} holds no shards: run make regress SEED=... SHARD=i/n, then make regress-merge SEED=...")
    counts = {count for _, count in shards}
    if len(counts) > 1:
        raise Refused(f"{folder} holds shards of {' and of '.join(map(str, sorted(counts)))}: remove those of an older run")
    (count,) = counts
    missing = [f"{index}/{count}" for index in range(1, count + 1) if (index, count) not in shards]
    if missing:
        raise Refused(f"{folder} lacks the shards {', '.join(missing)}: run each with SHARD=i/n and the same SEED and RUNS")
    merged, revisions, seen = JUnitXml(), set(), set()
    for path in shards.values():
        report = JUnitXml.fromfile(str(path))
        for suite in report:
            revisions |= {item.value for item in suite.properties() if item.name == "revision"}
            names = [(case.classname, case.name) for case in suite]
            if seen & set(names):
                raise Refused(f"{path.name} repeats tests of another shard, as {'.'.join(min(seen & set(names)))}: they ran other sources")
            seen |= set(names)
        merged += report
    if len(revisions) > 1:
        raise Refused(f"the shards ran different sources ({', '.join(sorted(revisions))}): run all of them on one commit")
    merged.update_statistics()
    merged.write(str(folder / "report.xml"))
    bad = merged.failures + merged.errors
    print(f"{merged.tests} tests in {count} shards, {bad} failed: {folder.relative_to(ROOT)}/report.xml")
    problems = []
    if not narrowed:
        found = evidence.read(*(folder / f"evidence-{index}-of-{count}" for index in range(1, count + 1)))
        problems = plan.run_problems(plan.load(), found, regress=True)
        print("\n".join(problems) or "every row of the verification plan ran")
    return 1 if bad or problems else 0


def main() -> int:
    """The command; the Makefile's variables are its options."""
    parser = argparse.ArgumentParser(prog="verification.regress")
    parser.add_argument("action", choices=("run", "merge"))
    for name in ("seed", "runs", "shard", "jobs"):
        parser.add_argument(f"--{name}", default="")
    known, options = parser.parse_known_args()
    try:
        for name in ("seed", "runs"):
            if getattr(known, name) and not getattr(known, name).isdecimal():
                raise Refused(f"{name.upper()}={getattr(known, name)}: give a number")
        if known.action == "run":
            return run(known.seed, known.runs, known.shard, known.jobs, options)
        if not known.seed:
            raise Refused("give the SEED of the shards: make regress-merge SEED=<number> RUNS=<number>")
        return merge(folder_of(int(known.seed), int(known.runs or "8")))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

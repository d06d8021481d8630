# SPDX-License-Identifier: Apache-2.0
"""Runs what benches declare: on the Verilog, and on the netlist that Yosys makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tb.support.declaration import SIMULATORS, Bench, Run
from tb.support.netlist import run_netlist_bench
from tb.support.runner import run_bench
from tb.support.seeds import FIXED_SEED, FRESH_SEED, SEEDS

NETLIST_SECONDS = 3600.0


def run_declared(bench: Bench, run: Run, simulator: str, seed: int, folder: Path) -> None:
    """One run on the Verilog. ``folder``: for temporary files. Raises BenchError unless a test ran and all passed."""
    sources = bench.sources(folder, run) if callable(bench.sources) else bench.sources
    run_bench(
        bench.toplevel,
        bench.module,
        simulator=simulator,
        seed=seed,
        parameters=dict(run.parameters),
        settings=dict(run.settings),
        testcase=run.tests,
        sources=list(sources) if sources else None,
        visible=bench.visible,
        arguments=bench.arguments[simulator] if bench.arguments else None,
        name=bench.toplevel,
        timeout=bench.timeout,
    )


def run_on_netlist(bench: Bench, run: Run, simulator: str, seed: int, sources: list[Path] | None = None) -> None:
    """One run on the netlist for the run's parameters, or on ``sources``, a netlist that was changed."""
    run_netlist_bench(
        bench.toplevel,
        bench.module,
        simulator=simulator,
        seed=seed,
        parameters=dict(run.parameters),
        settings=dict(run.settings),
        testcase=bench.netlist_tests(run),
        sources=sources,
        timeout=NETLIST_SECONDS,
    )


def cases(benches: dict[str, Bench]) -> Iterator[pytest.param]:
    """What runs on the Verilog, as (bench, run, simulator, seed), each with an id like conv_group-GROUPS4-GROUP2-icarus-1.

    `make test` runs a bench that knows both simulators with the fixed seed in Icarus and with the fresh one in Verilator, further sets
    of parameters of a light one with the fresh seed in Icarus, and any other bench with both seeds; `make regress` runs every seed in
    every simulator. Twins that must fail run once for each choice of tests, and in all that only `make regress` runs.
    """
    for bench in benches.values():
        bitten = set()
        both = {simulator for run in bench.runs for simulator in run.simulators} == set(SIMULATORS)
        for number, run in enumerate(bench.runs):
            wanted = {("icarus", FIXED_SEED), ("verilator", FRESH_SEED)}
            if bench.light and number and "icarus" in run.simulators:
                wanted = {("icarus", FRESH_SEED)}
            for simulator in run.simulators:
                for seed in (FIXED_SEED,) if run.one_seed else SEEDS:
                    long = both and not run.one_seed and (simulator, seed) not in wanted
                    regress = run.regress or long
                    settings = {} if regress or run.tests not in bitten else {"twins": False}
                    if not regress:
                        bitten.add(run.tests)
                    yield _case(bench, replace(run, settings={**run.settings, **settings}), simulator, seed, regress)


def netlist_cases(benches: dict[str, Bench]) -> Iterator[pytest.param]:
    """What runs on netlists: with the fixed seed in `make test` unless it is for `make regress`; there with a fresh one, too."""
    for bench in benches.values():
        for run in bench.netlist:
            for simulator in ("icarus",) if run.simulators == Run.simulators else run.simulators:
                for seed in dict.fromkeys((FIXED_SEED, FRESH_SEED)):
                    yield _case(bench, run, simulator, seed, run.regress or seed != FIXED_SEED)


def _case(bench: Bench, run: Run, simulator: str, seed: int, regress: bool) -> pytest.param:
    marks = [pytest.mark.regress] if regress else []
    return pytest.param(bench, run, simulator, seed, id=f"{bench.toplevel}-{run.label}-{simulator}-{seed}", marks=marks)

# SPDX-License-Identifier: Apache-2.0
"""Declarations of benches: what runs on which module, with which parameters, in which simulators; and how they are found.

The folder of a bench, ``tb/<room>/<unit>/``, holds ``bench.py`` with ``BENCH`` or ``BENCHES``; ``tests/test_benches.py`` runs all of
them, on the Verilog and on netlists. The runner tells the bench what it runs on: ``parameter("GROUPS")`` inside the simulator.
Nothing here needs a simulator, so that other tools may read the declarations.
"""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from tb.support.places import ROOT

ROOMS = ("cells", "axi", "control", "convolution", "vector")
SIMULATORS = ("verilator", "icarus")
PROCESSOR_SECONDS = 900.0  # the limit of a simulation; a bench of the kit stops itself long before (``UnitTest.watchdog``)
_EXPORT = "GRADCORE_BENCH"


@dataclass(frozen=True)
class Run:
    """Simulations of a bench with one set of parameters: one for each simulator and seed.

    ``parameters``: all of the toplevel's. ``tests``: those that run, a regular expression for whole names (None: all).
    ``settings``: more that the bench reads by ``setting``. ``one_seed``: with the fixed seed only. ``regress``: in `make regress`
    only. ``name``: in the test's id, where the parameters do not say enough.
    """

    parameters: Mapping[str, int] = field(default_factory=dict)
    simulators: tuple[str, ...] = SIMULATORS
    tests: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    one_seed: bool = False
    regress: bool = False
    name: str = ""

    @property
    def label(self) -> str:
        """Short text for the test's id, of characters that pytest's -k takes."""
        parts = [self.name] if self.name else []
        parts += [f"{key}{value}" for key, value in self.parameters.items()]
        return "-".join(parts) or "all"


@dataclass(frozen=True)
class Refusal:
    """Parameters with which the toplevel must stop at time 0, and a part of what it prints then."""

    parameters: Mapping[str, int]
    message: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    @property
    def run(self) -> Run:
        """The run that must stop."""
        return Run(self.parameters, ("icarus",), settings=self.settings, one_seed=True, name=self.name)


@dataclass(frozen=True)
class Bench:
    """What runs on one toplevel.

    ``runs``: on the Verilog. ``netlist``: on what Yosys makes of it, in Icarus if a run does not say otherwise; those without
    ``regress`` run in `make test`, with the fixed seed. ``inside``: tests that look at signals inside the unit, which a netlist
    does not have: they are left out there. ``light``: Icarus runs it in less time than Verilator compiles it; all but the first
    set of parameters then run in Icarus alone, except in `make regress`. ``refusals``: parameters that must stop the simulation.
    ``sources``: Verilog files, or a function that makes them from a folder for temporary files and the run; default: what the
    toplevel needs of rtl/rtl.f. ``module``: the file of the tests, default ``<folder>_tests``. ``visible``: see ``run_bench``.
    ``arguments``: of the compiler, by simulator.
    """

    toplevel: str
    runs: tuple[Run, ...] = (Run(),)
    netlist: tuple[Run, ...] = ()
    inside: tuple[str, ...] = ()
    light: bool = False
    refusals: tuple[Refusal, ...] = ()
    sources: tuple[Path, ...] | Callable[[Path, Run], list[Path]] | None = None
    module: str = ""
    visible: tuple[str, ...] = ()
    arguments: Mapping[str, list[str]] | None = None
    timeout: float = PROCESSOR_SECONDS
    folder: str = ""  # filled in when it is found, relative to the checkout

    def netlist_tests(self, run: Run) -> str | None:
        """The filter of a run on a netlist: the run's, without the tests that look inside."""
        if not self.inside:
            return run.tests
        return rf"(?!(?:{'|'.join(self.inside)})(?:/|$))(?:{run.tests or '.*'})"


def benches_in(folder: Path) -> tuple[Bench, ...]:
    """The declarations of a bench's folder, with ``module`` and ``folder`` filled in."""
    relative = folder.relative_to(ROOT)
    package = ".".join(relative.parts)
    declared = importlib.import_module(f"{package}.bench")
    benches = declared.BENCHES if hasattr(declared, "BENCHES") else (declared.BENCH,)
    module = f"{folder.name}_tests"
    return tuple(replace(bench, module=f"{package}.{bench.module or module}", folder=relative.as_posix()) for bench in benches)


@cache
def all_benches() -> dict[str, Bench]:
    """Every bench of the checkout, by its toplevel's name; in the order of the rooms. Raises ValueError when one is declared twice."""
    folders = [path.parent for room in (*ROOMS, "") for path in sorted((ROOT / "tb" / room).glob("*/bench.py"))]
    found: dict[str, Bench] = {}
    for bench in (bench for folder in folders for bench in benches_in(folder)):
        if bench.toplevel in found:
            raise ValueError(f"{bench.toplevel} is declared in {found[bench.toplevel].folder} and in {bench.folder}: keep one")
        found[bench.toplevel] = bench
    return found


def exported(**values: Any) -> dict[str, str]:
    """The variable that tells a bench what it runs on: the values of ``running``."""
    return {_EXPORT: json.dumps(values)}


@cache
def running() -> dict[str, Any]:
    """What this simulation runs on: ``toplevel``, ``parameters``, ``settings``, ``simulator``, ``netlist``."""
    text = os.environ.get(_EXPORT)
    if not text:
        raise LookupError("no bench runs here: it is started by tests/test_benches.py")
    return json.loads(text)


def parameter(name: str) -> int:
    """A parameter of the toplevel, as the run's declaration gives it. Raises LookupError when it gives none."""
    parameters = running()["parameters"]
    if name not in parameters:
        raise LookupError(f"{running()['toplevel']}: the declaration of this run gives no {name}: add it to `parameters` in bench.py")
    return int(parameters[name])


def setting(name: str, default: Any = None) -> Any:
    """A setting of the run, or ``default`` where the declaration gives none."""
    return running()["settings"].get(name, default)


def test_filter(module: str, tests: str) -> str:
    """cocotb's filter for the tests of ``module`` whose whole names match ``tests``."""
    return rf"^{re.escape(module)}\.(?:{tests})$"


test_filter.__test__ = False  # a helper, whatever its name says to pytest

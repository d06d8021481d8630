# SPDX-License-Identifier: Apache-2.0
"""Every bench that tb/ declares (see tb/support/declaration.py), on the Verilog and on the netlist.

One unit: ``pytest -k conv_group``. A netlist, with the cell models that Yosys ships, takes the place of the Verilog in the unit's own
bench, in Icarus: a value that is undefined in the netlist alone fails there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tb.support.declaration import ROOMS, Bench, Refusal, Run, all_benches
from tb.support.launch import cases, netlist_cases, run_declared, run_on_netlist
from tb.support.places import ROOT
from tb.support.runner import BenchError

pytestmark = pytest.mark.hardware
BENCHES = all_benches()
REFUSALS = [
    pytest.param(bench, refusal, id=f"{bench.toplevel}-{refusal.run.label}") for bench in BENCHES.values() for refusal in bench.refusals
]


@pytest.mark.parametrize(("bench", "run", "simulator", "seed"), list(cases(BENCHES)))
def test_bench(bench: Bench, run: Run, simulator: str, seed: int, tmp_path: Path) -> None:
    """A unit against its model."""
    run_declared(bench, run, simulator, seed, tmp_path)


@pytest.mark.parametrize(("bench", "run", "simulator", "seed"), list(netlist_cases(BENCHES)))
def test_netlist(bench: Bench, run: Run, simulator: str, seed: int) -> None:
    """What Yosys makes of a unit passes the same bench."""
    run_on_netlist(bench, run, simulator, seed)


@pytest.mark.parametrize(("bench", "refusal"), REFUSALS)
def test_refusal(bench: Bench, refusal: Refusal, tmp_path: Path) -> None:
    """Parameters that do not work stop the simulation at time 0, with a line that says which."""
    with pytest.raises(BenchError, match=re.escape(refusal.message)):
        run_declared(bench, refusal.run, "icarus", 1, tmp_path)


def test_every_folder_is_declared() -> None:
    """No bench lies in a folder that nothing runs, and none imports another bench; but the system is made of the units' environments."""
    folders = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "tb").rglob("*_tests.py")}
    assert folders == {bench.folder for bench in BENCHES.values()}
    for folder in folders:
        own = folder.replace("/", ".")
        for path in (ROOT / folder).glob("*.py"):
            for module, file in re.findall(rf"^\s*(?:from|import) (tb\.(?:{'|'.join(ROOMS)})\.\w+)(\S*)", path.read_text(), flags=re.M):
                made_of_it = folder == "tb/system" and file.endswith("_env")
                assert module == own or made_of_it, f"{path.relative_to(ROOT)} imports {module}: what benches share belongs to tb/support"


@pytest.mark.parametrize("name", BENCHES)
def test_every_environment_bites(name: str) -> None:
    """Each bench has an environment of the kit, coverage, and a twin that must fail as it says; none passes on any failure."""
    folder = ROOT / BENCHES[name].folder
    text = "".join(path.read_text() for path in folder.glob("*.py"))
    for needed in ("(UnitEnvironment)", "(Predictor)", "Coverage(", "overrides = {", "@must_fail("):
        assert needed in text, f"{folder}: no {needed}"
    assert not any("expect_fail" in path.read_text() for path in folder.glob("*_tests.py"))


def test_ids_are_unique() -> None:
    """Each run can be named."""
    for made in (cases, netlist_cases):
        ids = [case.id for case in made(BENCHES)]
        assert ids and len(ids) == len(set(ids))

# SPDX-License-Identifier: Apache-2.0
"""The wave views: made from the sources, and every signal that they name is in the waves of a bench, with the names of its states."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import pywellen

from gradcore.simulator import Simulator
from tb.support.declaration import all_benches
from tb.support.launch import run_declared
from tb.support.places import ROOT
from tb.support.runner import file_list
from tb.system.session import Request, Session, layered_case
from verification import instrument, trace, waves

FILES = waves.files()


def test_the_views_are_those_of_the_sources() -> None:
    """Each unit has both views, and none is left of one that is gone."""
    stale = [str(path) for path, text in FILES.items() if not (ROOT / path).is_file() or (ROOT / path).read_text() != text]
    assert not stale, f"run make waves, and commit what it writes: {', '.join(stale)} differ from the sources"
    found = {path.relative_to(ROOT) for folder in (waves.VIEWS, waves.MAPPINGS) for path in (ROOT / folder).rglob("*.*") if path.is_file()}
    assert found == set(FILES), "run make waves: it removes views of units that are gone"
    for place in waves.places().values():
        assert {place.with_suffix(suffix) for suffix in (".gtkw", ".sucl")} <= set(FILES)


def test_states_have_names() -> None:
    """Every register called ``state`` is decoded, with a name for each value that the Verilog uses."""
    found = {path.stem: waves.states(path.stem) for path in file_list() if re.search(r"\breg\b[^;]*\bstate\b", path.read_text())}
    assert len(found) > 5
    for module, names in found.items():
        assert len(names) > 1 and 0 in names and len(set(names.values())) == len(names), f"{module}: {names}"
    assert waves.states("run_control") == {0: "IDLE", 1: "PREPARE", 2: "RUNNING", 3: "STOPPING", 4: "ABORTING"}
    assert waves.states("fifo") == {}


@pytest.mark.parametrize(("toplevel", "test"), [("run_control", "MinimumClear"), ("tile_store", "JobsLeftOut")])
def test_a_view_fits_the_waves_of_a_bench(toplevel: str, test: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Every signal that the view names is in the FST of a run, and its range is that of the view."""
    monkeypatch.setenv("WAVES", "1")
    bench = all_benches()[toplevel]
    run_declared(bench, replace(bench.runs[0], tests=test), "icarus", 1, tmp_path)
    said = capsys.readouterr().out
    dump = Path(re.search(r"^waves: (.*)$", said, flags=re.M)[1])
    view = ROOT / waves.places()[toplevel].with_suffix(".gtkw")
    assert f"gtkwave {dump} {view.relative_to(ROOT)}" in said
    widths = {one.full_name: one.bitwidth for one in pywellen.Waveform(str(dump)).all_vars()}
    named = [line for line in view.read_text().splitlines() if line.startswith(f"{toplevel}.")]
    assert len(named) > 20
    for name in named:
        plain, _, bounds = name.partition("[") if not name.endswith("]") else re.match(r"(.*)(\[)(\d+:\d+)\]$", name).groups()
        high, low = map(int, bounds.split(":")) if bounds else (0, 0)
        assert widths.get(plain) == high - low + 1, f"{name}: {widths.get(plain)} bits in the waves"
    assert [name for name in named if ".state[" in name]


def test_a_run_of_the_core_leaves_waves_and_jobs(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """With WAVES=1, whichever test runs the core: the signals of the view are in its waves, and the last of its runs can be listed."""
    monkeypatch.setattr(Simulator, "__init__", Simulator.__init__)  # put back at the end
    instrument._trace()
    case = layered_case((1, 2, 2), ["fc:3"], "small")
    with Simulator("icarus", "small", parameters={"MEMORY_BYTES": 1 << 20}) as core:
        session = Session(core)
        for request in (Request(explain=False), Request("guided")):
            cycles = session.run(case, request).cycles
    folder = Path(re.search(r"^jobs of its last run: .* -m verification\.trace (.*)$", capsys.readouterr().out, flags=re.M)[1])
    present = {one.full_name for one in pywellen.Waveform(str(folder / "core.fst")).all_vars()}
    named = re.findall(r"^variable_add (.*)$", (ROOT / waves.places()[waves.CORE_IN_ICARUS].with_suffix(".sucl")).read_text(), flags=re.M)
    assert len(named) > 50 and set(named) <= present, set(named) - present
    monkeypatch.setattr("sys.argv", ["trace", str(folder)])
    assert trace.main() == 0
    *jobs, last = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[1] for line in jobs] == ["VECTOR", "SEED", "VECTOR"]
    assert last.startswith("3 of 3 jobs were done after ") and cycles - 10 < int(last.split()[-2]) <= cycles
    (folder / trace.ACTIVITY).unlink()
    assert trace.main() == 2 and "cannot be read" in capsys.readouterr().err

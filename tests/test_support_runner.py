# SPDX-License-Identifier: Apache-2.0
"""The bench runner and the kit: what is wrong fails. What is right passes in the kit's own bench (tb/support/bench.py)."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tb.support import places
from tb.support.places import ROOT
from tb.support.runner import SIMULATORS, BenchError, check_results, file_list, module_closure, run_bench
from tb.support.seeds import FIXED_SEED, SEEDS, seed_list

SOURCE = Path(__file__).parent / "designs" / "stream_register.v"
MODULE = "tb.support.support_tests"


def run(simulator: str, testcase: str | None, parameters: dict[str, int] | None = None, **options: object) -> None:
    """Run one test of the support's own bench on the small register."""
    given = {"OFFSET": 1, **(parameters or {})}
    run_bench("stream_register", MODULE, simulator=simulator, sources=[SOURCE], testcase=testcase, parameters=given, **options)


@pytest.mark.parametrize("testcase", ["wrong_result", "fails_in_background", "OtherFailure"])
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_failing_test_fails(simulator: str, testcase: str) -> None:
    """An assertion in the bench, or in a task in its background, reaches pytest; so does a twin that fails otherwise than it says."""
    with pytest.raises(BenchError, match=f"failed: .*{testcase}"):
        run(simulator, testcase)


@pytest.mark.parametrize(("break_", "testcase"), [(1, "transfers/.*"), (2, "transfers/.*"), (3, "RegisterTest")])
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_broken_module_fails(simulator: str, break_: int, testcase: str) -> None:
    """Dropped valid, data that change while waiting and a lost bit are seen."""
    with pytest.raises(BenchError, match="failed"):
        run(simulator, testcase, parameters={"BREAK": break_}, seed=1)


def test_unknown_value_fails() -> None:
    """X is never turned into a number (Icarus); Verilator starts from random bits instead."""
    for simulator in SIMULATORS:
        with pytest.raises(BenchError, match="failed"):
            run(simulator, "RegisterTest", parameters={"BREAK": 4})


@pytest.mark.parametrize("testcase", ["no_such_test", "transfer", "ransfers/.*"])
def test_no_test_fails(testcase: str) -> None:
    """A name that matches no test, or only part of a name: an error, not a pass."""
    with pytest.raises(BenchError, match="no test ran"):
        run("icarus", testcase)


def test_module_without_tests_fails() -> None:
    """A bench that holds no test at all must not pass."""
    with pytest.raises(BenchError, match="no test ran|results file"):
        run_bench("stream_register", "tb.support.stalls", simulator="icarus", sources=[SOURCE])


def test_bad_build_and_early_finish_fail(tmp_path: Path) -> None:
    """Neither a syntax error, nor a lint warning, nor an illegal parameter passes."""
    broken = tmp_path / "stream_register.v"
    for simulator in SIMULATORS:
        broken.write_text("module stream_register (input wire clk; endmodule\n")
        with pytest.raises(BenchError, match="building stream_register"):
            run_bench("stream_register", MODULE, simulator=simulator, sources=[broken])
        with pytest.raises(BenchError):
            run(simulator, "transfers/.*", parameters={"OFFSET": 1001})
    broken.write_text(SOURCE.read_text().replace("<= in_tag;", "<= {in_tag, 1'b0};"))
    with pytest.raises(BenchError, match="building stream_register"):
        run_bench("stream_register", MODULE, simulator="verilator", sources=[broken])


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_hang_is_stopped(simulator: str) -> None:
    """A bench that never ends is stopped and reported."""
    with pytest.raises(BenchError, match="without a results file"):
        run(simulator, "hangs", timeout=4)


def test_environment_does_not_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the user's shell neither choose the simulator, nor the test, nor the seed; and all are restored."""
    for name, value in (("SIM", "questa"), ("COCOTB_TEST_FILTER", "wrong_result$"), ("COCOTB_RANDOM_SEED", "99")):
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    run("icarus", "RegisterTest", seed=1)
    assert dict(os.environ) == before


@pytest.mark.parametrize("simulator", ["icarus", pytest.param("verilator", marks=pytest.mark.regress)])
def test_f06_checkout_in_a_folder_with_special_characters(simulator: str, tmp_path: Path) -> None:
    """A bench of a checkout whose path make and shells do not take, with variables that compilers and cocotb would take."""
    folder = tmp_path / 'my $project\'s #1, "é"'
    for name in ("tb", "rtl", "gradcore", "tests/designs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "networks"))
    call = f"run_bench('stream_register', {MODULE!r}, simulator={simulator!r}, testcase='RegisterTest', sources=['{SOURCE.name}'], \
parameters={{'OFFSET': 1}})"
    code = f"import os; from tb.support.runner import run_bench; os.chdir('tests/designs'); {call}"
    noise = {"CXXFLAGS": "--no-such-option", "VERILATOR_ROOT": "/no/such/folder", "PYTHONHASHSEED": "7", "COCOTB_TEST_FILTER": "x"}
    environment = {**os.environ, **noise, "PYTHONPATH": str(folder), "TMPDIR": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[-2000:]
    assert (folder / "build" / "runs").is_dir() and not list((folder / "build" / "runs").iterdir())
    (place,) = tmp_path.glob(f"gradcore-benches-*-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}")
    if simulator == "icarus":  # `make clean` finds it
        make = ["make", "-s", "-f", str(ROOT / "Makefile"), "clean"]
        said = subprocess.run(make, cwd=folder, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False)
        assert said.returncode == 0 and not place.exists(), said.stderr


def test_builds_of_checkouts_that_are_gone_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another one builds in the temporary folder; those of checkouts that are there, and what is not ours, stay."""
    folders = {name: tmp_path / f"gradcore-benches-{os.getuid()}-{name}" for name in ("gone", "there", "new")}
    folders["other"] = tmp_path / "gradcore-benches-x"
    for name, folder in folders.items():
        folder.mkdir()
        if name != "new":  # just being made
            (folder / "root").symlink_to(tmp_path if name == "there" else tmp_path / "no" / "checkout")
    monkeypatch.setattr(places, "plain_place", lambda: tmp_path)
    monkeypatch.setattr(places, "_real_places", lambda: {"root": "/my checkout"})
    own = places.workshop.__wrapped__()
    assert own.parent == tmp_path and own not in folders.values()
    assert [name for name, folder in folders.items() if not folder.exists()] == ["gone"]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_waves(simulator: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """WAVES=1 writes an FST and prints where."""
    monkeypatch.setenv("WAVES", "1")
    run(simulator, "RegisterTest")
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("waves: "))
    path = Path(line.removeprefix("waves: "))
    assert path.stat().st_size > 500
    assert path.read_bytes()[0] == 0, "an FST starts with a header block"


def test_results_file(tmp_path: Path) -> None:
    """check_results counts what ran; it accepts neither failures, nor errors, nor nothing."""
    results = tmp_path / "results.xml"
    results.write_text('<s><testcase name="a"/><testcase name="b"><skipped/></testcase></s>')
    assert check_results(results) == 1
    for body in ('<testcase name="a"><failure/></testcase>', '<testcase name="a"><error/></testcase>', ""):
        results.write_text(f"<s>{body}</s>")
        with pytest.raises(BenchError):
            check_results(results)
    with pytest.raises(BenchError, match="without a results file"):
        check_results(tmp_path / "none.xml")


def test_module_closure(tmp_path: Path) -> None:
    """A toplevel's sources are itself and what it instantiates, directly or not; comments do not count."""
    (tmp_path / "list.f").write_text("# files\na.v\nb.v  // leaf\nc.v\nd.v\n\n")
    texts = {"a": "module a; b u_b (); // d\nendmodule", "b": "module b; c u_c (); endmodule", "c": "module c; endmodule", "d": ""}
    for name, text in texts.items():
        (tmp_path / f"{name}.v").write_text(text)
    files = file_list(tmp_path / "list.f")
    assert [path.name for path in files] == ["a.v", "b.v", "c.v", "d.v"]
    assert [path.name for path in module_closure("a", files)] == ["a.v", "b.v", "c.v"]
    with pytest.raises(BenchError, match="rtl.f"):
        module_closure("e", files)


def test_seed_list() -> None:
    """The fixed seed is always there, derived seeds are replayable and differ, and nothing runs twice."""
    assert SEEDS[0] == FIXED_SEED
    assert seed_list(1, 1) == [1] and seed_list(7, 1) == [1, 7]
    many = seed_list(7, 8)
    assert many[:2] == [1, 7] and len(set(many)) == 9 and many == seed_list(7, 8) != seed_list(8, 8)

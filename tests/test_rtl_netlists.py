# SPDX-License-Identifier: Apache-2.0
"""What Yosys makes of the units and of the whole core for the XC7Z020 passes the same benches as the Verilog.

Each netlist, with the cell models that Yosys ships, takes the place of the Verilog in the unit's own bench, in Icarus: a
value that is undefined in the netlist alone fails there. ``make test`` runs some units with the fixed seed, ``make regress``
all of them, and the core of the small preset.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gradcore.simulator import Simulator
from tb.support.netlist import count, flip_lut, netlist, run_netlist_bench, set_parameter
from tb.support.places import ROOT
from tb.support.runner import RTL, BenchError
from tb.support.seeds import FRESH_SEED
from tb.system.session import METHODS, Request, Session, layered_case

SMALL_MEMORY = 1 << 20
TIMEOUT = 3600.0
LAYERS = ["conv3:5 relu pool bias", "conv1:4 relu", "conv3:6 bias", "fc:6 relu bias", "fc:3"]
SHAPE = (2, 6, 6)


@dataclass(frozen=True)
class Unit:
    """A unit's bench: parameters of the synthesis, more of the bench's environment, and which of its tests run."""

    parameters: dict[str, int] = field(default_factory=dict)
    environment: dict[str, object] = field(default_factory=dict)
    testcase: str | None = None
    bench: str = ""


UNITS = {
    "axi_read_port": Unit({"CLIENTS": 5}),
    "axi_write_port": Unit({"CLIENTS": 3}),
    "conv_group": Unit({"GROUPS": 4, "GROUP": 2}, testcase="random_jobs/stalls=2/rewrite=True"),
    "fifo": Unit({"WIDTH": 64, "DEPTH": 16}, {"TOPLEVEL_NAME": "fifo"}),
    "layer_saturation": Unit(testcase="RandomJobs"),
    "layer_timestamps": Unit(),
    "output_buffer": Unit({"GROUPS": 2}),
    # `carries` sets counters inside the unit, which have no such names in a netlist.
    "performance_counters": Unit({"GROUPS": 1, "ZERO_WIDTH": 3, "BITS": 33}, testcase="(random_runs|time_of_a_cycle)"),
    "piece_packer": Unit(),
    "piece_unpacker": Unit({"PIECES_WIDTH": 5}),
    # Without two tests that look at `pending` inside the unit.
    "register_file": Unit(
        {"GROUPS": 2},
        {"ACCESSES": 400},
        testcase="(RandomTest|reset_values|reads_and.*|queued.*|address_and.*|counters.*|start.*)",
    ),
    "relu_keep": Unit(),
    "requantise": Unit(),
    "run_control": Unit({"STOP_LIMIT": 64}),
    "seed_unit": Unit(),
    # Without the tests that need most cycles: each field's range, size limits, corrupted descriptors, two stall patterns.
    "sequencer": Unit(
        {"GROUPS": 2, "PROGRAM_LIMIT": 65536}, testcase="(programs/stalls=2|forward_end|waits_for_every_kind|misaligned_program)"
    ),
    "skid_buffer": Unit({"WIDTH": 73}, {"TOPLEVEL_NAME": "skid_buffer", "DEPTH": 2}, bench="fifo"),
    "tile_geometry": Unit(),
    "tile_loader": Unit(),
    "tile_saturation": Unit({"STREAMS": 2}, testcase="RandomTiles"),
    "tile_store": Unit(),
    "vector_engine": Unit(),
    "weight_loader": Unit({"GROUPS": 4, "WEIGHT_DEPTH": 1024}),
}
# In `make test`, with one test of the bench where all would take too long.
QUICK = {
    "conv_group": Unit({"GROUPS": 1, "GROUP": 0}, testcase="random_jobs/stalls=2/rewrite=True"),
    "requantise": UNITS["requantise"],
    "tile_loader": Unit(testcase="Corners"),
    "vector_engine": Unit(testcase="random_jobs/stalls=2"),
}


def run(name: str, unit: Unit, seed: int, sources: list[Path] | None = None) -> None:
    """One run of a unit's bench on its netlist."""
    bench = unit.bench or name
    (folder,) = (ROOT / "tb").glob(f"*/{bench}")
    run_netlist_bench(
        name,
        f"tb.{folder.parent.name}.{bench}.{bench}_tests",
        simulator="icarus",
        parameters=unit.parameters,
        seed=seed,
        testcase=unit.testcase,
        extra_env={**unit.parameters, **unit.environment},
        sources=sources,
        timeout=TIMEOUT,
    )


def changed(folder: Path, files: list[Path], text: str) -> list[Path]:
    """The files of a netlist with another text in the first one's place."""
    folder.mkdir(exist_ok=True)
    wrong = folder / files[0].name
    wrong.write_text(text)
    return [wrong, *files[1:]]


@pytest.mark.parametrize("name", QUICK)
def test_unit(name: str) -> None:
    """Some units, quickly."""
    run(name, QUICK[name], seed=1)


@pytest.mark.regress
@pytest.mark.parametrize("seed", [1, FRESH_SEED])
@pytest.mark.parametrize("name", UNITS)
def test_every_unit(name: str, seed: int) -> None:
    """All units that have a bench of their own, but for round_robin: Yosys' abc9 fails on it alone ("no_loops")."""
    run(name, UNITS[name], seed)


@pytest.mark.regress
def test_conv_group_verilator() -> None:
    """Every test of the conv group's bench, in the faster simulator."""
    parameters = {"GROUPS": 1, "GROUP": 0}
    run_netlist_bench(
        "conv_group",
        "tb.convolution.conv_group.conv_group_tests",
        simulator="verilator",
        parameters=parameters,
        seed=FRESH_SEED,
        extra_env=parameters,
        timeout=TIMEOUT,
    )


@pytest.mark.parametrize("number", [0, 5])
def test_wrong_lut_fails(number: int, tmp_path: Path) -> None:
    """A LUT that gives the inverse is seen."""
    files = netlist("requantise")
    sources = changed(tmp_path, files, flip_lut(files[0].read_text(), number, (1 << 64) - 1))
    with pytest.raises(BenchError, match="failed"):
        run("requantise", UNITS["requantise"], seed=1, sources=sources)


@pytest.mark.regress
def test_flipped_bits_fail(tmp_path: Path) -> None:
    """Single wrong bits in the tables of LUTs: most are seen. Some entries of a table cannot be reached."""
    files = netlist("requantise")
    text = files[0].read_text()
    flips = [(number, random.Random(number).randrange(64)) for number in range(count(text, "LUT6"))]
    missed = []
    for number, bit in flips:
        sources = changed(tmp_path, files, flip_lut(text, number, 1 << bit))
        try:
            run("requantise", UNITS["requantise"], seed=1, sources=sources)
        except BenchError as error:
            assert "failed: every_shift" in str(error)
        else:
            missed.append((number, bit))
    print(f"{len(missed)} of {len(flips)} flips were missed: {missed}")
    assert len(missed) < len(flips) / 2, missed


@pytest.mark.regress
@pytest.mark.parametrize(
    ("name", "cell", "number", "parameter", "value"),
    [
        ("conv_group", "DSP48E1", 5, "MREG", "1'h0"),
        ("conv_group", "DSP48E1", 20, "BREG", "32'd0"),
        ("vector_engine", "DSP48E1", 2, "PREG", "1'h0"),
    ],
)
def test_wrong_parameter_fails(name: str, cell: str, number: int, parameter: str, value: str, tmp_path: Path) -> None:
    """A register that a DSP block lacks is seen."""
    unit = QUICK[name]
    files = netlist(name, unit.parameters)
    text = files[0].read_text()
    sources = changed(tmp_path, files, set_parameter(text, cell, number, parameter, value))
    with pytest.raises(BenchError, match="failed"):
        run(name, unit, seed=1, sources=sources)


def test_frozen_parameters(caplog: pytest.LogCaptureFixture) -> None:
    """A netlist in a place where other parameters are asked for stops the simulation."""
    with pytest.raises(BenchError):
        run("fifo", Unit({"WIDTH": 64, "DEPTH": 32}, {"TOPLEVEL_NAME": "fifo"}), 1, netlist("fifo", {"WIDTH": 64, "DEPTH": 16}))
    assert "the netlist was made for DEPTH = 16, not 32" in caplog.text


def core_folder(folder: Path) -> Path:
    """A folder of sources, as ``Simulator`` takes it, that holds the netlist of the small preset's core."""
    files = netlist("gradcore", {"GROUPS": 1})
    folder.mkdir(exist_ok=True)
    for path in files:
        (folder / path.name).write_bytes(path.read_bytes())
    for path in RTL.glob("*.vh"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "rtl.f").write_text("".join(f"{path.name}\n" for path in files))
    return folder


@pytest.mark.regress
def test_system_netlist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core of the small preset: every kind of layer, forward and backward by each method, every byte of memory."""
    monkeypatch.setattr("gradcore.simulator._ANSWER_SECONDS", TIMEOUT)  # 1,000 cycles take half a minute and more
    case = layered_case(SHAPE, LAYERS, "small", seed=random.Random(FRESH_SEED).randrange(1 << 30))
    settings = {"parameters": {"MEMORY_BYTES": SMALL_MEMORY}, "stalls": 0.2, "seed": FRESH_SEED}
    cycles = []
    for rtl in (None, core_folder(tmp_path / "netlist")):
        with Simulator("icarus", "small", rtl=rtl, **settings) as core:
            session = Session(core)
            cycles.append([session.run(case, Request(method), model_counters=True).cycles for method in METHODS])
    print(f"cycles: {cycles}")
    assert cycles[0] == cycles[1], "the netlist takes other cycles than the Verilog"


def test_cells_are_used() -> None:
    """The conv group's netlist holds what the benches above are to check: its multipliers and block RAMs are the device's."""
    text = netlist("conv_group", QUICK["conv_group"].parameters)[0].read_text()
    assert count(text, "DSP48E1") == 32
    assert count(text, "RAMB18E1") == 18 and count(text, "RAMB36E1") == 14

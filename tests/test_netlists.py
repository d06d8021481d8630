# SPDX-License-Identifier: Apache-2.0
"""Netlists: a wrong one fails, and the whole core's passes. That of each unit runs in tests/test_benches.py.

``make regress`` runs the core of the small preset: what Yosys makes of it for the XC7Z020, with the cell models that Yosys ships.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from gradcore.simulator import Simulator
from tb.cells.block_ram.bench import BENCH as BLOCK_RAM_BENCH
from tb.cells.block_ram.bench import of as block_ram
from tb.cells.block_ram.wrapper import Config
from tb.support.declaration import Run, all_benches
from tb.support.launch import run_declared, run_on_netlist
from tb.support.netlist import BLOCK_RAM, count, flip_lut, netlist, set_parameter
from tb.support.runner import RTL, BenchError
from tb.support.seeds import FRESH_SEED
from tb.system.session import METHODS, Request, Session, layered_case

pytestmark = pytest.mark.hardware
SMALL_MEMORY = 1 << 20
TIMEOUT = 3600.0
LAYERS = ["conv3:5 relu pool bias", "conv1:4 relu", "conv3:6 bias", "fc:6 relu bias", "fc:3"]
SHAPE = (2, 6, 6)


BENCHES = all_benches()


def run(name: str, sources: list[Path], parameters: dict[str, int] | None = None) -> None:
    """A unit's quick run on a netlist that was changed; with other parameters than it was made for."""
    quick = BENCHES[name].netlist[0]
    run_on_netlist(BENCHES[name], replace(quick, parameters=quick.parameters | (parameters or {})), "icarus", 1, sources)


def changed(folder: Path, files: list[Path], text: str) -> list[Path]:
    """The files of a netlist with another text in the first one's place."""
    folder.mkdir(exist_ok=True)
    wrong = folder / files[0].name
    wrong.write_text(text)
    return [wrong, *files[1:]]


@pytest.mark.parametrize("number", [0, 5])
def test_wrong_lut_fails(number: int, tmp_path: Path) -> None:
    """A LUT that gives the inverse is seen."""
    files = netlist("requantise")
    sources = changed(tmp_path, files, flip_lut(files[0].read_text(), number, (1 << 64) - 1))
    with pytest.raises(BenchError, match="failed"):
        run("requantise", sources)


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
            run("requantise", sources)
        except BenchError as error:
            assert "failed: EveryShift" in str(error)
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
    files = netlist(name, dict(BENCHES[name].netlist[0].parameters))
    text = files[0].read_text()
    sources = changed(tmp_path, files, set_parameter(text, cell, number, parameter, value))
    with pytest.raises(BenchError, match="failed"):
        run(name, sources)


def test_frozen_parameters() -> None:
    """A netlist in a place where other parameters are asked for stops the simulation."""
    with pytest.raises(BenchError, match="the netlist was made for DEPTH = 16, not 32"):
        run("fifo", netlist("fifo", {"WIDTH": 64, "DEPTH": 16}), {"DEPTH": 32})


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
    monkeypatch.setattr("gradcore.simulator.simulator._ANSWER_SECONDS", TIMEOUT)  # 1,000 cycles take half a minute and more
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
    text = netlist("conv_group", dict(BENCHES["conv_group"].netlist[0].parameters))[0].read_text()
    assert count(text, "DSP48E1") == 32
    assert count(text, "RAMB18E1") == 24 and count(text, "RAMB36E1") == 12


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("OTHER_MODE != 1", "OTHER_MODE == 7"),
        ("hit ? 9'bx :", "1'b0 ? 9'bx :"),
        ("WRITE_BYTES != 0 && own_write != 0", "own_write[0]"),
    ],
)
def test_broken_block_ram_fails(right: str, wrong: str, tmp_path: Path) -> None:
    """A block RAM model that reads old data at a collision, keeps both writes, or forgets NO_CHANGE for a byte is seen."""
    text = BLOCK_RAM[0].read_text()
    assert right in text
    broken = tmp_path / "block_ram.v"
    broken.write_text(text.replace(right, wrong))

    def sources(folder: Path, run: Run) -> list[Path]:
        return [BLOCK_RAM_BENCH.sources(folder, run)[0], broken, *BLOCK_RAM[1:]]

    config = Config(36, read_a=36, write_a=36, read_b=18, write_b=18, mode_a="NO_CHANGE")
    bench = replace(all_benches()["ram_top"], sources=sources)
    with pytest.raises(BenchError, match="failed: RandomAccesses"):
        run_declared(bench, block_ram("broken", config), "icarus", 1, tmp_path)

# SPDX-License-Identifier: Apache-2.0
"""The models of RAMB18E1 and RAMB36E1 that netlists are simulated with, against a reference; what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from tb.cells.block_ram.wrapper import Config, verilog
from tb.support.netlist import ARGUMENTS, BLOCK_RAM
from tb.support.runner import BenchError, run_bench

# What Yosys makes of our Verilog, and more: every mode, every width, words of two widths, byte write enables.
CONFIGS = {
    "weights": Config(18, read_a=18, write_a=18, read_b=18, mode_a="NO_CHANGE", mode_b="READ_FIRST"),
    "counts": Config(18, write_a=18, read_b=18, mode_a="READ_FIRST", mode_b="READ_FIRST"),
    "tile": Config(36, read_a=9, write_a=9, read_b=9, write_b=9, mode_a="NO_CHANGE", mode_b="NO_CHANGE"),
    "words": Config(36, write_a=36, read_b=36, mode_a="READ_FIRST", mode_b="READ_FIRST"),
    "stamps": Config(18, "SDP", read_a=36, write_b=36, mode_a="READ_FIRST", mode_b="READ_FIRST"),
    "wide": Config(36, "SDP", read_a=72, write_b=72),
    "write-first": Config(36, read_a=36, write_a=36, read_b=18, write_b=18),
    "mixed": Config(36, read_a=18, write_a=18, read_b=9, write_b=9, mode_a="READ_FIRST", mode_b="WRITE_FIRST"),
}
REFUSED = {
    "output registers": {"DOA_REG": "1"},
    "words of this width": {"READ_WIDTH_B": "4"},
    "two widths on a port": {"READ_WIDTH_A": "36"},
    "this WRITE_MODE": {"WRITE_MODE_A": '"OTHER"'},
    "this RAM_MODE": {"RAM_MODE": '"FIFO"'},
    "these ports in SDP mode": {"RAM_MODE": '"SDP"', "READ_WIDTH_A": "72", "WRITE_WIDTH_A": "72", "READ_WIDTH_B": "0"},
    "inverted pins": {"IS_ENARDEN_INVERTED": "1"},
    "a file of contents": {"INIT_FILE": '"words.mem"'},
    "error correction": {"EN_ECC_READ": '"TRUE"'},
    "a cascade": {"RAM_EXTENSION_A": '"LOWER"'},
}  # fmt: skip


def run(config: Config, simulator: str, folder: Path, seed: int = 1, sources: list[Path] = BLOCK_RAM) -> None:
    """One run of the bench."""
    top = folder / "ram_top.v"
    top.write_text(verilog(config))
    run_bench(
        "ram_top",
        "tb.cells.block_ram.block_ram_tests",
        simulator=simulator,
        seed=seed,
        sources=[top, *sources],
        extra_env={"CONFIG": config.to_json()},
        arguments=ARGUMENTS[simulator],
        name="block_ram",
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_block_ram(name: str, tmp_path: Path) -> None:
    """Icarus: what is undefined in the device is X."""
    run(CONFIGS[name], "icarus", tmp_path)


def test_block_ram_verilator(tmp_path: Path) -> None:
    """The same accesses where there are two states."""
    run(CONFIGS["tile"], "verilator", tmp_path)


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What the model does not know stops the simulation at time 0."""
    config = Config(36, read_a=18, write_a=18, read_b=18, extra=tuple(REFUSED[what].items()))
    with pytest.raises(BenchError):
        run(config, "icarus", tmp_path)
    assert f"RAMB36E1 with {what} is not modelled" in caplog.text


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("OTHER_MODE != 1", "OTHER_MODE == 7"),
        ("hit ? 9'bx :", "1'b0 ? 9'bx :"),
        ("WRITE_BYTES != 0 && own_write != 0", "own_write[0]"),
    ],
)
def test_broken_model_fails(right: str, wrong: str, tmp_path: Path) -> None:
    """A model that reads old data at a collision, keeps both writes, or forgets NO_CHANGE for a byte is seen."""
    text = BLOCK_RAM[0].read_text()
    assert right in text
    broken = tmp_path / "block_ram.v"
    broken.write_text(text.replace(right, wrong))
    config = Config(36, read_a=36, write_a=36, read_b=18, write_b=18, mode_a="NO_CHANGE")
    with pytest.raises(BenchError, match="failed"):
        run(config, "icarus", tmp_path, sources=[broken, *BLOCK_RAM[1:]])

# SPDX-License-Identifier: Apache-2.0
"""What runs on the models of RAMB18E1 and RAMB36E1 that netlists are simulated with."""

from pathlib import Path

from tb.cells.block_ram.wrapper import Config, verilog
from tb.support.declaration import Bench, Refusal, Run
from tb.support.netlist import ARGUMENTS, BLOCK_RAM

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


# The cell has no reset: a clock that is 1 by chance before the bench sets it would be an edge, with an access by chance.
STARTS_AT_0 = {**ARGUMENTS, "verilator": [*ARGUMENTS["verilator"], "--x-initial", "0"]}


def of(name: str, config: Config, simulators: tuple[str, ...] = ("icarus",), tests: str = "RandomAccesses") -> Run:
    """The run of a configuration: Icarus, where what is undefined in the device is X. The memory keeps what a test leaves: one a run."""
    return Run(simulators=simulators, settings={"config": config.to_json()}, one_seed=True, name=name, tests=tests)


def sources(folder: Path, run: Run) -> list[Path]:
    """A toplevel round the cell of the run's configuration, and the cells."""
    top = folder / "ram_top.v"
    top.write_text(verilog(Config.from_json(run.settings["config"])))
    return [top, *BLOCK_RAM]


BENCH = Bench(
    "ram_top",
    runs=(
        *(of(name, config) for name, config in CONFIGS.items()),
        of("two-states", CONFIGS["tile"], ("verilator",)),
        of("bites", CONFIGS["tile"], tests="WrongLatency"),
    ),
    refusals=tuple(
        Refusal(
            {},
            f"RAMB36E1 with {what} is not modelled",
            settings={"config": Config(36, read_a=18, write_a=18, read_b=18, extra=tuple(pins.items())).to_json()},
            name=what.replace(" ", "_"),
        )
        for what, pins in REFUSED.items()
    ),
    sources=sources,
    arguments=STARTS_AT_0,
)

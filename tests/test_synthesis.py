# SPDX-License-Identifier: Apache-2.0
"""Synthesis: what is counted, how deep paths are, and which rules bite. That the core has not grown: test_resources.py."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gradcore.cli import app, commands
from gradcore.errors import GradCoreError
from gradcore.synthesis import checks, ecp5, known_warnings, report, yosys
from gradcore.synthesis.checks import Memory
from gradcore.synthesis.linking import flatten, linked
from gradcore.synthesis.netlist import CONSTANT, Netlist
from gradcore.synthesis.paths import LIMIT_DEPTH, PathAnalysis, longest_chain
from gradcore.synthesis.resources import LUTS_OF_RAM, Resources, count_types
from gradcore.synthesis.wrapper import wrap

pytestmark = pytest.mark.hardware

BAD = """
module bad (input wire clk, input wire rst, input wire open, input wire [15:0] a, input wire [15:0] b,
            input wire [8:0] c, output reg latched, output reg [31:0] product, output reg [15:0] word);
  always @* if (open) latched = a[0];
  reg [8:0] c1;
  reg [15:0] a1, b1;
  wire [31:0] wide = {a1 ^ {16{c1[0]}}} * b1;
  always @(posedge clk) begin
    a1 <= a;
    b1 <= b;
    c1 <= c;
    product <= wide ^ {wide[0], wide[31:1]};
  end
  reg [15:0] memory [0:15];
  integer i;
  always @(posedge clk) begin
    word <= memory[c[3:0]];
    if (open) memory[c[7:4]] <= a;
    if (rst) for (i = 0; i < 16; i = i + 1) memory[i] <= 16'd0;
  end
endmodule
"""


class Maker:
    """Makes small netlists in Yosys's form, cell by cell."""

    def __init__(self) -> None:
        self.cells: dict[str, Any] = {}
        self.ports: dict[str, Any] = {}
        self.nets: dict[str, Any] = {}
        self._next = 2

    def bits(self, number: int = 1) -> list[int]:
        """Fresh bits."""
        self._next += number
        return list(range(self._next - number, self._next))

    def cell(
        self,
        kind: str,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, Sequence[int]],
        name: str = "",
        parameters: Mapping[str, str] | None = None,
        source: str = "made.v:1.1-2.2",
    ) -> None:
        """Add a cell."""
        self.cells[name or f"cell{len(self.cells)}"] = {
            "type": kind,
            "parameters": dict(parameters or {}),
            "attributes": {"src": source},
            "port_directions": {**dict.fromkeys(inputs, "input"), **dict.fromkeys(outputs, "output")},
            "connections": {**inputs, **outputs},
        }

    def register(self, data: int | str, name: str = "") -> int:
        """A flip-flop; returns its output."""
        out = self.bits()[0]
        self.cell("FDRE", {"C": ["1"], "D": [data], "CE": ["1"], "R": ["0"]}, {"Q": [out]}, name)
        if name:
            self.nets[name] = {"bits": [out], "hide_name": 0}
        return out

    def lut(self, *inputs: int) -> int:
        """A LUT; returns its output."""
        out = self.bits()[0]
        self.cell(f"LUT{len(inputs)}", {f"I{index}": [bit] for index, bit in enumerate(inputs)}, {"O": [out]})
        return out

    def luts(self, start: int, number: int) -> int:
        """A chain of LUTs."""
        for _ in range(number):
            start = self.lut(start)
        return start

    def chain(self, start: int, number: int) -> int:
        """A carry chain of ``number`` CARRY4s, entered at its lowest bit, left at its highest."""
        carry: int | str = "0"
        for index in range(number):
            out, carries = self.bits(4), self.bits(4)
            self.cell(
                "CARRY4",
                {"CI": [carry], "CYINIT": ["0"], "S": [start if not index else "0", "0", "0", "0"], "DI": ["0"] * 4},
                {"O": out, "CO": carries},
            )
            carry = carries[3]
        return out[3]

    def input(self, name: str, width: int = 1) -> list[int]:
        """An input port."""
        bits = self.bits(width)
        self.ports[name] = {"direction": "input", "bits": bits}
        return bits

    def output(self, name: str, bits: Sequence[int | str]) -> None:
        """An output port."""
        self.ports[name] = {"direction": "output", "bits": list(bits)}

    @property
    def module(self) -> dict[str, Any]:
        """The module so far."""
        return {"ports": self.ports, "cells": self.cells, "netnames": self.nets}

    @property
    def netlist(self) -> Netlist:
        """The netlist so far."""
        return Netlist(self.module, "made")


def multiplier(maker: Maker, source: str, registers: Iterable[str], a: Sequence[int]) -> list[int]:
    """A DSP48E1 that multiplies, with the given registers; returns the bits of its product."""
    product = maker.bits(48)
    names = ("AREG", "BREG", "CREG", "MREG", "PREG")
    maker.cell(
        "DSP48E1",
        {"A": a, "B": ["0"] * 18, "C": ["0"] * 48, "CLK": ["1"]},
        {"P": product},
        "mac",
        {name: "1" if name in registers else "0" for name in names},
        source,
    )
    return product


# Resources -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ([f"LUT{size}" for size in range(1, 7)] + ["INV"], Resources(lut=7)),
        (["RAM32M", "RAM64M"], Resources(lut=8)),
        (["RAM32X1D", "RAM64X1D"], Resources(lut=4)),
        (["RAM128X1D"], Resources(lut=4)),
        (["SRL16E", "SRLC32E"], Resources(lut=2)),
        (["MUXF7", "MUXF8", "CARRY4"], Resources()),
        (["FDRE", "FDSE", "FDCE", "FDPE", "LDCE"], Resources(ff=5)),
        (["RAMB36E1", "RAMB18E1", "RAMB18E1", "RAMB18E1"], Resources(bram36=2.5)),
        (["DSP48E1"], Resources(dsp=1)),
    ],
)
def test_counting(types: list[str], expected: Resources) -> None:
    """Each cell counts for what it occupies."""
    assert count_types(types) == expected


def test_unknown_cells_are_not_left_uncounted() -> None:
    """A cell of an unknown type ends the count."""
    with pytest.raises(GradCoreError, match="RAM512X1S"):
        count_types(["LUT6", "RAM512X1S"])


def test_every_distributed_ram_is_counted() -> None:
    """What the analysis of paths knows as distributed RAM has a size, too."""
    from gradcore.synthesis.netlist import DISTRIBUTED_RAMS

    assert set(DISTRIBUTED_RAMS) <= set(LUTS_OF_RAM)


# Paths ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, LIMIT_DEPTH, LIMIT_DEPTH + 1])
def test_depth(levels: int) -> None:
    """LUTs between two registers are levels; one too many breaks the rule, which names both registers."""
    maker = Maker()
    maker.register(maker.luts(maker.register("0", "first"), levels), "last")
    analysis = PathAnalysis(maker.netlist)
    (path,) = analysis.worst()
    assert (path.depth, path.levels, path.chains, path.start, path.end) == (levels, levels, 0, "first", "last.D")
    check = checks.check_depth(analysis)
    assert check.holds == (levels <= LIMIT_DEPTH)
    assert check.holds or "first" in check.violations[0] and "last" in check.violations[0]


def test_clock_enable_and_reset_end_paths() -> None:
    """A path may end at any pin of a register but its clock."""
    maker = Maker()
    deep = maker.luts(maker.register("0"), 7)
    maker.cell("FDRE", {"C": [deep], "D": ["0"], "CE": ["1"], "R": ["0"]}, {"Q": maker.bits()})
    assert checks.check_depth(PathAnalysis(maker.netlist)).holds
    for pin in ("CE", "R"):
        pins = {"C": ["1"], "D": ["0"], "CE": ["1"], "R": ["0"], pin: [deep]}
        maker.cell("FDRE", pins, {"Q": maker.bits()})
        assert not checks.check_depth(PathAnalysis(maker.netlist)).holds
        maker.cells.popitem()


def test_carry_chain_is_one_level() -> None:
    """A chain of any length counts as one level, and its bits are counted."""
    maker = Maker()
    maker.register(maker.luts(maker.chain(maker.luts(maker.register("0"), 2), 3), 1))
    (path,) = PathAnalysis(maker.netlist).worst()
    assert (path.depth, path.levels, path.chains, path.carry_bits) == (4, 3, 1, 12)


@pytest.mark.parametrize(("lengths", "holds"), [((12,), True), ((13,), False), ((6, 6), True), ((7, 6), False)])
def test_carry_limit(lengths: tuple[int, ...], holds: bool) -> None:
    """48 bits of carry may lie in one chain, and on one path."""
    maker = Maker()
    bit = maker.register("0")
    for length in lengths:
        bit = maker.chain(bit, length)
    maker.register(bit)
    assert longest_chain(maker.netlist)[0] == max(lengths)
    assert checks.check_carry(maker.netlist).holds == holds


def test_wide_multiplexer() -> None:
    """MUXF7 is free from a LUT to its data, and a level through its select input."""
    for pin, depth in (("I0", 1), ("S", 2)):
        maker = Maker()
        pins = {"I0": ["0"], "I1": ["0"], "S": ["0"], pin: [maker.lut(maker.register("0"))]}
        out = maker.bits()
        maker.cell("MUXF7", pins, {"O": out})
        maker.register(out[0])
        assert PathAnalysis(maker.netlist).worst()[0].depth == depth


def test_distributed_ram_is_passed_from_address_to_data() -> None:
    """Reading distributed RAM is a level, and its write side ends a path."""
    maker = Maker()
    address, data = maker.lut(maker.register("0")), maker.luts(maker.register("0"), 3)
    out = maker.bits(2)
    maker.cell("RAM32M", {"ADDRA": [address] * 5, "ADDRD": ["0"] * 5, "DIA": [data, "0"], "WE": ["1"], "WCLK": ["1"]}, {"DOA": out})
    maker.register(maker.lut(out[0]))
    assert PathAnalysis(maker.netlist).histogram() == {3: 2}


def test_ports_are_apart() -> None:
    """Paths from and to ports have classes of their own."""
    maker = Maker()
    (inside,) = maker.input("inside")
    register = maker.register(maker.luts(inside, 2))
    maker.output("outside", [maker.luts(register, 3)])
    maker.output("straight", [maker.luts(inside, 1)])
    analysis = PathAnalysis(maker.netlist)
    depths = {kind: [path.depth for path in analysis.worst(kind)] for kind in ("register", "input", "output", "through")}
    assert depths == {"register": [], "input": [2], "output": [3], "through": [1]}


def test_loop_is_an_error() -> None:
    """A combinational loop is named, not followed for ever."""
    maker = Maker()
    (out,) = maker.bits()
    maker.cell("LUT1", {"I0": [out]}, {"O": [out]})
    maker.register(out)
    with pytest.raises(GradCoreError, match="loop"):
        PathAnalysis(maker.netlist)


# Rules ---------------------------------------------------------------------------------------------------------------


def test_latch_is_seen() -> None:
    """A latch breaks its rule."""
    maker = Maker()
    maker.register("0")
    assert checks.check_latches(maker.netlist).holds
    maker.cell("LDCE", {"D": ["0"], "G": ["1"], "GE": ["1"], "CLR": ["0"]}, {"Q": maker.bits()})
    assert not checks.check_latches(maker.netlist).holds


@pytest.mark.parametrize("missing", ["", "AREG", "BREG", "MREG", "PREG"])
def test_mac_has_its_registers(missing: str) -> None:
    """A MAC lacks none of four registers, and none is built of LUTs."""
    maker = Maker()
    multiplier(maker, "conv_mac.v:30.1-30.9", {"AREG", "BREG", "MREG", "PREG"} - {missing}, ["0"] * 30)
    assert checks.check_macs(maker.netlist, 1).holds == (not missing)
    assert not checks.check_macs(maker.netlist, 2).holds


def test_multiplier_without_registers_is_seen() -> None:
    """Registers may be inside the DSP48E1 or right beside it; with a LUT between they do not count."""
    for between, holds in ((0, True), (1, False)):
        maker = Maker()
        first = maker.luts(maker.register("0"), between)
        multiplier(maker, "made.v:1.1-1.2", {"BREG", "MREG"}, [first] * 30)
        assert checks.check_multipliers(maker.netlist).holds == holds
        maker = Maker()
        product = multiplier(maker, "made.v:1.1-1.2", {"AREG", "BREG"}, ["0"] * 30)
        maker.register(maker.luts(product[0], between))
        assert checks.check_multipliers(maker.netlist).holds == holds


@pytest.mark.parametrize(
    ("kind", "style", "holds"),
    [
        ("RAMB36E1", "block", True),
        ("RAM32M", "block", False),
        ("RAM32M", "distributed", True),
        ("", "block", False),
        ("", "registers", True),
        ("RAM32M", "registers", False),
        ("RAM32M", "", False),
    ],
)
def test_memories_become_what_they_should(kind: str, style: str, holds: bool) -> None:
    """A memory in the wrong kind of RAM, or dissolved into flip-flops, breaks its rule."""
    maker = Maker()
    if kind:
        maker.cell(kind, {}, {}, "unit.memory.0.0")
    check = checks.check_memories(maker.netlist, [Memory("unit.memory", style, 8, 64)])
    assert check.holds == holds


def test_block_ram_needs_registers_near() -> None:
    """Too many levels before or behind a block RAM break the rule."""
    for before, behind, holds in (
        (checks.LIMIT_BEFORE_RAM, checks.LIMIT_BEHIND_RAM, True),
        (checks.LIMIT_BEFORE_RAM + 1, 0, False),
        (0, checks.LIMIT_BEHIND_RAM + 1, False),
    ):
        maker = Maker()
        address, out = maker.luts(maker.register("0"), before), maker.bits()
        maker.cell("RAMB18E1", {"ADDRARDADDR": [address], "CLKARDCLK": ["1"]}, {"DOADO": out})
        maker.register(maker.luts(out[0], behind))
        netlist = maker.netlist
        assert checks.check_block_rams(netlist, PathAnalysis(netlist)).holds == holds


def test_unexplained_warning_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning passes only with a reason."""
    assert not checks.check_warnings(["Wire x is used but has no driver."]).holds
    monkeypatch.setattr(known_warnings, "KNOWN", ((r"Wire \S+ is used but has no driver\.", "for the test"),))
    assert checks.check_warnings(["Wire x is used but has no driver."]).holds


def test_explanations_have_reasons() -> None:
    """Every known warning says why."""
    assert all(len(reason) > 20 for _, reason in known_warnings.KNOWN)


# Linking -------------------------------------------------------------------------------------------------------------


def test_units_are_joined() -> None:
    """Paths run on through the borders of units; wires through a unit and constants from it are joined, too."""
    inner = Maker()
    (data,) = inner.input("data")
    inner.output("deep", [inner.luts(data, 3)])
    inner.output("same", [data])
    inner.output("one", ["1"])
    outer = Maker()
    first = outer.register("0", "first")
    left, right = outer.bits(3), outer.bits(3)
    outer.cell("inner", {"data": [first]}, {"deep": [left[0]], "same": [left[1]], "one": [left[2]]}, "left")
    outer.cell("inner", {"data": [left[0]]}, {"deep": [right[0]], "same": [right[1]], "one": [right[2]]}, "right")
    outer.register(right[0], "last")
    outer.register(left[1], "copy")
    outer.register(left[2], "constant")
    netlist = Netlist(flatten({"outer": outer.module, "inner": inner.module}, "outer"), "outer")
    found = {path.end: path.depth for path in PathAnalysis(netlist).worst()}
    assert found == {"last.D": 6}
    by_name = {cell.name: cell for cell in netlist.cells}
    assert netlist.names[by_name["copy"].inputs["D"][0]] == "first"
    assert by_name["constant"].inputs["D"] == (CONSTANT,)
    assert len(by_name) == 4 + 2 * 3


# Yosys ---------------------------------------------------------------------------------------------------------------


def test_bad_verilog_is_seen(tmp_path: Path) -> None:
    """Real Verilog that breaks four rules, through Yosys."""
    (tmp_path / "bad.v").write_text(BAD)
    (tmp_path / "rtl.f").write_text("bad.v\n")
    design = yosys.elaborate("bad", rtl=tmp_path)
    units = yosys.synthesise(design, "bad")
    netlist = linked(units)
    found = checks.check_all(
        netlist,
        PathAnalysis(netlist),
        checks.memories_of(design, "bad"),
        yosys.warnings(units[0].log),
        checks.count_macs(design, "bad"),
    )
    broken = {name for name, check in found.items() if not check.holds}
    assert broken == {"latches", "multipliers", "memories", "warnings"}
    assert "latched" in found["latches"].violations[0]
    assert "memory (16 x 16)" in found["memories"].violations[0]
    assert {text.split(": ")[1].split(" (")[0] for text in found["multipliers"].violations} == {
        "input A has no register",
        "the product has no register",
    }


def test_warnings_belong_to_the_module_that_they_name() -> None:
    """A warning of reading the Verilog breaks the rule of the module whose file it names, and of what holds that."""
    texts = ["Replacing memory \\words with list of registers. See inner.v:3", "something else"]
    modules = "module \\inner\nend\nmodule \\other\nend\nmodule \\outer\n  cell \\inner \\first\n  end\nend\n"
    design = yosys.Design(modules, texts)
    assert design.warnings_of("outer") == design.warnings_of("inner") == texts
    assert design.warnings_of("other") == texts[1:]


def test_broken_verilog_is_one_line(tmp_path: Path) -> None:
    """What Yosys refuses is an error of one line that names the place and the log."""
    (tmp_path / "broken.v").write_text("module broken (input wire a;\nendmodule\n")
    (tmp_path / "rtl.f").write_text("broken.v\n")
    with pytest.raises(GradCoreError, match=r"Yosys failed .*broken\.v:1.*yosys-failed\.log"):
        yosys.elaborate("broken", rtl=tmp_path)


def test_unit_report() -> None:
    """One real unit: the report has what the contract asks for, and the unit keeps the rules."""
    result = CliRunner().invoke(app, ["synth", "--unit", "requantise", "--preset", "small", "--json"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    for kind, total in (("lut", 53_200), ("ff", 106_400), ("bram36", 140), ("dsp", 220)):
        assert found[kind]["total"] == total
        assert found[kind]["used"] == found["modules"][0][kind]
        assert found["paper"][kind] > 0
    assert found["lut"]["used"] > 0
    assert "Yosys" in found["timing"]["tool"]
    assert found["timing"]["place_and_route"] is None
    assert all(check["holds"] for check in found["checks"].values())


def test_unknown_names_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown preset or module, or a tool that is missing, is named with what to do."""
    for arguments, text in (
        ({"preset": "huge"}, "unknown preset"),
        ({"unit": "no_such_module"}, "use one of axi_burst_issue"),
    ):
        with pytest.raises(GradCoreError, match=text):
            report.synth(**arguments)
    monkeypatch.setattr(yosys.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GradCoreError, match=r'Yosys is not installed: pip install "gradcore\[synth\]"'):
        report.synth("small")


def test_units_are_modules_of_the_core() -> None:
    """The list of units names modules that the core has, none inside another."""
    design = yosys.elaborate(yosys.TOP, {"GROUPS": 1})
    sources = {design.source[name] for name in design.reachable(yosys.TOP)}
    assert set(yosys.UNITS) <= sources
    for name in design.reachable(yosys.TOP):
        if design.source[name] in yosys.UNITS:
            inside = {design.source[child] for child in design.reachable(name)} - {design.source[name]}
            assert not inside & set(yosys.UNITS)


# Place and route -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_f27_what_yosys_gave_is_printed_when_nextpnr_fails(monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise GradCoreError("it does not fit: take a smaller preset")

    monkeypatch.setattr(ecp5, "version", lambda: "nextpnr")
    monkeypatch.setattr(ecp5, "place_and_route", fail)
    result = CliRunner().invoke(app, ["synth", "--unit", "relu_keep", "--preset", "small", "--timing", *options])
    assert result.exit_code == 2 and result.stderr.splitlines()[-1] == "gradcore: it does not fit: take a smaller preset"
    if options:
        found = json.loads(result.stdout)
        assert found["lut"]["used"] > 0 and found["timing"]["place_and_route"] is None
    else:
        assert "LUT" in result.stdout


def test_wrapper_registers_every_port() -> None:
    """Each input bit is driven by a register, each output bit ends in one."""
    text = wrap("unit", {"clk": ("input", 1), "a": ("input", 5), "b": ("input", 1), "y": ("output", 9)}, {"N": 3})
    assert "reg [5:0] driven;" in text
    assert ".a(driven[0 +: 5])" in text and ".b(driven[5 +: 1])" in text and ".N(3)" in text
    assert "reg [8:0] stage0;" in text and "reg [2:0] stage1;" in text and "reg [0:0] stage2;" in text


def test_place_and_route() -> None:
    """A small unit, placed and routed: a frequency, and a path whose parts add up."""
    design = yosys.elaborate(yosys.TOP, {"GROUPS": 1})
    found = ecp5.place_and_route(design, yosys.find_module(design, "relu_keep"))
    assert "nextpnr-ecp5" in found["tool"] and "LFE5U-85F-8" in found["tool"] and found["speed_grade"] == 8
    assert 50 < found["mhz"] < 1000
    assert sum(step["nanoseconds"] for step in found["path"]) == pytest.approx(found["nanoseconds"], abs=0.1)
    assert found["routing"] <= found["nanoseconds"] <= 1000 / found["mhz"] + 0.1


@pytest.mark.regress
@pytest.mark.parametrize("unit", [*yosys.UNITS, "control_unit"])
def test_units_route_at_100_mhz(unit: str) -> None:
    """Each unit, as large as in the full preset, reaches 100 MHz on the slowest ECP5. Up to some minutes each."""
    found = report.synth("full", unit, timing=True, speed_grade=6)["timing"]["place_and_route"]
    assert found["mhz"] >= ecp5.TARGET_MHZ, found["path"]


@pytest.mark.regress
def test_the_small_core_routes_at_100_mhz() -> None:
    """The whole of the small preset reaches 100 MHz on the fastest ECP5. Ten to twenty minutes."""
    found = report.synth("small", timing=True)["timing"]["place_and_route"]
    assert found["mhz"] >= ecp5.TARGET_MHZ, found["path"]


def test_an_unknown_speed_grade_is_refused() -> None:
    """Before any work, with the grades that there are; the command's default is the fastest."""
    with pytest.raises(GradCoreError, match="no speed grade 5: use 6, 7 or 8"):
        report.synth("small", "relu_keep", speed_grade=5)
    assert inspect.signature(commands.synth).parameters["speed_grade"].default == ecp5.FASTEST

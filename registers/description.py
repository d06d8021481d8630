# SPDX-License-Identifier: Apache-2.0
"""What registers/gradcore.rdl says, as plain objects: registers, counters, descriptors, jobs of the units, enumerations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from systemrdl import RDLCompiler
from systemrdl.node import AddrmapNode, FieldNode, Node, RegfileNode, RegNode

from registers.sizes import read_sizes

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "registers" / "gradcore.rdl"
CHECKSUM_KEY = 0x47524144
NOTICE = "Generated from registers/gradcore.rdl by `make registers`: do not edit."


@dataclass
class Field:
    """A field of a register or of a descriptor's word."""

    name: str
    low: int
    high: int
    reset: int
    access: str
    text: str
    signed: bool
    location: bool
    units: tuple[str, ...]  # that take it
    least: int | None
    most: int | None
    multiple: int | None
    values: type[IntEnum] | None = None
    volatile: bool = False  # the hardware changes it
    path: str = ""  # of the signal that holds it, in the module of the registers

    @property
    def width(self) -> int:
        return self.high - self.low + 1

    @property
    def bits(self) -> str:
        return f"{self.high}:{self.low}" if self.high > self.low else str(self.low)


@dataclass
class Register:
    """A register, or a word of a descriptor (address = 4 x word)."""

    name: str
    title: str
    address: int
    text: str
    fields: list[Field] = field(default_factory=list)

    @property
    def reset(self) -> int:
        return sum(item.reset << item.low for item in self.fields)


@dataclass
class Descriptor:
    """A kind of descriptor and its words."""

    name: str
    text: str
    words: list[Register]
    units: tuple[str, ...]  # that it is a job for
    rules: dict[str, str]  # name -> what must hold, see the RDL file


@dataclass
class Job:
    """What a unit takes of a descriptor.

    Attributes:
        unit: the Verilog module.
        opcode: the kind of descriptor.
        places: of each field, in order: the field, its lowest bit in the descriptor of 1024 bits, its lowest bit in the job.
    """

    unit: str
    opcode: str
    places: list[tuple[Field, int, int]]

    @property
    def bits(self) -> int:
        """Width of the job."""
        return sum(item.width for item, _, _ in self.places)


def text_of(node: Node, name: str = "desc") -> str:
    return re.sub(r"\s+", " ", node.get_property(name) or "").strip()


def _access(node: FieldNode) -> str:
    if not node.is_sw_writable:
        return "RO"
    if node.get_property("onwrite") is not None:
        return "RW1C"
    return "W1S" if node.get_property("singlepulse") else "RW"


# The Verilog modules that take jobs: each is a property of fields and descriptors in the RDL file.
UNITS = ("tile_loader", "conv_group", "tile_store", "weight_loader", "vector_engine", "seed_unit")


def _units(node: Node) -> tuple[str, ...]:
    return tuple(unit for unit in UNITS if node.get_property(unit, default=False))


def _rules(node: Node) -> dict[str, str]:
    lines = (line.strip() for line in (node.get_property("rules", default=None) or "").splitlines())
    return {name: rule.strip() for name, _, rule in (line.partition(":") for line in lines if line)}


def _register(node: RegNode, address: int, prefix: str = "") -> Register:
    register = Register(prefix + node.inst_name, text_of(node, "name"), address, text_of(node))
    for item in sorted(node.fields(), key=lambda item: item.low):
        register.fields.append(
            Field(
                item.inst_name,
                item.low,
                item.high,
                item.get_property("reset") or 0,
                _access(item),
                text_of(item),
                bool(item.get_property("complement", default=False)),
                bool(item.get_property("location", default=False)),
                _units(item),
                *(item.get_property(name, default=None) for name in ("least", "most", "multiple")),
                item.get_property("encode"),
                bool(item.is_hw_writable),
                "".join(item.get_property("hdl_path_slice") or []),
            )
        )
    return register


@dataclass
class Description:
    """All that the RDL file says, and the elaborated maps for PeakRDL."""

    registers: list[Register]
    counters: list[tuple[str, int, str]]  # name, address of the low word, meaning
    descriptors: list[Descriptor]
    enumerations: dict[str, list[tuple[str, int, str]]]
    maps: dict[str, AddrmapNode]


def read_description(source: Path = SOURCE) -> Description:
    """Compile the RDL file. Raises AssertionError when something in it has no description."""
    compiler = RDLCompiler()
    sizes = read_sizes()
    values = {"GROUPS": max(sizes.presets.values()), **{name: size for name, (size, _) in sizes.sizes.items()}}
    compiler.compile_file(str(source), defines={name: str(value) for name, value in values.items()})
    maps = {name: compiler.elaborate(top_def_name=name).top for name in ("gradcore_registers", "gradcore_descriptors")}
    registers, counters, descriptors = [], [], []
    enumerations: dict[str, list[tuple[str, int, str]]] = {}
    for node in maps["gradcore_registers"].children():
        if isinstance(node, RegfileNode):
            counters.append((node.inst_name, node.absolute_address, text_of(node)))
            for part in node.registers():
                registers.append(_register(part, part.absolute_address, f"{node.inst_name}_"))
        else:
            registers.append(_register(node, node.absolute_address))
    for node in maps["gradcore_descriptors"].children():
        words = [_register(word, word.absolute_address - node.absolute_address) for word in node.registers()]
        descriptors.append(Descriptor(node.inst_name, text_of(node), words, _units(node), _rules(node)))
    for register in [*registers, *(word for descriptor in descriptors for word in descriptor.words)]:
        for item in register.fields:
            assert item.text, f"{register.name}.{item.name} has no description"
            if item.values is not None:
                name = item.values.type_name.removesuffix("_values").upper()
                enumerations[name] = [(m.name, int(m.value), re.sub(r"\s+", " ", m.rdl_desc or "")) for m in item.values]
    assert all(text for _, _, text in counters) and all(descriptor.text for descriptor in descriptors)
    return Description(registers, counters, descriptors, enumerations, maps)


def common_fields(description: Description) -> list[tuple[int, Field]]:
    """(word, field) of the words that all descriptors share: those of END."""
    (end,) = (descriptor for descriptor in description.descriptors if descriptor.name == "END")
    return [(word.address // 4, item) for word in end.words for item in word.fields]


def own_fields(description: Description, descriptor: Descriptor) -> list[tuple[int, Field]]:
    """(word, field) of the words that only this kind of descriptor has."""
    shared = max(word for word, _ in common_fields(description))
    return [(w.address // 4, item) for w in descriptor.words for item in w.fields if w.address // 4 > shared]


def jobs(description: Description) -> list[Job]:
    """The job of each unit: the fields that it takes, in the order of their places in the descriptor, the first in the lowest bits.

    Raises AssertionError when a unit has no descriptor, or a field of a descriptor is for a unit that does not take that kind.
    """
    made = []
    for unit in UNITS:
        (descriptor,) = (item for item in description.descriptors if unit in item.units)
        places, low = [], 0
        for word in descriptor.words:
            for item in word.fields:
                if unit in item.units:
                    places.append((item, 8 * word.address + item.low, low))
                    low += item.width
        made.append(Job(unit, descriptor.name, places))
    for descriptor in description.descriptors:
        for _, item in own_fields(description, descriptor):
            assert set(item.units) <= set(descriptor.units), f"{descriptor.name}.{item.name} is for {item.units}"
    return made

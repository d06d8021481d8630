# SPDX-License-Identifier: Apache-2.0
"""Mutants of the Verilog: one small fault each, made in the syntax tree of a module's source.

What is changed: operators, conditions, branches of a choice, constants, selections, registers that are no longer written, and
connections of instances that change places. Left alone: parameters and declarations, checks of parameters (``initial``), and what
only simulation sees (``ifdef SIMULATION``, which the parser skips).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyslang.syntax import SyntaxTree

# Operator -> what stands in its place. Each is legal Verilog where the other is.
_SWAPS = {
    "+": "-",
    "-": "+",
    "*": "+",
    "&": "|",
    "|": "&",
    "^": "|",
    "&&": "||",
    "||": "&&",
    "==": "!=",
    "!=": "==",
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "<<": ">>",
    ">>": "<<",
    "<<<": ">>>",
    ">>>": ">>",
}
_SKIPPED = (  # inside of which nothing is changed
    "ParameterDeclaration",
    "ParameterDeclarationStatement",
    "ParameterValueAssignment",
    "AnsiPortList",
    "VariableDimension",
    "InitialBlock",
    "AttributeInstance",
    "LoopGenerate",
    "ForLoopStatement",
    "GenvarDeclaration",
    "MultipleConcatenationExpression",
)
_OPENED = ("LoopGenerate", "ForLoopStatement")  # skipped for their heads alone


@dataclass(frozen=True)
class Mutant:
    """A fault: the characters ``start:end`` of a module's source become ``new``.

    ``key`` names it whatever line it stands on: module, kind of change, the line's text, old and new, and which one of equal ones.
    """

    module: str
    path: Path
    kind: str
    line: int
    start: int
    end: int
    old: str
    new: str
    key: str

    def source(self) -> str:
        """The module's source with the fault."""
        text = self.path.read_bytes()
        return (text[: self.start] + self.new.encode() + text[self.end :]).decode()

    def __str__(self) -> str:
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.module}.v:{self.line}: {self.kind}: {old or '(nothing)'} -> {new or '(nothing)'}"


@dataclass(frozen=True)
class _Change:
    kind: str
    start: int
    end: int
    new: str


def mutants_of(path: Path) -> list[Mutant]:
    """All mutants of the module in ``path``, in the order of the source. Its syntax must be right."""
    text = path.read_bytes()
    changes: list[_Change] = []
    _walk(SyntaxTree.fromFile(str(path)).root, text, changes)
    made: list[Mutant] = []
    seen: Counter[str] = Counter()
    for change in sorted(changes, key=lambda one: (one.start, one.end, one.new)):
        line = text.count(b"\n", 0, change.start) + 1
        where = text.decode().splitlines()[line - 1].strip()
        old = text[change.start : change.end].decode()
        key = f"{path.stem} | {change.kind} | {where} | {' '.join(old.split())} -> {' '.join(change.new.split())}"
        seen[key] += 1
        if seen[key] > 1:
            key += f" #{seen[key]}"
        made.append(Mutant(path.stem, path, change.kind, line, change.start, change.end, old, change.new, key))
    return made


def sample(mutants: Sequence[Mutant], count: int, least: int, seed: int) -> list[Mutant]:
    """``count`` of the mutants or all: at least ``least`` of each module that has as many, the others by chance, in a random order."""
    numbers = random.Random(seed)
    order = list(mutants)
    numbers.shuffle(order)
    taken: Counter[str] = Counter()
    first, rest = [], []
    for mutant in order:
        taken[mutant.module] += 1
        (first if taken[mutant.module] <= least else rest).append(mutant)
    chosen = first + rest[: max(0, count - len(first))]
    numbers.shuffle(chosen)
    return chosen


def _name(node: Any) -> str:
    return str(node.kind).partition(".")[2]


def _walk(node: Any, text: bytes, changes: list[_Change]) -> None:
    kind = _name(node)
    if not str(node.kind).startswith("SyntaxKind"):
        return
    change = _CHANGES.get(kind)
    if change is None and kind.endswith("Expression") and hasattr(node, "operatorToken"):
        change = _unary if kind.startswith("Unary") else _binary
    if change is not None:
        changes += change(node, text)
    if kind in _SKIPPED and kind not in _OPENED:
        return
    children = list(node)
    if kind in _OPENED:
        children = children[-1:]
    elif kind in ("NetDeclaration", "DataDeclaration"):
        children = children[-2:]  # what is declared, without its dimensions
    for child in children:
        if child is not None:
            _walk(child, text, changes)


def _range(node: Any) -> tuple[int, int]:
    where = node.range if hasattr(node, "range") else node.sourceRange
    return where.start.offset, where.end.offset


def _binary(node: Any, text: bytes) -> Iterator[_Change]:
    """Another operator."""
    start, end = _range(node.operatorToken)
    new = _SWAPS.get(text[start:end].decode())
    if new and "Assignment" not in _name(node):
        yield _Change("operator", start, end, new)


def _unary(node: Any, text: bytes) -> Iterator[_Change]:
    """No negation; a reduction by the other operator."""
    start, end = _range(node.operatorToken)
    operator = text[start:end].decode()
    if operator in ("!", "~", "-"):
        yield _Change("negation", start, end, "")
    elif operator in ("&", "|"):
        yield _Change("operator", start, end, _SWAPS[operator])


def _conditional(node: Any, text: bytes) -> Iterator[_Change]:
    """The other branch of ``a ? b : c``."""
    (start, middle), (other, end) = _range(node.left), _range(node.right)
    left, right = text[start:middle].decode(), text[other:end].decode()
    yield _Change("branches", start, end, f"{right} : {left}")


def _if(node: Any, text: bytes) -> Iterator[_Change]:
    """A condition that always holds, or never."""
    start, end = _range(node.predicate)
    for value in ("1'b0", "1'b1"):
        yield _Change("condition", start, end, value)


def _statement(node: Any, text: bytes) -> Iterator[_Change]:
    """A register that is not written."""
    if _name(node.expr) == "NonblockingAssignmentExpression":
        yield _Change("assignment", *_range(node), ";")


def _sized(node: Any, text: bytes) -> Iterator[_Change]:
    """A constant with a size: the next one, round the end."""
    start, end = _range(node)
    found = re.fullmatch(r"(\d+)'([bdh])([0-9a-fA-F_]+)", text[start:end].decode())
    if found:
        size, base, digits = int(found[1]), found[2], found[3].replace("_", "")
        value = (int(digits, {"b": 2, "d": 10, "h": 16}[base]) + 1) % (1 << size)
        yield _Change("constant", start, end, f"{size}'{base}{value:{'x' if base == 'h' else base}}")


def _plain(node: Any, text: bytes) -> Iterator[_Change]:
    """A constant without a size: one more."""
    start, end = _range(node)
    if text[start:end].isdigit():
        yield _Change("constant", start, end, str(int(text[start:end]) + 1))


def _instance(node: Any, text: bytes) -> Iterator[_Change]:
    """Two neighbouring connections change places; an input is held at 0."""
    ports = [one for one in node.connections if _name(one) == "NamedPortConnection" and one.expr is not None]
    for one, other in zip(ports, ports[1:], strict=False):
        (start, middle), (first, end) = _range(one.expr), _range(other.expr)
        if text[start:middle] != text[first:end]:
            between = text[middle:first].decode()
            yield _Change("connection", start, end, text[first:end].decode() + between + text[start:middle].decode())
    for one in ports:
        start, end = _range(one.expr)
        if text[start:end] not in (b"clk", b"rst", b"unit_rst"):
            yield _Change("connection", start, end, "1'b0")


_CHANGES: dict[str, Callable[[Any, bytes], Iterator[_Change]]] = {
    "ConditionalExpression": _conditional,
    "ConditionalStatement": _if,
    "ExpressionStatement": _statement,
    "IntegerVectorExpression": _sized,
    "IntegerLiteralExpression": _plain,
    "HierarchicalInstance": _instance,
}

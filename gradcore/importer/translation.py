# SPDX-License-Identifier: Apache-2.0
"""Translates a model of ONNX: which output, which nodes it needs, and each node in turn; every problem is found before it is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from gradcore.errors import GradCoreError
from gradcore.importer.builder import Builder
from gradcore.importer.movements import MOVEMENTS, evaluate
from gradcore.importer.operator import Operator, Rule, Skipped, Unknown, Value
from gradcore.importer.operators import NOT_RUN, OPERATORS
from gradcore.importer.problems import Problem, Refused
from gradcore.importer.views import View, input_orders, input_view
from gradcore.network.graph import INPUT

RULES: dict[str, Rule] = {**OPERATORS, **MOVEMENTS}


@dataclass
class Translated:
    """What became of a model.

    Attributes:
        builder: nodes, weights and notes.
        output: what the chosen output is of a map.
        input_view: what the model's input is of the graph's.
        input_name, tensor: the model's input, and its tensor that the graph's output stands for.
    """

    builder: Builder
    output: View
    input_view: View
    input_name: str
    tensor: str


def translate(model: onnx.ModelProto, output: str | None, problems: list[Problem]) -> Translated | None:
    """Translate a model; None where there are ``problems``, which are then added.

    Raises:
        GradCoreError: the output is not named where it must be, or there is none of that name.
    """
    tensor, cut = _chosen_output(model, output)
    nodes = _needed(model, tensor)
    entering = _input(model, nodes, problems)
    if entering is None:
        _check_operators(nodes, problems)
        return None
    name, shape = entering
    found: list[list[Problem]] = []
    for order in input_orders(shape):
        walk = _Walk(model, nodes, name, shape, order)
        made = walk.run(tensor)
        if made is not None and not problems:
            made.builder.notes.cut[:0] = cut
            return made
        found.append(walk.problems)
    problems += min(found, key=len)
    return None


def _chosen_output(model: onnx.ModelProto, output: str | None) -> tuple[str, list[str]]:
    """The tensor that is explained, and what is cut for it."""
    outputs = [one.name for one in model.graph.output]
    if output is None:
        if len(outputs) != 1:
            raise GradCoreError(f"the network has {len(outputs)} outputs, {', '.join(outputs)}: choose the one to explain with --output")
        return outputs[0], []
    made = {name: node for node in model.graph.node for name in node.output if name}
    by_node = {
        call(node): next(name for name in node.output if name) for call in (_name, lambda one: one.name) for node in model.graph.node
    }
    chosen = output if output in made else by_node.get(output)
    if chosen is None:
        raise GradCoreError(f"no node or tensor is called {output!r}: choose an output such as {', '.join(outputs[:8])}, or a node's name")
    others = [one for one in outputs if one != chosen]
    return chosen, [f"{chosen} is explained, and {', '.join(others)} cut"] if others else []


def _needed(model: onnx.ModelProto, tensor: str) -> list[onnx.NodeProto]:
    """The nodes that a tensor needs, in order."""
    all_nodes = list(model.graph.node)
    made = {name: position for position, node in enumerate(all_nodes) for name in node.output if name}
    waiting, seen, needed = [tensor], {""}, set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in made:
            continue
        seen.add(name)
        needed.add(made[name])
        waiting += _read_by(all_nodes[made[name]])
    return [all_nodes[position] for position in sorted(needed)]


def _read_by(node: onnx.NodeProto) -> list[str]:
    """What a node reads, and what the graphs within it do."""
    inner = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    return [*node.input, *(name for graph in inner for one in graph.node for name in _read_by(one))]


def _input(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], problems: list[Problem]) -> tuple[str, tuple[int, ...]] | None:
    """Name and shape of the one input, with a batch of 1; None where that is a problem."""
    given = {tensor.name for tensor in model.graph.initializer}
    read = {name for node in nodes for name in _read_by(node)}
    inputs = [one for one in model.graph.input if one.name not in given and one.name in read]
    if len(inputs) != 1:
        told = ", ".join(one.name for one in inputs) or "none"
        problems.append(Problem("", "", f"the output needs {len(inputs)} inputs ({told}), and one is run", "make the others constants"))
        return None
    (entering,) = inputs
    tensor = entering.type.tensor_type
    place = f"input {entering.name}"
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
        problems.append(Problem(place, "", f"it is of {kind}", "export the network with an input of float32"))
        return None
    if not tensor.HasField("shape"):
        problems.append(Problem(place, "", "its shape is not in the file", "export the network with an input of a fixed shape"))
        return None
    sizes = [one.dim_value if one.HasField("dim_value") else one.dim_param or "?" for one in tensor.shape.dim]
    told = " x ".join(map(str, sizes))
    if sizes and not isinstance(sizes[0], int):
        sizes[0] = 1
    elif len(sizes) > 1 and sizes[0] != 1:
        problems.append(Problem(place, "", f"it is {told}, a batch of {sizes[0]}", "export the network with a batch of 1"))
    if len(sizes) < 2 or len(sizes) > 4:
        problems.append(
            Problem(place, "", f"it is {told or 'one value'}", "give pictures, 1 x channels x height x width, or vectors, 1 x size")
        )
    elif not all(isinstance(size, int) and size > 0 for size in sizes):
        problems.append(Problem(place, "", f"it is {told}, dynamic beyond the batch", "export the network with a fixed height and width"))
    else:
        return (entering.name, tuple(sizes)) if sizes[0] == 1 else None
    return None


def _check_operators(nodes: Sequence[onnx.NodeProto], problems: list[Problem]) -> None:
    """The problems of operators that can be seen without their inputs."""
    for node in nodes:
        if (found := _by_name(node)) is not None:
            problems.append(found)


def _name(node: onnx.NodeProto) -> str:
    """What a node is called: where a converter made one node of several and joined their names, by the last that names the operator."""
    parts = (node.name or next((name for name in node.output if name), node.op_type)).split(";")
    kind = node.op_type.lower()
    return next((part for part in reversed(parts) if kind in part.rpartition("/")[2].lower()), parts[0])


def _kind(node: onnx.NodeProto) -> str:
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def _by_name(node: onnx.NodeProto) -> Problem | None:
    """The problem of an operator that is not run at all."""
    if node.domain not in ("", "ai.onnx"):
        return Problem(_name(node), _kind(node), "an operator that is not ONNX's own", "export with ONNX's own alone")
    if node.op_type in NOT_RUN:
        cause, remedy, _ = NOT_RUN[node.op_type]
        return Problem(_name(node), node.op_type, cause, remedy)
    return None


class _Walk:
    """One walk through the nodes that an output needs."""

    def __init__(self, model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], name: str, shape: tuple[int, ...], order: str) -> None:
        self.problems: list[Problem] = []
        self._nodes, self._input_name = nodes, name
        self._input_view = input_view(shape, order)
        self._opset = next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
        self._builder = Builder(self._input_view.shape, self._opset)
        self._values: dict[str, Value] = {"": None, name: self._input_view}
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self._read = {one for node in nodes for one in _read_by(node)} | {one.name for one in model.graph.output}
        self._before_softmax: dict[str, str] = {}  # the tensor that a softmax, by its name, reads

    def run(self, tensor: str) -> Translated | None:
        """Translate all nodes; None where there were problems, or the output is constant."""
        self._read.add(tensor)
        for node in self._nodes:
            try:
                made = self._outputs(node)
            except Skipped:
                made = [Unknown() for _ in node.output]
            except Refused as refused:
                self._problem(node, refused.cause, refused.remedy)
                made = self._after_refusal(node)
            except GradCoreError as error:  # of the graph's own checks
                cause, _, remedy = str(error).partition(": ")[2].rpartition(": ")
                self._problem(node, cause or str(error), remedy or "correct the network")
                made = [Unknown() for _ in node.output]
            for name, value in zip(node.output, [*made, *[Unknown()] * len(node.output)], strict=False):
                if name:
                    self._values[name] = value
                    if isinstance(value, View) and value.softmax:
                        self._before_softmax.setdefault(value.softmax, node.input[0])
        value = self._values.get(tensor)
        if self.problems or isinstance(value, Unknown):
            return None
        if not isinstance(value, View) or value.map == INPUT:
            self.problems.append(
                Problem("", "", f"the output {tensor} is not computed from the input by any node", "choose another output")
            )
            return None
        if value.softmax:
            self._builder.notes.cut.append(f"the final softmax {value.softmax}: the score before it is explained")
            tensor = self._before_softmax[value.softmax]
            value = self._values[tensor]
        try:
            output = value if value.is_complete else self._builder.as_vector("output", value)
            output = output if output.is_complete else self._builder.as_map("output", output)
        except Refused as refused:
            self.problems.append(Problem(tensor, "", refused.cause, refused.remedy))
            return None
        return Translated(self._builder, output, self._input_view, self._input_name, tensor)

    def _problem(self, node: onnx.NodeProto, cause: str, remedy: str) -> None:
        self.problems.append(Problem(_name(node), _kind(node), cause, remedy))

    def _after_refusal(self, node: onnx.NodeProto) -> list[Value]:
        """What stands for the outputs of a node that is refused: its input, where it would have that shape."""
        first = self._values.get(node.input[0]) if node.input else None
        if isinstance(first, View) and (node.op_type in ("LeakyRelu", "Clip") or NOT_RUN.get(node.op_type, ("", "", False))[2]):
            return [first]
        return [Unknown() for _ in node.output]

    def _outputs(self, node: onnx.NodeProto) -> Sequence[Value]:
        if (found := _by_name(node)) is not None:
            raise Refused(found.cause, found.remedy)
        inputs = [self._value(name) for name in node.input]
        while inputs and inputs[-1] is None:
            inputs.pop()
        attributes = {attribute.name: _attribute(attribute) for attribute in node.attribute}
        used = max((position + 1 for position, name in enumerate(node.output) if name and name in self._read), default=1)
        if not any(isinstance(value, View | Unknown) for value in inputs):
            return evaluate(node.op_type, inputs, attributes, len(node.output), self._opset)
        rule = RULES.get(node.op_type)
        if rule is None:
            raise Refused("the operator is not run", "choose an output before it with --output, or build the network without it")
        if unknown := [f"{name} = {value}" for name, value in attributes.items() if name not in rule.attributes]:
            raise Refused(f"{', '.join(unknown)}, an attribute that is not understood", "build the network without it")
        self._check_form(node)
        used = len(node.output) if node.op_type == "Split" else used
        made = rule.translate(Operator(_name(node), node.op_type, inputs, attributes, self._builder, used, node.output[0]))
        if any(isinstance(value, View) and not value.index.size for value in made):
            raise Refused("it makes a tensor without any value", "correct the network")
        return made

    def _check_form(self, node: onnx.NodeProto) -> None:
        """Refuse a node that is none of its operator: inputs that are missing, attributes of another type."""
        context = onnx.checker.C.CheckerContext()
        context.ir_version, context.opset_imports = onnx.IR_VERSION, {"": self._opset}
        try:
            onnx.checker.check_node(node, context)
        except onnx.checker.ValidationError as error:
            raise Refused(f"it is no {node.op_type} of opset {self._opset} ({str(error).splitlines()[0][:120]})", "export again") from None

    def _value(self, name: str) -> Value:
        if name in self._tensors and name not in self._values:
            try:
                self._values[name] = np.asarray(numpy_helper.to_array(self._tensors[name]))
            except Exception as error:  # of the onnx package, of many kinds
                raise Refused(f"its tensor {name} is damaged ({str(error).splitlines()[0][:120]})", "export the network again") from None
        if name not in self._values:
            raise Refused(f"it reads {name}, which nothing before it makes", "export the network again")
        return self._values[name]


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return math.nan if value is None else value

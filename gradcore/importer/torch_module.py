# SPDX-License-Identifier: Apache-2.0
"""Imports a module of PyTorch: ``torch.export`` gives its operators, not decomposed.

The graph is compared with what was exported, run by PyTorch: outputs and gradients.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradcore.errors import GradCoreError, missing_package
from gradcore.importer.builder import Builder
from gradcore.importer.comparison import Source
from gradcore.importer.imported import Imported, finish
from gradcore.importer.opening import network_of
from gradcore.importer.operator import Operator, Skipped, Unknown, Value
from gradcore.importer.problems import Problem, Refused, refusal
from gradcore.importer.views import View, input_orders, input_view
from gradcore.network import GraphNetwork
from gradcore.network.graph import INPUT

try:
    import torch
    from torch import fx
    from torch.export import ExportedProgram
    from torch.export.graph_signature import InputKind
except ImportError:
    raise missing_package("PyTorch", "torch", needed_by="from_torch") from None

from gradcore.importer import aten

_PLACE = re.compile(r'File "([^"]+)", line (\d+)')


def from_torch(
    module: torch.nn.Module | ExportedProgram,
    example: torch.Tensor | tuple[torch.Tensor],
    *,
    output: str | None = None,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | float = 0.0,
    std: Sequence[float] | float = 1.0,
) -> GraphNetwork:
    """A module of PyTorch as a network. It is exported for inference, and compared with the module: outputs and gradients.

    Args:
        module: the module, which is left as it is, or what ``torch.export.export`` made of it.
        example: an input, float32 (1, C, H, W) or (1, size); of several in a batch the first is taken.
        output: where there are several outputs, the one to explain: the name of a submodule, or of a node of the exported graph.
        name: what reports call the network; the module's class where it is left out.
        classes: one name for each output; None calls them by their numbers.
        mean, std: of pixels in 0..1: the module's input is (pixel - mean) / std; one for all channels, or one for each.

    Raises:
        GradCoreError: PyTorch is missing, or it cannot export the module; a ``Refusal`` where the network cannot be taken, which names
            every problem: the submodule and source line, the operator, argument = value, the limit, and what to do.
    """
    (example,) = example if isinstance(example, tuple | list) else (example,)
    if not isinstance(example, torch.Tensor) or example.ndim < 2:
        raise GradCoreError("the example is no tensor with a batch: give one input, such as torch.zeros(1, 3, 32, 32)")
    name = name or ("module" if isinstance(module, ExportedProgram) else type(module).__name__)
    example = example[:1].detach().float().cpu()
    if isinstance(module, ExportedProgram):
        program = module
    else:
        try:
            module = copy.deepcopy(module).eval().float().cpu()
            program = torch.export.export(module, (example,))
        except Exception as error:  # of torch.export, of many kinds
            text = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise GradCoreError(
                f"{name}: torch.export cannot export it ({text}): remove steps that depend on values, or write ONNX with torch.onnx.export"
            ) from None
    return network_of(import_program(program, example, name, output), name, classes=classes, mean=mean, std=std)


def import_program(program: ExportedProgram, example: torch.Tensor, name: str, output: str | None = None) -> Imported:
    """Import what ``torch.export`` made of a module; see ``from_torch``."""
    chosen, cut = _chosen_output(program.graph, output, name)
    found: list[list[Problem]] = []
    for order in input_orders(tuple(example.shape)):
        walk = _Walk(program, tuple(example.shape), order)
        made = walk.run(chosen)
        if made is not None:
            view, node, builder = made
            builder.notes.cut[:0] = cut
            return finish(builder, view, name, _source(program, node, walk.input_view), check=True)
        found.append(walk.problems)
    raise refusal(name, min(found, key=len))


def _chosen_output(graph: fx.Graph, output: str | None, name: str) -> tuple[fx.Node, list[str]]:
    (end,) = [node for node in graph.nodes if node.op == "output"]
    outputs = [node for node in end.args[0] if isinstance(node, fx.Node)]
    if output is None:
        if len(outputs) != 1:
            told = ", ".join(_name(node) for node in outputs)
            raise GradCoreError(f"{name}: the module has {len(outputs)} outputs, {told}: choose the one to explain with output=")
        return outputs[0], []
    named = [node for node in graph.nodes if node.op == "call_function" and output in (node.name, _name(node), _path(node))]
    if not named:
        raise GradCoreError(f"{name}: no submodule or node is called {output!r}: choose one such as {', '.join(map(_name, outputs))}")
    others = [_name(node) for node in outputs if node is not named[-1]]
    return named[-1], [f"{_name(named[-1])} is explained, and {', '.join(others)} cut"] if others else []


def _path(node: fx.Node) -> str:
    """The submodule that a node is part of."""
    stack = node.meta.get("nn_module_stack") or {}
    return list(stack.values())[-1][0] if stack else ""


def _name(node: fx.Node) -> str:
    """What a node is called: its submodule, where that is one of PyTorch's own layers."""
    stack = node.meta.get("nn_module_stack") or {}
    path, kind = list(stack.values())[-1][:2] if stack else ("", "")
    kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    if path and kind.startswith("torch.nn."):
        return path
    return f"{path}.{node.name}" if path else node.name


def _place(node: fx.Node) -> str:
    """Its name, and the source line where it stands."""
    lines = [one for one in _PLACE.findall(node.meta.get("stack_trace") or "") if f"{os.sep}torch{os.sep}" not in one[0]]
    return f"{_name(node)} at {os.path.basename(lines[-1][0])}:{lines[-1][1]}" if lines else _name(node)


class _Walk:
    """One walk through the exported graph."""

    def __init__(self, program: ExportedProgram, shape: tuple[int, ...], order: str) -> None:
        self.problems: list[Problem] = []
        self.input_view = input_view(shape, order)
        self._program = program
        self._builder = Builder(self.input_view.shape)
        self._values: dict[fx.Node, Any] = {}
        self._before_softmax: dict[str, fx.Node] = {}

    def run(self, chosen: fx.Node) -> tuple[View, fx.Node, Builder] | None:
        """(what the output is of a map, the node that it stands for, what was built); None where there were problems."""
        needed = _needed(chosen)
        constants = _constants(self._program)
        entering = [node for node in self._program.graph.nodes if node.op == "placeholder" and node.name not in constants]
        for node in self._program.graph.nodes:
            if node.op == "placeholder":
                self._values[node] = constants[node.name] if node.name in constants else self.input_view
            elif node in needed:
                self._take(node)
        if len(entering) != 1:
            self.problems.append(Problem("", "", f"it has {len(entering)} inputs, and one is run", "wrap it in a module of one input"))
        value = self._values.get(chosen)
        if self.problems:
            return None
        if isinstance(value, View) and value.softmax:
            self._builder.notes.cut.append(f"the final softmax {value.softmax}: the score before it is explained")
            chosen = self._before_softmax[value.softmax]
            value = self._values[chosen]
        if not isinstance(value, View) or value.map == INPUT:
            self.problems.append(Problem(_name(chosen), "", "it is not computed from the input by any node", "choose another output"))
            return None
        try:
            view = value if value.is_complete else self._builder.as_vector("output", value)
            view = view if view.is_complete else self._builder.as_map("output", view)
        except Refused as refused:
            self.problems.append(Problem(_name(chosen), "", refused.cause, refused.remedy))
            return None
        return view, chosen, self._builder

    def _take(self, node: fx.Node) -> None:
        kind = _kind(node)
        try:
            value = self._made(node, kind)
        except Skipped:
            value = Unknown()
        except Refused as refused:
            self.problems.append(Problem(_place(node), kind, refused.cause, refused.remedy))
            first = self._values.get(node.args[0]) if node.args and isinstance(node.args[0], fx.Node) else None
            value = first if kind in (*aten.KEEP_SHAPE, "clamp", "hardtanh") and isinstance(first, View) else Unknown()
        except GradCoreError as error:  # of the graph's own checks
            cause, _, remedy = str(error).partition(": ")[2].rpartition(": ")
            self.problems.append(Problem(_place(node), kind, cause or str(error), remedy or "correct the network"))
            value = Unknown()
        self._values[node] = value
        if isinstance(value, View) and value.softmax and isinstance(node.args[0], fx.Node):
            self._before_softmax.setdefault(value.softmax, node.args[0])
        if _in_place(node) and isinstance(node.args[0], fx.Node):
            self._values[node.args[0]] = value

    def _made(self, node: fx.Node, kind: str) -> Any:
        arguments = fx.node.map_arg((node.args, dict(node.kwargs)), lambda one: self._values[one])
        if kind == "getitem":
            container, place = arguments[0]
            return container if isinstance(container, Unknown) else container[place]
        flat = _leaves(arguments)
        if not any(isinstance(one, View | Unknown) for one in flat):
            return _computed(node, arguments)
        if any(isinstance(one, Unknown) for one in flat) and kind in aten.MOVEMENTS:
            raise Skipped
        tensors, attributes = _bound(node, *arguments)
        operator = Operator(_name(node), kind, tensors, attributes, self._builder)
        if kind in aten.MOVEMENTS:
            view = operator.view(after_softmax=kind in aten.KEEP_ALL)
            places = torch.from_numpy(view.index)
            moved = node.target(places, *arguments[0][1:], **arguments[1])
            parts = [view.moved(lambda _, one=one: one.contiguous().numpy()) for one in (moved if not torch.is_tensor(moved) else [moved])]
            return parts if not torch.is_tensor(moved) else parts[0]
        rule = aten.RULES.get(kind)
        if rule is None:
            activation = kind in aten.KEEP_SHAPE
            remedy = "use ReLU or ReLU6, batch norms, and train again" if activation else "build the module without it"
            raise Refused("the operator is not run", f"{remedy}, or choose an output before it with output=")
        for argument, value in attributes.items():
            if argument not in rule.attributes and value != _defaults(node).get(argument):
                raise Refused(f"{argument} = {value}, an argument that is not understood", "build the module without it")
        (made,) = rule.translate(operator)
        return made


def _needed(chosen: fx.Node) -> set[fx.Node]:
    """The nodes that a node needs, and those that change in place what it or they read."""
    waiting, needed = [chosen], set()
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
            waiting += [one for one in node.users if _in_place(one) and one.args[0] is node and one < chosen]
    return needed


def _constants(program: ExportedProgram) -> dict[str, np.ndarray]:
    """Parameters, buffers and constants, by the names of their placeholders."""
    tensors = {**dict(program.state_dict), **dict(program.constants)}
    found = {}
    for spec in program.graph_signature.input_specs:
        if spec.kind != InputKind.USER_INPUT and spec.target in tensors and torch.is_tensor(tensors[spec.target]):
            found[spec.arg.name] = tensors[spec.target].detach().cpu().numpy()
    return found


def _kind(node: fx.Node) -> str:
    """The operator's name without its overload, and without the underscore of those that work in place."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return getattr(node.target, "__name__", str(node.target))
    return schema.name.partition("::")[2].rstrip("_")


def _in_place(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.name.endswith("_") and bool(node.args)


def _defaults(node: fx.Node) -> dict[str, Any]:
    return {one.name: one.default_value for one in node.target._schema.arguments if one.has_default_value()}


def _bound(node: fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Value], dict[str, Any]]:
    """(tensors in the order of the operator's arguments, its other arguments by name)."""
    tensors: list[Value] = []
    attributes: dict[str, Any] = {}
    for place, argument in enumerate(node.target._schema.arguments):
        if place >= len(args) and argument.name not in kwargs:
            if str(argument.type) in ("Tensor", "Optional[Tensor]"):
                tensors.append(None)
            continue
        value = args[place] if place < len(args) else kwargs[argument.name]
        if isinstance(value, list | tuple) and any(isinstance(one, View | Unknown | np.ndarray) for one in value):
            tensors += value
        elif isinstance(value, View | Unknown | np.ndarray):
            tensors.append(value)
        elif str(argument.type) in ("Tensor", "Optional[Tensor]") or (argument.name == "other" and isinstance(value, int | float)):
            tensors.append(None if value is None else np.float64(value))
        else:
            attributes[argument.name] = value
    return [np.asarray(one) if isinstance(one, np.generic) else one for one in tensors], attributes


def _computed(node: fx.Node, arguments: tuple[Any, Any]) -> Any:
    """What an operator makes of constants."""
    args, kwargs = fx.node.map_aggregate(arguments, lambda one: torch.from_numpy(np.array(one)) if isinstance(one, np.ndarray) else one)
    try:
        made = node.target(*args, **kwargs)
    except Exception as error:  # of PyTorch, of many kinds
        raise Refused(f"it cannot be worked out ({str(error).splitlines()[0][:120]})", "correct the module") from None
    return fx.node.map_aggregate(made, lambda one: one.detach().numpy() if torch.is_tensor(one) else one)


def _leaves(arguments: Any) -> list[Any]:
    found: list[Any] = []
    fx.node.map_aggregate(arguments, found.append)
    return found


def _source(program: ExportedProgram, chosen: fx.Node, view: View) -> Source:
    """The exported module up to a node, with PyTorch's own operators and autograd."""
    tensors = {name: torch.from_numpy(np.array(one)) for name, one in _constants(program).items()}
    needed = _needed(chosen)

    def run(values: torch.Tensor) -> torch.Tensor:
        results: dict[fx.Node, Any] = {}
        for node in program.graph.nodes:
            if node.op == "placeholder":
                results[node] = tensors[node.name] if node.name in tensors else values.clone()
            elif node in needed:
                args, kwargs = fx.node.map_arg((node.args, dict(node.kwargs)), lambda one: results[one])
                results[node] = node.target(*args, **kwargs)
        return results[chosen]

    def entering(one: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(one.reshape(-1)[view.index])

    def outputs(inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.stack([run(entering(one)).reshape(-1).numpy() for one in inputs])

    def gradients(inputs: np.ndarray, seed: np.ndarray) -> np.ndarray:
        found = np.zeros(inputs.shape, np.float32)
        for place, one in enumerate(inputs):
            values = entering(one).requires_grad_(True)
            run(values).reshape(-1).backward(torch.from_numpy(seed[place].astype(np.float32)))
            found[place].reshape(-1)[view.index.reshape(-1)] = values.grad.reshape(-1).numpy()
        return found

    return Source("PyTorch", outputs, gradients)

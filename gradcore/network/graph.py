# SPDX-License-Identifier: Apache-2.0
"""Graphs: a network as nodes that read maps, each in the field's terms, with its weights.

A graph has one input (a picture or a vector, a map of C x H x W) and one output. Every node makes one map, which any number of nodes
may read; a vector is a map of C x 1 x 1. Shapes are (channels, height, width), without the batch.

Attributes come in one form, whatever a file calls them: padding is (top, left, bottom, right), 'same' and ceil mode are already
worked out, so a node says exactly which windows it takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.models.passes import INPUT

MapShape = tuple[int, int, int]
Pair = tuple[int, int]
Sides = tuple[int, int, int, int]


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        name: of the node, and of the map that it makes; its tensors are ``<name>.weight`` and so on.
        inputs: names of the maps that it reads.
    """

    name: str
    inputs: tuple[str, ...]

    @property
    def kind(self) -> str:
        """Its class in lower case with underscores, as files and reports call it: ``max_pool``."""
        text = type(self).__name__
        return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in text).lstrip("_")

    def shape(self, inputs: Sequence[MapShape]) -> MapShape:
        """The shape of what it makes; raises GradCoreError where its inputs do not fit."""
        (only,) = inputs
        return only

    def tensors(self, inputs: Sequence[MapShape]) -> dict[str, tuple[int, ...]]:
        """The shapes of its tensors, by what stands behind the dot of their names."""
        return {}

    def macs(self, inputs: Sequence[MapShape]) -> int:
        """Multiplications of one forward pass, those with padding included."""
        return 0


@dataclass(frozen=True)
class _Windowed(Node):
    """A node that takes windows of a map.

    Attributes:
        kernel: (height, width).
        stride: (down, across).
        padding: pixels beyond the map at (top, left, bottom, right) that windows may reach.
        dilation: distance of the taps (down, across).
    """

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Sides = (0, 0, 0, 0)
    dilation: Pair = (1, 1)

    def places(self, height: int, width: int) -> Pair:
        """How many windows (rows, columns) a map of this size has."""
        top, left, bottom, right = self.padding
        sizes = (height + top + bottom, width + left + right)
        reach = [(kernel - 1) * step + 1 for kernel, step in zip(self.kernel, self.dilation, strict=True)]
        if min(*self.kernel, *self.stride, *self.dilation) < 1 or min(self.padding) < 0:
            raise GradCoreError(f"node {self.name}: kernel, stride and dilation must be positive, padding not negative: correct them")
        if any(size < one for size, one in zip(sizes, reach, strict=True)):
            raise GradCoreError(
                f"node {self.name}: a window of {reach[0]} x {reach[1]} does not fit a map of {height} x {width} with its padding: "
                "take a larger input"
            )
        return tuple((size - one) // step + 1 for size, one, step in zip(sizes, reach, self.stride, strict=True))


@dataclass(frozen=True)
class Conv(_Windowed):
    """A convolution; outside the map stands 0. Tensors: weight (O, I / groups, KH, KW), bias (O,).

    Attributes:
        out_channels: O.
        groups: output channels of group g see the input channels of group g alone; depthwise: as many as input channels.
        bias: there is a bias.
    """

    out_channels: int = 1
    groups: int = 1
    bias: bool = True

    def shape(self, inputs: Sequence[MapShape]) -> MapShape:
        channels, height, width = inputs[0]
        if self.groups < 1 or channels % self.groups or self.out_channels % self.groups:
            raise GradCoreError(
                f"node {self.name}: {channels} channels in and {self.out_channels} out cannot be cut in {self.groups} groups: correct them"
            )
        return (self.out_channels, *self.places(height, width))

    def tensors(self, inputs: Sequence[MapShape]) -> dict[str, tuple[int, ...]]:
        weight = (self.out_channels, inputs[0][0] // self.groups, *self.kernel)
        return {"weight": weight, **({"bias": (self.out_channels,)} if self.bias else {})}

    def macs(self, inputs: Sequence[MapShape]) -> int:
        return math.prod(self.tensors(inputs)["weight"]) * math.prod(self.shape(inputs)[1:])


@dataclass(frozen=True)
class FullyConnected(Node):
    """A fully connected layer on the flattened map. Tensors: weight (O, I), bias (O,).

    Attributes:
        out_channels: O.
        bias: there is a bias.

    The columns of the weight are in the order C, H, W, as PyTorch flattens a map.
    """

    out_channels: int = 1
    bias: bool = True

    def shape(self, inputs: Sequence[MapShape]) -> MapShape:
        return (self.out_channels, 1, 1)

    def tensors(self, inputs: Sequence[MapShape]) -> dict[str, tuple[int, ...]]:
        weight = (self.out_channels, math.prod(inputs[0]))
        return {"weight": weight, **({"bias": (self.out_channels,)} if self.bias else {})}

    def macs(self, inputs: Sequence[MapShape]) -> int:
        return self.out_channels * math.prod(inputs[0])


@dataclass(frozen=True)
class MaxPool(_Windowed):
    """The largest value of each window; padding never wins. In the backward pass the first of equal ones, in row-major order, gets
    the gradient, and what overlapping windows give one place is added."""

    def shape(self, inputs: Sequence[MapShape]) -> MapShape:
        return (inputs[0][0], *self.places(*inputs[0][1:]))


@dataclass(frozen=True)
class AveragePool(_Windowed):
    """The mean of each window.

    Attributes:
        counts_padding: padding counts as zeros; otherwise the mean is of the window's pixels inside the map.
        overhang: pixels (bottom, right) beyond the padding that the last windows reach and that never count: ceil mode.
    """

    counts_padding: bool = False
    overhang: Pair = (0, 0)

    def shape(self, inputs: Sequence[MapShape]) -> MapShape:
        channels, height, width = inputs[0]
        return (channels, *self.places(height + self.overhang[0], width + self.overhang[1]))

    def divisors(self, height: int, width: int) -> np.ndarray:
        """int64 (rows, columns): how many pixels each window's mean is of, for a map of this size."""
        counts = []
        top, left, bottom, right = self.padding
        rows, columns = self.places(height + self.overhang[0], width + self.overhang[1])
        for places, size, before, after, axis in ((rows, height, top, bottom, 0), (columns, width, left, right, 1)):
            low, high = (0, before + size + after) if self.counts_padding else (before, before + size)
            taps = np.arange(places)[:, None] * self.stride[axis] + np.arange(self.kernel[axis]) * self.dilation[axis]
            counts.append(np.count_nonzero((taps >= low) & (taps < high), axis=1))
        return np.outer(*counts)


@dataclass(frozen=True)
class Add(Node):
    """The sum of maps of one shape."""

    def shape(self, inputs: Sequence[MapShape]) -> MapShape:
        if len(inputs) < 2 or len(set(inputs)) > 1:
            raise GradCoreError(f"node {self.name}: maps of {_shapes(inputs)} cannot be added: give two or more of one shape")
        return inputs[0]


@dataclass(frozen=True)
class Concat(Node):
    """Maps of one height and width, one behind the other in channels."""

    def shape(self, inputs: Sequence[MapShape]) -> MapShape:
        if not inputs or len({one[1:] for one in inputs}) > 1:
            raise GradCoreError(f"node {self.name}: maps of {_shapes(inputs)} cannot be joined: give ones of one height and width")
        return (sum(one[0] for one in inputs), *inputs[0][1:])


@dataclass(frozen=True)
class Relu(Node):
    """max(x, 0)."""


@dataclass(frozen=True)
class Clip(Node):
    """min(max(x, 0), high): ReLU6 has ``high`` 6."""

    high: float = 6.0


@dataclass(frozen=True)
class Affine(Node):
    """scale * x + shift in each channel: a batch norm that is not part of a convolution. Tensors: scale (C,), shift (C,)."""

    def tensors(self, inputs: Sequence[MapShape]) -> dict[str, tuple[int, ...]]:
        return {"scale": inputs[0][:1], "shift": inputs[0][:1]}

    def macs(self, inputs: Sequence[MapShape]) -> int:
        return math.prod(inputs[0])


KINDS: Mapping[str, type[Node]] = {
    kind("", ()).kind: kind for kind in (Conv, FullyConnected, MaxPool, AveragePool, Add, Concat, Relu, Clip, Affine)
}


@dataclass
class Graph:
    """A network as a graph, with its weights. Checked when it is made.

    Attributes:
        nodes: in an order in which each reads only the input and maps of nodes before it.
        weights: float32 tensors, ``<node>.<tensor>``.
        input_shape: of the map ``input``.
        output: name of the map that is explained; every node is needed for it.
        shapes: of every map, by name.

    Raises:
        GradCoreError: the description contradicts itself, or a tensor is missing, has another shape, or holds a value that is not
            finite.
    """

    nodes: tuple[Node, ...]
    weights: dict[str, np.ndarray]
    input_shape: MapShape
    output: str
    shapes: dict[str, MapShape] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = tuple(self.nodes)
        self.shapes = {INPUT: tuple(self.input_shape)}
        expected: dict[str, tuple[int, ...]] = {}
        for node in self.nodes:
            if not node.name or node.name in self.shapes:
                raise GradCoreError(f"two nodes are called {node.name!r}, or one has no name: give each its own name")
            if missing := [name for name in node.inputs if name not in self.shapes]:
                raise GradCoreError(f"node {node.name} reads {missing[0]!r}, which no node before it makes: correct its inputs")
            if not node.inputs or (len(node.inputs) > 1 and not isinstance(node, Add | Concat)):
                raise GradCoreError(f"node {node.name}: a {node.kind} cannot read {len(node.inputs)} maps: correct its inputs")
            inputs = self.inputs_of(node)
            expected |= {f"{node.name}.{name}": shape for name, shape in node.tensors(inputs).items()}
            self.shapes[node.name] = node.shape(inputs)
        if not self.nodes or self.output not in self.shapes or self.output == INPUT:
            raise GradCoreError(f"no node makes the output {self.output!r}: name one of {', '.join(list(self.shapes)[1:]) or 'its nodes'}")
        if unread := [node.name for node in self.nodes if node.name != self.output and not self.readers(node.name)]:
            raise GradCoreError(f"nothing reads {', '.join(unread)}: leave out what the output does not need")
        self._check_weights(expected)

    def inputs_of(self, node: Node) -> list[MapShape]:
        """The shapes of the maps that it reads."""
        return [self.shapes[name] for name in node.inputs]

    def readers(self, name: str) -> list[Node]:
        """The nodes that read a map, in order; twice where one reads it twice."""
        return [node for node in self.nodes for one in node.inputs if one == name]

    def __getitem__(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    @property
    def macs(self) -> int:
        """MACs of one forward pass."""
        return sum(node.macs(self.inputs_of(node)) for node in self.nodes)

    def _check_weights(self, expected: Mapping[str, tuple[int, ...]]) -> None:
        for name in self.weights:
            if name not in expected:
                raise GradCoreError(f"tensor {name} belongs to no node: remove it, or describe its node")
        for name, shape in expected.items():
            if name not in self.weights:
                raise GradCoreError(f"tensor {name} is missing: import the network again")
            tensor = np.asarray(self.weights[name])
            if tensor.shape != shape:
                raise GradCoreError(f"tensor {name} has the shape {tensor.shape}, its node needs {shape}: import the network again")
            if tensor.dtype != np.float32:
                raise GradCoreError(f"tensor {name} holds {tensor.dtype}, not float32: convert it")
            if not np.all(np.isfinite(tensor)):
                raise GradCoreError(f"tensor {name} holds values that are not finite: train the network again")
            self.weights[name] = tensor


def _shapes(inputs: Sequence[MapShape]) -> str:
    return ", ".join(" x ".join(map(str, one)) for one in inputs) or "no shape"

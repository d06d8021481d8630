# SPDX-License-Identifier: Apache-2.0
"""Graphs that are chains of layers: from one form to the other, exactly.

What can be rewritten into such a chain is: grouped convolutions as dense ones, kernels that are not square or dilated as larger ones with
zeros, a convolution over the whole map and a global average pool as fully connected layers, a pool before its ReLU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gradcore.errors import Refusal
from gradcore.network.graph import INPUT, AveragePool, Conv, FullyConnected, Graph, MapShape, MaxPool, Node, Relu
from gradcore.network.layers import KERNELS, Layer

LARGEST_REWRITTEN = 1 << 24  # weights of a fully connected layer that stands for something else


def graph_of(layers: Sequence[Layer], weights: Mapping[str, np.ndarray], input_shape: MapShape) -> Graph:
    """A chain of layers as a graph; ReLUs and pools are called ``<layer>.relu`` and ``<layer>.pool``, as long as no layer is."""

    def behind(layer: Layer, what: str) -> str:
        name = f"{layer.name}.{what}"
        while name in taken:
            name += "_"
        taken.add(name)
        return name

    nodes: list[Node] = []
    taken = {INPUT, *(layer.name for layer in layers)}
    reads = INPUT
    for layer in layers:
        if layer.kind == "conv":
            sides = (layer.kernel // 2,) * 4
            kernel = (layer.kernel, layer.kernel)
            nodes.append(Conv(layer.name, (reads,), kernel, padding=sides, out_channels=layer.out_channels, bias=layer.bias))
        else:
            nodes.append(FullyConnected(layer.name, (reads,), layer.out_channels, layer.bias))
        if layer.relu:
            nodes.append(Relu(behind(layer, "relu"), (nodes[-1].name,)))
        if layer.pool:
            nodes.append(MaxPool(behind(layer, "pool"), (nodes[-1].name,), (2, 2), (2, 2)))
        reads = nodes[-1].name
    return Graph(tuple(nodes), dict(weights), input_shape, reads)


def chain_of(graph: Graph, name: str) -> tuple[list[Layer], dict[str, np.ndarray]]:
    """The layers and weights of a graph that is such a chain, or can be rewritten into one exactly.

    Args:
        graph: the graph.
        name: what an error calls it.

    Raises:
        Refusal: it is none; every node that is a reason is named.
    """
    chain = _Chain(graph)
    if chain.refused:
        raise Refusal(
            f"{name} is no chain of layers, for {len(chain.refused)} of its {len(graph.nodes)} nodes: take it as a graph",
            [f"{node} ({graph[node].kind}): {reason}" for node, reason in chain.refused.items()],
        )
    return chain.layers, chain.weights


class _Chain:
    """The chain that is made of a graph, or why it is none."""

    def __init__(self, graph: Graph) -> None:
        self.layers: list[Layer] = []
        self.weights: dict[str, np.ndarray] = {}
        self.refused: dict[str, str] = {}
        self._graph = graph
        self._flat = False
        self._mean: AveragePool | None = None  # a mean over the whole map, for the layer behind it
        before = INPUT
        for node in graph.nodes:
            if node.inputs != (before,):
                self.refused[node.name] = f"it reads {', '.join(node.inputs)}, and each layer reads the one before it alone"
            elif (reason := self._take(node)) is not None:
                self.refused[node.name] = reason
            before = node.name
        if self._mean is not None and not self.refused:
            self._mean_alone()

    def _take(self, node: Node) -> str | None:
        """Take a node into the chain; returns why that cannot be."""
        (shape,) = self._graph.inputs_of(node)
        if isinstance(node, Conv):
            return self._conv(node, shape)
        if isinstance(node, FullyConnected):
            return self._fully_connected(node, self._weight(node), shape)
        if isinstance(node, AveragePool):
            return self._average_pool(node, shape)
        if isinstance(node, Relu):
            if self._mean is not None:
                self._mean_alone()
            if not self.layers:
                return "there is no convolution or fully connected layer before it"
            self._change(relu=True)
            return None
        if isinstance(node, MaxPool):
            plain = (node.kernel, node.stride, node.padding, node.dilation) == ((2, 2), (2, 2), (0, 0, 0, 0), (1, 1))
            if not plain or not self.layers or self._flat or self.layers[-1].pool:
                return "max-pools are 2 x 2 of stride 2 without padding, one behind a convolution"
            self._change(pool=True)
            return None
        return f"it runs no {node.kind} node"

    def _conv(self, node: Conv, shape: MapShape) -> str | None:
        weight = _dense(node, self._weight(node))
        top, left, bottom, right = node.padding
        if self._graph.shapes[node.name][1:] == (1, 1) and not any(node.padding) and node.dilation == (1, 1) and node.kernel == shape[1:]:
            return self._fully_connected(node, weight.reshape(len(weight), -1), shape)
        reach = [(kernel - 1) * step for kernel, step in zip(node.kernel, node.dilation, strict=True)]
        if node.stride != (1, 1) or [top + bottom, left + right] != reach:
            return f"strides = {list(node.stride)}, pads = {list(node.padding)}: convolutions have stride 1 and keep the size of the map"
        side = 2 * max(top, left, bottom, right) + 1
        if side not in KERNELS:
            return f"its kernel reaches {side} x {side} pixels: it is one of {', '.join(f'{one} x {one}' for one in KERNELS)}"
        if self._flat or self._mean is not None:
            return "a convolution stands behind a fully connected layer or a mean over the map"
        spread = np.zeros((*weight.shape[:2], side, side), np.float32)
        first, ahead = side // 2 - top, side // 2 - left
        spread[:, :, first : first + reach[0] + 1 : node.dilation[0], ahead : ahead + reach[1] + 1 : node.dilation[1]] = weight
        self._append(Layer("conv", node.name, shape[0], node.out_channels, side, relu=False, bias=node.bias), spread, self._bias(node))
        return None

    def _fully_connected(self, node: Conv | FullyConnected, weight: np.ndarray, shape: MapShape) -> str | None:
        if self._mean is not None:
            pool, self._mean = self._mean, None
            channels, height, width = self._graph.inputs_of(pool)[0]
            pixels = height * width
            if weight.size * pixels > LARGEST_REWRITTEN:
                self.refused[pool.name] = f"with the layer behind it, it is one of {weight.size * pixels:,} weights: that is too large"
                return None
            weight = np.repeat(weight.astype(np.float64) / pixels, pixels, axis=1).astype(np.float32)
        self._flat = True
        layer = Layer("fc", node.name, weight.shape[1], node.out_channels, relu=False, bias=node.bias)
        self._append(layer, weight, self._bias(node))
        return None

    def _average_pool(self, node: AveragePool, shape: MapShape) -> str | None:
        whole = node.kernel == shape[1:] and not any(node.padding) and not any(node.overhang)
        if not whole:
            return f"kernel_shape = {list(node.kernel)}: average pools are over the whole map of {shape[1]} x {shape[2]}"
        if self._mean is None and shape[1:] != (1, 1):
            self._mean = node
        return None

    def _mean_alone(self) -> None:
        """A mean over the map without a layer behind it, as a fully connected layer."""
        pool, self._mean = self._mean, None
        channels, height, width = self._graph.inputs_of(pool)[0]
        if channels * channels * height * width > LARGEST_REWRITTEN:
            self.refused[pool.name] = "as a fully connected layer it is too large"
            return
        weight = np.repeat(np.eye(channels, dtype=np.float32) / np.float32(height * width), height * width, axis=1)
        self._flat = True
        self._append(Layer("fc", pool.name, weight.shape[1], channels, relu=False, bias=False), weight, None)

    def _append(self, layer: Layer, weight: np.ndarray, bias: np.ndarray | None) -> None:
        self.layers.append(layer)
        self.weights[f"{layer.name}.weight"] = weight
        if bias is not None:
            self.weights[f"{layer.name}.bias"] = bias

    def _change(self, **flags: bool) -> None:
        last = self.layers.pop()
        told = {"relu": last.relu, "pool": last.pool} | flags
        self.layers.append(Layer(last.kind, last.name, last.in_channels, last.out_channels, last.kernel, bias=last.bias, **told))

    def _weight(self, node: Node) -> np.ndarray:
        return self._graph.weights[f"{node.name}.weight"]

    def _bias(self, node: Node) -> np.ndarray | None:
        return self._graph.weights.get(f"{node.name}.bias")


def _dense(node: Conv, weight: np.ndarray) -> np.ndarray:
    """The weights of a convolution without groups."""
    if node.groups == 1:
        return weight
    inputs, outputs = weight.shape[1], node.out_channels // node.groups
    dense = np.zeros((len(weight), inputs * node.groups, *weight.shape[2:]), np.float32)
    for group in range(node.groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        dense[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    return dense

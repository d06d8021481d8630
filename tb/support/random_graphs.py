# SPDX-License-Identifier: Apache-2.0
"""Generated graphs for tests: branches, adds, concats, all kinds of windows; the same one for the same seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gradcore.errors import GradCoreError, Refusal
from gradcore.models.quantised_graph import QuantisedGraph
from gradcore.network.graph import (
    INPUT,
    Add,
    Affine,
    AveragePool,
    Clip,
    Concat,
    Conv,
    FullyConnected,
    Graph,
    MapShape,
    MaxPool,
    Node,
    Relu,
)
from gradcore.quantise.graph_calibration import calibrate_passes, settle
from gradcore.quantise.graph_conversion import quantise_passes
from gradcore.quantise.lowering import lower

KERNELS = ((1, 1), (3, 3), (3, 3), (5, 5), (2, 2), (1, 3), (10, 4), (7, 7))
MOST_CHANNELS, LARGEST = 600, 97  # of a wide graph
POOLS = (((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 3), (1, 1)), ((3, 3), (3, 3)), ((2, 3), (2, 1)))


class _Builder:
    """Nodes as they come; what is not read at the end is joined."""

    def __init__(self, rng: np.random.Generator, shape: MapShape, max_macs: int, exact: bool, core: bool, wide: bool) -> None:
        self.rng, self.exact, self.core, self.wide, self.budget = rng, exact, core, wide, max_macs
        self.shapes: dict[str, MapShape] = {INPUT: shape}
        self.nodes: list[Node] = []

    def add(self, node: Node) -> str:
        """Append a node, under a name of its own."""
        inputs = [self.shapes[name] for name in node.inputs]
        self.shapes[node.name] = node.shape(inputs)
        self.nodes.append(node)
        self.budget -= node.macs(inputs)
        return node.name

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.nodes)}"

    def sides(self, kernel: Sequence[int], most: int) -> tuple[int, int, int, int]:
        """Paddings: 'same', none, or unlike on all sides."""
        choice = self.rng.integers(3)
        if choice == 0:
            return ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2, kernel[0] // 2, kernel[1] // 2)
        if choice == 1:
            return (0, 0, 0, 0)
        return tuple(int(self.rng.integers(0, min(most, max(1, kernel[side % 2] - 1)) + 1)) for side in range(4))

    def conv(self, source: str, out: int | None = None, stride: int | None = None) -> str:
        """A convolution that fits, dense, grouped or depthwise."""
        rng, (channels, height, width) = self.rng, self.shapes[source]
        for _ in range(20):
            kernel = KERNELS[int(rng.integers(len(KERNELS)))]
            dilation = (1, 1) if rng.random() < 0.8 else (2, int(rng.integers(1, 3)))
            strides = (stride, stride) if stride else (1, 1) if rng.random() < 0.5 else tuple(int(n) for n in rng.integers(1, 5, 2))
            kind = rng.random()
            groups = (
                channels if kind < 0.2 else int(rng.choice([n for n in range(1, channels + 1) if channels % n == 0])) if kind < 0.35 else 1
            )
            wide = out or (
                channels * int(rng.integers(1, 3)) if groups == channels else groups * int(rng.integers(1, 1 + max(1, 20 // groups)))
            )
            padding = self.sides(kernel, 3)
            if stride == 1:  # keeps the size
                padding = tuple((k - 1) * d // 2 + more for more in (0, 1) for k, d in zip(kernel, dilation, strict=True))
                padding = (*padding[:2], *((k - 1) * d - p for k, d, p in zip(kernel, dilation, padding, strict=False)))
            if self.wide and not out and groups == 1 and rng.random() < 0.4:
                wide = _log_uniform(rng, MOST_CHANNELS)
            if wide % groups:
                continue
            node = Conv(self.name("conv"), (source,), kernel, strides, padding, dilation, wide, groups, bool(rng.random() < 0.7))
            reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
            if reach[0] <= height + padding[0] + padding[2] and reach[1] <= width + padding[1] + padding[3] and self._affordable(node):
                return self.add(node)
        return self.add(Conv(self.name("conv"), (source,), out_channels=out or min(channels, 8)))

    def pool(self, source: str) -> str:
        """A max-pool or an average pool that fits; the map itself where none does."""
        rng, (_, height, width) = self.rng, self.shapes[source]
        for _ in range(10):
            kernel, stride = POOLS[int(rng.integers(len(POOLS)))]
            padding = self.sides(kernel, 1) if rng.random() < 0.5 else (0, 0, 0, 0)
            most = rng.random() < 0.65
            if self.core and most and kernel[0] != kernel[1]:
                (kernel, stride), padding = POOLS[0], (0, 0, 0, 0)
            if kernel[0] > height + padding[0] + padding[2] or kernel[1] > width + padding[1] + padding[3]:
                continue
            if most:
                return self.add(MaxPool(self.name("max_pool"), (source,), kernel, stride, padding))
            kernel, stride = ((2, 2), (2, 2)) if self.exact else (kernel, stride)
            counted = self.exact or bool(rng.random() < 0.5)
            beyond = (0, 0) if self.exact or rng.random() < 0.5 else self._overhang(kernel, stride, padding, (height, width))
            node = AveragePool(self.name("average_pool"), (source,), kernel, stride, padding, counts_padding=counted, overhang=beyond)
            if min(height, width) >= 2 and node.divisors(height, width).min() > 0:
                return self.add(node)
        return source

    def _overhang(self, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], size: Sequence[int]) -> tuple[int, int]:
        """What ceil mode adds: pixels for one more window that begins in the map, or before it."""
        beyond = []
        for axis, (reach, step) in enumerate(zip(kernel, stride, strict=True)):
            whole = size[axis] + padding[axis] + padding[axis + 2]
            more = -(whole - reach) % step
            beyond.append(more if whole + more - reach < padding[axis] + size[axis] else 0)
        return tuple(beyond)

    def activate(self, source: str) -> str:
        """A ReLU, a clip, or neither."""
        choice = self.rng.random()
        if choice < 0.6:
            return self.add(Relu(self.name("relu"), (source,)))
        if choice < 0.8:
            return self.add(Clip(self.name("clip"), (source,), high=32767 / 64 if self.exact else float(self.rng.choice((6.0, 1.0, 2.5)))))
        return source

    def _affordable(self, node: Node) -> bool:
        return node.macs([self.shapes[name] for name in node.inputs]) <= self.budget

    def unread(self) -> list[str]:
        read = {name for node in self.nodes for name in node.inputs}
        return [node.name for node in self.nodes if node.name not in read]


def random_graph(
    seed: int, *, exact: bool = False, core: bool = False, wide: bool = False, most: int = 10, max_macs: int = 400_000, largest: int = 40
) -> Graph:
    """A random graph.

    Args:
        seed: names the graph.
        exact: weights are small integers, and average pools are of 4 pixels: little or nothing is rounded.
        core: what the core runs: max-pools of square windows. (A clip that is joined with larger values it does not run.)
        wide: inputs of 1 to 600 channels and of 1 to 97 pixels a side (``largest`` does not count), as many values as an eighth of
            ``max_macs`` at most; and convolutions with up to 600 outputs.
        most: about so many steps; a residual block is one.
        max_macs: about the most MACs of a forward pass.
        largest: height and width of the input are 1 to this.
    """
    rng = np.random.default_rng((seed, 77))
    size = [int(n) for n in rng.integers(1, largest + 1, 2)] if rng.random() < 0.7 else [int(rng.integers(1, largest + 1))] * 2
    shape = _wide_shape(rng, max_macs // 8) if wide else (int(rng.choice((1, 2, 3, 5, 8))), *size)
    made = _Builder(rng, shape, max_macs, exact, core, wide)
    current = made.activate(made.conv(INPUT))
    for _ in range(int(rng.integers(1, most + 1))):
        if rng.random() < 0.15:  # leave this branch for later
            current = str(rng.choice(list(made.shapes)))
        step = rng.random()
        channels = made.shapes[current][0]
        if step < 0.3:
            current = made.activate(made.conv(current))
        elif step < 0.45:
            current = made.pool(current)
        elif step < 0.65:  # a residual block, with or without a convolution in the shortcut
            branch = made.conv(made.activate(made.conv(current, stride=1)), channels, stride=1)
            shortcut = current if rng.random() < 0.6 else made.conv(current, channels, stride=1)
            current = made.activate(made.add(Add(made.name("add"), (branch, shortcut)[:: 1 if rng.random() < 0.5 else -1])))
        elif step < 0.85:  # branches side by side
            branches = [made.activate(made.conv(current, stride=1)) for _ in range(int(rng.integers(1, 3)))]
            branches += [current] * int(rng.random() < 0.5)
            current = made.add(Concat(made.name("concat"), tuple(branches)))
        elif step < 0.93 and not exact:
            current = made.activate(made.add(Affine(made.name("affine"), (current,))))
        else:
            current = made.activate(current)
    _join(made, int(rng.integers(2, 12)))
    return with_weights(made.nodes, made.shapes[INPUT], rng, exact=exact)


def _log_uniform(rng: np.random.Generator, most: int) -> int:
    """1 to ``most``, small numbers more often."""
    return int(math.exp(rng.uniform(0, math.log(most + 1))))


def _wide_shape(rng: np.random.Generator, most: int) -> MapShape:
    """A shape of an input of up to ``most`` values: channels first, then as many rows and columns as there is room for."""
    channels = _log_uniform(rng, MOST_CHANNELS)
    room = min(LARGEST, most // channels)
    height = int(rng.integers(1, room + 1))
    width = int(rng.integers(1, min(LARGEST, most // channels // height) + 1))
    return (channels, height, width) if rng.random() < 0.5 else (channels, width, height)


def _join(made: _Builder, values: int) -> None:
    """A head: one output of all that is not read yet; a map, when it is but one and chance wills."""
    leaves = made.unread()
    if len(leaves) == 1 and made.rng.random() < 0.3 and math.prod(made.shapes[leaves[0]]) <= 200:
        return
    parts = []
    for leaf in leaves:
        _, height, width = made.shapes[leaf]
        if not made.exact and made.rng.random() < 0.5:
            leaf = made.add(AveragePool(made.name("global"), (leaf,), (height, width), (height, width)))
        parts.append(made.add(FullyConnected(made.name("fc"), (leaf,), values)))
    if len(parts) > 1:
        made.add(Add(made.name("add"), tuple(parts)))


def with_weights(nodes: Sequence[Node], shape: MapShape, rng: np.random.Generator, *, exact: bool = False) -> Graph:
    """A graph of these nodes, which reads a map of a shape (C, H, W), with random weights; its last node is the output."""
    shapes: dict[str, MapShape] = {INPUT: shape}
    weights: dict[str, np.ndarray] = {}
    for node in nodes:
        inputs = [shapes[one] for one in node.inputs]
        shapes[node.name] = node.shape(inputs)
        for name, size in node.tensors(inputs).items():
            if exact:
                value = rng.integers(-1, 2, size) * (rng.random(size) < min(1.0, 4 / max(1, math.prod(size[1:]))))
            elif name == "weight":
                value = rng.standard_normal(size) * math.sqrt(2 / max(1, math.prod(size[1:])))
            else:
                value = rng.standard_normal(size) * 0.1 + (name == "scale")
            weights[f"{node.name}.{name}"] = np.asarray(value, dtype=np.float32)
    return Graph(tuple(nodes), weights, shape, nodes[-1].name)


def random_quantised_graph(seed: int, *, saturate: bool | None = None, **options) -> tuple[QuantisedGraph, np.ndarray]:
    """A random graph as ``quantised_graph`` makes it."""
    return quantised_graph(random_graph(seed, **options), seed, saturate=saturate)


def check_refusal(refusal: GradCoreError, network: QuantisedGraph) -> None:
    """Hold a refusal of the compiler to its form: a line for each node that is a reason, which names it and says more."""
    names = {node for one in network.passes for node in (one.name, *one.nodes, *(source.node for source in one.sources))}
    for line in refusal.reasons if isinstance(refusal, Refusal) else [str(refusal)]:
        node, _, cause = line.strip().removeprefix("layer ").partition(": ")
        assert node.removesuffix(" (backward)") in names and len(cause) > 20, f"{line!r} names no node, or no cause"


def quantised_graph(graph: Graph, seed: int, *, saturate: bool | None = None) -> tuple[QuantisedGraph, np.ndarray]:
    """A graph in integers, calibrated on noise, and two inputs int64 (2, H, W, C): noise, and mostly zeros.

    With ``saturate`` (drawn without it: one in three) the formats have so many fraction bits that values saturate.
    """
    passes = lower(graph)
    rng = np.random.default_rng((seed, 78))
    shape = passes.maps[INPUT]
    formats = calibrate_passes(passes, rng.standard_normal((4, *shape)), source="noise")
    if saturate or (saturate is None and rng.random() < 0.33):
        wider = [{name: bits + 3 for name, bits in part.items()} for part in (formats.activations, formats.gradients)]
        wider[1][passes.output] = formats.gradients[passes.output]
        formats = settle(passes, replace(formats, activations=wider[0], gradients=wider[1]))
    made = quantise_passes(passes, formats)
    inputs = rng.integers(-32768, 32768, (2, *shape)) >> np.array([2, 0])[:, None, None, None]
    inputs[1][rng.random(shape) < 0.9] = 0
    return made, inputs

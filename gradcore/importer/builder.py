# SPDX-License-Identifier: Apache-2.0
"""Builds a graph from the operators of a source: what both front ends, ONNX and PyTorch, share.

Operators take views of maps and give views of maps. What a node of the graph cannot take as it is, is rewritten exactly, and told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gradcore.importer.problems import Refused
from gradcore.importer.views import ZERO, Selection, View, selection
from gradcore.network.graph import (
    INPUT,
    Add,
    Affine,
    AveragePool,
    Clip,
    Concat,
    Conv,
    FullyConnected,
    MapShape,
    MaxPool,
    Node,
    Pair,
    Relu,
    Sides,
)

LARGEST_KERNEL, LARGEST_STRIDE, LARGEST_SIDE = 11, 4, 1024
MEMORY = 1 << 28  # bytes that weights and maps may take
VALUE_BYTES = 2
_NOTHING = ((1, 1), (1, 1), (0, 0, 0, 0))  # windows of a pool that changes nothing


@dataclass
class Notes:
    """What an import did to a network, for its user: one sentence each."""

    folded: list[str] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)


def check_convolution(kernel: Sequence[int], stride: Sequence[int]) -> None:
    """Refuse kernels and strides that are not run.

    Raises:
        Refused: one is too large.
    """
    causes = []
    if max(kernel) > LARGEST_KERNEL:
        causes.append(f"kernel_shape = {list(kernel)}, and the largest is {LARGEST_KERNEL} x {LARGEST_KERNEL}")
    if max(stride) > LARGEST_STRIDE:
        causes.append(f"strides = {list(stride)}, and the largest is {LARGEST_STRIDE}")
    if causes:
        raise Refused("; ".join(causes), "use smaller ones, several behind one another, or a pool")


class Builder:
    """Nodes and weights of a graph that is being made.

    Attributes:
        nodes: in order.
        weights: float64 tensors.
        shapes: of each map.
        notes: what was rewritten.
        opset: of the source, where that is ONNX.
        explicit_padding: the padding of convolutions and pools that the source gives by a rule, by their outputs there.
    """

    def __init__(self, input_shape: MapShape, opset: int = 0) -> None:
        self.opset = opset
        self.explicit_padding: dict[str, Sides] = {}
        self.nodes: list[Node] = []
        self.weights: dict[str, np.ndarray] = {}
        self.shapes: dict[str, MapShape] = {INPUT: input_shape}
        self.notes = Notes()

    # Operators -------------------------------------------------------------------------------------------------------

    def conv(
        self,
        name: str,
        view: View,
        weight: np.ndarray,
        bias: np.ndarray | None,
        stride: Pair,
        padding: Sides,
        dilation: Pair,
        groups: int,
    ) -> View:
        """A convolution of a tensor (1, C, H, W) with weights (O, C / groups, KH, KW)."""
        kernel = weight.shape[2:]
        check_convolution(kernel, stride)
        if view.index.shape[1] != weight.shape[1] * groups:
            raise Refused(f"{view.index.shape[1]} channels arrive at weights for {weight.shape[1] * groups}", "correct the network")
        if kernel == (1, 1) and view.index.shape[2:] == (1, 1) and groups == 1 and not any(padding) and not view.is_map:
            return self.fully_connected(name, view, weight[:, :, 0, 0], bias, (1, -1, 1, 1))
        chosen = selection(view)
        if chosen is not None and chosen.padding is not None and (chosen.takes_all_channels or groups == 1):
            if not chosen.takes_all_channels:
                self.notes.rewritten.append(f"{name}: the choice of channels before it is part of its weights")
                spread = np.zeros((len(weight), view.shape[0], *kernel))
                for channel, place in enumerate(chosen.channels):
                    if place != ZERO:
                        spread[:, place] += weight[:, channel]
                weight = spread
            if any(chosen.padding):
                self.notes.folded.append(f"{name}: the zeros padded before it are its own padding")
            padding = tuple(own + before for own, before in zip(padding, chosen.padding, strict=True))
        else:
            view = self.as_map(name, view)
        node = Conv(
            name=self._unique(name),
            inputs=(view.map,),
            kernel=tuple(kernel),
            stride=stride,
            padding=padding,
            dilation=dilation,
            out_channels=len(weight),
            groups=groups,
            bias=bias is not None,
        )
        return self._add(node, weight=weight, **({} if bias is None else {"bias": bias}))

    def fully_connected(self, name: str, view: View, weight: np.ndarray, bias: np.ndarray | None, shape: tuple[int, ...] = (1, -1)) -> View:
        """A fully connected layer: weights (O, I), whose columns are in the tensor's own order; gives a tensor of ``shape``."""
        places = view.flat
        if len(places) != weight.shape[1]:
            raise Refused(f"{len(places)} values arrive at weights for {weight.shape[1]}", "correct the network")
        if not view.is_in_order:
            inside = places != ZERO
            spread = np.zeros((math.prod(view.shape), len(weight)))
            np.add.at(spread, places[inside], weight.T[inside])
            weight = spread.T
            self.notes.folded.append(f"{name}: its columns are put in the order C, H, W")
        node = FullyConnected(name=self._unique(name), inputs=(view.map,), out_channels=len(weight), bias=bias is not None)
        made = self._add(node, weight=weight, **({} if bias is None else {"bias": bias}))
        return made.moved(lambda index: index.reshape(shape))

    def max_pool(self, name: str, view: View, kernel: Pair, stride: Pair, padding: Sides, dilation: Pair) -> View:
        """The largest value of each window of (1, C, H, W); ``padding`` holds what ceil mode adds."""
        chosen = selection(view)
        if chosen is not None and chosen.padding is not None and chosen.takes_all_channels and any(chosen.padding):
            made = next((node for node in self.nodes if node.name == view.map), None)
            if isinstance(made, Relu | Clip) and not any(padding):  # where nothing is below 0, zeros round it never win alone
                padding, view = chosen.padding, View.whole(view.map, view.shape)
                self.notes.folded.append(f"{name}: the zeros padded before it are its own padding, for nothing is below 0 there")
        if (kernel, stride, padding) == _NOTHING:
            return view
        view = self.as_map(name, view)
        node = MaxPool(self._unique(name), (view.map,), kernel, stride, padding, dilation)
        self._check_windows(node, view.shape, (0, 0))
        return self._add(node)

    def average_pool(
        self, name: str, view: View, kernel: Pair, stride: Pair, padding: Sides, dilation: Pair, counts_padding: bool, overhang: Pair
    ) -> View:
        """The mean of each window of (1, C, H, W)."""
        if (kernel, stride, padding) == _NOTHING:
            return view
        chosen = selection(view)
        if (
            chosen is not None
            and chosen.padding is not None
            and chosen.takes_all_channels
            and any(chosen.padding)
            and (counts_padding or not any(padding))
        ):
            padding, counts_padding = tuple(own + before for own, before in zip(padding, chosen.padding, strict=True)), True
            view = View.whole(view.map, view.shape)
            self.notes.folded.append(f"{name}: the zeros padded before it are its own padding")
        view = self.as_map(name, view)
        counts_padding = counts_padding and any(padding)
        node = AveragePool(self._unique(name), (view.map,), kernel, stride, padding, dilation, counts_padding, overhang)
        if not counts_padding:
            self._check_windows(node, view.shape, overhang)
        return self._add(node)

    def mean(self, name: str, view: View, axes: Sequence[int], keep: bool) -> View:
        """The mean over some axes of a tensor, which must be the whole height and width of a map, in any order of axes."""
        index = view.index
        axes = sorted({axis % index.ndim for axis in axes})
        kept = [axis for axis in range(index.ndim) if axis not in axes]
        channels, height, width = view.shape
        lines = np.sort(index.transpose(*kept, *axes).reshape(math.prod(index.shape[axis] for axis in kept), -1), axis=1)
        first = lines[:, :1]
        if lines.shape[1] == 1:
            result = first
        elif np.array_equal(lines, first + np.arange(height * width)) and not np.any(first % (height * width)):
            made = self.average_pool(name, View.whole(view.map, view.shape), (height, width), (1, 1), (0, 0, 0, 0), (1, 1), False, (0, 0))
            self.notes.rewritten.append(f"{name}: a mean over the whole map is an average pool of {height} x {width}")
            view, result = made, first // (height * width)
        elif view.is_map and axes in ([2], [3]):
            kernel = (height, 1) if axes == [2] else (1, width)
            view = self.average_pool(name, view, kernel, (1, 1), (0, 0, 0, 0), (1, 1), False, (0, 0))
            result = view.index
        else:
            raise Refused(
                f"axes = {axes} of a tensor of {' x '.join(map(str, index.shape))}, and means are taken over whole rows, columns or maps",
                "take the mean over height and width",
            )
        shape = [1 if axis in axes else size for axis, size in enumerate(index.shape) if keep or axis not in axes]
        return view.moved(lambda old: np.asarray(result).reshape(shape))

    def relu(self, name: str, view: View) -> View:
        """max(x, 0) of each value."""
        return self._same_places(view, self._add(Relu(self._unique(name), (view.map,))))

    def clip(self, name: str, view: View, high: float) -> View:
        """min(max(x, 0), high) of each value."""
        return self._same_places(view, self._add(Clip(self._unique(name), (view.map,), float(high))))

    def affine(self, name: str, view: View, scale: np.ndarray, shift: np.ndarray) -> View:
        """scale * x + shift; both broadcast to the tensor, one value for each channel of the map."""
        if not view.is_complete:
            view = self.as_vector(name, view) if view.shape[1:] == (1, 1) else self.as_map(name, view)
        vectors = []
        for values in (scale, shift):
            try:
                spread = np.broadcast_to(values, view.index.shape)
            except ValueError:
                raise Refused(
                    f"a constant of {' x '.join(map(str, np.shape(values)))} makes a larger tensor of {view.index.shape}",
                    "give constants that keep the tensor's shape",
                ) from None
            lines = np.full(math.prod(view.shape), np.nan)
            lines[view.flat] = spread.reshape(-1)
            lines = lines.reshape(view.shape[0], -1)
            chosen = np.nanmax(np.where(np.isnan(lines), -np.inf, lines), axis=1, keepdims=True)
            if np.any((lines != chosen) & ~np.isnan(lines)):
                raise Refused(
                    "its constant differs within a channel", "use one value for each channel, or put it behind a flatten and a layer"
                )
            vectors.append(np.where(np.isfinite(chosen[:, 0]), chosen[:, 0], 0.0))
        return self._same_places(view, self._add(Affine(self._unique(name), (view.map,)), scale=vectors[0], shift=vectors[1]))

    def add(self, name: str, views: Sequence[View]) -> View:
        """The sum of tensors of one shape."""
        if len({view.index.shape for view in views}) > 1:
            told = ", ".join(" x ".join(map(str, view.index.shape)) for view in views)
            raise Refused(f"tensors of {told} are added", "give tensors of one shape: nothing is broadcast between maps")
        if len(views) == 1:
            return views[0]
        alike = all(view.shape == views[0].shape and np.array_equal(view.index, views[0].index) for view in views)
        if not alike:
            views = [self.as_vector(name, view) for view in views]
        if not alike and not all(view.is_in_order and view.shape == views[0].shape for view in views):
            views = [self.as_map(name, view) for view in views]
        return self._same_places(views[0], self._add(Add(self._unique(name), tuple(view.map for view in views))))

    def concat(self, name: str, tensors: Sequence[View | np.ndarray], axis: int) -> View:
        """Tensors one behind the other; an array among them must hold zeros only."""
        shapes = [tensor.index.shape if isinstance(tensor, View) else tensor.shape for tensor in tensors]
        if any(isinstance(tensor, np.ndarray) and np.any(tensor) for tensor in tensors):
            raise Refused("a constant that is not 0 is joined to a map", "add constants, or join maps only")
        ndim = len(shapes[0])
        if any(len(shape) != ndim for shape in shapes) or not -ndim <= axis < ndim:
            raise Refused(f"axis = {axis} of tensors of {', '.join(map(str, shapes))}", "correct the network")
        views = [tensor for tensor in tensors if isinstance(tensor, View)]
        maps = list(dict.fromkeys(view.map for view in views))
        if len(maps) > 1 or (len(views) > 1 and all(view.is_complete for view in views)):
            if len({view.shape[1:] for view in views}) > 1 and ndim == 4:
                tensors = [self.as_map(name, one) if isinstance(one, View) and not one.is_complete else one for one in tensors]
                views = [tensor for tensor in tensors if isinstance(tensor, View)]
            if len({view.shape[1:] for view in views}) > 1:
                told = ", ".join(" x ".join(map(str, view.shape)) for view in views)
                raise Refused(f"maps of {told} are joined", "choose one of them with --output, or give maps of one height and width")
            made = self._add(Concat(self._unique(name), tuple(view.map for view in views)))
            sizes = [math.prod(view.shape) for view in views]
        else:
            made, sizes = View.whole(views[0].map, views[0].shape), [0] * len(views)
        offsets = iter(np.cumsum([0, *sizes[:-1]]))
        parts = [
            np.where(tensor.index == ZERO, ZERO, tensor.index + next(offsets))
            if isinstance(tensor, View)
            else np.full(tensor.shape, ZERO, dtype=np.int64)
            for tensor in tensors
        ]
        try:
            return made.moved(lambda index: np.concatenate(parts, axis=axis))
        except ValueError:
            raise Refused(f"tensors of {', '.join(map(str, shapes))} are joined at axis {axis}", "correct the network") from None

    def as_vector(self, name: str, view: View) -> View:
        """Values of a vector, C x 1 x 1, as a vector of their own, in their order, whatever the tensor's shape."""
        if view.is_in_order or view.shape[1:] != (1, 1):
            return view
        chosen = Selection(view.flat, (0, 0), (1, 1), (1, 1), view.shape)
        return self._choose(name, view, chosen).moved(lambda index: index.reshape(view.index.shape))

    def as_map(self, name: str, view: View) -> View:
        """A tensor (1, C, H, W) as a map of its own: itself where it is one, else what a convolution chooses from the map."""
        if view.is_map:
            return view
        chosen = selection(view)
        if chosen is None:
            raise Refused(
                f"its input of {' x '.join(map(str, view.index.shape))} is no map of channels x height x width, but values of a map of "
                f"{' x '.join(map(str, view.shape))} in another order",
                "keep maps as (1, channels, height, width), and flatten only before fully connected layers",
            )
        return self._choose(name, view, chosen)

    # Within ----------------------------------------------------------------------------------------------------------

    def _choose(self, name: str, view: View, chosen: Selection) -> View:
        channels, *sides = view.shape
        before, taps, kernel, after = [], [], [], []
        for origin, step, count, size in zip(chosen.origin, chosen.step, chosen.size, sides, strict=True):
            before.append(max(0, -origin))
            taps.append(max(0, origin))
            last = origin + step * (count - 1)
            after.append(max(0, last - size + 1))
            kernel.append(taps[-1] + 1 + max(0, size - last - step))  # no more windows than there are pixels
        if max(kernel) > LARGEST_KERNEL or max(chosen.step) > LARGEST_STRIDE:
            raise Refused(
                f"its input is rows and columns from {chosen.origin} on in steps of {chosen.step}, and a convolution reaches "
                f"{LARGEST_KERNEL} pixels in strides of {LARGEST_STRIDE}",
                "cut less away",
            )
        depthwise = chosen.takes_all_channels
        weight = np.zeros((len(chosen.channels), 1 if depthwise else channels, *kernel))
        for channel, place in enumerate(chosen.channels):
            if place != ZERO:
                weight[channel, 0 if depthwise else place, taps[0], taps[1]] = 1.0
        node = Conv(
            name=self._unique(f"{name}.choice"),
            inputs=(view.map,),
            kernel=tuple(kernel),
            stride=chosen.step,
            padding=(before[0], before[1], after[0], after[1]),
            out_channels=len(weight),
            groups=channels if depthwise else 1,
            bias=False,
        )
        self.notes.rewritten.append(
            f"{node.name}: a slice, or zeros round a map or behind its channels, is a {'depthwise ' if depthwise else ''}convolution of "
            f"{kernel[0]} x {kernel[1]} with weights 0 and 1"
        )
        return self._add(node, weight=weight)

    def _check_windows(self, node: MaxPool | AveragePool, shape: MapShape, overhang: Pair) -> None:
        """Refuse windows that lie in the padding alone."""
        places = node.places(shape[1] + overhang[0], shape[2] + overhang[1])
        for axis in (0, 1):
            taps = np.arange(places[axis])[:, None] * node.stride[axis] + np.arange(node.kernel[axis]) * node.dilation[axis]
            inside = (taps >= node.padding[axis]) & (taps < node.padding[axis] + shape[1 + axis])
            if not np.all(inside.any(axis=1)):
                raise Refused(f"pads = {list(node.padding)} make windows outside of the map", "use less padding")

    def _same_places(self, view: View, made: View) -> View:
        return View(made.map, made.shape, view.index)

    def _add(self, node: Node, **tensors: np.ndarray) -> View:
        inputs = [self.shapes[name] for name in node.inputs]
        shape = node.shape(inputs)
        if max(shape[1:]) > LARGEST_SIDE:
            raise Refused(f"a map of {shape[1]} x {shape[2]}, and the largest is {LARGEST_SIDE} x {LARGEST_SIDE}", "use a smaller input")
        if VALUE_BYTES * math.prod(shape) > MEMORY:
            told = f"{VALUE_BYTES * math.prod(shape) >> 20} MiB, and memory has {MEMORY >> 20} MiB"
            raise Refused(f"a map of {' x '.join(map(str, shape))} takes {told}", "use a smaller input, or fewer channels")
        self.nodes.append(node)
        self.shapes[node.name] = shape
        for name, tensor in tensors.items():
            self.weights[f"{node.name}.{name}"] = np.asarray(tensor, np.float64)
        return View.whole(node.name, shape)

    def _unique(self, name: str) -> str:
        made, number = name, 2
        while made in self.shapes:
            made, number = f"{name}_{number}", number + 1
        return made

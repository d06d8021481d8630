# SPDX-License-Identifier: Apache-2.0
"""The golden model of a graph: forward, and backward to the input, in exact integers.

It knows passes and maps (``gradcore.models.passes``), no tiles, chunks or orders of summation: sums are exact, so none of these can
change a bit.

Backward, the gradient of each map is one exact sum over all sources that read the map, at a scale that they share, rounded once:

    g(map) = requantise(sum over its readers of transpose(backward weights) * u(reader's pass))
    u(pass) = unpool(rule(g(channels that the pass makes), mask of the pass))

so a ReLU's rule (``arithmetic.relu_backward``) is applied by whoever reads the gradient of the ReLU's map, to the finished gradient.
Behind an add every source reads the same u. The gradient of a joined map is one map; each pass that wrote channels of it reads
those. Where windows of a max-pool overlap, what several of them give one place is added exactly, before anything is rounded.

Arrays are int64 (images, height, width, channels), as in ``gradcore.models.network``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gradcore.models import arithmetic
from gradcore.models.network import flatten, unflatten
from gradcore.models.passes import INPUT, Source
from gradcore.models.quantised_graph import QuantisedGraph, QuantisedPass
from gradcore.models.windows import gather, scatter

Product = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(..., n) times (n, m): (..., m)."""


@dataclass(frozen=True)
class PassForward:
    """What a pass makes in the forward pass.

    Attributes:
        output: (N, H, W, O), after requantisation, ReLU and pooling.
        mask: bool, as ``output``: 0 < output, and for a clip output < limit: with a pool the mask of the winners.
        index: as ``output``: the winner's place in its window, row * kernel width + column; None without pooling.
        full: (N, H', W', O), before pooling.
        saturated: (N,), how many results of each image saturated: see ``passes``.
    """

    output: np.ndarray
    mask: np.ndarray
    index: np.ndarray | None
    full: np.ndarray
    saturated: np.ndarray


@dataclass(frozen=True)
class Forward:
    """Result of a forward pass: every map by its name, what each pass made by the pass's name, and the output's name."""

    maps: Mapping[str, np.ndarray]
    passes: Mapping[str, PassForward]
    output: str

    @property
    def logits(self) -> np.ndarray:
        """(N, values) in the order C, H, W, as PyTorch flattens a map."""
        return flatten(self.maps[self.output])

    @property
    def winners(self) -> np.ndarray:
        """(N,): the value that the hardware's arg-max finds, numbered as the logits. Of several equal maxima it takes the first in memory
        order, H, W, C."""
        output = self.maps[self.output]
        channels, pixels = output.shape[3], output.shape[1] * output.shape[2]
        places = np.argmax(output.reshape(len(output), -1), axis=1)
        return places % channels * pixels + places // channels


@dataclass(frozen=True)
class Backward:
    """Result of a backward pass.

    Attributes:
        gradients: of every map, by name, as its values are; the output's is the seed.
        saturated: (N,): how many values of a gradient saturated in each image; by the map, and the first of the channels that one pass
            makes of it. Not of the output's.
    """

    gradients: Mapping[str, np.ndarray]
    saturated: Mapping[tuple[str, int], np.ndarray]

    @property
    def attribution(self) -> np.ndarray:
        """(N, C, H, W): the gradient of the input, at the input's gradient fraction."""
        return self.gradients[INPUT].transpose(0, 3, 1, 2)


# ---- The linear part of a source, and its transpose; of integers or of real numbers ------------------------------


def sums(source: Source, weights: np.ndarray, maps: np.ndarray, size: tuple[int, int], product: Product) -> np.ndarray:
    """What a source gives to the sums (N, rows, columns, O) of size (rows, columns), from the channels (N, H, W, I) that it reads."""
    seen = gather(maps, source.window, size)
    if source.kind == "average_pool":
        return seen.sum(axis=3) * weights[:, :, None]
    if source.groups == 1:
        return product(seen.reshape(*seen.shape[:3], -1), _matrix(weights))
    if weights.shape[1] == 1:  # depthwise: of each channel, weights.shape[0] // groups sums
        by_tap = weights.reshape(source.groups, -1, source.window.taps)
        made = np.zeros((*seen.shape[:3], source.groups, by_tap.shape[1]), dtype=np.result_type(seen, weights))
        for tap in range(source.window.taps):
            made += seen[:, :, :, tap, :, None] * by_tap[:, :, tap]
        return made.reshape(*seen.shape[:3], -1)
    parts = zip(np.split(seen, source.groups, axis=4), np.split(weights, source.groups), strict=True)
    return np.concatenate([product(part.reshape(*seen.shape[:3], -1), _matrix(its)) for part, its in parts], axis=3)


def sums_backward(source: Source, weights: np.ndarray, gradients: np.ndarray, size: tuple[int, int], product: Product) -> np.ndarray:
    """The transpose of ``sums``: from gradients (N, rows, columns, O) what a source gives to the sums of the gradient (N, H, W, I) of the
    channels that it reads, which have the size (H, W)."""
    places, taps = gradients.shape[:3], source.window.taps
    if source.kind == "average_pool":
        seen = np.broadcast_to((gradients * weights[:, :, None])[:, :, :, None], (*places, taps, gradients.shape[3]))
    elif source.groups == 1:
        seen = product(gradients, _matrix(weights).T).reshape(*places, taps, -1)
    elif weights.shape[1] == 1:
        by_tap = weights.reshape(source.groups, -1, taps)
        of_channel = gradients.reshape(*places, source.groups, -1)
        seen = np.stack([(of_channel * by_tap[:, :, tap]).sum(axis=4) for tap in range(taps)], axis=3)
    else:
        parts = zip(np.split(gradients, source.groups, axis=3), np.split(weights, source.groups), strict=True)
        seen = np.concatenate([product(part, _matrix(its).T).reshape(*places, taps, -1) for part, its in parts], axis=4)
    return scatter(seen, source.window, size)


def _matrix(weights: np.ndarray) -> np.ndarray:
    """OIHW weights as a matrix (KH * KW * I, O): taps in row-major order."""
    return weights.transpose(2, 3, 1, 0).reshape(-1, weights.shape[0])


# ---- Passes --------------------------------------------------------------------------------------------------------


def pass_forward(one: QuantisedPass, maps: Mapping[str, np.ndarray]) -> PassForward:
    """One pass forward, on maps that hold all that it reads."""
    accumulators = np.asarray(one.bias, dtype=np.int64)
    for source in one.sources:
        read = maps[source.reads.map][..., source.reads.channels]
        accumulators = accumulators + sums(source, source.weights, read, one.size, arithmetic.exact_sum)
    full = arithmetic.requantise(accumulators, one.shift)
    clipped = arithmetic.saturated(accumulators, one.shift, one.relu)
    if one.limit is not None:
        full, _ = arithmetic.clip(full, int(one.limit))
        clipped = np.zeros_like(clipped)  # what is above the limit shall be clipped
    elif one.relu:
        full, _ = arithmetic.relu(full)
    if one.pool is None:
        output, index = full, None
    else:
        places = _places(one, full.shape[1:3])
        output, index = arithmetic.pool_windows(full, one.pool, places)
        clipped = gather(clipped, one.pool, places)
    return PassForward(output, mask(one, output), index, full, np.count_nonzero(clipped.reshape(len(clipped), -1), axis=1))


def mask(one: QuantisedPass, output: np.ndarray) -> np.ndarray:
    """Bool: where what a pass makes lets gradients through: above 0, and for a clip below its limit."""
    return output > 0 if one.limit is None else (output > 0) & (output < one.limit)


def pass_backward(one: QuantisedPass, trace: PassForward, gradients: np.ndarray, method: str) -> np.ndarray:
    """u: from the gradients (N, H, W, O) of what a pass makes to those of its rounded sums (N, H', W', O). Where windows of its pool
    overlap they are sums, which may need more than 16 bits."""
    if one.relu:
        gradients = arithmetic.relu_backward(gradients, trace.mask, method)
    return gradients if one.pool is None else arithmetic.unpool_windows(gradients, trace.index, one.pool, one.size)


def _places(one: QuantisedPass, size: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns): how many windows the pool of a pass has on results of this size."""
    top, left, bottom, right = one.pool.padding
    least = one.pool.reach((1, 1))
    padded = (size[0] + top + bottom, size[1] + left + right)
    return tuple((whole - reach) // stride + 1 for whole, reach, stride in zip(padded, least, one.pool.stride, strict=True))


# ---- Graphs --------------------------------------------------------------------------------------------------------


def forward(graph: QuantisedGraph, inputs: np.ndarray) -> Forward:
    """Forward pass of quantised inputs, int (N, H, W, C) or (H, W, C)."""
    inputs = np.asarray(inputs, dtype=np.int64)
    inputs = inputs[None] if inputs.ndim == 3 else inputs
    maps = {name: np.zeros((len(inputs), *one.shape), dtype=np.int64) for name, one in graph.maps.items()}
    maps[INPUT] = inputs
    traces: dict[str, PassForward] = {}
    for one in graph.passes:
        traces[one.name] = pass_forward(one, maps)
        maps[one.makes.map][..., one.makes.channels] = traces[one.name].output
    return Forward(maps, traces, graph.output)


def seed_gradient(graph: QuantisedGraph, result: Forward, target: int | np.ndarray | None = None) -> np.ndarray:
    """The seed (N, H, W, C): one-hot 1.0 at the hardware's arg-max (target None) or at the given value (or one for each image), numbered
    as the logits. ValueError for one that is not there."""
    logits = result.logits
    indexes = result.winners if target is None else np.broadcast_to(np.asarray(target, dtype=np.int64), logits.shape[:1])
    if np.any(indexes < 0) or np.any(indexes >= logits.shape[1]):
        raise ValueError(f"target {target} is not in 0..{logits.shape[1] - 1}")
    seed = np.zeros_like(logits)
    seed[np.arange(len(logits)), indexes] = graph.seed_value
    return unflatten(seed, graph.maps[graph.output].shape)


def backward(
    graph: QuantisedGraph,
    result: Forward,
    method: str,
    target: int | np.ndarray | None = None,
    seed: np.ndarray | None = None,
    back_to: str | None = None,
) -> Backward:
    """Backward pass from a one-hot seed (see ``seed_gradient``) or from any ``seed`` (N, H, W, C) of 16-bit values.

    With ``back_to`` it ends when the gradient of that map is made, and the result has the gradients that are made whole.
    """
    accumulators = {name: np.zeros((len(result.logits), *one.shape), dtype=np.int64) for name, one in graph.maps.items()}
    gradients = {graph.output: seed_gradient(graph, result, target) if seed is None else np.asarray(seed, dtype=np.int64)}
    saturated: dict[tuple[str, int], np.ndarray] = {}
    first = 0 if back_to is None else min(number for number, one in enumerate(graph.passes) if one.makes.map == back_to)
    for number, one in reversed(list(enumerate(graph.passes))):
        _finish(graph, one.makes.map, accumulators, gradients, saturated, one.makes.channels)
        if back_to is not None and number == first:
            parts = [one.makes.map for one in graph.passes[:first]]
            return Backward({name: values for name, values in gradients.items() if name not in parts}, saturated)
        read = pass_backward(one, result.passes[one.name], gradients[one.makes.map][..., one.makes.channels], method)
        for source in one.sources:
            size = graph.maps[source.reads.map].shape[:2]
            accumulators[source.reads.map][..., source.reads.channels] += sums_backward(
                source, source.backward_weights, read, size, arithmetic.exact_sum
            )
    _finish(graph, INPUT, accumulators, gradients, saturated, slice(None))
    return Backward(gradients, saturated)


def _finish(graph: QuantisedGraph, name: str, accumulators: dict, gradients: dict, saturated: dict, channels: slice) -> None:
    """Round the gradient of some channels of a map: all that read them have been."""
    if name == graph.output:
        return
    shift, sums_here = graph.maps[name].backward_shift, accumulators[name][..., channels]
    if name not in gradients:
        gradients[name] = np.zeros_like(accumulators[name])
    gradients[name][..., channels] = arithmetic.requantise(sums_here, shift)
    clipped = arithmetic.saturated(sums_here, shift)
    saturated[name, channels.start or 0] = np.count_nonzero(clipped.reshape(len(clipped), -1), axis=1)


def passes(graph: QuantisedGraph) -> list[tuple[str, str, int]]:
    """What a run computes, in order of execution: name, direction, number of outputs.

    ``forward`` stands with a pass's name, and counts the results that it rounds: with a pool, those of each window that lie inside the
    map; so a result counts once for each window that takes it, and what no window takes is not computed. ``backward`` stands with a
    map's name and counts its gradient. Of a clip's results none counts as saturated.
    """
    forwards = []
    for one in graph.passes:
        places = one.size[0] * one.size[1] if one.pool is None else int(one.pool.inside(one.size, _places(one, one.size)).sum())
        forwards.append((one.name, "forward", places * one.makes.width))
    order = [name for name in dict.fromkeys(one.makes.map for one in reversed(graph.passes)) if name != graph.output]
    return forwards + [(name, "backward", int(np.prod(graph.maps[name].shape))) for name in (*order, INPUT)]


def saturations(
    graph: QuantisedGraph, result: Forward, gradients: Backward | None = None, image: int = 0
) -> list[tuple[str, str, int, int]]:
    """How many outputs saturated in one image of a batch: (name, direction, how many saturated, of how many) for each of ``passes``;
    without ``gradients`` for the forward pass alone. See ``arithmetic.saturated``."""
    counts = {("forward", name): trace.saturated[image] for name, trace in result.passes.items()}
    if gradients is not None:
        for (name, _), count in gradients.saturated.items():
            counts["backward", name] = counts.get(("backward", name), 0) + count[image]
    return [
        (name, direction, int(counts[direction, name]), outputs)
        for name, direction, outputs in passes(graph)
        if (direction, name) in counts
    ]

# SPDX-License-Identifier: Apache-2.0
"""What the engine computes, in order: each map forward, the seed, each map's gradient backward, as sums of terms.

The conv engine makes a map, or some places of it, from *terms*: a kernel that walks over a map in memory, its steps and the place where
it begins. All terms of a map add up in the accumulators and are rounded once. A pass of the network is such a sum of one term a source;
the gradient of a map is a sum of one term for each source that reads it, the kernel turned by 180 degrees.

Where a source has a stride s, the gradient of what it reads is made in s * s *phases*: places (row, column) with the same remainder
modulo s see the same taps, and all sums of a phase are a convolution of their own, whose results go to every s-th place.

The vector engine multiplies a vector by a matrix: a fully connected layer that alone reads a map, forward and backward.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from gradcore.compiler.terms import STRIDES, MapSum, Product, Term, Work, runs_of, same_taps
from gradcore.errors import Refusal
from gradcore.models.arithmetic import VALUE_MAX
from gradcore.models.passes import INPUT, Pass, Passes, Slice, Source
from gradcore.models.quantised_graph import QuantisedGraph, QuantisedPass, QuantisedSource
from gradcore.models.tags import BLOCK, POOLED_PIECES, WINDOW_PIECES, WINDOW_SIDE
from gradcore.models.windows import Window
from gradcore.runtime.regions import padded

FORWARD_DENSITY = 0.5  # of non-zero values that are expected, for the choice of tiles only
POOLED_DENSITY = 0.1
GRADIENT_DENSITY = 0.4
_FUSED = Window((2, 2), (2, 2))


def activation(network: QuantisedGraph, name: str) -> str:
    """The region of a map's values."""
    return f"activation_{list(network.maps).index(name)}"


def gradient(network: QuantisedGraph, one: QuantisedPass | None) -> str:
    """The region of the gradient of what a pass makes; None: of the input."""
    return f"gradient_{0 if one is None else network.passes.index(one) + 1}"


def tags(network: QuantisedGraph, one: QuantisedPass) -> str | None:
    """The region of a pass's tags; None for a pass without ReLU and pool."""
    return f"tags_{network.passes.index(one)}" if one.relu or one.pool else None


def places(network: QuantisedGraph, name: str) -> np.ndarray:
    """int64 (C,): where each channel of a map lies in memory. What several passes make begins on whole words, each part behind the one
    before, so that there may be gaps of zeros between them."""
    found = np.arange(network.maps[name].shape[2])
    start = 0
    for makes in sorted((one.makes for one in network.makers(name)), key=lambda one: one.start):
        found[makes.channels] += start - makes.start
        start += padded(makes.width)
    return found


def refused(network: QuantisedGraph | Passes) -> dict[str, str]:
    """What the core does not run: by node, the reason."""
    found: dict[str, str] = {}
    for one in network.passes:
        name = one.nodes[-1] if one.nodes else one.name
        if one.pool is not None and (one.pool.kernel not in ((2, 2), (3, 3)) or one.pool.dilation != (1, 1)):
            dilated = f", dilations = {list(one.pool.dilation)}" if one.pool.dilation != (1, 1) else ""
            found[name] = f"kernel_shape = {list(one.pool.kernel)}{dilated}: max-pools are 2 x 2 and 3 x 3"
        if one.limit is not None and one.limit < _largest_limit(network, one):
            found[name] = f"{one.makes.map} holds larger values beside what it clips, and the core clips where a map's numbers end"
    return found


def window_of(one: Pass) -> int:
    """Rows and columns of the windows of a max-pool that is a pass of its own; 0 for any other pass."""
    return 0 if one.pool is None or one.pool == _FUSED else one.pool.kernel[0]


def tag_pieces(one: Pass) -> int:
    """Tag pieces of a pass, for each block of a pixel."""
    return WINDOW_PIECES if window_of(one) else POOLED_PIECES if one.pool else 1


def _largest_limit(network: QuantisedGraph | Passes, one: Pass) -> float:
    """The limit of a clip whose results are the largest in their map."""
    if isinstance(network, QuantisedGraph):
        return VALUE_MAX
    return max(maker.limit for maker in network.makers(one.makes.map) if maker.limit is not None)


def gradient_name(name: str) -> str:
    """What the layer is called that makes the gradient of a map."""
    return f"{name}_backward"


def work_of(network: QuantisedGraph, names: Mapping[str, str]) -> list[Work]:
    """All that a program computes, in order; ``names``: what layers are called, where they are called otherwise.

    Raises:
        Refusal: there are nodes that the core does not run.
    """
    reasons = refused(network)
    if reasons:
        raise Refusal(
            f"{network.name} cannot be compiled: the core does not run {len(reasons)} of its nodes",
            [f"{node}: {reason}" for node, reason in reasons.items()],
        )
    forward = [_forward(network, one) for one in network.passes]
    made = [one for one in reversed(network.passes) if one.makes.map != network.output]
    backward = [_backward(network, one, names) for one in [*made, None]]
    return [*forward, Work("seed", "seed", "seed"), *backward]


def _forward(network: QuantisedGraph, one: QuantisedPass) -> Work:
    macs = sum(_macs(one, source) for source in one.sources)
    kind = one.sources[0].kind if len(one.sources) == 1 else "sum"
    if is_product(network, one):
        (source,) = one.sources
        reads, writes = (activation(network, name) for name in (source.reads.map, one.makes.map))
        matrix = _matrix(source, source.weights, network.maps[source.reads.map].shape)
        bias = np.zeros(matrix.shape[1], dtype=np.int64)
        bias[: len(one.bias)] = one.bias
        ends = {"relu": one.relu, "clip": one.limit is not None, "store_tags": tags(network, one)}
        product = Product(one.name, matrix, bias, one.shift, reads, writes, **ends)
        return Work(one.name, "fc", "forward", macs, product=product)
    sums = [_part(network, one, rows, columns) for rows, columns in _parts(one)]
    return Work(one.name, "conv" if kind in ("conv", "fc") else kind, "forward", macs, tuple(sums))


def _parts(one: QuantisedPass) -> list[tuple[range, range]]:
    """(rows, columns) of the results of a pass in parts: in each of them all means of a source are of as many places. One part, of all
    results, but for average pools some of whose windows reach beyond the map where that does not count."""
    if not any(_uneven(source) for source in one.sources):
        return [(range(one.size[0]), range(one.size[1]))]
    means = np.stack([weights for source in one.sources if _uneven(source) for weights in (source.weights, source.backward_weights)])
    rows = runs_of([row.tolist() for row in means.transpose(1, 0, 2)])
    columns = runs_of([column.tolist() for column in means.transpose(2, 0, 1)])
    return list(itertools.product(rows, columns))


def _uneven(source: QuantisedSource) -> bool:
    """Whether a source has means over different numbers of places."""
    return source.kind == "average_pool" and any(np.ptp(weights) for weights in (source.weights, source.backward_weights))


def _part(network: QuantisedGraph, one: QuantisedPass, rows: range, columns: range) -> MapSum:
    """The sums of a pass for some of its results."""
    makes, writes, window = network.maps[one.makes.map], activation(network, one.makes.map), window_of(one)
    counts = makes.shape[:2] if window else one.size
    terms: list[Term] = []
    for source in one.sources:
        height, width, _ = network.maps[source.reads.map].shape
        lie = places(network, source.reads.map)
        own = lie[source.reads.channels]
        dense = _dense(source, source.weights, (rows.start, columns.start))
        weights = _among(dense, own[-1] + 1 - own[0], own - own[0])
        walks = _window(one, source)
        stride = tuple(1 if count == 1 else step for count, step in zip(counts, walks.stride, strict=True))
        first = (-walks.padding[0], -walks.padding[1])
        density = 1.0 if source.reads.map == INPUT else FORWARD_DENSITY
        term = Term(activation(network, source.reads.map), (height, width), first, stride, weights, density, channel=int(own[0]))
        term = replace(term, sliced=padded(term.in_channels) < padded(int(lie[-1]) + 1)).moved(rows.start, columns.start)
        thin = not window and (term.kernel == (1, 1) or not set(term.stride) <= set(STRIDES))
        terms += term.thinned() if thin else [term]
    if not terms:  # every tap of every place lies in the padding: the map is the bias
        terms = [replace(term, first=(0, 0), stride=(1, 1), weights=np.zeros_like(weights[:, :, :1, :1]))]
    pool = one.pool is not None and not window
    size = makes.shape[:2] if window else (len(rows) // 2 * 2, len(columns) // 2 * 2) if pool else (len(rows), len(columns))
    return MapSum(
        one.name,
        size,
        tuple(terms),
        one.bias,
        one.shift,
        writes,
        relu=one.relu,
        clip=one.limit is not None,
        pool=pool,
        window=window,
        tags=tags(network, one),
        channel=int(places(network, one.makes.map)[one.makes.start]),
        first=(rows.start, columns.start),
        whole=one.makes.width == makes.shape[2],
    )


def _backward(network: QuantisedGraph, one: QuantisedPass | None, names: Mapping[str, str]) -> Work:
    """The gradient of what a pass makes, or of the input."""
    makes = one.makes if one else Slice(INPUT, 0, network.maps[INPUT].shape[2])
    made_map, writes = network.maps[makes.map], gradient(network, one)
    readers = [(reader, source) for reader, source in network.readers(makes.map) if common(source.reads, makes)]
    shift, macs = made_map.backward_shift, sum(_macs(reader, source) for reader, source in readers)
    name = gradient_name(makes.map)
    name = names.get(name, name)
    if len(readers) == 1 and is_product(network, readers[0][0]):
        ((reader, source),) = readers
        matrix = _matrix(source, source.backward_weights, made_map.shape).T
        made = Product(name, matrix, None, shift, gradient(network, reader), writes, tags=tags(network, reader), load_relu=reader.relu)
        return Work(name, "fc", "backward", macs, product=made)
    strides = [_stride(network, reader, source) for reader, source in readers]
    step = tuple(math.lcm(*(stride[axis] for stride in strides)) for axis in (0, 1))
    height, width = made_map.shape[:2]
    sums = []
    alone = any(window_of(reader) for reader, _ in readers)
    for phase, columns, count in _phases(makes.width, step, (height, width), alone):
        terms = []
        for reader, source in readers:
            for part in _parts(reader) if _uneven(source) else [None]:
                of_pixels = [_turned(network, reader, source, makes, step, (phase[0], column), part) for column in columns]
                terms += [some for term in _side_by_side(of_pixels, padded(makes.width)) for some in _of_blocks(term)]
        if not terms:  # no tap of any reader reaches these places: their gradient is 0
            terms = [_nothing(network, readers[0][0], padded(makes.width) * len(columns) if len(columns) > 1 else makes.width)]
        size = (-(-(height - phase[0]) // step[0]), count)
        skipped = phase[1] // step[1]  # places of the phase before the first
        terms = [term.moved(0, skipped) for term in terms]
        made = MapSum(name, size, tuple(terms), None, shift, writes, first=phase, step=step, pixels=len(columns))
        sums += made.seen() if any(_uneven(source) for _, source in readers) else [made]
    return Work(name, "conv", "backward", macs, tuple(sums))


def _phases(channels: int, step: tuple[int, int], size: tuple[int, int], alone: bool) -> Iterator[tuple[tuple[int, int], range, int]]:
    """The places of a map with the same remainders modulo ``step``: (the first of them, columns modulo the step that are made as one
    pixel, places along a row).

    Where the pixels of a step fit 16 lanes together they are made as one, of so many times the channels; what is left of a row as others;
    not with ``alone``.
    """
    height, width = size
    together = width // step[1] if not alone and 1 < step[1] and padded(channels) * step[1] <= BLOCK else 0
    for row in range(min(step[0], height)):
        if together:
            yield (row, 0), range(step[1]), together
            for column in range(together * step[1], width):
                yield (row, column), range(column % step[1], column % step[1] + 1), 1
        else:
            for column in range(min(step[1], width)):
                yield (row, column), range(column, column + 1), -(-(width - column) // step[1])


def _side_by_side(of_pixels: list[Term | None], channels: int) -> list[Term]:
    """What a source gives to neighbouring pixels of ``channels`` each, as a term of one pixel that has the channels of all; none if it
    gives nothing."""
    there = [(pixel, term) for pixel, term in enumerate(of_pixels) if term is not None]
    if not there or len(of_pixels) == 1:
        return [term for _, term in there]
    low = tuple(min(term.first[axis] for _, term in there) for axis in (0, 1))
    high = tuple(max(term.first[axis] + term.kernel[axis] for _, term in there) for axis in (0, 1))
    like = there[0][1]
    weights = np.zeros((channels * len(of_pixels), like.in_channels, high[0] - low[0], high[1] - low[1]), dtype=np.int64)
    for pixel, term in there:
        rows, columns = (slice(term.first[axis] - low[axis], term.first[axis] - low[axis] + term.kernel[axis]) for axis in (0, 1))
        weights[channels * pixel : channels * pixel + len(term.weights), :, rows, columns] = term.weights
    return [replace(like, first=low, weights=weights)]


def _turned(
    network: QuantisedGraph,
    reader: QuantisedPass,
    source: QuantisedSource,
    makes: Slice,
    step: tuple[int, int],
    phase: tuple[int, int],
    part: tuple[range, range] | None = None,
) -> Term | None:
    """What a source gives to the gradient of the places ``phase`` + n * ``step`` of the channels ``makes`` that it reads; None: nothing.
    ``part``: the rows and columns of the sums r that give it, where these have weights of their own.

    A place y gets w[i] * u(r) for all taps i and sums r with r * stride - padding + i = y. With y = step * t + phase: the taps are
    i = i0 + stride * j with i0 = (phase + padding) modulo stride, and r = step / stride * t + (phase + padding - i0) / stride - j.
    """
    if _spreads(network, reader, source):
        weights = _onto(source, makes)[:, :, :1, :1].transpose(1, 0, 2, 3)
        return replace(_reading(network, reader, weights, (0, 0), step), size=network.maps[makes.map].shape[:2], steps=(0, 0))
    window = _window(reader, source)
    taps, first, stride = [], [], []
    for axis, reach in enumerate(_reach(window)):
        own, offset = _stride(network, reader, source)[axis], phase[axis] + window.padding[axis]
        start = offset % own
        count = len(range(start, reach, own))
        taps.append(slice(start, None, own))
        first.append((offset - start) // own - (count - 1))
        stride.append(step[axis] // own)
        if not count:
            return None
    weights = _onto(source, makes, (part[0].start, part[1].start) if part else (0, 0))
    if not window_of(reader):
        turned = weights[:, :, taps[0], taps[1]][:, :, ::-1, ::-1]
        term = _reading(network, reader, turned.transpose(1, 0, 2, 3), (first[0], first[1]), (stride[0], stride[1]))
        return term.of(*part) if part else term
    rows, columns = (range(*which.indices(reach))[::-1] for which, reach in zip(taps, window.kernel, strict=True))
    winners = tuple(WINDOW_SIDE * row + column for row in rows for column in columns)
    turned = np.broadcast_to(weights.transpose(1, 0, 2, 3), (*weights.shape[1::-1], len(rows), len(columns)))
    term = _reading(network, reader, turned, (first[0], first[1]), (stride[0], stride[1]))
    return replace(term, tags=tags(network, reader), winners=winners)


def _of_blocks(term: Term) -> Iterator[Term]:
    """The term; one with ``winners`` as terms of the blocks of 16 channels that it reads."""
    step = BLOCK if term.winners is not None else term.in_channels
    for start in range(0, term.in_channels, step):
        part = term.slice(range(start, min(start + step, term.in_channels)))
        if part.winners is None or part.taps.any():
            yield part


def _window(one: QuantisedPass, source: Source) -> Window:
    """Which places of the map that a source reads each place that its pass makes sees."""
    return one.pool if window_of(one) else source.window


def _nothing(network: QuantisedGraph, reader: QuantisedPass, channels: int) -> Term:
    weights = np.zeros((channels, reader.makes.width, 1, 1), dtype=np.int64)
    return _reading(network, reader, weights, (0, 0), (1, 1))


def _reading(network: QuantisedGraph, reader: QuantisedPass, weights: np.ndarray, first: tuple[int, int], stride: tuple[int, int]) -> Term:
    """A term over the gradient of what a pass makes; of a max-pool that is a pass of its own as it is, not where it belongs."""
    pool, rows, columns = reader.pool is not None and not window_of(reader), *network.maps[reader.makes.map].shape[:2]
    size = (2 * rows, 2 * columns) if pool else (rows, columns)
    density = POOLED_DENSITY if pool else GRADIENT_DENSITY if reader.relu else 1.0
    region = gradient(network, reader)
    masks = None if window_of(reader) else tags(network, reader)
    return Term(region, size, first, stride, weights, density, tags=masks, relu=reader.relu, unpool=pool)


def _onto(source: QuantisedSource, makes: Slice, place: tuple[int, int] = (0, 0)) -> np.ndarray:
    """The backward weights of a source, (O, I, KH, KW), of its sum at a place, for the channels of ``makes``, which it may read in part."""
    both = common(source.reads, makes)
    inside, here = (slice(both.start - start, both.stop - start) for start in (source.reads.start, makes.start))
    return _among(_dense(source, source.backward_weights, place)[:, inside], makes.width, here)


def common(one: Slice, other: Slice) -> range:
    """Channels that are in both."""
    return range(max(one.start, other.start), min(one.stop, other.stop))


def _reach(window: Window) -> tuple[int, int]:
    """Taps of a window, with those between them that a dilation leaves out."""
    return tuple((kernel - 1) * dilation + 1 for kernel, dilation in zip(window.kernel, window.dilation, strict=True))


def _stride(network: QuantisedGraph, one: QuantisedPass, source: Source) -> tuple[int, int]:
    """Of the windows of a source; 1 where there is one window alone along an axis, or where all get the same gradient."""
    if _spreads(network, one, source):
        return 1, 1
    counts = network.maps[one.makes.map].shape if window_of(one) else one.size
    return tuple(1 if count == 1 else stride for count, stride in zip(counts, _window(one, source).stride, strict=False))


def _spreads(network: QuantisedGraph, one: QuantisedPass, source: Source) -> bool:
    """Whether a source is the mean over a whole map, whose gradient is the same everywhere."""
    if source.kind != "average_pool" or tuple(one.size) != (1, 1) or one.pool is not None:
        return False
    places = zip(network.maps[source.reads.map].shape, source.window.padding, source.window.kernel, strict=False)
    return source.window.dilation == (1, 1) and all(before + size <= kernel for size, before, kernel in places)


def _dense(source: Source, weights: np.ndarray, place: tuple[int, int]) -> np.ndarray:
    """Weights (O, I, rows, columns) of 16 bits, of the sum at a place, without groups and dilation."""
    if source.kind == "average_pool" and source.window.dilation == (1, 1):
        dense = np.diag(np.full(source.groups, weights[place], dtype=np.int16))[:, :, None, None]
        return np.broadcast_to(dense, (*dense.shape[:2], *source.window.kernel))
    if source.kind == "average_pool":
        weights = np.full((source.groups, 1, *source.window.kernel), weights[place])
    outputs, inputs = len(weights) // source.groups, weights.shape[1]
    dense = np.zeros((len(weights), inputs * source.groups, *_reach(source.window)), dtype=np.int16)
    down, across = source.window.dilation
    for group in range(source.groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        dense[rows, group * inputs : (group + 1) * inputs, ::down, ::across] = weights[rows]
    return dense


def _among(weights: np.ndarray, channels: int, places: np.ndarray | slice) -> np.ndarray:
    """Weights (O, I, rows, columns) as those of more ``channels``, among which theirs are at ``places``."""
    taps = weights[:, :, :1, :1] if same_taps(weights) else weights
    wide = np.zeros((len(taps), channels, *taps.shape[2:]), dtype=taps.dtype)
    wide[:, places] = taps
    return np.broadcast_to(wide, (*wide.shape[:2], *weights.shape[2:]))


def _macs(one: QuantisedPass, source: Source) -> int:
    """Multiplications of a source, padding taps included."""
    channels = 1 if source.kind == "average_pool" else source.weights.shape[1]
    return one.size[0] * one.size[1] * one.makes.width * channels * source.window.taps


def is_product(network: QuantisedGraph, one: QuantisedPass) -> bool:
    """Whether the vector engine computes a pass, and the gradient of what it reads."""
    if len(one.sources) > 1 or one.pool is not None or one.makes.width != network.maps[one.makes.map].shape[2]:
        return False
    (source,) = one.sources
    made_once = source.reads.map == INPUT or len(network.makers(source.reads.map)) == 1
    return source.kind == "fc" and made_once and len(network.readers(source.reads.map)) == 1


def _matrix(source: Source, weights: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """int64 (padded inputs, padded outputs) from (O, C, H, W): inputs in H, W, Cp order of a map of shape (H, W, C)."""
    height, width, channels = shape
    spread = np.zeros((height, width, padded(channels), padded(len(weights))), dtype=np.int64)
    spread[:, :, :channels, : len(weights)] = weights.reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
    return spread.reshape(-1, padded(len(weights)))

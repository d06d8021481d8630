# SPDX-License-Identifier: Apache-2.0
"""The bounds of the machine: how few cycles each layer could take, whatever the design around the multipliers.

A MAC is useful when its input value is not zero, its output is an output of the layer, and its tap lies inside the
picture. A convolution cannot take fewer cycles than its useful MACs over the multipliers of the conv groups; a fully
connected layer not fewer than its useful MACs over the eight multipliers that the two ports can feed. And no layer can
take fewer cycles than the bytes that it must move, each once, over the bytes that the memory gives in a cycle. The larger
one of the two is the bound of the layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradcore.compiler import sums
from gradcore.hardware import LANES, STREAMS, VECTOR_LANES
from gradcore.models import arithmetic
from gradcore.models.passes import INPUT, Slice
from gradcore.models.quantised import QuantisedNetwork
from gradcore.models.quantised_graph import QuantisedGraph, QuantisedPass, QuantisedSource, graph_of_chain
from gradcore.models.windows import gather
from gradcore.simulator import bytes_per_1024
from gradcore.speed.cycle_model import MapZeros

GROUP_MACS = STREAMS * LANES
VECTOR_MACS = VECTOR_LANES  # as many weights of 16 bits as two ports of 64 bits bring in a cycle
VALUE_BYTES = 2
BIAS_BYTES = 8  # a word for each initial accumulator


@dataclass(frozen=True)
class LayerBound:
    """The bounds of one layer in one direction.

    Attributes:
        layer, direction: as in ``cycle_model.LayerPrediction``. kind: conv, fc or seed.
        macs: useful MACs. bytes: that must be moved: input, weights of inputs that are not zero (of convolutions all),
            output, tags.
        mac_cycles, byte_cycles: the least cycles for each.
    """

    layer: str
    direction: str
    kind: str
    macs: int
    bytes: float
    mac_cycles: float
    byte_cycles: float

    @property
    def cycles(self) -> float:
        return max(self.mac_cycles, self.byte_cycles)

    @property
    def limit(self) -> str:
        """What bounds the layer: 'macs' or 'bytes'."""
        return "macs" if self.mac_cycles >= self.byte_cycles else "bytes"


def layer_bounds(
    network: QuantisedNetwork | QuantisedGraph,
    zeros: Mapping[str, MapZeros],
    method: str,
    *,
    groups: int,
    clock_mhz: float = 100.0,
    explain: bool = True,
) -> list[LayerBound]:
    """The bounds of each layer in the order of the program: forward, the seed, backward.

    Args:
        network: the network in integers. zeros: of one picture and method, see ``cycle_model.zeros_of``.
        method: it says which tags the backward pass reads. groups: GROUPS of the hardware.
        clock_mhz: memory gives 1.6 GB/s whatever it is. explain: False for inference alone.
    """
    graph = network if isinstance(network, QuantisedGraph) else graph_of_chain(network)
    rate = bytes_per_1024(clock_mhz) / 1024
    result = []

    def add(layer: str, direction: str, kind: str, macs: int, moved: float) -> None:
        multipliers = VECTOR_MACS if kind == "fc" else GROUP_MACS * groups
        result.append(LayerBound(layer, direction, kind, macs, moved, macs / multipliers, moved / rate))

    for one in graph.passes:
        height, width = graph.maps[one.makes.map].shape[:2]
        outputs = height * width * one.makes.width
        moved = VALUE_BYTES * outputs + BIAS_BYTES * one.makes.width
        if one.relu or one.pool:
            moved += outputs * sums.tag_pieces(one) / 8  # a bit of each piece: mask, index of the winner
        total = 0
        for source in one.sources:
            macs, weights, read = _forward_work(graph, one, source, zeros)
            total, moved = total + macs, moved + VALUE_BYTES * (weights + read)
        add(one.name, "forward", "fc" if sums.is_product(graph, one) else "conv", total, moved)
    logits = int(np.prod(graph.maps[graph.output].shape))
    add("seed", "backward", "seed", 0, VALUE_BYTES * logits * (1 + explain))
    made = [one for one in reversed(graph.passes) if one.makes.map != graph.output]
    for one in [*made, None] if explain else ():
        makes = one.makes if one else Slice(INPUT, 0, graph.maps[INPUT].shape[2])
        readers = [pair for pair in graph.readers(makes.map) if sums.common(pair[1].reads, makes)]
        height, width = graph.maps[makes.map].shape[:2]
        total, moved = 0, float(VALUE_BYTES * height * width * makes.width)
        for reader, source in readers:
            macs, weights, read = _backward_work(graph, reader, source, makes, zeros)
            bits = (
                (reader.relu and method != "deconvnet") + sums.tag_pieces(reader) - (not sums.window_of(reader))
            )  # mask, index of the winner
            total, moved = total + macs, moved + VALUE_BYTES * (weights + read) + read * bits / 8
        product = len(readers) == 1 and sums.is_product(graph, readers[0][0])
        name = makes.map if isinstance(network, QuantisedGraph) else readers[0][0].name
        add(name, "backward", "fc" if product else "conv", total, moved)
    return result


def sparse_bound(bounds: Sequence[LayerBound]) -> float:
    """The network's bound in cycles: the useful MACs of each layer over the multipliers that can do them.

    Of a fully connected layer that is the bytes of its non-zero inputs' weights at 16 bytes a cycle.
    """
    return sum(bound.mac_cycles for bound in bounds)


def _forward_work(
    graph: QuantisedGraph, one: QuantisedPass, source: QuantisedSource, zeros: Mapping[str, MapZeros]
) -> tuple[int, int, int]:
    """(useful MACs, weights that must be read, values that are read) of a source of a pass."""
    lie = sums.places(graph, source.reads.map)[source.reads.channels]
    values = zeros[sums.activation(graph, source.reads.map)].source[..., lie]
    size = one.size if one.pool is None or sums.window_of(one) else tuple(value // 2 * 2 for value in one.size)
    seen = gather(values[None].astype(np.int64), source.window, tuple(size))
    macs = int(seen.sum()) * (one.makes.width // source.groups)
    return macs, macs if sums.is_product(graph, one) else source.weights.size, values.size


def _backward_work(
    graph: QuantisedGraph, one: QuantisedPass, source: QuantisedSource, makes: Slice, zeros: Mapping[str, MapZeros]
) -> tuple[int, int, int]:
    """The same of the gradient of the channels ``makes`` that a source reads."""
    loaded = zeros[sums.gradient(graph, one)]
    values = loaded.source.astype(np.int64)
    if loaded.index is not None:
        values = arithmetic.unpool_windows(values[None], loaded.index[None], one.pool, tuple(one.size))[0]
    inside = source.window.inside(graph.maps[source.reads.map].shape[:2], tuple(one.size))
    share = len(sums.common(source.reads, makes)) / source.reads.width
    channels = 1 if source.kind == "average_pool" else source.weights.shape[1]
    macs = round(float((values.sum(axis=2) * inside).sum()) * channels * share)
    weights = macs if sums.is_product(graph, one) else round(source.weights.size * share)
    return macs, weights, loaded.source.size

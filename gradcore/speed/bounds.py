# SPDX-License-Identifier: Apache-2.0
"""The bounds of the machine: how few cycles each layer could take, whatever the design around the multipliers.

A MAC is useful when its input value is not zero, its output is an output of the layer, and its tap lies inside the
picture. A convolution cannot take fewer cycles than its useful MACs over the multipliers of the conv groups; a fully
connected layer not fewer than its useful MACs over the eight multipliers that the two ports can feed. And no layer can
take fewer cycles than the bytes that it must move, each once, over the bytes that the memory gives in a cycle. The larger
one of the two is the bound of the layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradcore.hardware import LANES, STREAMS, VECTOR_LANES
from gradcore.models import arithmetic
from gradcore.simulator import bytes_per_1024
from gradcore.speed.cycle_model import PassZeros

if TYPE_CHECKING:
    from gradcore.quantise import QuantisedLayer, QuantisedNetwork

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
    network: QuantisedNetwork,
    zeros: Sequence[PassZeros],
    method: str,
    *,
    groups: int,
    clock_mhz: float = 100.0,
    explain: bool = True,
) -> list[LayerBound]:
    """The bounds of each layer in the order of the program: forward, the seed, backward.

    Args:
        network: the quantised network. zeros: of one picture and method, see ``cycle_model.zeros_of``.
        method: it says which tags the backward pass reads. groups: GROUPS of the hardware.
        clock_mhz: memory gives 1.6 GB/s whatever it is. explain: False for inference alone.
    """
    rate = bytes_per_1024(clock_mhz) / 1024
    count = len(network.layers)
    result = []

    def add(layer: str, direction: str, kind: str, macs: int, moved: float) -> None:
        multipliers = VECTOR_MACS if kind == "fc" else GROUP_MACS * groups
        result.append(LayerBound(layer, direction, kind, macs, moved, macs / multipliers, moved / rate))

    for position, layer in enumerate(network.layers):
        macs, weights = _work(layer, zeros[position], network.shapes[position], backward=False)
        outputs = int(np.prod(network.shapes[position + 1]))
        moved = VALUE_BYTES * (zeros[position].source.size + weights + outputs) + BIAS_BYTES * layer.out_channels
        if layer.relu or layer.pool:
            moved += outputs * (1 + 2 * layer.pool) / 8  # mask, index of the winner
        add(layer.name, "forward", layer.kind, macs, moved)
    logits = int(np.prod(network.shapes[-1]))
    add("seed", "backward", "seed", 0, VALUE_BYTES * logits * (1 + explain))
    for position in reversed(range(count)) if explain else ():
        layer, passed = network.layers[position], zeros[2 * count - 1 - position]
        macs, weights = _work(layer, passed, network.shapes[position], backward=True)
        moved = VALUE_BYTES * (passed.source.size + weights + int(np.prod(network.shapes[position])))
        bits = (layer.relu and method != "deconvnet") + 2 * layer.pool  # mask, index of the winner
        moved += passed.source.size * bits / 8
        add(layer.name, "backward", layer.kind, macs, moved)
    return result


def sparse_bound(bounds: Sequence[LayerBound]) -> float:
    """The network's bound in cycles: the useful MACs of each layer over the multipliers that can do them.

    Of a fully connected layer that is the bytes of its non-zero inputs' weights at 16 bytes a cycle.
    """
    return sum(bound.mac_cycles for bound in bounds)


def _work(layer: QuantisedLayer, zeros: PassZeros, shape: tuple[int, int, int], *, backward: bool) -> tuple[int, int]:
    """(useful MACs, weights that must be read) of a layer; ``shape`` (H, W, C) of its input in the forward pass."""
    outputs = layer.in_channels if backward else layer.out_channels
    if layer.kind == "fc":
        outputs = int(np.prod(shape)) if backward else layer.out_channels
        macs = int(np.count_nonzero(zeros.source)) * outputs
        return macs, macs
    height, width, _ = shape
    source = zeros.source.astype(np.int64)
    if backward and zeros.index is not None:
        source = arithmetic.max_unpool(source, zeros.index, height, width)
    made = (height // 2 * 2, width // 2 * 2) if layer.pool and not backward else (height, width)
    reached = [_reached(size, among, layer.kernel) for size, among in zip((height, width), made, strict=True)]
    taps = np.einsum("yx,y,x->", source.sum(axis=2), *reached)
    return int(taps) * outputs, layer.kernel**2 * layer.in_channels * layer.out_channels


def _reached(size: int, outputs: int, kernel: int) -> np.ndarray:
    """int (size,): how many of ``outputs`` output positions see each input position through one axis of the kernel."""
    places = np.arange(size)[:, None] - np.arange(outputs)
    return (np.abs(places) <= kernel // 2).sum(axis=1)

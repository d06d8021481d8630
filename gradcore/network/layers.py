# SPDX-License-Identifier: Apache-2.0
"""Layers: what kinds there are, and the shapes of a chain of them.

A network is a chain of convolutions and then of fully connected layers. A convolution has stride 1 and is padded with zeros by
``(kernel - 1) // 2``, so it keeps the size; a ReLU and then a 2 x 2 max-pool of stride 2 (which drops an odd last row or column)
may follow it. Before the first fully connected layer the map is flattened in channel, row, column order, as PyTorch does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradcore.errors import GradCoreError

KERNELS = (1, 3, 5)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        kind: ``conv`` or ``fc``.
        name: its tensors are ``<name>.weight`` and ``<name>.bias``.
        in_channels, out_channels: channels of a convolution, values of a fully connected layer.
        kernel: side of the square kernel: 1, 3 or 5; 1 for ``fc``.
        relu: a ReLU follows.
        pool: a 2 x 2 max-pool of stride 2 follows (after the ReLU); ``conv`` only.
        bias: there is a bias.
    """

    kind: str
    name: str
    in_channels: int
    out_channels: int
    kernel: int = 1
    relu: bool = True
    pool: bool = False
    bias: bool = True

    @property
    def weight_shape(self) -> Shape:
        """(O, I, K, K) of a convolution, (O, I) of a fully connected layer."""
        square = (self.kernel, self.kernel) if self.kind == "conv" else ()
        return (self.out_channels, self.in_channels, *square)


@dataclass(frozen=True)
class LayerShape:
    """The shapes (channels, height, width) round a layer: what enters, what it computes, what leaves after its pool.

    A fully connected layer has height and width 1.
    """

    input: tuple[int, int, int]
    computed: tuple[int, int, int]
    output: tuple[int, int, int]
    macs: int  # multiplications of one forward pass, those with padding included


def chain_shapes(layers: list[Layer], input_shape: tuple[int, int, int]) -> list[LayerShape]:
    """The shapes of every layer; refuses a chain that does not fit together."""
    if not layers:
        raise GradCoreError("the network has no layers: give at least one")
    shapes: list[LayerShape] = []
    names: set[str] = set()
    shape, flat = input_shape, False
    for layer in layers:
        _check_layer(layer)
        if layer.name in names:
            raise GradCoreError(f"two layers are called {layer.name!r}: give each its own name")
        names.add(layer.name)
        if layer.kind == "conv" and flat:
            raise GradCoreError(f"layer {layer.name}: a convolution cannot follow a fully connected layer: put the convolutions first")
        flat = layer.kind == "fc"
        entering = (math.prod(shape), 1, 1) if flat else shape
        if layer.in_channels != entering[0]:
            raise GradCoreError(f"layer {layer.name} takes {layer.in_channels} channels, but {entering[0]} arrive: make them equal")
        computed = (layer.out_channels, *entering[1:])
        leaving = (layer.out_channels, *(size // 2 for size in entering[1:])) if layer.pool else computed
        if 0 in leaving:
            raise GradCoreError(
                f"layer {layer.name}: a map of {entering[1]} x {entering[2]} is too small for a 2 x 2 pool: "
                "remove the pool, or take a larger input"
            )
        shapes.append(LayerShape(entering, computed, leaving, math.prod(layer.weight_shape) * entering[1] * entering[2]))
        shape = leaving
    return shapes


def _check_layer(layer: Layer) -> None:
    if layer.kind not in ("conv", "fc"):
        raise GradCoreError(f"layer {layer.name}: the kind {layer.kind!r} is unknown: use conv or fc")
    if not isinstance(layer.name, str) or not layer.name:
        raise GradCoreError(f"a layer has the name {layer.name!r}: give it a name of one or more characters")
    sizes = (layer.in_channels, layer.out_channels, layer.kernel)
    if any(type(size) is not int or size < 1 for size in sizes):
        raise GradCoreError(f"layer {layer.name}: channels and kernel {sizes} must be positive integers: correct them")
    if any(type(flag) is not bool for flag in (layer.relu, layer.pool, layer.bias)):
        raise GradCoreError(f"layer {layer.name}: relu, pool and bias must be true or false: correct them")
    if layer.kind == "conv" and layer.kernel not in KERNELS:
        raise GradCoreError(
            f"layer {layer.name}: a kernel of {layer.kernel} x {layer.kernel} cannot be run: use one of {', '.join(map(str, KERNELS))}"
        )
    if layer.kind == "fc" and (layer.kernel != 1 or layer.pool):
        raise GradCoreError(f"layer {layer.name}: a fully connected layer has kernel 1 and no pool: correct it")

# SPDX-License-Identifier: Apache-2.0
"""A network in float32 with NumPy alone: what number formats are chosen by, and what rounding is measured against.

Maps are (N, H, W, C) as in the golden model; a vector is a map of 1 x 1 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcore.models.network import flatten, unflatten, windows
from gradcore.network import Layer, Network, beyond_float


@dataclass(frozen=True)
class FloatLayer:
    """What a layer makes: ``full`` (N, H', W', C) after the ReLU, ``output`` (N, H, W, C) after the pool, its ``mask`` (output > 0),
    and the ``index`` of the winners of its pool or None."""

    full: np.ndarray
    output: np.ndarray
    mask: np.ndarray
    index: np.ndarray | None


def linear(layer: Layer, weight: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """(N, H, W, O): the sums of products of one layer, without its bias."""
    if layer.kind == "conv":
        return _product(windows(maps, layer.kernel), weight.transpose(2, 3, 1, 0).reshape(-1, layer.out_channels))
    return (flatten(maps) @ weight.T)[:, None, None, :]


def activate(layer: Layer, sums: np.ndarray) -> FloatLayer:
    """ReLU and pool of sums (N, H, W, O), as far as the layer has them."""
    full = np.maximum(sums, 0) if layer.relu else sums
    output, index = full, None
    if layer.pool:
        height, width = full.shape[1] // 2 * 2, full.shape[2] // 2 * 2
        parts = np.stack([full[:, y:height:2, x:width:2] for y in (0, 1) for x in (0, 1)])
        output, index = parts.max(axis=0), parts.argmax(axis=0)
    return FloatLayer(full, output, output > 0, index)


def forward(network: Network, maps: np.ndarray) -> list[FloatLayer]:
    """Every layer of normalised float32 pictures (N, H, W, C).

    Raises:
        GradCoreError: a layer's outputs are beyond float32.
    """
    traces = []
    for position, layer in enumerate(network.layers):
        with np.errstate(all="ignore"):
            sums = linear(layer, network.weights[f"{layer.name}.weight"], maps)
            if layer.bias:
                sums = sums + network.weights[f"{layer.name}.bias"]
        if not np.all(np.isfinite(sums)):
            raise beyond_float(network, position, "outputs")
        traces.append(activate(layer, sums))
        maps = traces[-1].output
    return traces


def backward(network: Network, shape: tuple[int, ...], traces: list[FloatLayer], method: str) -> list[np.ndarray]:
    """Gradients (N, H, W, C) by activation 0 (the picture, of the shape given) .. last, from the one-hot seed at the arg-max.

    Raises:
        GradCoreError: a gradient is beyond float32.
    """
    shapes = [shape, *(trace.output.shape for trace in traces)]
    logits = flatten(traces[-1].output)
    seed = np.zeros_like(logits)
    seed[np.arange(len(logits)), logits.argmax(axis=1)] = 1.0
    chain = [unflatten(seed, shapes[-1][1:])]
    for position in reversed(range(len(network.layers))):
        layer, trace = network.layers[position], traces[position]
        weight, gradient = network.weights[f"{layer.name}.weight"], chain[0]
        if layer.relu:
            if method != "saliency":
                gradient = np.maximum(gradient, 0)
            if method != "deconvnet":
                gradient = gradient * trace.mask
        if layer.pool:
            spread = np.zeros((*gradient.shape[:1], *trace.full.shape[1:3], gradient.shape[3]), dtype=gradient.dtype)
            rows, columns = gradient.shape[1] * 2, gradient.shape[2] * 2
            for place in range(4):
                spread[:, place // 2 : rows : 2, place % 2 : columns : 2] = np.where(trace.index == place, gradient, 0)
            gradient = spread
        with np.errstate(all="ignore"):
            if layer.kind == "conv":
                rotated = weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1).reshape(-1, layer.in_channels)
                gradient = _product(windows(gradient, layer.kernel), rotated)
            else:
                gradient = unflatten(flatten(gradient) @ weight, shapes[position][1:])
        if not np.all(np.isfinite(gradient)):
            raise beyond_float(network, position, "gradients")
        chain.insert(0, gradient)
    return chain


def _product(values: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """values (..., n) @ matrix (n, m) as one product of two matrices."""
    return (values.reshape(-1, matrix.shape[0]) @ matrix).reshape(*values.shape[:-1], matrix.shape[1])

# SPDX-License-Identifier: Apache-2.0
"""A graph in floating point with NumPy alone, forward and the true gradient: what an import is compared with its source by.

Maps are (N, C, H, W), as files and PyTorch have them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

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
    MaxPool,
    Node,
    Relu,
)


def forward(graph: Graph, maps: np.ndarray, dtype: type = np.float64) -> dict[str, np.ndarray]:
    """Every map of a graph, by name.

    Args:
        graph: the graph.
        maps: its normalised input, (N, C, H, W).
        dtype: what is computed in: float64, or float32.

    Returns:
        Arrays (N, C, H, W) of that type, the input's among them.
    """
    values = {INPUT: np.asarray(maps, dtype).reshape(len(maps), *graph.input_shape)}
    for node in graph.nodes:
        tensors = {name.removeprefix(f"{node.name}."): np.asarray(graph.weights[name], dtype) for name in names_of(graph, node)}
        values[node.name] = _KINDS[type(node)](node, tensors, *(values[name] for name in node.inputs))
    return values


def output(graph: Graph, maps: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    """The graph's output, (N, C, H, W); see ``forward``."""
    return forward(graph, maps, dtype)[graph.output]


def backward(graph: Graph, values: Mapping[str, np.ndarray], seed: np.ndarray) -> np.ndarray:
    """The gradient of the sum of outputs times ``seed`` with respect to the input.

    Args:
        graph: the graph.
        values: its maps, as ``forward`` gives them.
        seed: (N, C, H, W) of the output.

    Returns:
        (N, C, H, W). Of equal values in a max-pool's window the first in row-major order gets the gradient.
    """
    gradients = {graph.output: np.asarray(seed, values[graph.output].dtype)}
    for node in reversed(graph.nodes):
        gradient = gradients.pop(node.name, None)
        if gradient is None:
            continue
        tensors = {name.removeprefix(f"{node.name}."): np.asarray(graph.weights[name], gradient.dtype) for name in names_of(graph, node)}
        read = [values[name] for name in node.inputs]
        for name, part in zip(node.inputs, _BACKWARD[type(node)](node, tensors, read, gradient), strict=True):
            gradients[name] = gradients[name] + part if name in gradients else part
    return gradients.get(INPUT, np.zeros_like(values[INPUT]))


def names_of(graph: Graph, node: Node) -> list[str]:
    """The names of a node's tensors in ``graph.weights``."""
    return [f"{node.name}.{name}" for name in node.tensors(graph.inputs_of(node))]


def _conv(node: Conv, tensors: Mapping[str, np.ndarray], maps: np.ndarray) -> np.ndarray:
    windows, weight = _windows(node, maps, 0.0), tensors["weight"]
    count, _, rows, columns = windows.shape[:4]
    grouped = windows.reshape(count, node.groups, -1, *windows.shape[2:]).transpose(1, 0, 3, 4, 2, 5, 6)
    products = grouped.reshape(node.groups, count * rows * columns, -1) @ weight.reshape(
        node.groups, node.out_channels // node.groups, -1
    ).transpose(0, 2, 1)
    sums = products.reshape(node.groups, count, rows, columns, -1).transpose(1, 0, 4, 2, 3).reshape(count, -1, rows, columns)
    return sums + tensors["bias"][:, None, None] if node.bias else sums


def _fully_connected(node: FullyConnected, tensors: Mapping[str, np.ndarray], maps: np.ndarray) -> np.ndarray:
    sums = maps.reshape(len(maps), -1) @ tensors["weight"].T
    return (sums + tensors["bias"] if node.bias else sums)[:, :, None, None]


def _max_pool(node: MaxPool, tensors: Mapping[str, np.ndarray], maps: np.ndarray) -> np.ndarray:
    return _windows(node, maps, -np.inf).max(axis=(4, 5))


def _average_pool(node: AveragePool, tensors: Mapping[str, np.ndarray], maps: np.ndarray) -> np.ndarray:
    return _windows(node, maps, 0.0, node.overhang).sum(axis=(4, 5)) / node.divisors(*maps.shape[2:]).astype(maps.dtype)


def _windows(node: Conv | MaxPool | AveragePool, maps: np.ndarray, outside: float, overhang: tuple[int, int] = (0, 0)) -> np.ndarray:
    """(N, C, rows, columns, kernel rows, kernel columns): the windows of maps with ``outside`` round them."""
    (top, left, bottom, right), (down, across) = node.padding, node.stride
    padded = np.pad(maps, ((0, 0), (0, 0), (top, bottom + overhang[0]), (left, right + overhang[1])), constant_values=outside)
    reach = [(kernel - 1) * step + 1 for kernel, step in zip(node.kernel, node.dilation, strict=True)]
    windows = sliding_window_view(padded, tuple(reach), axis=(2, 3))
    return windows[:, :, ::down, ::across, :: node.dilation[0], :: node.dilation[1]]


def _clip(node: Clip, tensors: Mapping[str, np.ndarray], maps: np.ndarray) -> np.ndarray:
    return np.clip(maps, 0, node.high)


def _affine(node: Affine, tensors: Mapping[str, np.ndarray], maps: np.ndarray) -> np.ndarray:
    return maps * tensors["scale"][:, None, None] + tensors["shift"][:, None, None]


def _scatter(
    node: Conv | MaxPool | AveragePool, shape: tuple[int, ...], parts: Callable[[int, int], np.ndarray], overhang=(0, 0)
) -> np.ndarray:
    """The sum of what each tap (row, column) of the windows gives its pixels; what falls on padding is lost."""
    (top, left, bottom, right), (down, across) = node.padding, node.stride
    total = None
    for row in range(node.kernel[0]):
        for column in range(node.kernel[1]):
            part = parts(row, column)
            if total is None:
                sizes = (shape[2] + top + bottom + overhang[0], shape[3] + left + right + overhang[1])
                total = np.zeros((*part.shape[:2], *sizes), part.dtype)
            y, x = row * node.dilation[0], column * node.dilation[1]
            total[:, :, y : y + down * part.shape[2] : down, x : x + across * part.shape[3] : across] += part
    return total[:, :, top : top + shape[2], left : left + shape[3]]


def _conv_backward(node: Conv, tensors: Mapping[str, np.ndarray], read: list[np.ndarray], gradient: np.ndarray) -> list[np.ndarray]:
    weight = tensors["weight"].reshape(node.groups, -1, *tensors["weight"].shape[1:])
    grouped = gradient.reshape(len(gradient), node.groups, -1, *gradient.shape[2:])

    def part(row: int, column: int) -> np.ndarray:
        of_inputs = np.einsum("ngohw,goi->ngihw", grouped, weight[..., row, column], optimize=True)
        return of_inputs.reshape(len(gradient), -1, *gradient.shape[2:])

    return [_scatter(node, read[0].shape, part)]


def _max_pool_backward(node: MaxPool, tensors: Mapping[str, np.ndarray], read: list[np.ndarray], gradient: np.ndarray) -> list[np.ndarray]:
    windows = _windows(node, read[0], -np.inf)
    winners = windows.reshape(*windows.shape[:4], -1).argmax(axis=4)
    return [_scatter(node, read[0].shape, lambda row, column: np.where(winners == row * node.kernel[1] + column, gradient, 0))]


def _average_pool_backward(
    node: AveragePool, tensors: Mapping[str, np.ndarray], read: list[np.ndarray], gradient: np.ndarray
) -> list[np.ndarray]:
    shares = gradient / node.divisors(*read[0].shape[2:])
    return [_scatter(node, read[0].shape, lambda row, column: shares, node.overhang)]


def _concat_backward(node: Concat, tensors: Mapping[str, np.ndarray], read: list[np.ndarray], gradient: np.ndarray) -> list[np.ndarray]:
    return np.split(gradient, np.cumsum([one.shape[1] for one in read])[:-1], axis=1)


_BACKWARD: Mapping[type[Node], Callable[..., list[np.ndarray]]] = {
    Conv: _conv_backward,
    FullyConnected: lambda node, tensors, read, gradient: [
        (gradient.reshape(len(gradient), -1) @ tensors["weight"]).reshape(read[0].shape)
    ],
    MaxPool: _max_pool_backward,
    AveragePool: _average_pool_backward,
    Add: lambda node, tensors, read, gradient: [gradient] * len(read),
    Concat: _concat_backward,
    Relu: lambda node, tensors, read, gradient: [gradient * (read[0] > 0)],
    Clip: lambda node, tensors, read, gradient: [gradient * ((read[0] > 0) & (read[0] < node.high))],
    Affine: lambda node, tensors, read, gradient: [gradient * tensors["scale"][:, None, None]],
}

_KINDS: Mapping[type[Node], Callable[..., np.ndarray]] = {
    Conv: _conv,
    FullyConnected: _fully_connected,
    MaxPool: _max_pool,
    AveragePool: _average_pool,
    Add: lambda node, tensors, *maps: sum(maps[1:], maps[0]),
    Concat: lambda node, tensors, *maps: np.concatenate(maps, axis=1),
    Relu: lambda node, tensors, maps: np.maximum(maps, 0),
    Clip: _clip,
    Affine: _affine,
}

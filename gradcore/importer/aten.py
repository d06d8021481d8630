# SPDX-License-Identifier: Apache-2.0
"""The operators of PyTorch (aten) that become nodes of a graph, each with the arguments that are understood.

``torch.export`` gives them as a module calls them, not decomposed. Those that only move values are run on the places of the values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional

from gradcore.importer.builder import check_convolution
from gradcore.importer.operator import Operator, Rule, Value
from gradcore.importer.operators import difference, product, quotient, relu, softmax, total
from gradcore.importer.problems import Refused
from gradcore.importer.views import ZERO, View
from gradcore.importer.windows import ceil_overhang, pair, same_padding
from gradcore.network.graph import Pair, Sides

_EVAL = "export the module for inference: module.eval()"


def _sides(padding: Sequence[int] | int) -> Sides:
    down, across = [padding] * 2 if isinstance(padding, int) else (list(padding) * 2)[:2]
    return down, across, down, across


def _conv(operator: Operator) -> Sequence[Value]:
    weight, bias = operator.weights(1, "weight"), operator.weights(2, "bias")
    stride, dilation = (pair(operator.get(name, 1), name) for name in ("stride", "dilation"))
    check_convolution(weight.shape[2:], stride)
    view = operator.map()
    padding = operator.get("padding", 0)
    if padding == "valid":
        padding = 0
    sides = _sides(padding) if padding != "same" else same_padding(view.index.shape[2:], weight.shape[2:], stride, dilation, upper=True)
    return [operator.builder.conv(operator.name, view, weight, bias, stride, sides, dilation, int(operator.get("groups", 1)))]


def _pool(operator: Operator) -> tuple[View, Pair, Pair, Sides, Pair, Pair]:
    """(view, kernel, stride, padding, dilation, what ceil mode adds)."""
    view = operator.map()
    kernel = pair(operator.get("kernel_size"), "kernel_size")
    stride = pair(operator.get("stride") or kernel, "stride")
    dilation, padding = pair(operator.get("dilation", 1), "dilation"), _sides(operator.get("padding", 0))
    beyond = ceil_overhang(view.index.shape[2:], kernel, stride, padding, dilation) if operator.get("ceil_mode") else (0, 0)
    return view, kernel, stride, padding, dilation, beyond


def _max_pool(operator: Operator) -> Sequence[Value]:
    view, kernel, stride, (top, left, bottom, right), dilation, beyond = _pool(operator)
    return [operator.builder.max_pool(operator.name, view, kernel, stride, (top, left, bottom + beyond[0], right + beyond[1]), dilation)]


def _average_pool(operator: Operator) -> Sequence[Value]:
    view, kernel, stride, padding, dilation, beyond = _pool(operator)
    counts = bool(operator.get("count_include_pad", True))
    return [operator.builder.average_pool(operator.name, view, kernel, stride, padding, dilation, counts, beyond)]


def _adaptive_average_pool(operator: Operator) -> Sequence[Value]:
    view = operator.map()
    size, wanted = view.index.shape[2:], pair(operator.get("output_size"), "output_size")
    if any(given % one for given, one in zip(size, wanted, strict=True)):
        raise Refused(f"output_size = {list(wanted)} of a map of {size[0]} x {size[1]}: its windows are not of one size", "use a divisor")
    if wanted == (1, 1):
        return [operator.builder.mean(operator.name, view, (2, 3), True)]
    kernel = (size[0] // wanted[0], size[1] // wanted[1])
    return [operator.builder.average_pool(operator.name, view, kernel, kernel, (0, 0, 0, 0), (1, 1), False, (0, 0))]


def _mean(operator: Operator) -> Sequence[Value]:
    view = operator.view()
    axes = operator.get("dim")
    axes = range(view.index.ndim) if axes is None else [axes] if isinstance(axes, int) else axes
    return [operator.builder.mean(operator.name, view, list(axes), bool(operator.get("keepdim")))]


def _batch_norm(operator: Operator) -> Sequence[Value]:
    if operator.get("training"):
        raise Refused("training = True", _EVAL)
    scale, shift, mean, variance = (operator.weights(place, what) for place, what in enumerate(("weight", "bias", "mean", "variance"), 1))
    view = operator.view()
    if mean is None or variance is None:
        raise Refused("it keeps no statistics", "train with track_running_stats = True")
    factor = (1.0 if scale is None else scale) / np.sqrt(variance + operator.get("eps", 1e-5))
    offset = (0.0 if shift is None else shift) - mean * factor
    shape = (-1, *[1] * (view.index.ndim - 2))
    return [operator.builder.affine(operator.name, view, factor.reshape(shape), offset.reshape(shape))]


def _linear(operator: Operator) -> Sequence[Value]:
    weight, bias = operator.weights(1, "weight"), operator.weights(2, "bias")
    return [_layer(operator, operator.view(), weight, bias)]


def _matrix_product(operator: Operator) -> Sequence[Value]:
    weight = operator.weights(1, "second factor")
    view = operator.view()
    if weight.ndim != 2:
        raise Refused(f"its second factor has {weight.ndim} axes", "use a matrix")
    return [_layer(operator, view, weight.T, None)]


def _add_matrix_product(operator: Operator) -> Sequence[Value]:
    bias, weight = operator.weights(0, "bias"), operator.weights(2, "weight")
    return [_layer(operator, operator.view(1), weight.T, np.broadcast_to(bias, (1, weight.shape[1])).reshape(-1))]


def _layer(operator: Operator, view: View, weight: np.ndarray, bias: np.ndarray | None) -> View:
    shape = view.index.shape
    if math.prod(shape[:-1]) != 1:
        raise Refused(f"its input has the shape {' x '.join(map(str, shape))}, and a layer takes one vector", "flatten the map before it")
    return operator.builder.fully_connected(operator.name, view, weight, bias, (*shape[:-1], len(weight)))


def _clamp(low_name: str, high_name: str, low: float = -math.inf, high: float = math.inf) -> Callable[[Operator], Sequence[Value]]:
    def translate(operator: Operator) -> Sequence[Value]:
        first, last = operator.get(low_name), operator.get(high_name)
        first, last = low if first is None else float(first), high if last is None else float(last)
        if first != 0 or not last > 0:
            raise Refused(f"{low_name} = {first:g}, {high_name} = {last:g}, and clips begin at 0 and end above", "use ReLU or ReLU6")
        if last == math.inf:
            return relu(operator)
        return [operator.builder.clip(operator.name, operator.view(), last)]

    return translate


def _scaled(translate: Callable[[Operator], Sequence[Value]]) -> Callable[[Operator], Sequence[Value]]:
    def check(operator: Operator) -> Sequence[Value]:
        if operator.get("alpha", 1) != 1:
            raise Refused(f"alpha = {operator.get('alpha')}", "multiply before, by a constant")
        return translate(operator)

    return check


def _concat(operator: Operator) -> Sequence[Value]:
    tensors = [value if isinstance(value, np.ndarray) else operator.view(place) for place, value in enumerate(operator.inputs)]
    return [operator.builder.concat(operator.name, tensors, int(operator.get("dim", 0)))]


def _pad(operator: Operator) -> Sequence[Value]:
    if operator.get("mode", "constant") != "constant" or operator.get("value"):
        raise Refused(f"mode = {operator.get('mode')}, value = {operator.get('value')}", "pad with zeros")
    pads = list(operator.get("pad"))
    return [operator.view().moved(lambda index: functional.pad(torch.from_numpy(index), pads, value=ZERO).numpy())]


def _dropout(operator: Operator) -> Sequence[Value]:
    if operator.get("train"):
        raise Refused("train = True", _EVAL)
    return [operator.view()]


def _same(operator: Operator) -> Sequence[Value]:
    return [operator.view(after_softmax=True)]


def _to(operator: Operator) -> Sequence[Value]:
    kind = operator.get("dtype")
    if kind not in (None, torch.float32):
        raise Refused(f"dtype = {kind}", "keep maps in float32")
    return [operator.view()]


_WINDOWS = {"kernel_size": "any", "stride": "any", "padding": "any", "ceil_mode": "False, True"}
_CONV = {"stride": "1 to 4", "padding": "any", "dilation": "any", "groups": "any"}
_CLIP = "clip (ReLU6), or relu"
RULES: dict[str, Rule] = {
    "adaptive_avg_pool2d": Rule(_adaptive_average_pool, {"output_size": "a divisor of the map's size"}, "average_pool"),
    "add": Rule(_scaled(total), {"alpha": "1"}, "add; with a constant for each channel: affine, folded"),
    "addmm": Rule(_add_matrix_product, {}, "fully_connected"),
    "avg_pool2d": Rule(_average_pool, {**_WINDOWS, "count_include_pad": "False, True"}, "average_pool"),
    "batch_norm": Rule(_batch_norm, {"training": "False", "momentum": "any", "eps": "any", "cudnn_enabled": "any"}, "affine, folded"),
    "cat": Rule(_concat, {"dim": "any that joins channels"}, "concat"),
    "clamp": Rule(_clamp("min", "max"), {"min": "0", "max": "above 0"}, _CLIP),
    "clamp_min": Rule(_clamp("min", "max"), {"min": "0"}, "relu"),
    "conv2d": Rule(_conv, _CONV, "conv"),
    "div": Rule(quotient, {}, "by a constant for each channel: affine, folded"),
    "hardtanh": Rule(_clamp("min_val", "max_val", -1.0, 1.0), {"min_val": "0", "max_val": "above 0"}, _CLIP),
    "linear": Rule(_linear, {}, "fully_connected"),
    "log_softmax": Rule(softmax, {"dim": "any", "dtype": "any"}, "left out at the end, refused elsewhere"),
    "matmul": Rule(_matrix_product, {}, "fully_connected"),
    "max_pool2d": Rule(_max_pool, {**_WINDOWS, "dilation": "any"}, "max_pool"),
    "mean": Rule(_mean, {"dim": "height and width", "keepdim": "False, True"}, "average_pool"),
    "mm": Rule(_matrix_product, {}, "fully_connected"),
    "mul": Rule(product, {}, "by a constant for each channel: affine, folded"),
    "relu": Rule(relu, {}, "relu"),
    "relu6": Rule(lambda operator: [operator.builder.clip(operator.name, operator.view(), 6.0)], {}, "clip"),
    "softmax": Rule(softmax, {"dim": "any", "dtype": "any"}, "left out at the end, refused elsewhere"),
    "sub": Rule(_scaled(difference), {"alpha": "1"}, "with a constant for each channel: affine, folded; of maps: affine and add"),
    "constant_pad_nd": Rule(_pad, {"pad": "any", "value": "0"}, "padding of what is behind it, else a convolution of 0 and 1"),
    "pad": Rule(_pad, {"pad": "any", "mode": "constant", "value": "0"}, "padding of what is behind it, else a convolution of 0 and 1"),
    **{name: Rule(_dropout, {"p": "any", "train": "False"}, "nothing") for name in ("dropout", "feature_dropout")},
    **{name: Rule(_same, {"memory_format": "any"}, "nothing") for name in ("alias", "clone", "contiguous", "detach", "lift_fresh_copy")},
    "to": Rule(_to, {"dtype": "float32", "non_blocking": "any", "copy": "any", "memory_format": "any"}, "nothing"),
}
# Only move values: no node. Those of the second line may stand behind a final softmax.
MOVEMENTS = (
    "channel_shuffle chunk expand narrow permute pixel_shuffle pixel_unshuffle select slice split split_with_sizes transpose unbind "
    "flatten reshape squeeze unflatten unsqueeze view"
).split()
KEEP_ALL = ("flatten", "reshape", "squeeze", "unflatten", "unsqueeze", "view")
KEEP_SHAPE = (
    "celu elu gelu hardsigmoid hardswish layer_norm group_norm instance_norm leaky_relu mish prelu selu sigmoid silu softplus tanh"
).split()  # not run; what follows is looked at as if they were left out

# SPDX-License-Identifier: Apache-2.0
"""The ONNX operators that become nodes of a graph, each with the attributes that are understood.

Those that only move values are in ``movements``. An operator that is not in either is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gradcore.importer.builder import check_convolution
from gradcore.importer.operator import Operator, Rule, Value
from gradcore.importer.problems import Refused
from gradcore.importer.views import View
from gradcore.importer.windows import ceil_overhang, pair, same_padding
from gradcore.network.graph import Pair, Sides

_ACTIVATION = "use ReLU or ReLU6 and train again, or choose an output before it with --output"


def _windows(operator: Operator, view: View, kernel: Pair) -> tuple[Pair, Sides, Pair]:
    """(stride, padding, dilation) of a convolution or pool."""
    stride = pair(operator.get("strides", [1, 1]), "strides")
    dilation = pair(operator.get("dilations", [1, 1]), "dilations")
    auto, pads = operator.get("auto_pad", "NOTSET"), operator.get("pads")
    size = view.index.shape[2:]
    if auto in ("NOTSET", ""):
        padding = tuple(pads or (0, 0, 0, 0))
        if len(padding) != 4 or min(padding) < 0:
            raise Refused(f"pads = {list(padding)}", "give four, none negative: top, left, bottom, right")
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        padding = same_padding(size, kernel, stride, dilation, upper=auto == "SAME_UPPER")
    elif auto == "VALID":
        padding = (0, 0, 0, 0)
    else:
        raise Refused(f"auto_pad = {auto}", "use NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    if auto not in ("NOTSET", ""):
        operator.builder.explicit_padding[operator.output] = padding
    return stride, padding, dilation


def _conv(operator: Operator) -> Sequence[Value]:
    weight, bias = operator.weights(1, "weight"), operator.weights(2, "bias")
    if weight is None or weight.ndim != 4:
        raise Refused(f"its weight has {0 if weight is None else weight.ndim} axes", "use convolutions of two dimensions")
    check_convolution(weight.shape[2:], pair(operator.get("strides", [1, 1]), "strides"))
    view = operator.map()
    told = operator.get("kernel_shape")
    if told is not None and tuple(told) != weight.shape[2:]:
        raise Refused(f"kernel_shape = {list(told)} and its weight is of {weight.shape[2:]}", "correct the network")
    stride, padding, dilation = _windows(operator, view, weight.shape[2:])
    groups = int(operator.get("group", 1))
    return [operator.builder.conv(operator.name, view, weight, bias, stride, padding, dilation, groups)]


def _max_pool(operator: Operator) -> Sequence[Value]:
    if operator.outputs > 1:
        raise Refused("its second output, the places of the largest, is read", "use a pool with one output")
    if operator.get("storage_order", 0):
        raise Refused("storage_order = 1", "use 0")
    view = operator.map()
    kernel = pair(operator.get("kernel_shape"), "kernel_shape")
    stride, padding, dilation = _windows(operator, view, kernel)
    if operator.get("ceil_mode", 0):
        beyond = ceil_overhang(view.index.shape[2:], kernel, stride, padding, dilation)
        padding = (padding[0], padding[1], padding[2] + beyond[0], padding[3] + beyond[1])
    return [operator.builder.max_pool(operator.name, view, kernel, stride, padding, dilation)]


def _average_pool(operator: Operator) -> Sequence[Value]:
    view = operator.map()
    kernel = pair(operator.get("kernel_shape"), "kernel_shape")
    stride, padding, dilation = _windows(operator, view, kernel)
    size, beyond = view.index.shape[2:], (0, 0)
    if operator.get("ceil_mode", 0):
        beyond = ceil_overhang(size, kernel, stride, padding, dilation)
    counts = bool(operator.get("count_include_pad", 0))
    return [operator.builder.average_pool(operator.name, view, kernel, stride, padding, dilation, counts, beyond)]


def _global_average_pool(operator: Operator) -> Sequence[Value]:
    return [operator.builder.mean(operator.name, operator.map(), (2, 3), True)]


def _global_max_pool(operator: Operator) -> Sequence[Value]:
    view = operator.map()
    return [operator.builder.max_pool(operator.name, view, view.index.shape[2:], (1, 1), (0, 0, 0, 0), (1, 1))]


def _reduce_mean(operator: Operator) -> Sequence[Value]:
    view, axes = operator.view(), operator.get("axes")
    if axes is None:
        axes = operator.constant(1, "axes")
    if axes is None or not len(axes):
        if operator.get("noop_with_empty_axes", 0):
            return [view]
        axes = range(view.index.ndim)
    return [operator.builder.mean(operator.name, view, [int(axis) for axis in axes], bool(operator.get("keepdims", 1)))]


def _gemm(operator: Operator) -> Sequence[Value]:
    if operator.get("transA", 0):
        raise Refused("transA = 1", "use transA = 0")
    weight, bias = operator.weights(1, "weight"), operator.weights(2, "bias")
    view = operator.view()
    weight = weight * operator.get("alpha", 1.0)
    weight = weight if operator.get("transB", 0) else weight.T
    if bias is not None:
        bias = _vector(bias * operator.get("beta", 1.0), len(weight))
    return [_layer(operator, view, weight, bias)]


def _mat_mul(operator: Operator) -> Sequence[Value]:
    weight = operator.weights(1, "second factor")
    view = operator.view()
    if weight.ndim != 2:
        raise Refused(f"its second factor has {weight.ndim} axes", "use a matrix")
    return [_layer(operator, view, weight.T, None)]


def _layer(operator: Operator, view: View, weight: np.ndarray, bias: np.ndarray | None) -> View:
    shape = view.index.shape
    if len(shape) < 2 or math.prod(shape[:-1]) != 1:
        raise Refused(
            f"its input has the shape {' x '.join(map(str, shape))}, and a fully connected layer takes one vector",
            "flatten the map before it, with a batch of 1",
        )
    return operator.builder.fully_connected(operator.name, view, weight, bias, (*shape[:-1], len(weight)))


def _vector(bias: np.ndarray, count: int) -> np.ndarray:
    try:
        return np.broadcast_to(bias, (1, count)).reshape(count)
    except ValueError:
        raise Refused(f"its bias has the shape {bias.shape} for {count} outputs", "give one for each output") from None


def _batch_normalization(operator: Operator) -> Sequence[Value]:
    if operator.get("training_mode", 0):
        raise Refused("training_mode = 1", "export the network for inference: module.eval()")
    if operator.outputs > 1:
        raise Refused("its statistics are read", "export the network for inference: module.eval()")
    names = ("scale", "shift", "mean", "variance")
    tensors = [operator.weights(position, what) for position, what in enumerate(names, 1)]
    view = operator.view()
    if view.index.ndim < 2:
        raise Refused(f"its input has {view.index.ndim} axes", "give pictures: 1 x channels x height x width")
    scale, shift, mean, variance = (tensor.reshape(-1, *[1] * (view.index.ndim - 2)) for tensor in tensors)
    epsilon = operator.get("epsilon", 1e-5)
    if np.any(variance + epsilon <= 0):
        raise Refused("its variance is not positive", "train the network again")
    scale = scale / np.sqrt(variance + epsilon)
    return [operator.builder.affine(operator.name, view, scale, shift - mean * scale)]


def relu(operator: Operator) -> Sequence[Value]:
    return [operator.builder.relu(operator.name, operator.view())]


def _leaky_relu(operator: Operator) -> Sequence[Value]:
    alpha = operator.get("alpha", 0.01)
    if alpha:
        raise Refused(f"alpha = {alpha:g}", _ACTIVATION)
    return relu(operator)


def _clip(operator: Operator) -> Sequence[Value]:
    low, high = (operator.constant(position, what) for position, what in ((1, "lowest"), (2, "highest")))
    low = operator.get("min", -math.inf) if low is None else float(low.reshape(-1)[0])
    high = operator.get("max", math.inf) if high is None else float(high.reshape(-1)[0])
    view = operator.view()
    if low == -math.inf and high == math.inf:
        return [view]
    if low != 0 or not high > 0:
        raise Refused(f"min = {low:g}, max = {high:g}, and clips begin at 0 and end above", _ACTIVATION)
    if high >= np.finfo(np.float32).max:
        return relu(operator)
    return [operator.builder.clip(operator.name, view, high)]


def total(operator: Operator) -> Sequence[Value]:
    """Sums of maps, and of maps and constants."""
    constants = [value for value in operator.inputs if isinstance(value, np.ndarray)]
    views = [operator.view(position) for position, value in enumerate(operator.inputs) if not isinstance(value, np.ndarray)]
    total = operator.builder.add(operator.name, views)
    for constant in constants:
        total = operator.builder.affine(operator.name, total, np.ones(()), _finite(constant))
    return [total]


def difference(operator: Operator) -> Sequence[Value]:
    first, second = operator.inputs
    if isinstance(second, np.ndarray):
        return [operator.builder.affine(operator.name, operator.view(), np.ones(()), -_finite(second))]
    if isinstance(first, np.ndarray):
        return [operator.builder.affine(operator.name, operator.view(1), -np.ones(()), _finite(first))]
    other = operator.builder.affine(f"{operator.name}.negative", operator.view(1), -np.ones(()), np.zeros(()))
    return [operator.builder.add(operator.name, [operator.view(), other])]


def product(operator: Operator) -> Sequence[Value]:
    first, second = operator.inputs
    if isinstance(first, np.ndarray) == isinstance(second, np.ndarray):
        operator.view(), operator.view(1)
        raise Refused("two maps are multiplied", "multiply by constants only: gates and attention are not run")
    factor, position = (second, 0) if isinstance(second, np.ndarray) else (first, 1)
    return [operator.builder.affine(operator.name, operator.view(position), _finite(factor), np.zeros(()))]


def quotient(operator: Operator) -> Sequence[Value]:
    if not isinstance(operator.inputs[1], np.ndarray):
        operator.view(1)
        raise Refused("it divides by a map", "divide by constants only")
    divisor = _finite(operator.inputs[1])
    if not np.all(divisor):
        raise Refused("it divides by 0", "divide by constants other than 0")
    return [operator.builder.affine(operator.name, operator.view(), 1.0 / divisor, np.zeros(()))]


def _finite(constant: np.ndarray) -> np.ndarray:
    if not np.all(np.isfinite(constant)):
        raise Refused("its constant is not finite", "train the network again")
    return constant.astype(np.float64)


def _concat(operator: Operator) -> Sequence[Value]:
    tensors = [value if isinstance(value, np.ndarray) else operator.view(position) for position, value in enumerate(operator.inputs)]
    return [operator.builder.concat(operator.name, tensors, int(operator.get("axis")))]


def softmax(operator: Operator) -> Sequence[Value]:
    view = operator.view()
    return [View(view.map, view.shape, view.index, softmax=operator.name)]


_WINDOW = {
    "auto_pad": "NOTSET, VALID, SAME_UPPER, SAME_LOWER",
    "dilations": "any",
    "kernel_shape": "any",
    "pads": "any, for each side",
    "strides": "any",
}
OPERATORS: dict[str, Rule] = {
    "Add": Rule(total, {}, "add; with a constant for each channel: affine, folded"),
    "AveragePool": Rule(_average_pool, {**_WINDOW, "ceil_mode": "0, 1", "count_include_pad": "0, 1"}, "average_pool"),
    "BatchNormalization": Rule(_batch_normalization, {"epsilon": "any", "momentum": "any", "training_mode": "0"}, "affine, folded"),
    "Clip": Rule(_clip, {"min": "0", "max": "above 0"}, "clip (ReLU6), or relu"),
    "Concat": Rule(_concat, {"axis": "any that joins channels"}, "concat"),
    "Conv": Rule(
        _conv,
        {**_WINDOW, "kernel_shape": "up to 11 x 11", "strides": "1 to 4", "group": "any"},
        "conv",
    ),
    "Div": Rule(quotient, {}, "by a constant for each channel: affine, folded"),
    "Gemm": Rule(_gemm, {"alpha": "any", "beta": "any", "transA": "0", "transB": "0, 1"}, "fully_connected"),
    "GlobalAveragePool": Rule(_global_average_pool, {}, "average_pool"),
    "GlobalMaxPool": Rule(_global_max_pool, {}, "max_pool"),
    "LeakyRelu": Rule(_leaky_relu, {"alpha": "0"}, "relu"),
    "LogSoftmax": Rule(softmax, {"axis": "any"}, "left out at the end of a network, refused elsewhere"),
    "MatMul": Rule(_mat_mul, {}, "fully_connected"),
    "MaxPool": Rule(_max_pool, {**_WINDOW, "ceil_mode": "0, 1", "storage_order": "0"}, "max_pool"),
    "Mul": Rule(product, {}, "by a constant for each channel: affine, folded"),
    "ReduceMean": Rule(_reduce_mean, {"axes": "height and width", "keepdims": "0, 1", "noop_with_empty_axes": "0, 1"}, "average_pool"),
    "Relu": Rule(relu, {}, "relu"),
    "Softmax": Rule(softmax, {"axis": "any"}, "left out at the end of a network, refused elsewhere"),
    "Sub": Rule(difference, {}, "with a constant for each channel: affine, folded; of maps: affine and add"),
    "Sum": Rule(total, {}, "add"),
}
_INTEGERS = "export the float network: GradCore quantises it itself"
_LOOP = "export the network without control flow: its shapes and steps must be fixed"
# Not run, each with its reason. For those after which a tensor has its old shape, what follows is looked at, too.
NOT_RUN: dict[str, tuple[str, str, bool]] = {
    **dict.fromkeys(
        (
            "Sigmoid",
            "Tanh",
            "HardSigmoid",
            "HardSwish",
            "Elu",
            "Selu",
            "Celu",
            "Gelu",
            "Mish",
            "Swish",
            "PRelu",
            "Softplus",
            "Softsign",
            "ThresholdedRelu",
            "Erf",
            "Exp",
            "Hardmax",
        ),
        ("the activation is not run", _ACTIVATION, True),
    ),
    **dict.fromkeys(
        (
            "LRN",
            "InstanceNormalization",
            "GroupNormalization",
            "LayerNormalization",
            "RMSNormalization",
            "LpNormalization",
            "MeanVarianceNormalization",
        ),
        (
            "a norm over the picture's own values is not run",
            "use batch norms and train again, or choose an output before it with --output",
            True,
        ),
    ),
    **dict.fromkeys(
        ("Attention", "MultiHeadAttention"), ("attention is not run", "use a convolutional network, or an output before it", False)
    ),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), ("the graph is quantised (QDQ)", _INTEGERS, True)),
    **dict.fromkeys(
        ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"),
        ("the graph is quantised", _INTEGERS, False),
    ),
    **dict.fromkeys(("If", "Loop", "Scan", "SequenceMap"), ("control flow is not run", _LOOP, False)),
    **dict.fromkeys(
        ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"),
        ("it draws random numbers", "export the network for inference: module.eval()", False),
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), ("recurrent layers are not run", "use a network of convolutions", False)),
    **dict.fromkeys(
        ("ConvTranspose", "Resize", "Upsample"), ("maps are not made larger", "choose an output before it with --output", False)
    ),
}

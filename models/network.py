# SPDX-License-Identifier: Apache-2.0
"""The golden model of a whole network: forward, and backward to the picture, in exact integers.

Feature maps are int64 arrays of shape (images, height, width, channels); a vector (fully connected layer) is a map of
1 x 1 pixels. Layer i takes activation i and makes activation i+1, so activation 0 is the picture and the last one the
logits; gradient i belongs to activation i.

Sums of products are computed by BLAS in float64, exactly: see ``arithmetic.exact_sum``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradcore.models import arithmetic

if TYPE_CHECKING:
    from gradcore.models.quantised import QuantisedLayer, QuantisedNetwork


@dataclass(frozen=True)
class LayerForward:
    """What a layer makes in the forward pass.

    Attributes:
        output: (N, H, W, C) int64, after requantisation, ReLU and pooling.
        mask: (N, H, W, C) bool, output > 0: the ReLU's mask; for a pooled layer the mask of the winners.
        index: (N, H, W, C) int64, 2*row + column of the winner; None without pooling.
        full: (N, H', W', C) int64, after requantisation and ReLU, before pooling; ``full > 0`` is the full-size mask.
        saturated: (N,) int64, how many outputs of each image saturated: see ``saturations``.
    """

    output: np.ndarray
    mask: np.ndarray
    index: np.ndarray | None
    full: np.ndarray
    saturated: np.ndarray

    @property
    def full_mask(self) -> np.ndarray:
        """(N, H', W', C) bool: the ReLU's mask at the size before pooling."""
        return self.full > 0


@dataclass(frozen=True)
class Forward:
    """Result of a forward pass: ``picture`` (N, H, W, C) and ``layers``."""

    picture: np.ndarray
    layers: tuple[LayerForward, ...]

    @property
    def logits(self) -> np.ndarray:
        """(N, values) in the order of the classes: C, H, W, as PyTorch flattens a map."""
        return flatten(self.layers[-1].output)

    @property
    def winners(self) -> np.ndarray:
        """(N,): the class that the hardware's arg-max finds. Of several equal maxima it takes the first in memory order, H, W, C:
        in a map of several pixels that need not be the first class."""
        channels, pixels = self.layers[-1].output.shape[3], self.layers[-1].output[0, :, :, 0].size
        places = np.argmax(self.layers[-1].output.reshape(len(self.picture), -1), axis=1)
        return places % channels * pixels + places // channels


@dataclass(frozen=True)
class Backward:
    """Result of a backward pass.

    Attributes:
        gradients: ``gradients[i]`` (N, H, W, C) with respect to activation i; index 0 is the picture's, the last the
            seed.
        saturated: ``saturated[i]`` (N,) int64, how many values of ``gradients[i]``, which layer i made, saturated in each
            image.
    """

    gradients: tuple[np.ndarray, ...]
    saturated: tuple[np.ndarray, ...]

    @property
    def attribution(self) -> np.ndarray:
        """(N, C, H, W): the gradient with respect to the picture, at the picture's gradient fraction."""
        return self.gradients[0].transpose(0, 3, 1, 2)


def windows(maps: np.ndarray, kernel: int) -> np.ndarray:
    """im2col with zero padding of kernel // 2: (N, H, W, C) -> (N, H, W, kernel * kernel * C), taps in row-major
    order."""
    if kernel == 1:
        return maps
    pad = kernel // 2
    padded = np.pad(maps, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    height, width = maps.shape[1:3]
    return np.concatenate([padded[:, y : y + height, x : x + width] for y in range(kernel) for x in range(kernel)], axis=-1)


def convolution(maps: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Exact accumulators (N, H, W, O) of a convolution of (N, H, W, I) maps with OIHW weights, stride 1, same size."""
    out_channels, _, kernel, _ = weights.shape
    matrix = weights.transpose(2, 3, 1, 0).reshape(-1, out_channels).astype(np.float64)
    return arithmetic.exact_sum(windows(maps.astype(np.float64), kernel), matrix)


def convolution_backward(gradients: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Exact accumulators (N, H, W, I) of the gradient: a convolution with the kernel rotated by 180 degrees, channels
    swapped."""
    return convolution(gradients, weights[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))


def flatten(maps: np.ndarray) -> np.ndarray:
    """(N, H, W, C) -> (N, C * H * W), in the C, H, W order of the weights of a fully connected layer."""
    return maps.transpose(0, 3, 1, 2).reshape(maps.shape[0], -1)


def unflatten(vectors: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """(N, C * H * W) -> (N, H, W, C); shape = (H, W, C)."""
    height, width, channels = shape
    return vectors.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)


def layer_forward(layer: QuantisedLayer, maps: np.ndarray) -> LayerForward:
    """One layer forward on (N, H, W, C) int64 maps."""
    if layer.kind == "conv":
        accumulators = convolution(maps, layer.weights)
    else:
        accumulators = arithmetic.exact_sum(flatten(maps).astype(np.float64), layer.weights.T.astype(np.float64))[:, None, None, :]
    accumulators += layer.bias
    full = arithmetic.requantise(accumulators, layer.shift)
    if layer.relu:
        full, _ = arithmetic.relu(full)
    output, index = arithmetic.max_pool(full) if layer.pool else (full, None)
    if layer.pool:  # what pooling drops is not computed
        accumulators = accumulators[:, : full.shape[1] // 2 * 2, : full.shape[2] // 2 * 2]
    saturated = arithmetic.saturated(accumulators, layer.shift, layer.relu)
    return LayerForward(output, output > 0, index, full, _for_each_image(saturated))


def layer_backward(
    layer: QuantisedLayer, trace: LayerForward, gradients: np.ndarray, shape: tuple[int, int, int], method: str
) -> tuple[np.ndarray, np.ndarray]:
    """One layer backward: from gradients (N, H, W, C) of its output to those of its input, of shape (H, W, C) =
    ``shape``; and (N,) how many of them saturated."""
    if layer.relu:
        gradients = arithmetic.relu_backward(gradients, trace.mask, method)
    if layer.pool:
        gradients = arithmetic.max_unpool(gradients, trace.index, *trace.full.shape[1:3])
    if layer.kind == "conv":
        accumulators = convolution_backward(gradients, layer.weights)
    else:
        vectors = gradients.reshape(gradients.shape[0], -1).astype(np.float64)
        accumulators = unflatten(arithmetic.exact_sum(vectors, layer.weights.astype(np.float64)), shape)
    saturated = arithmetic.saturated(accumulators, layer.backward_shift)
    return arithmetic.requantise(accumulators, layer.backward_shift), _for_each_image(saturated)


def _for_each_image(flags: np.ndarray) -> np.ndarray:
    """int64 (N,): how many of the flags (N, ...) are up."""
    return np.count_nonzero(flags.reshape(flags.shape[0], -1), axis=1)


def forward(network: QuantisedNetwork, pictures: np.ndarray) -> Forward:
    """Forward pass of quantised pictures, int (N, H, W, C) or (H, W, C)."""
    pictures = np.asarray(pictures, dtype=np.int64)
    if pictures.ndim == 3:
        pictures = pictures[None]
    traces: list[LayerForward] = []
    maps = pictures
    for layer in network.layers:
        traces.append(layer_forward(layer, maps))
        maps = traces[-1].output
    return Forward(pictures, tuple(traces))


def seed_gradient(network: QuantisedNetwork, result: Forward, target: int | np.ndarray | None = None) -> np.ndarray:
    """The seed (N, H, W, C): one-hot 1.0 at the hardware's arg-max (target None) or at the given class (or one class for
    each image), numbered as the logits."""
    logits = result.logits
    if target is None:
        indexes = result.winners
    else:
        indexes = np.broadcast_to(np.asarray(target, dtype=np.int64), logits.shape[:1])
    if np.any(indexes < 0) or np.any(indexes >= logits.shape[1]):
        raise ValueError(f"target {target} is not in 0..{logits.shape[1] - 1}")
    seed = np.zeros_like(logits)
    seed[np.arange(logits.shape[0]), indexes] = network.seed_value
    return unflatten(seed, result.layers[-1].output.shape[1:])


def backward(
    network: QuantisedNetwork,
    result: Forward,
    method: str,
    target: int | np.ndarray | None = None,
    seed: np.ndarray | None = None,
) -> Backward:
    """Backward pass from a one-hot seed (see ``seed_gradient``) or from any ``seed`` (N, H, W, C) of 16-bit values."""
    gradients = seed_gradient(network, result, target) if seed is None else np.asarray(seed, dtype=np.int64)
    inputs = [result.picture, *(trace.output for trace in result.layers)]
    chain, saturated = [gradients], []
    for position in reversed(range(len(network.layers))):
        layer, trace = network.layers[position], result.layers[position]
        made, count = layer_backward(layer, trace, chain[-1], inputs[position].shape[1:], method)
        chain.append(made)
        saturated.append(count)
    return Backward(tuple(reversed(chain)), tuple(reversed(saturated)))


def passes(network: QuantisedNetwork) -> list[tuple[str, str, int]]:
    """What a run computes, in order of execution: layer, direction (``forward``, ``backward``), number of outputs.

    Outputs of a layer are the values that it requantises: forward its activations before pooling, without a last row or
    column that pooling drops, or the logits; backward the gradient at its input. Padding is not counted.
    """
    forwards, backwards = [], []
    for layer, (height, width, channels) in zip(network.layers, network.shapes, strict=False):
        rows, columns = (height // 2 * 2, width // 2 * 2) if layer.pool else (height, width)
        outputs = (rows * columns if layer.kind == "conv" else 1) * layer.out_channels
        forwards.append((layer.name, "forward", outputs))
        backwards.insert(0, (layer.name, "backward", height * width * channels))
    return forwards + backwards


def saturations(
    network: QuantisedNetwork, result: Forward, gradients: Backward | None = None, image: int = 0
) -> list[tuple[str, str, int, int]]:
    """How many outputs of each layer saturated in one image of a batch, in order of execution.

    Returns (layer, direction, how many saturated, of how many) for each of ``passes``; without ``gradients`` for the forward
    pass alone. An output has saturated when it does not fit 16 bits after the shift, so that it was clipped: see
    ``arithmetic.saturated``. This is what the hardware's register LAYER_SATURATED counts, in every bit.
    """
    counts = [trace.saturated[image] for trace in result.layers]
    if gradients is not None:
        counts += [saturated[image] for saturated in reversed(gradients.saturated)]
    return [(name, direction, int(count), outputs) for (name, direction, outputs), count in zip(passes(network), counts, strict=False)]

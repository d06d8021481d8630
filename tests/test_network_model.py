# SPDX-License-Identifier: Apache-2.0
"""The golden model of a network, against PyTorch's autograd on integers small enough for nothing to be rounded."""

from __future__ import annotations

import numpy as np
import pytest

from gradcore.models import arithmetic
from gradcore.models import network as golden
from gradcore.network import Layer, Network
from gradcore.quantise import Quantisation, quantise
from tb.support.random_networks import random_quantised
from tb.support.seeds import SEEDS

TOPOLOGIES = {
    "conv": ([Layer("conv", "a", 3, 4, 3), Layer("conv", "b", 4, 2, 1, relu=False)], (3, 5, 4)),
    "pools": (
        [
            Layer("conv", "a", 2, 4, 3, pool=True),
            Layer("conv", "b", 4, 3, 3, relu=False, pool=True),
            Layer("conv", "c", 3, 5, 1),
        ],
        (2, 9, 11),
    ),
    "fc": ([Layer("fc", "a", 24, 7), Layer("fc", "b", 7, 5, relu=False)], (2, 3, 4)),
    "mixed": (
        [
            Layer("conv", "a", 1, 3, 5, pool=True),
            Layer("conv", "b", 3, 2, 3),
            Layer("fc", "c", 24, 6, bias=False),
            Layer("fc", "d", 6, 4, relu=False),
        ],
        (1, 7, 9),
    ),
}


def integer_network(name: str, seed: int):
    """A network of small integers with fraction 0 everywhere, and a batch of pictures."""
    layers, shape = TOPOLOGIES[name]
    rng = np.random.default_rng(seed)
    network = Network.random(layers, shape)
    for key, tensor in network.weights.items():
        network.weights[key] = rng.integers(-2, 3, tensor.shape).astype(np.float32)
    zeros = Quantisation((0,) * len(layers), (0,) * (len(layers) + 1), (0,) * (len(layers) + 1))
    return network, quantise(network, zeros), rng.integers(-3, 4, (3, shape[1], shape[2], shape[0]))


def torch_run(network, pictures, method):
    """(logits, gradient) by PyTorch in float64, with the method's rule at every ReLU."""
    import torch

    class Relu(torch.autograd.Function):
        @staticmethod
        def forward(context, values):
            context.save_for_backward(values)
            return values.clamp(min=0)

        @staticmethod
        def backward(context, gradient):
            (values,) = context.saved_tensors
            if method != "saliency":
                gradient = gradient.clamp(min=0)
            return gradient if method == "deconvnet" else gradient * (values > 0)

    start = torch.tensor(pictures.transpose(0, 3, 1, 2), dtype=torch.float64, requires_grad=True)
    values = start
    for layer in network.layers:
        weight = torch.tensor(network.weights[f"{layer.name}.weight"], dtype=torch.float64)
        bias = torch.tensor(network.weights[f"{layer.name}.bias"], dtype=torch.float64) if layer.bias else None
        if layer.kind == "conv":
            values = torch.nn.functional.conv2d(values, weight, bias, padding=layer.kernel // 2)
        else:
            values = torch.nn.functional.linear(values.flatten(1), weight, bias)
        values = Relu.apply(values) if layer.relu else values
        values = torch.nn.functional.max_pool2d(values, 2) if layer.pool else values
    logits = values.flatten(1)
    logits[torch.arange(len(logits)), logits.argmax(dim=1)].sum().backward()
    return logits.detach().numpy(), start.grad.numpy()


@pytest.mark.parametrize("method", arithmetic.METHODS)
@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("seed", SEEDS)
def test_equals_autograd_where_nothing_is_rounded(name, method, seed):
    network, quantised, pictures = integer_network(name, seed)
    forward = golden.forward(quantised, pictures)
    assert max(np.abs(trace.full).max() for trace in forward.layers) < 32767, "the test's numbers are too large"
    backward = golden.backward(quantised, forward, method)
    assert max(np.abs(gradient).max() for gradient in backward.gradients) < 32767
    logits, gradient = torch_run(network, pictures, method)
    np.testing.assert_array_equal(forward.logits, logits)
    np.testing.assert_array_equal(backward.attribution, gradient)


def test_a_batch_is_its_images():
    quantised, picture = random_quantised(8, kind="mixed", size=(7, 7))
    rng = np.random.default_rng(0)
    pictures = np.stack([picture, rng.integers(-32768, 32768, picture.shape), np.zeros_like(picture)])
    together = golden.forward(quantised, pictures)
    gradients = golden.backward(quantised, together, "guided")
    for number, one in enumerate(pictures):
        alone = golden.forward(quantised, one)
        np.testing.assert_array_equal(together.logits[number], alone.logits[0])
        np.testing.assert_array_equal(gradients.attribution[number], golden.backward(quantised, alone, "guided").attribution[0])


def counted_with_torch(quantised, picture, method):
    """Saturated outputs and outputs of each pass, in order of execution: sums by PyTorch, counted one tensor at a time."""
    import torch

    forward = golden.forward(quantised, picture)
    backward = golden.backward(quantised, forward, method)

    def count(sums, shift, relu):
        exact = np.floor(sums.numpy() / 2.0**shift + 0.5)
        return int(np.count_nonzero(exact > 32767) + (0 if relu else np.count_nonzero(exact < -32768))), exact.size

    inputs = [forward.picture, *(trace.output for trace in forward.layers)]
    forwards, backwards = [], []
    for position, (layer, trace) in enumerate(zip(quantised.layers, forward.layers, strict=True)):
        values = torch.tensor(inputs[position].transpose(0, 3, 1, 2), dtype=torch.float64)
        gradient = torch.tensor(backward.gradients[position + 1].transpose(0, 3, 1, 2), dtype=torch.float64)
        weight = torch.tensor(layer.weights, dtype=torch.float64)
        bias = torch.tensor(layer.bias, dtype=torch.float64)
        mask = torch.tensor(trace.mask.transpose(0, 3, 1, 2))
        if layer.relu and method != "saliency":
            gradient = gradient.clamp(min=0)
        if layer.relu and method != "deconvnet":
            gradient = gradient * mask
        if layer.kind == "fc":
            sums = torch.nn.functional.linear(values.flatten(1), weight, bias)
            back = gradient.flatten(1) @ weight
        else:
            sums = torch.nn.functional.conv2d(values, weight, bias, padding=layer.kernel // 2)
            if layer.pool:
                winners = torch.nn.functional.max_pool2d(torch.tensor(trace.full.transpose(0, 3, 1, 2)).double(), 2, return_indices=True)[1]
                spread = torch.zeros(sums.shape, dtype=torch.float64)
                gradient = spread.flatten(2).scatter(2, winners.flatten(2), gradient.flatten(2)).reshape(sums.shape)
                sums = sums[:, :, : sums.shape[2] // 2 * 2, : sums.shape[3] // 2 * 2]
            back = torch.nn.functional.conv_transpose2d(gradient, weight, padding=layer.kernel // 2)
        forwards.append((layer.name, "forward", *count(sums, layer.shift, layer.relu)))
        backwards.insert(0, (layer.name, "backward", *count(back, layer.backward_shift, False)))
    return forwards + backwards


@pytest.mark.parametrize("method", arithmetic.METHODS)
def test_saturations_are_those_that_pytorch_counts(method):
    found = set()
    for number in range(12):
        quantised, picture = random_quantised(number, saturate=True, max_macs=400_000)
        forward = golden.forward(quantised, picture)
        counts = golden.saturations(quantised, forward, golden.backward(quantised, forward, method))
        assert counts == counted_with_torch(quantised, picture, method), number
        assert counts[: len(quantised.layers)] == golden.saturations(quantised, forward)
        assert [count[:2] + count[3:] for count in counts] == golden.passes(quantised)
        kinds = {layer.name: (layer.kind, layer.relu, layer.pool) for layer in quantised.layers}
        found |= {(direction, *kinds[name]) for name, direction, values, _ in counts if values}
    for kind, pool in (("conv", False), ("conv", True), ("fc", False)):
        for relu in (False, True):
            assert ("forward", kind, relu, pool) in found
        assert any(("backward", kind, relu, pool) in found for relu in (False, True))


def test_saturations_of_a_batch_are_those_of_its_images():
    quantised, picture = random_quantised(3, saturate=True, kind="mixed", size=(7, 7))
    rng = np.random.default_rng(0)
    pictures = np.stack([picture, rng.integers(-32768, 32768, picture.shape), np.zeros_like(picture)])
    together = golden.forward(quantised, pictures)
    gradients = golden.backward(quantised, together, "saliency")
    counts = [golden.saturations(quantised, together, gradients, image) for image in range(3)]
    for one, count in zip(pictures, counts, strict=True):
        alone = golden.forward(quantised, one)
        assert count == golden.saturations(quantised, alone, golden.backward(quantised, alone, "saliency"))
    assert len({tuple(count) for count in counts}) > 1


def test_masks_and_indexes_have_the_pooled_size():
    _, quantised, pictures = integer_network("pools", 3)
    trace = golden.forward(quantised, pictures).layers[0]
    assert trace.full_mask.shape == (3, 9, 11, 4)
    assert trace.mask.shape == trace.index.shape == trace.output.shape == (3, 4, 5, 4)
    np.testing.assert_array_equal(trace.mask, trace.output > 0)


def test_seed_at_a_class_and_any_seed():
    _, quantised, pictures = integer_network("fc", 4)
    forward = golden.forward(quantised, pictures)
    seed = golden.seed_gradient(quantised, forward, 2)
    assert seed.sum() == 3 * quantised.seed_value and np.all(seed[:, 0, 0, 2] == quantised.seed_value)
    by_class = golden.backward(quantised, forward, "saliency", target=2)
    by_seed = golden.backward(quantised, forward, "saliency", seed=seed)
    np.testing.assert_array_equal(by_class.attribution, by_seed.attribution)
    with pytest.raises(ValueError, match="target"):
        golden.seed_gradient(quantised, forward, 5)


def test_sums_that_float64_cannot_hold_are_noticed():
    with pytest.raises(AssertionError, match="not exact"):
        arithmetic.exact_sum(np.full((1, 2), 2.0**30), np.full((2, 1), 2.0**30))


def test_products_stay_exact_at_the_ends_of_the_range():
    weights = np.full((2, 100, 3, 3), -32768)
    maps = np.full((1, 4, 4, 100), -32768)
    assert golden.convolution(maps, weights)[0, 1, 1, 0] == 900 * (1 << 30)

# SPDX-License-Identifier: Apache-2.0
"""The rules of arithmetic: against PyTorch, and at their corners; against fxpmath see test_specification.py."""

from __future__ import annotations

import numpy as np
import pytest

from gradcore.models import arithmetic
from tb.support.seeds import SEEDS


def test_half_is_rounded_up():
    np.testing.assert_array_equal(arithmetic.requantise([-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5], 1), [-2, -2, -1, -1, 0, 0, 1, 1, 2, 2, 3])
    np.testing.assert_array_equal(arithmetic.requantise([127, 128, -128, -129], 8), [0, 1, 0, -1])


def test_saturation():
    np.testing.assert_array_equal(
        arithmetic.requantise([32767, 32768, -32768, -32769, 1 << 46, -(1 << 46)], 0),
        [32767, 32767, -32768, -32768, 32767, -32768],
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shift", [0, 1, 8, 17, 31])
def test_saturated_is_what_would_be_another_number_in_more_bits(shift, seed):
    rng = np.random.default_rng((shift, seed))
    ends = [edge << shift for edge in (-32769, -32768, -1, 0, 32767, 32768)]
    accumulators = np.array([end + step for end in ends for step in (-(1 << shift), -1, 0, 1, (1 << shift) >> 1)])
    accumulators = np.concatenate([accumulators, rng.integers(-(1 << 46), 1 << 46, 50)])
    exact = [(int(one) * 2 + (1 << shift)) // (2 << shift) for one in accumulators]  # round half up, any size
    clipped = arithmetic.requantise(accumulators, shift)
    plain, relu = arithmetic.saturated(accumulators, shift), arithmetic.saturated(accumulators, shift, relu=True)
    np.testing.assert_array_equal(plain, [one != value for one, value in zip(exact, clipped, strict=True)])
    np.testing.assert_array_equal(relu, [max(one, 0) != max(value, 0) for one, value in zip(exact, clipped, strict=True)])
    assert 0 < relu.sum() < plain.sum() < len(plain)
    assert np.any((clipped == 32767) & ~plain) and np.any((clipped == -32768) & ~plain)  # at the end, but not clipped


def test_relu_mask_is_one_exactly_above_zero():
    values, mask = arithmetic.relu([-1, 0, 1])
    np.testing.assert_array_equal(values, [0, 0, 1])
    np.testing.assert_array_equal(mask, [False, False, True])


@pytest.mark.parametrize(("method", "expected"), [("saliency", [-3, 0, 5, 0]), ("deconvnet", [0, 0, 5, 7]), ("guided", [0, 0, 5, 0])])
def test_relu_backward_rules(method, expected):
    np.testing.assert_array_equal(arithmetic.relu_backward([-3, -3, 5, 7], np.array([True, False, True, False]), method), expected)


def test_relu_backward_refuses_an_unknown_method():
    with pytest.raises(ValueError, match="saliency"):
        arithmetic.relu_backward([1], np.array([True]), "gradcam")


def test_the_first_of_equal_values_wins_the_pool():
    window = np.array([[3, 3], [3, 3]])[..., None]
    values, index = arithmetic.max_pool(window)
    assert values.item() == 3 and index.item() == 0
    window[0, 0] = 2
    assert arithmetic.max_pool(window)[1].item() == 1
    window[0, 1] = 2
    assert arithmetic.max_pool(window)[1].item() == 2


@pytest.mark.parametrize("shape", [(2, 2), (3, 5), (8, 6), (7, 7)])
def test_pool_and_unpool_are_those_of_pytorch(shape):
    import torch

    rng = np.random.default_rng(sum(shape))
    maps = rng.integers(-2, 3, (2, *shape, 3))  # few different values: many ties
    values, index = arithmetic.max_pool(maps)
    tensor = torch.tensor(maps.transpose(0, 3, 1, 2), dtype=torch.float64, requires_grad=True)
    pooled = torch.nn.functional.max_pool2d(tensor, 2)
    gradients = rng.integers(-9, 10, values.shape)
    pooled.backward(torch.tensor(gradients.transpose(0, 3, 1, 2), dtype=torch.float64))
    np.testing.assert_array_equal(values.transpose(0, 3, 1, 2), pooled.detach().numpy())
    np.testing.assert_array_equal(arithmetic.max_unpool(gradients, index, *shape).transpose(0, 3, 1, 2), tensor.grad.numpy())


def test_the_first_of_equal_logits_wins():
    assert arithmetic.arg_max([1, 5, 5, 2]) == 1

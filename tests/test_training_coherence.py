# SPDX-License-Identifier: Apache-2.0
"""The loss of the last stage of training: what a unit's share of the gradient is, what is lost, and which units are kept on and off."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcore.training.coherence import Coherence, CoherenceLoss, rule


def chain(rectified, pictures=5):
    """Three fully connected layers with random weights, what enters them, and their pre-activations."""
    torch.manual_seed(3)
    linears = [torch.nn.Linear(*size) for size in ((60, 24), (24, 16), (16, 4))]
    entering = torch.randn(pictures, 60)
    before = [entering.relu() if rectified else entering]
    for linear in linears:
        before.append(linear(before[-1].relu() if len(before) > 1 else before[0]))
    return linears, before[0], before[1:]


def gradients(linears, entering, masks, target, method, rectified):
    """The gradient that passes at the inputs of each layer, from the top, with these masks of the hidden layers."""
    gradient, passing = linears[-1].weight[target], []
    for position in (1, 0):
        gradient = rule(gradient, masks[position], method) @ linears[position].weight
        below = masks[0] if position else (entering > 0).float()
        passing.insert(0, rule(gradient, below, method) if position or rectified else gradient)
    return passing


@pytest.mark.parametrize("rectified", [True, False])
@pytest.mark.parametrize("method", ["saliency", "guided"])
def test_a_turned_unit_turns_the_gradient_by_its_share(method, rectified):
    """Each unit is switched by hand: the part of the change that lies across the gradient is the share that is computed."""
    linears, entering, before = chain(rectified)
    turns, _ = CoherenceLoss(linears, Coherence(), rectified).shares(entering, before, method)
    masks, checked = [(values > 0).float() for values in before[:2]], 0
    for picture in range(len(entering)):
        one, target = entering[picture], int(before[-1][picture].argmax())
        own = [mask[picture] for mask in masks]
        plain = gradients(linears, one, own, target, method, rectified)
        for position in (0, 1):
            here = plain[position]
            for unit in range(len(own[position])):
                other = [mask.clone() for mask in own]
                other[position][unit] = 1 - other[position][unit]
                change = gradients(linears, one, other, target, method, rectified)[position] - here
                if method == "guided" and (position or rectified):
                    change = change * (here > 0)  # the formula is linear: what the clamp opens or closes is not in it
                    if bool(((here + change)[here > 0] <= 0).any()):
                        continue
                across = change.square().sum() - (change @ here).square() / here.square().sum()
                share = float((across / here.square().sum()).detach())
                assert float(turns[position][picture, unit].detach()) == pytest.approx(share, abs=1e-5)
                checked += 1
    assert checked > 60


@pytest.mark.parametrize("method", ["saliency", "deconvnet", "guided"])
def test_peaks_are_shares_of_the_gradient(method):
    linears, entering, before = chain(rectified=True)
    _, peaks = CoherenceLoss(linears, Coherence(), rectified=True).shares(entering, before, method)
    passed = peaks if method == "deconvnet" else peaks * (entering > 0)
    np.testing.assert_allclose(passed.sum(1).detach(), np.ones(5), atol=1e-5)
    assert CoherenceLoss(linears, Coherence(), rectified=False).shares(entering, before, method)[1] is None


def test_only_what_is_near_zero_and_above_its_share_is_lost():
    linears, entering, before = chain(rectified=True, pictures=50)

    def loss(**settings):
        return float(CoherenceLoss(linears, Coherence(density=None, **settings), rectified=True)(entering, before).detach())

    assert loss(turn=1e3, spread=1e3) == 0 < loss(turn=0.01, spread=1e3) < loss(turn=0.001, spread=1e3)
    assert loss(turn=0.01, spread=1e3, reach=1e-6) == 0 < loss(turn=1e3, spread=0.01)


def test_units_are_kept_on_and_off():
    linears, entering, before = chain(rectified=True)
    for density, sign in ((0.0, 1), (1.0, -1)):
        CoherenceLoss(linears, Coherence(turn_weight=0, spread_weight=0, density=density), rectified=True)(entering, before).backward(
            retain_graph=True
        )
        for linear in linears[:-1]:
            assert bool((linear.bias.grad * sign >= 0).all() and linear.bias.grad.any())
            linear.bias.grad = None

# SPDX-License-Identifier: Apache-2.0
"""The optimisers: Muon for the matrices that batch normalisation follows, SGD for the rest, one schedule for both.

Muon (Keller Jordan, 2024) takes the nearest orthogonal matrix of the momentum as its step. A weight that batch normalisation
follows has no scale of its own, so it is kept at a fixed norm, and the learning rate is the relative size of a step.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: torch.Tensor, steps: int = 4) -> torch.Tensor:
    """The orthogonal factor of a matrix, roughly: all its singular values are brought to about 1 (Newton-Schulz, in bfloat16)."""
    a, b, c = _NEWTON_SCHULZ
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Orthogonalised Nesterov momentum on weights of two or more dimensions, each kept at the norm sqrt(outputs)."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.6) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                average = state["momentum"].mul_(group["momentum"]).add_(weight.grad)
                direction = weight.grad.add(average, alpha=group["momentum"])
                weight.mul_(len(weight) ** 0.5 / weight.norm())
                weight.add_(orthogonalise(direction.reshape(len(direction), -1)).view_as(weight), alpha=-group["lr"])


class KeptMuon(Muon):
    """Muon on weights that keep the norm that they have: a step's size is relative to it."""

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if "norm" not in state:
                    state["norm"] = weight.norm().clone()
                weight.mul_(len(weight) ** 0.5 / weight.norm())
        super().step()
        for group in self.param_groups:
            for weight in group["params"]:
                weight.mul_(self.state[weight]["norm"] / weight.norm())


class Schedule:
    """Several optimisers on one schedule: a linear rise over ``warmup`` steps, then a linear fall that would reach zero at ``steps``."""

    def __init__(self, optimisers: list[torch.optim.Optimizer], steps: int, warmup: int = 0) -> None:
        self.optimisers, self.steps, self.warmup, self.done = optimisers, steps, warmup, 0
        self._rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]

    def step(self) -> None:
        """One step of every optimiser, then clear the gradients."""
        factor = (1 - self.done / self.steps) * (min(1.0, (self.done + 1) / self.warmup) if self.warmup else 1.0)
        for optimiser, rates in zip(self.optimisers, self._rates, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.done += 1

    def state_dict(self) -> dict:
        """What ``load_state_dict`` needs to go on where this left off."""
        return {"done": self.done, "optimisers": [optimiser.state_dict() for optimiser in self.optimisers]}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a saved state."""
        self.done = state["done"]
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)

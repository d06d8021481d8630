# SPDX-License-Identifier: Apache-2.0
"""The last stage of training: make contributions of fully connected units agree, so that none decides the attribution alone.

A gradient depends on activations only through masks of ReLUs and winners of pools. In 16 bits a fully connected unit that lies close
enough to zero is on where float has it off, or the other way round, in one picture of some hundred, whatever is trained; its
contribution to the gradient then comes or goes as a whole. How much that turns the gradient is another matter, and can be taught: a
contribution that points where the others point together makes the gradient longer, but turns it little.

Let W be the weights of a hidden fully connected layer, c the gradient at its outputs, a the part of it that the ReLUs pass, and m the
mask of what enters: g = m * (a W) is the gradient there. If unit i turns, g changes by d = c_i (m * W_i), and the share of its energy
that it then has across its old direction is

    t_i = (|d|^2 |g|^2 - (d . g)^2) / |g|^4 ,        a cosine, or Pearson's r, of about sqrt(1 - t_i).

The layers before stay as they are, and the attribution follows g through them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from gradcore.backends.pytorch import build_module
from gradcore.models.arithmetic import METHODS
from gradcore.network import Layer, Network
from gradcore.training.optimiser import KeptMuon, Schedule
from gradcore.training.views import Views

_DENSITY_BAND = 0.05  # on either side of its target, in which the push grows to its full size
_WARMUP = 50  # steps
_TINY = 1e-20  # stands for no energy, and for no deviation

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Coherence:
    """What the last stage asks of hidden fully connected layers with ReLU. A network without them has no last stage.

    Attributes:
        epochs: passes over the training pictures; 0 leaves the stage out.
        batch: pictures a step.
        matrix_rate, other_rate: learning rates of Muon and of SGD.
        turn: share of the gradient's energy across its direction that one unit may cause (t above); more is lost.
        turn_weight: of this loss.
        reach: a unit counts by a Gaussian of its distance from zero; this is the Gaussian's deviation, in deviations of the unit.
        spread: share of the gradient's energy that one value of the map that enters may carry; more is lost.
        spread_weight: of this loss.
        density: share of units to keep on. None: no push.
        density_push: how hard.
    """

    epochs: int = 20
    batch: int = 500
    matrix_rate: float = 0.06
    other_rate: float = 0.02
    turn: float = 0.007
    turn_weight: float = 1.0
    reach: float = 0.7
    spread: float = 0.004
    spread_weight: float = 0.7
    density: float | None = 0.33
    density_push: float = 1.0


def first_hidden(layers: Sequence[Layer]) -> int | None:
    """The position of the first hidden fully connected layer; None if there is none, or one without ReLU."""
    hidden = [position for position, layer in enumerate(layers[:-1]) if layer.kind == "fc"]
    return hidden[0] if hidden and all(layers[position].relu for position in hidden) else None


def rule(gradient: torch.Tensor, mask: torch.Tensor, method: str) -> torch.Tensor:
    """A ReLU's backward rule (see ``gradcore.models.arithmetic.relu_backward``)."""
    if method != "saliency":
        gradient = gradient.clamp(min=0)
    return gradient if method == "deconvnet" else gradient * mask


def turned(weight: torch.Tensor, contribution: torch.Tensor, mask: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The share t of the gradient's energy that comes to lie across its direction when a unit turns, (N, units).

    Args:
        weight: of the layer, (units, inputs).
        contribution: the gradient at each unit's output, (N, units), were the unit on.
        mask: of what passes at the layer's inputs, (N, inputs).
        gradient: that passes there, (N, inputs).
    """
    energy = gradient.square().sum(1, keepdim=True).clamp(min=_TINY)
    across = (mask @ weight.square().T) * energy - (gradient @ weight.T).square()
    return contribution.square() * across.clamp(min=0) / energy.square()


class CoherenceLoss:
    """The losses of one batch on a chain of fully connected layers, the last of which gives the logits."""

    def __init__(self, linears: Sequence[nn.Linear], settings: Coherence, rectified: bool) -> None:
        """``rectified``: what enters comes from a ReLU."""
        self._linears, self._settings, self._rectified = linears, settings, rectified

    def __call__(self, entering: torch.Tensor, before: Sequence[torch.Tensor]) -> torch.Tensor:
        """The loss, a scalar; ``entering``: (N, inputs); ``before``: each layer's pre-activations, (N, outputs)."""
        losses = [self.gradient_loss(entering, before, method) for method in METHODS]
        return torch.stack([*losses, self._density_loss(before)]).sum()

    def gradient_loss(self, entering: torch.Tensor, before: Sequence[torch.Tensor], method: str) -> torch.Tensor:
        """The loss of units that turn, and of peaks, for one method."""
        settings, total = self._settings, torch.zeros(())
        turns, peaks = self.shares(entering, before, method)
        for values, turn in zip(before, turns, strict=False):
            near = torch.exp(-0.5 * (values / values.std(0).detach().clamp(min=_TINY) / settings.reach).square())
            total = total + settings.turn_weight * (near * (turn - settings.turn).clamp(min=0)).sum(1).mean()
        if peaks is not None:
            total = total + settings.spread_weight * (peaks - settings.spread).clamp(min=0).sum(1).mean()
        return total

    def shares(self, entering: torch.Tensor, before: Sequence[torch.Tensor], method: str) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """What the losses are of, as shares of the gradient's energy.

        Returns:
            For each hidden layer t of its units, (N, units); no layers for DeconvNet, which asks no mask of a ReLU. And the energy of
            each value that enters the first, (N, inputs), were its mask 1; None if it comes from no ReLU.
        """
        turns, peaks = [], None
        gradient = self._linears[-1].weight[before[-1].argmax(1)]
        for position in reversed(range(len(self._linears) - 1)):
            weight, values = self._linears[position].weight, before[position]
            below = before[position - 1] if position else entering
            contribution = gradient if method == "saliency" else gradient.clamp(min=0)
            gradient = rule(gradient, (values > 0).float(), method) @ weight
            passed, mask = gradient, torch.ones_like(below)
            if position or self._rectified:
                passed = rule(gradient, (below > 0).float(), method)
                mask = ((below if method == "saliency" else passed) > 0).float()
            if method != "deconvnet":
                turns.insert(0, turned(weight, contribution, mask, passed).float())
            if position == 0 and self._rectified:
                strength = (gradient if method == "saliency" else gradient.clamp(min=0)).float().square()
                peaks = strength / passed.float().square().sum(1, keepdim=True).clamp(min=_TINY)
        return turns, peaks

    def _density_loss(self, before: Sequence[torch.Tensor]) -> torch.Tensor:
        """Pushes biases down where too many units are on, and up where too few are."""
        total = torch.zeros(())
        if self._settings.density is None:
            return total
        for linear, values in zip(self._linears[:-1], before[:-1], strict=True):
            share = (values.detach() > 0).float().mean(0)
            excess = min(1.0, max(-1.0, (float(share.mean()) - self._settings.density) / _DENSITY_BAND))
            total = total + self._settings.density_push * excess * (linear.bias * share).sum()
        return total


def cohere(
    network: Network,
    views: Views,
    lessons: tuple[np.ndarray, np.ndarray],
    labels: np.ndarray,
    settings: Coherence,
    *,
    loss: Loss,
    seed: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Train a folded network's fully connected layers on, in place, on a teacher's lessons and with ``CoherenceLoss``.

    Args:
        network: the network; it has a hidden fully connected layer.
        views: of the training pictures.
        lessons: the views of each picture that a teacher labelled, (N, K), and its logits, (N, K, classes).
        labels: (N,).
        settings: see ``Coherence``.
        loss: of logits, of the teacher's, and of labels.
        seed: of everything that is random.
        tick: told the steps done, and all of them.
    """
    first = first_hidden(network.layers)
    assert first is not None
    parts = list(build_module(network))
    split = next(position for position, part in enumerate(parts) if isinstance(part, nn.Linear))
    front = nn.Sequential(*parts[:split]).to(memory_format=torch.channels_last)
    linears = [part for part in parts[split:] if isinstance(part, nn.Linear)]
    hidden = linears[:-1]
    sgd = torch.optim.SGD(
        [{"params": [linear.bias for linear in hidden]}, {"params": linears[-1].parameters(), "weight_decay": 5e-4}],
        lr=settings.other_rate,
        momentum=0.9,
        nesterov=True,
    )
    steps = len(views) // settings.batch
    schedule = Schedule(
        [KeptMuon([linear.weight for linear in hidden], settings.matrix_rate), sgd],
        settings.epochs * steps,
        min(_WARMUP, settings.epochs * steps // 10),
    )
    measured = CoherenceLoss(linears, settings, rectified=first > 0 and network.layers[first - 1].relu)
    asked, said = lessons
    generator = np.random.default_rng([seed, 1])
    for epoch in range(settings.epochs):
        order = generator.permutation(len(views))
        for step in range(steps):
            chosen = np.sort(order[step * settings.batch : (step + 1) * settings.batch])
            which = generator.integers(0, asked.shape[1], len(chosen))
            with torch.autocast("cpu", torch.bfloat16):
                with torch.no_grad():
                    entering = front(views.batch(chosen, asked[chosen, which].astype(np.int64)))
                before = _forward(linears, entering)
                total = measured(entering.float(), before)
            total = total + loss(before[-1], torch.from_numpy(said[chosen, which]).float(), torch.from_numpy(labels[chosen]))
            total.backward()
            schedule.step()
            tick(epoch * steps + step + 1, settings.epochs * steps)
    for layer, linear in zip(network.layers[first:], linears, strict=True):
        for what in ("weight", "bias"):
            network.weights[f"{layer.name}.{what}"] = getattr(linear, what).detach().numpy().copy()


def _forward(linears: Sequence[nn.Linear], values: torch.Tensor) -> list[torch.Tensor]:
    """The pre-activations of a chain of fully connected layers, float32."""
    before = []
    for linear in linears:
        before.append(linear(values).float())
        values = functional.relu(before[-1])
    return before

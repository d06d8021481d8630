# SPDX-License-Identifier: Apache-2.0
"""The last stage of training: move what decides a gradient away from the points where rounding could turn it.

A gradient depends on activations only through the masks of ReLUs and the winners of pools. In 16 bits an activation close enough to
zero, or to the other one that it competes with, falls on the wrong side; if much of the gradient passes there, the attribution is
another one. So a unit whose share of the gradient's energy is large is taught a distance from both. And high peaks are pushed down,
since the highest value of a channel sets its scale, and so the rounding error of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from gradcore.float_backend import build_module
from gradcore.models.arithmetic import METHODS
from gradcore.network import Layer, Network
from gradcore.training.formats import equalise, round_first, scale_channels, spans
from gradcore.training.optimiser import Muon, Schedule
from gradcore.training.views import Views

_DENSITY_BAND = 0.05
_STAYS_ON = 0.9  # share of a batch from which a fully connected unit is asked to stay on
LIFT = 1.0  # deviations above zero at which the lowest value seen of a unit that is kept on shall lie
KEPT_ON = 0.99  # share of pictures from which a unit counts as one that is kept on: its bias is not pushed
_MEASURED = 8000  # pictures that channels' highest values are taken of
_WARMUP = 50  # steps

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Margins:
    """What the last stage asks of activations; distances and heights in units of the root mean square pre-activation of a convolution, and
    of the deviation of a fully connected unit.

    Attributes:
        steps: of the stage; 0 leaves it out.
        rate: learning rates, as a share of the recipe's.
        kept: share of the weights before the stage in the mean of before and after that is the result: accuracy lies between, too.
        views: of each picture that are learnt from, of those that the teacher labelled.
        batch: pictures a step.
        pictures: of a batch that the losses below are taken of; the others only keep the task.
        distance: wanted of a pooled layer's highest pre-activation from zero and from the second of its window.
        fc_distance: wanted of a fully connected unit's pre-activation from zero.
        fc_on: wanted of it above zero where a unit is kept on.
        share: of the gradient's energy from which a unit counts in full; below it counts with the square of its share.
        weight, fc_weight: of these losses, for pooled and for fully connected layers.
        spread_weight: of the energy that single units of pooled layers carry above ``share`` / 2.
        fc_share, fc_reach, fc_spread_weight: of fully connected layers: of the energy (of saliency) that single units carry above
            ``fc_share``, the less the farther they are from zero, down to nothing at ``fc_reach``.
        peak: height from which an activation of a convolution is pushed down.
        peak_weight: how hard.
        density: shares of non-zero values to hold, one for each hidden layer that this stage trains. Empty: no push.
        density_push: how hard.
    """

    steps: int = 800
    rate: float = 0.2
    kept: float = 0.5
    views: int = 4
    batch: int = 125
    pictures: int = 80
    distance: float = 0.1
    fc_distance: float = 0.1
    fc_on: float = 3.0
    share: float = 0.01
    weight: float = 0.03
    fc_weight: float = 0.05
    spread_weight: float = 1.0
    fc_share: float = 0.01
    fc_reach: float = 2.0
    fc_spread_weight: float = 1.0
    peak: float = 4.0
    peak_weight: float = 20.0
    density: tuple[float, ...] = (0.36, 0.35, 0.45)
    density_push: float = 1.0


def rule(gradient: torch.Tensor, mask: torch.Tensor, method: str) -> torch.Tensor:
    """A ReLU's backward rule (see ``gradcore.models.arithmetic.relu_backward``)."""
    if method != "saliency":
        gradient = gradient.clamp(min=0)
    return gradient if method == "deconvnet" else gradient * mask


def second(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest and the second of each 2 x 2 window of (N, C, H, W), H and W even."""
    upper, lower = values[:, :, 0::2], values[:, :, 1::2]
    high, low = torch.maximum(upper, lower), torch.minimum(upper, lower)
    left, right = high[..., 0::2], high[..., 1::2]
    loser = torch.where(left > right, low[..., 0::2], low[..., 1::2])
    return torch.maximum(left, right), torch.maximum(torch.minimum(left, right), loser)


class MarginLoss:
    """The losses of one batch, from the pre-activations that a forward pass left."""

    def __init__(self, layers: Sequence[Layer], linears: Sequence[nn.Module], margins: Margins) -> None:
        self._layers, self._linears, self._margins = layers, linears, margins
        self.parts: dict[str, float] = {}
        self.shares: list[float] = []

    def __call__(self, entering: torch.Tensor, before: list[torch.Tensor], method: str) -> torch.Tensor:
        """The loss, a scalar; ``entering``: what the layers take; ``before``: each layer's pre-activations."""
        margins = self._margins
        count = min(len(entering), margins.pictures)
        entering, before = entering[:count], [values[:count] for values in before]
        self.parts, self.shares = {}, []
        first, *energies = self._energies(entering, before, method)
        total = self._spread("entering", first)
        for position, (layer, values, energy) in enumerate(zip(self._layers[:-1], before[:-1], energies, strict=True)):
            if layer.kind == "fc":
                total = total + self._fully_connected(layer, values.float(), energy, method)
                height = values
            else:
                loss, height = self._convolution(layer, values, energy, method)
                total = total + loss
            if margins.density:
                share = (height.detach() > 0).float().mean([0, *range(2, height.ndim)])
                self.shares.append(float(share.mean()))
                excess = min(1.0, max(-1.0, (self.shares[-1] - margins.density[position]) / _DENSITY_BAND))
                total = total + margins.density_push * excess * (self._linears[position].bias * share * (share < KEPT_ON)).sum()
        return total

    def _convolution(self, layer: Layer, values: torch.Tensor, energy: torch.Tensor, method: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss, and the (pooled) pre-activations in units of their root mean square."""
        margins, total = self._margins, torch.zeros(())
        height = values = values / values.square().mean(dtype=torch.float32).sqrt().to(values.dtype)  # nothing is won by larger ones
        if layer.pool:
            height, next_best = second(values)
            near = (1 - height.abs() / margins.distance).clamp(min=0)
            close = (1 - (height - next_best) / margins.distance).clamp(min=0) * (next_best > 0)
            loss = (self._counted(energy.detach()).to(near.dtype) * (near + close)).sum(dtype=torch.float32) / len(values)
            total = total + self._part(f"{layer.name} pool", margins.weight * loss)
        total = total + self._spread(layer.name, energy * (height > 0) if method != "deconvnet" else energy)
        over = (height - margins.peak).clamp(min=0)
        return total + self._part(f"{layer.name} peak", margins.peak_weight * (over * over).mean(dtype=torch.float32)), height

    def _fully_connected(self, layer: Layer, values: torch.Tensor, energy: torch.Tensor, method: str) -> torch.Tensor:
        """The loss: DeconvNet does not look at masks; guided backpropagation's energies are nearly saliency's."""
        margins = self._margins
        if method == "deconvnet":
            return torch.zeros(())
        values = values / values.std(0, keepdim=True).clamp(min=1e-3)
        kept_on = (values > 0).float().mean(0) > _STAYS_ON
        near = torch.where(kept_on, 1 - values / margins.fc_on, 1 - values.abs() / margins.fc_distance).clamp(min=0)
        zero = self._part(f"{layer.name} zero", margins.fc_weight * (self._counted(energy.detach() / 2) * near).sum() / len(values))
        if method != METHODS[0]:
            return zero
        reach = (1 - values.detach().abs() / margins.fc_reach).clamp(min=0)
        over = (energy * (values.detach() > 0) - margins.fc_share).clamp(min=0)
        return zero + self._part(f"{layer.name} spread", margins.fc_spread_weight * (reach * over).sum() / len(values))

    def _spread(self, name: str, energy: torch.Tensor) -> torch.Tensor:
        """The loss of single units of a map that carry too much."""
        over = (energy - self._margins.share / 2).clamp(min=0)
        return self._part(f"{name} spread", self._margins.spread_weight * over.sum() / len(energy))

    def _counted(self, energy: torch.Tensor) -> torch.Tensor:
        share = energy / self._margins.share
        return (share * share).clamp(max=1)

    def _part(self, name: str, loss: torch.Tensor) -> torch.Tensor:
        self.parts[name] = float(loss.detach())
        return loss

    def _energies(self, entering: torch.Tensor, before: list[torch.Tensor], method: str) -> list[torch.Tensor]:
        """The share of the gradient's energy, (N, ...), that passes each value that enters, and each output of each layer but the last
        were its mask 1."""
        layers, scores = self._layers, before[-1]
        energies = []
        gradient = functional.one_hot(scores.argmax(1), scores.shape[1]).to(torch.bfloat16)
        for position in reversed(range(len(layers))):
            layer, weight = layers[position], self._linears[position].weight.to(torch.bfloat16)
            if layer.kind == "conv":
                gradient = functional.conv_transpose2d(gradient, weight, padding=layer.kernel // 2)
            else:
                gradient = gradient @ weight
            below = layers[position - 1] if position else None
            values = before[position - 1].detach().clamp(min=0) if below else entering  # equal ones: the first wins, as in hardware
            full = values.shape[2:]
            if below and below.pool:
                values, index = functional.max_pool2d(values, 2, return_indices=True)
            gradient = gradient.reshape(values.shape)
            mask = values > 0
            passed = rule(gradient, mask, method)
            strength = (gradient if method == "saliency" else gradient.clamp(min=0)).float()
            strength = strength * strength
            if below and below.kind == "fc":
                strength = strength * self._linears[position - 1].weight.square().sum(1)
                whole = (strength * mask if method != "deconvnet" else strength).sum(1, keepdim=True)
            else:
                whole = (passed * passed).sum(list(range(1, passed.ndim)), keepdim=True, dtype=torch.float32)
            if not below and method != "deconvnet":
                strength = strength * mask
            energies.append(strength / whole.clamp(min=1e-20))
            gradient = passed
            if below and below.pool:
                gradient = functional.max_unpool2d(gradient.contiguous(), index.contiguous(), 2, output_size=full)
        return energies[::-1]


class Folded(nn.Module):
    """A network without batch normalisation, to be trained: normalised (N, C, H, W) to each layer's pre-activations."""

    def __init__(self, network: Network, first: int = 0) -> None:
        """The layers from ``first`` on."""
        super().__init__()
        self.layers = network.layers[first:]
        parts = [part for part in build_module(network) if isinstance(part, nn.Conv2d | nn.Linear)]
        self.linears = nn.ModuleList(parts[first:])

    def forward(self, values: torch.Tensor, number: int | None = None) -> list[torch.Tensor]:
        """Of all layers, or of the first ``number``."""
        before = []
        for layer, linear in zip(self.layers[:number], self.linears, strict=number is None):
            values = linear(values.flatten(1) if layer.kind == "fc" else values)
            before.append(values)
            if layer.pool:
                values = functional.max_pool2d(values, 2)
            if layer.relu:
                values = torch.relu(values)
        return before

    def weights(self) -> dict[str, np.ndarray]:
        """Float32 weights by tensor name."""
        return {f"{layer.name}.{what}": getattr(linear, what).detach().float().contiguous().numpy().copy()
                for layer, linear in zip(self.layers, self.linears, strict=True) for what in ("weight", "bias")}


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


def settle(network: Network, images: np.ndarray, labels: np.ndarray, chosen: np.ndarray, taught: np.ndarray, margins: Margins, *,
           loss: Loss, batch: int, shift: int, rates: tuple[float, float], seed: int = 0,
           tick: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Train a folded network on, in place, so that rounding turns fewer of the gradients that matter.

    Layers up to the first pool are equalised and the first is rounded, so that it is computed exactly; then they stay as they are.
    The layers after them go on learning from the teacher, on the first ``margins.views`` of the views that it labelled. Units that are kept
    on, last, are lifted so far that no picture seen turns them.

    Args:
        network: the network.
        images, labels: uint8 (N, H, W, C), and (N,).
        chosen, taught: the views of each picture that the teacher labelled, (N, K), and its logits, (N, K, classes).
        margins: the settings.
        loss: of logits, of what they should be, and of labels.
        batch: pictures a step.
        shift: of views.
        rates: of Muon and of SGD; ``margins.rate`` of them is taken.
        seed: of everything that is random.
        tick: told the steps done, and all of them.
    """
    kept = next((position + 1 for position, layer in enumerate(network.layers) if layer.pool), 1)
    equalise(network, spans(network, images[:_MEASURED])[0])
    round_first(network)
    deviations = spans(network, images[:_MEASURED // 8])[1]
    for position in range(1, len(network.layers) - 1):
        scale_channels(network, position, 1 / np.maximum(deviations[position], 1e-3))
    views = Views(images, shift, np.asarray(network.mean), np.asarray(network.std))
    head = Folded(network).to(memory_format=torch.channels_last)
    columns = range(min(margins.views, chosen.shape[1]))
    entering = [_features(head, kept, views, chosen[:, column].astype(np.int64), batch) for column in columns]
    said = torch.from_numpy(taught)
    tail = Folded(network, kept).to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD([{"params": [linear.bias for linear in tail.linears[:-1]]},
                           {"params": tail.linears[-1].parameters(), "weight_decay": 5e-4}],
                          lr=rates[1] * margins.rate, momentum=0.9, nesterov=True)
    muon = KeptMuon([linear.weight for linear in tail.linears[:-1]], rates[0] * margins.rate)
    schedule = Schedule([muon, sgd], margins.steps, min(_WARMUP, margins.steps // 10))
    measured = MarginLoss(tail.layers, tail.linears, margins)
    answers = torch.from_numpy(labels)
    generator = np.random.default_rng([seed, 2])
    order = np.zeros(0, dtype=np.int64)
    for step in range(margins.steps):
        if len(order) < batch:
            order = generator.permutation(len(labels))
        pictures, order = torch.from_numpy(np.sort(order[:batch])), order[batch:]
        view = int(generator.integers(len(entering)))
        batch_entering = entering[view][pictures]
        with torch.autocast("cpu", torch.bfloat16):
            before = tail(batch_entering)
        total = loss(before[-1].float(), said[pictures, view].float(), answers[pictures])
        (total + measured(batch_entering, before, METHODS[step % len(METHODS)])).backward()
        schedule.step()
        tick(step + 1, margins.steps)
    for name, learned in tail.weights().items():
        network.weights[name] = (margins.kept * network.weights[name] + (1 - margins.kept) * learned).astype(np.float32)
    _lift(network, kept, entering, batch)


@torch.inference_mode()
def _features(head: Folded, kept: int, views: Views, chosen: np.ndarray, batch: int) -> torch.Tensor:
    """What the first ``kept`` layers hand on of one view of every picture, bfloat16."""
    maps = []
    for start in range(0, len(views), batch):
        pictures = np.arange(start, min(start + batch, len(views)))
        with torch.autocast("cpu", torch.bfloat16):
            values = head(views.batch(pictures, chosen[pictures]), kept)[-1]
        if head.layers[kept - 1].pool:
            values = functional.max_pool2d(values, 2)
        maps.append(torch.relu(values).contiguous(memory_format=torch.channels_last))
    return torch.cat(maps).clone()


@torch.inference_mode()
def _lift(network: Network, kept: int, entering: Sequence[torch.Tensor], batch: int) -> None:
    """Raise the bias of each fully connected unit that is nearly always on until it always is, by far; the next layer's bias takes it back.

    So the network computes the same where the unit was on, and is linear in it elsewhere.
    """
    tail = Folded(network, kept).to(memory_format=torch.channels_last)
    for position, (layer, following) in enumerate(zip(tail.layers[:-1], tail.layers[1:], strict=True)):
        if layer.kind != "fc" or not layer.relu:
            continue
        values = []
        for maps in entering:
            for start in range(0, len(maps), batch):
                with torch.autocast("cpu", torch.bfloat16):
                    values.append(tail(maps[start : start + batch], position + 1)[-1].float())
        heights = torch.cat(values)
        kept_on = (heights > 0).float().mean(0) > KEPT_ON
        raised = ((LIFT * heights.std(0) - heights.amin(0)).clamp(min=0) * kept_on).numpy().astype(np.float64)
        bias, after = f"{layer.name}.bias", f"{following.name}.bias"
        network.weights[bias] = (network.weights[bias] + raised).astype(np.float32)
        network.weights[after] = (network.weights[after] - network.weights[f"{following.name}.weight"] @ raised).astype(np.float32)

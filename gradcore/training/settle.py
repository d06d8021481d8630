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
_MEASURED = 8000  # pictures that channels' highest values are taken of
_WARMUP = 50  # steps

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Margins:
    """What the last stage asks of activations; distances and heights in units of the layer's root mean square pre-activation.

    Attributes:
        steps: of the stage; 0 leaves it out.
        rate: learning rates, as a share of the recipe's.
        kept: share of the weights before the stage in the mean of before and after that is the result: accuracy lies between, too.
        views: of each picture that are learnt from: the picture itself, and others that are mirrored and shifted.
        batch: pictures a step.
        pictures: of a batch that the losses below are taken of; the others only keep the task.
        distance: wanted of a pooled layer's highest pre-activation from zero and from the second of its window.
        fc_distance: wanted of a fully connected layer's pre-activation from zero.
        share: of the gradient's energy from which a unit counts in full; below it counts with the square of its share.
        weight, fc_weight: of these losses, for pooled and for fully connected layers.
        spread_weight: of the energy that single units carry above ``share`` / 2, fully connected ones (of saliency) above ``fc_share``.
        fc_share: see there.
        peak: height from which an activation is pushed down.
        peak_weight: how hard.
        density: shares of non-zero values to hold, one for each hidden layer that this stage trains. Empty: no push.
        density_push: how hard.
    """

    steps: int = 800
    rate: float = 0.2
    kept: float = 0.5
    views: int = 2
    batch: int = 125
    pictures: int = 80
    distance: float = 0.1
    fc_distance: float = 0.1
    share: float = 0.01
    weight: float = 0.03
    fc_weight: float = 0.05
    spread_weight: float = 1.0
    fc_share: float = 0.05
    peak: float = 4.0
    peak_weight: float = 20.0
    density: tuple[float, ...] = (0.36, 0.35, 0.345)
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

    def __call__(self, before: list[torch.Tensor], method: str) -> torch.Tensor:
        """The loss, a scalar; ``before``: each layer's pre-activations."""
        margins = self._margins
        count = min(len(before[-1]), margins.pictures)
        before = [values[:count] for values in before]
        energies = self._energies(before, method)
        total, self.parts, self.shares = torch.zeros(()), {}, []
        for position, (layer, values, energy) in enumerate(zip(self._layers[:-1], before[:-1], energies, strict=True)):
            unit = values.square().mean(dtype=torch.float32).sqrt().to(values.dtype)
            height = values = values / unit  # so that nothing is won by making all of them larger
            if layer.kind == "fc":
                if method != "deconvnet":
                    near = (1 - values.float().abs() / margins.fc_distance).clamp(min=0)
                    loss = (self._counted(energy.detach() / 2) * near).sum() / count
                    total = total + self._part(f"{layer.name} zero", margins.fc_weight * loss)
            elif layer.pool:
                height, next_best = second(values)
                near = (1 - height.abs() / margins.distance).clamp(min=0)
                close = (1 - (height - next_best) / margins.distance).clamp(min=0) * (next_best > 0)
                loss = (self._counted(energy.detach()).to(near.dtype) * (near + close)).sum(dtype=torch.float32) / count
                total = total + self._part(f"{layer.name} pool", margins.weight * loss)
            if energy is not None and (layer.kind == "conv" or method == METHODS[0]):
                bound = margins.fc_share if layer.kind == "fc" else margins.share / 2
                peaks = (energy * (height > 0) if method != "deconvnet" else energy) - bound
                total = total + self._part(f"{layer.name} spread", margins.spread_weight * peaks.clamp(min=0).sum() / count)
            over = (height - margins.peak).clamp(min=0)
            total = total + self._part(f"{layer.name} peak", margins.peak_weight * (over * over).mean(dtype=torch.float32))
            if not margins.density:
                continue
            share = (height.detach() > 0).float().mean([0, *range(2, height.ndim)])
            self.shares.append(float(share.mean()))
            excess = min(1.0, max(-1.0, (self.shares[-1] - margins.density[position]) / _DENSITY_BAND))
            total = total + margins.density_push * excess * (self._linears[position].bias * share).sum()
        return total

    def _counted(self, energy: torch.Tensor) -> torch.Tensor:
        share = energy / self._margins.share
        return (share * share).clamp(max=1)

    def _part(self, name: str, loss: torch.Tensor) -> torch.Tensor:
        self.parts[name] = float(loss.detach())
        return loss

    def _energies(self, before: list[torch.Tensor], method: str) -> list[torch.Tensor | None]:
        """For each layer but the last: the share of the gradient's energy, (N, ...), that passes each output, were its mask 1."""
        layers, scores = self._layers, before[-1]
        energies: list[torch.Tensor | None] = [None] * (len(layers) - 1)
        first = min(position for position, layer in enumerate(layers) if layer.pool or layer.kind == "fc")
        gradient = functional.one_hot(scores.argmax(1), scores.shape[1]).to(torch.bfloat16)
        for position in reversed(range(first + 1, len(layers))):
            layer, weight = layers[position], self._linears[position].weight.to(torch.bfloat16)
            if layer.kind == "conv":
                gradient = functional.conv_transpose2d(gradient, weight, padding=layer.kernel // 2)
            else:
                gradient = gradient @ weight
            below, values = layers[position - 1], before[position - 1].detach().clamp(min=0)  # of equal ones the first wins, as in hardware
            full = values.shape[2:]
            if below.pool:
                values, index = functional.max_pool2d(values, 2, return_indices=True)
            gradient = gradient.reshape(values.shape)
            mask = values > 0
            passed = rule(gradient, mask, method)
            strength = (gradient if method == "saliency" else gradient.clamp(min=0)).float()
            strength = strength * strength
            if below.kind == "fc":
                strength = strength * self._linears[position - 1].weight.square().sum(1)
                whole = (strength * mask if method != "deconvnet" else strength).sum(1, keepdim=True)
            else:
                whole = (passed * passed).sum(list(range(1, passed.ndim)), keepdim=True, dtype=torch.float32)
            energies[position - 1] = strength / whole.clamp(min=1e-20)
            gradient = passed
            if below.pool:
                gradient = functional.max_unpool2d(gradient.contiguous(), index.contiguous(), 2, output_size=full)
        return energies


class Folded(nn.Module):
    """A network without batch normalisation, to be trained: normalised (N, C, H, W) to each layer's pre-activations."""

    def __init__(self, network: Network, first: int = 0) -> None:
        """The layers from ``first`` on."""
        super().__init__()
        self.layers = network.layers[first:]
        parts = [part for part in build_module(network) if isinstance(part, nn.Conv2d | nn.Linear)]
        self.linears = nn.ModuleList(parts[first:])

    def forward(self, values: torch.Tensor) -> list[torch.Tensor]:
        before = []
        for layer, linear in zip(self.layers, self.linears, strict=True):
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


def settle(network: Network, images: np.ndarray, labels: np.ndarray, margins: Margins, *, loss: Loss, batch: int, shift: int,
           rates: tuple[float, float], seed: int = 0, tick: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Train a folded network on, in place, so that rounding turns fewer of the gradients that matter.

    Layers up to the first pool are equalised and the first is rounded, so that it is computed exactly; then they stay as they are.
    The layers after them learn, from what the network itself says, on ``margins.views`` of the pictures.

    Args:
        network: the network.
        images, labels: uint8 (N, H, W, C), and (N,).
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
    generator = np.random.default_rng([seed, 1])
    chosen = [np.full(len(views), views.plain)]
    chosen += [generator.integers(0, views.count // 2, len(views)) * 2 + 1 for _ in range(margins.views - 1)]
    whole = Folded(network).to(memory_format=torch.channels_last)
    entering, said = zip(*(_features(whole, kept, views, which, batch) for which in chosen), strict=True)
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
        view = int(generator.integers(margins.views))
        with torch.autocast("cpu", torch.bfloat16):
            before = tail(entering[view][pictures])
        total = loss(before[-1].float(), said[view][pictures], answers[pictures])
        (total + measured(before, METHODS[step % len(METHODS)])).backward()
        schedule.step()
        tick(step + 1, margins.steps)
    for name, learned in tail.weights().items():
        network.weights[name] = (margins.kept * network.weights[name] + (1 - margins.kept) * learned).astype(np.float32)


@torch.inference_mode()
def _features(whole: Folded, kept: int, views: Views, chosen: np.ndarray, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What the first ``kept`` layers hand on of one view of every picture, bfloat16, and the logits, float32."""
    maps, logits = [], []
    for start in range(0, len(views), batch):
        pictures = np.arange(start, min(start + batch, len(views)))
        with torch.autocast("cpu", torch.bfloat16):
            before = whole(views.batch(pictures, chosen[pictures]))
        values = before[kept - 1]
        if whole.layers[kept - 1].pool:
            values = functional.max_pool2d(values, 2)
        maps.append(torch.relu(values).contiguous(memory_format=torch.channels_last))
        logits.append(before[-1].float())
    return torch.cat(maps).clone(), torch.cat(logits).clone()

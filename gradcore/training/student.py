# SPDX-License-Identifier: Apache-2.0
"""The network being trained: batch normalisation after each layer but the last, folded away when training is over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from gradcore.network import Layer

TABLE_ONE = (
    Layer("conv", "conv1", 3, 32, 3),
    Layer("conv", "conv2", 32, 32, 3, pool=True),
    Layer("conv", "conv3", 32, 64, 3),
    Layer("conv", "conv4", 64, 64, 3, pool=True),
    Layer("fc", "fc1", 4096, 128),
    Layer("fc", "fc2", 128, 10, relu=False),
)
"""The network of Table I of Bhat and Assoa, for CIFAR-10: 25,003,264 MACs."""


class Student(nn.Module):
    """A trainable form of a chain of layers: (N, C, H, W) to (N, outputs).

    Every layer but the last is followed by batch normalisation, and so has no bias of its own while it is trained.
    """

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        super().__init__()
        self.layers = layers
        self.linears, self.norms = nn.ModuleList(), nn.ModuleList()
        for layer in layers:
            last = layer is layers[-1]
            if layer.kind == "conv":
                self.linears.append(nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel, padding=layer.kernel // 2, bias=last))
                norm: nn.Module = nn.BatchNorm2d(layer.out_channels)
            else:
                self.linears.append(nn.Linear(layer.in_channels, layer.out_channels, bias=last))
                norm = nn.BatchNorm1d(layer.out_channels)
            if not last:
                self.norms.append(norm)

    def forward(self, values: torch.Tensor, watch: Callable[[torch.Tensor], None] | None = None) -> torch.Tensor:
        """Logits; ``watch`` is shown what each layer hands on, after its ReLU and pool."""
        for position, layer in enumerate(self.layers):
            if layer.kind == "fc" and values.ndim == 4:
                values = values.flatten(1)
            values = self.linears[position](values)
            if position < len(self.norms):
                values = self.norms[position](values)
            if layer.relu:
                values = torch.relu(values)
            if layer.pool:
                values = nn.functional.max_pool2d(values, 2)
            if watch:
                watch(values)
        return values.flatten(1)

    def hidden_weights(self) -> list[nn.Parameter]:
        """The matrices and kernels that batch normalisation follows."""
        return [linear.weight for linear in self.linears[:-1]]

    def fold(self) -> dict[str, np.ndarray]:
        """Float32 weights by tensor name, batch normalisation merged into weights and biases: the same function, without it."""
        weights: dict[str, np.ndarray] = {}
        for position, (layer, linear) in enumerate(zip(self.layers, self.linears, strict=True)):
            weight = linear.weight.detach().double()
            if position < len(self.norms):
                norm = self.norms[position]
                scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
                weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
                bias = norm.bias.detach().double() - norm.running_mean.double() * scale
            else:
                bias = linear.bias.detach().double()
            weights[f"{layer.name}.weight"] = weight.float().contiguous().numpy()
            weights[f"{layer.name}.bias"] = bias.float().numpy()
        return weights

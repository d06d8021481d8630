# SPDX-License-Identifier: Apache-2.0
"""The float reference of graphs: a PyTorch module of a ``Graph``, and its gradients by every method.

``gradcore.models.arithmetic.relu_backward`` says what the methods do at a ReLU and at a clip. Needs PyTorch; importing this module
without it raises ``GradCoreError``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from gradcore.backends.pytorch import ReluRule, RuledReLU
from gradcore.errors import GradCoreError
from gradcore.host.inputs import check_choice
from gradcore.models.arithmetic import METHODS
from gradcore.network.graph import INPUT, Add, Affine, AveragePool, Clip, Concat, Conv, FullyConnected, Graph, MaxPool, Node, Relu


class GraphModule(nn.Module):
    """A graph as a PyTorch module: (N, C, H, W) to (N, values), the output map flattened in the order C, H, W.

    ``steps[i]`` is node i; every ReLU is an ``nn.ReLU`` and every clip an ``nn.Hardtanh`` of its own, none works in place, so that
    hooks, and libraries such as Captum, can be used on it.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.steps = nn.ModuleList([_step(node, graph) for node in graph.nodes])
        self.eval()

    def maps(self, values: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every map (N, C, H, W) by its name, the input among them."""
        made = {INPUT: values}
        for node, step in zip(self.graph.nodes, self.steps, strict=True):
            made[node.name] = step(*[made[name] for name in node.inputs])
        return made

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The output (N, values)."""
        return self.maps(values)[self.graph.output].flatten(1)


class GraphTrace:
    """One forward pass of a graph, and as many backward passes over it as wanted.

    Args:
        graph: the graph.
        precision: float32, as a user's network runs, or float64, which is exact for small integers.
    """

    def __init__(self, graph: Graph, precision: torch.dtype = torch.float32) -> None:
        self._graph, self._rule, self._precision = graph, ReluRule(), precision
        self._module = GraphModule(graph).to(precision).requires_grad_(False)
        for position, step in enumerate(self._module.steps):
            if isinstance(step, nn.ReLU | nn.Hardtanh):
                self._module.steps[position] = RuledReLU(self._rule, getattr(step, "max_val", None))

    def forward(self, values: np.ndarray) -> np.ndarray:
        """The output (N, values) for the input (N, C, H, W).

        Raises:
            GradCoreError: what a node makes is beyond the precision.
        """
        with torch.enable_grad():
            self._input = torch.as_tensor(np.asarray(values), dtype=self._precision).requires_grad_(True)
            self._maps = self._module.maps(self._input)
        for name, made in self._maps.items():
            if not torch.isfinite(made).all():
                raise GradCoreError(f"the outputs of {name} are beyond float32: train the network with bounded weights")
        return self.map(self._graph.output).reshape(len(values), -1)

    def map(self, name: str) -> np.ndarray:
        """A map (N, C, H, W) of the last forward pass."""
        return self._maps[name].detach().numpy().copy()

    def backward(self, method: str, seed: np.ndarray) -> np.ndarray:
        """The gradient (N, C, H, W) of the input of the last forward pass, from the output's gradient ``seed`` (N, values).

        Raises:
            GradCoreError: no such method, or a gradient is beyond the precision.
        """
        return self.gradients(method, seed, [INPUT])[INPUT]

    def gradients(self, method: str, seed: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """``backward`` to any maps of the graph, by name."""
        check_choice("method", method, METHODS)
        self._rule.method = method
        output = self._maps[self._graph.output]
        start = torch.as_tensor(np.asarray(seed), dtype=self._precision).reshape(output.shape)
        made = torch.autograd.grad(output, [self._maps[name] for name in names], start, retain_graph=True)
        for name, gradient in zip(names, made, strict=True):
            if not torch.isfinite(gradient).all():
                raise GradCoreError(f"the gradients of {name} are beyond float32: train the network with bounded weights")
        return {name: gradient.numpy() for name, gradient in zip(names, made, strict=True)}


class _Conv(nn.Conv2d):
    """A convolution whose padding has four sides."""

    def __init__(self, node: Conv, channels: int) -> None:
        super().__init__(channels, node.out_channels, node.kernel, node.stride, 0, node.dilation, node.groups, node.bias)
        self.sides = _sides(node)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return super().forward(functional.pad(values, self.sides))


class _FullyConnected(nn.Linear):
    """A fully connected layer on the flattened map; makes a map of one pixel."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return super().forward(values.flatten(1))[:, :, None, None]


class _MaxPool(nn.MaxPool2d):
    """A max-pool whose padding has four sides and never wins."""

    def __init__(self, node: MaxPool) -> None:
        super().__init__(node.kernel, node.stride, dilation=node.dilation)
        self.sides = _sides(node)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return super().forward(functional.pad(values, self.sides, value=-float("inf")))


class _AveragePool(nn.Module):
    """The mean of each window, as ``AveragePool.divisors`` counts it: a sum, divided."""

    def __init__(self, node: AveragePool, size: tuple[int, int]) -> None:
        super().__init__()
        left, right, top, bottom = _sides(node)
        self.sides = (left, right + node.overhang[1], top, bottom + node.overhang[0])
        self.node = node
        self.register_buffer("divisors", torch.from_numpy(node.divisors(*size)))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        channels, node = values.shape[1], self.node
        ones = torch.ones((channels, 1, *node.kernel), dtype=values.dtype)
        sums = functional.conv2d(functional.pad(values, self.sides), ones, None, node.stride, 0, node.dilation, channels)
        return sums / self.divisors


class _Add(nn.Module):
    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return sum(values[1:], values[0])


class _Concat(nn.Module):
    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return torch.cat(values, dim=1)


class _Affine(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.empty(channels)), nn.Parameter(torch.empty(channels))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values * self.scale[:, None, None] + self.shift[:, None, None]


def _sides(node: Conv | MaxPool | AveragePool) -> tuple[int, int, int, int]:
    """The padding in the order of ``functional.pad``."""
    top, left, bottom, right = node.padding
    return left, right, top, bottom


def _step(node: Node, graph: Graph) -> nn.Module:
    """The module of one node, with its weights."""
    channels, height, width = graph.inputs_of(node)[0]
    makers = {
        Conv: lambda: _Conv(node, channels),
        FullyConnected: lambda: _FullyConnected(channels * height * width, node.out_channels, node.bias),
        MaxPool: lambda: _MaxPool(node),
        AveragePool: lambda: _AveragePool(node, (height, width)),
        Add: _Add,
        Concat: _Concat,
        Relu: nn.ReLU,
        Clip: lambda: nn.Hardtanh(0.0, node.high),
        Affine: lambda: _Affine(channels),
    }
    module = makers[type(node)]()
    tensors = {name: torch.tensor(graph.weights[f"{node.name}.{name}"]) for name in node.tensors(graph.inputs_of(node))}
    module.load_state_dict(tensors, strict=False)
    return module

# SPDX-License-Identifier: Apache-2.0
"""The float back end: PyTorch in float32. It is what the accelerator's fixed-point results are measured against.

Needs PyTorch; importing this module without it raises ``GradCoreError``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from gradcore.backends.runs import METHODS, Run, Target, class_indexes
from gradcore.errors import GradCoreError, missing_package
from gradcore.host.inputs import check_choice
from gradcore.host.progress import Progress, silent
from gradcore.network import GraphNetwork, Layer, Network, beyond_float

try:
    import torch
    from torch import nn
except ImportError:
    raise missing_package("PyTorch", "torch", needed_by="the float backend") from None

_BATCH = 64


def build_module(network: Network) -> nn.Sequential:
    """The network as a PyTorch module: normalised float32 (N, C, H, W) to logits (N, classes).

    Its children are called as ``child_names`` says, with ``<child>_relu`` and ``<child>_pool`` behind them; none works in place,
    so that hooks, and libraries such as Captum, can be used on it.
    """
    module = nn.Sequential()
    flat = False
    for layer, name in zip(network.layers, child_names(network.layers), strict=True):
        if layer.kind == "conv":
            linear: nn.Module = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel, padding=layer.kernel // 2, bias=layer.bias)
        else:
            if not flat:
                module.add_module("flatten", nn.Flatten())
                flat = True
            linear = nn.Linear(layer.in_channels, layer.out_channels, bias=layer.bias)
        tensors = {"weight": torch.tensor(network.weights[f"{layer.name}.weight"])}
        if layer.bias:
            tensors["bias"] = torch.tensor(network.weights[f"{layer.name}.bias"])
        linear.load_state_dict(tensors)
        module.add_module(name, linear)
        if layer.relu:
            module.add_module(f"{name}_relu", nn.ReLU())
        if layer.pool:
            module.add_module(f"{name}_pool", nn.MaxPool2d(2))
    if not flat:
        module.add_module("flatten", nn.Flatten())
    return module.eval()


def child_names(layers: Sequence[Layer]) -> list[str]:
    """What ``build_module`` calls each layer: its name with underscores for dots, and more of them behind it where that name is
    another child's, or an attribute that every module has."""
    taken, attributes = {"flatten"}, nn.Sequential()
    names = []
    for layer in layers:
        name = layer.name.replace(".", "_")
        while any(part in taken or hasattr(attributes, part) for part in _parts(name)):
            name += "_"
        taken.update(_parts(name))
        names.append(name)
    return names


def _parts(name: str) -> tuple[str, ...]:
    return name, f"{name}_relu", f"{name}_pool"


def logits(network: Network, images: np.ndarray) -> np.ndarray:
    """Float32 logits (N, classes) of uint8 pictures (N, H, W, C).

    Raises:
        GradCoreError: pictures of another size or type than the network takes.
    """
    values = network.normalise(images)
    module = build_module(network)
    with torch.inference_mode():
        results = [_finite(network, module, torch.from_numpy(values[start : start + _BATCH])) for start in range(0, len(values), _BATCH)]
    return torch.cat(results).numpy() if results else np.zeros((0, len(network.classes)), np.float32)


def attribution(network: Network, images: np.ndarray, method: str = "saliency", target: int | np.ndarray | None = None) -> np.ndarray:
    """Gradient of a logit with respect to the network's normalised input: float32, signed.

    Args:
        network: the network.
        images: one uint8 picture (H, W, C), or several (N, H, W, C).
        method: what a ReLU does to the gradient g; its mask is 1 where its output was positive. ``saliency``: g * mask;
            ``deconvnet``: max(g, 0); ``guided``: max(g, 0) * mask.
        target: index of the class whose logit is followed; None: each picture's predicted class; a vector (classes,) or
            (N, classes): the gradient of the logits to start from.

    Returns:
        (C, H, W) for one picture, (N, C, H, W) for several.

    Raises:
        GradCoreError: an unknown method, no such class, pictures or a vector of the wrong shape.
    """
    images = np.asarray(images)
    single = images.ndim == 3
    values = network.normalise(images[None] if single else images)
    trace = _Trace(network)
    results = []
    for start in range(0, len(values), _BATCH):
        scores = trace.forward(values[start : start + _BATCH])
        seed = target
        if np.ndim(target) == 2:
            if len(target) != len(values):
                raise GradCoreError(f"{len(target)} vectors for {len(values)} pictures: give one for each")
            seed = target[start : start + _BATCH]
        results.append(trace.backward(method, _seed(scores, seed)))
    gradients = np.concatenate(results) if results else np.zeros_like(values)
    return gradients[0] if single else gradients


class Trace(Protocol):
    """One forward pass of a network, and as many backward passes over it as wanted."""

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Logits (N, classes) of normalised input (N, C, H, W)."""

    def backward(self, method: str, seed: np.ndarray) -> np.ndarray:
        """Gradient (N, C, H, W) of the input of the last forward pass, from the logits' gradient ``seed``."""


class FloatBackend:
    """PyTorch as a back end; see ``gradcore.backends.Backend``."""

    notes: tuple[str, ...] = ()

    def __init__(self, network: Network | GraphNetwork, trace: Trace | None = None) -> None:
        """``trace`` runs the network; without it the network is a chain."""
        self._network = network
        self._trace = _Trace(network) if trace is None else trace

    def run(
        self, pictures: Sequence[np.ndarray], methods: Sequence[str], target: Target = None, progress: Progress = silent
    ) -> dict[str, list[Run]]:
        """See ``Backend.run``."""
        runs: dict[str, list[Run]] = {method: [] for method in methods}
        classes = class_indexes(target, len(self._network.classes), len(pictures))
        for start in range(0, len(pictures), _BATCH):
            progress("running PyTorch", start, len(pictures))
            part = slice(start, start + _BATCH)
            scores = self._trace.forward(self._network.normalise(np.stack(pictures[part])))
            targets = scores.argmax(axis=1) if classes is None else classes[part]
            for method in methods:
                gradients = self._trace.backward(method, _one_hot(targets, scores.shape[1]))
                runs[method] += [
                    Run(score.astype(np.float64), int(index), gradient)
                    for score, index, gradient in zip(scores, targets, gradients, strict=True)
                ]
        progress("running PyTorch", len(pictures), len(pictures))
        return runs


def _finite(network: Network, module: nn.Sequential, values: torch.Tensor) -> torch.Tensor:
    """Logits of normalised input. Raises GradCoreError if they, or what a layer computes, are beyond float32."""
    results = module(values)
    if not torch.isfinite(results).all():
        names = child_names(network.layers)
        for name, child in module.named_children():
            values = child(values)
            if name in names and not torch.isfinite(values).all():
                raise beyond_float(network, names.index(name), "outputs")
    return results


def _seed(scores: np.ndarray, target: int | np.ndarray | None) -> np.ndarray:
    """The gradient of the logits, float32 (N, classes)."""
    count, classes = scores.shape
    if target is None:
        return _one_hot(scores.argmax(axis=1), classes)
    if np.ndim(target) == 0:
        return _one_hot(np.full(count, target), classes)
    vector = np.asarray(target, dtype=np.float32)
    if vector.shape not in ((classes,), scores.shape) or not np.all(np.isfinite(vector)):
        raise GradCoreError(
            f"a target of the shape {vector.shape} for {classes} classes: give a class's index, or one finite number for each class"
        )
    return np.broadcast_to(vector, scores.shape).copy()


def _one_hot(targets: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[class_indexes(targets, classes, len(targets))]


class ReluRule:
    """The method that the ReLUs of a trace follow when a gradient passes them."""

    method = METHODS[0]


class _Rectify(torch.autograd.Function):
    """ReLU, or clip to 0..high, whose backward follows a rule: ``gradcore.models.arithmetic.relu_backward``."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, rule: ReluRule, high: float | None) -> torch.Tensor:
        ctx.rule = rule
        ctx.save_for_backward(values > 0 if high is None else (values > 0) & (values < high))
        return values.clamp(min=0, max=high)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        if ctx.rule.method != "saliency":
            gradient = gradient.clamp(min=0)
        if ctx.rule.method != "deconvnet":
            gradient = gradient * ctx.saved_tensors[0]
        return gradient, None, None


class RuledReLU(nn.Module):
    """A ReLU, or a clip to 0..high, that follows a rule in the backward pass."""

    def __init__(self, rule: ReluRule, high: float | None = None) -> None:
        super().__init__()
        self.rule, self.high = rule, high

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return _Rectify.apply(values, self.rule, self.high)


class _Trace:
    """One forward pass, and as many backward passes over it as wanted."""

    def __init__(self, network: Network) -> None:
        self._network, self._rule = network, ReluRule()
        self._module = build_module(network).requires_grad_(False)
        for name, child in list(self._module.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(self._module, name, RuledReLU(self._rule))

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Logits of normalised input."""
        with torch.enable_grad():
            self._input = torch.from_numpy(values).requires_grad_(True)
            self._logits = _finite(self._network, self._module, self._input)
        return self._logits.detach().numpy().copy()

    def backward(self, method: str, seed: np.ndarray) -> np.ndarray:
        """Gradient with respect to the input of the last forward pass."""
        check_choice("method", method, METHODS)
        self._rule.method = method
        (gradient,) = torch.autograd.grad(self._logits, self._input, torch.from_numpy(seed), retain_graph=True)
        if not torch.isfinite(gradient).all():
            raise beyond_float(self._network, 0, "gradients")
        return gradient.numpy()

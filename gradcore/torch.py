# SPDX-License-Identifier: Apache-2.0
"""The core as a PyTorch module, so that attribution libraries such as Captum run on it unchanged. Needs PyTorch.

``HardwareModule`` is what ``build_module`` of the same network is, but its forward pass is a forward run of the core, and its backward pass
a backward run that starts from the incoming gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcore.attribution import rules
from gradcore.backends import Backend, Reply, Request, Setup, open_backend
from gradcore.errors import GradCoreError, missing_package
from gradcore.host.inputs import check_choice
from gradcore.host.progress import Progress, silent
from gradcore.importer.opening import Given, load_network
from gradcore.network import Network
from gradcore.runtime.requests import levels

try:
    import torch
    from torch import nn
    from torch.autograd.function import once_differentiable
except ImportError:
    raise missing_package("PyTorch", "torch", needed_by="gradcore.torch") from None

from gradcore.backends.pytorch import child_names

ROOMS = (0, 2, 4, 6, 8)  # bits by which a seed is made smaller, one after the other, while gradients saturate


class HardwareModule(nn.Module):
    """A network that the core runs, or its bit-exact model: normalised input (N, C, H, W) to logits (N, classes).

    It has no parameters; gradients with respect to its input, and to what its layers store, are those of the core. Each input is a run
    forward and a run backward: the two are programs of their own, and the tags that the forward pass leaves are put back for the backward
    pass. A gradient is scaled by a power of two, so that it fits the format that the backward pass starts with, and what comes out is
    scaled back; where values saturate all the same, the forward pass is run again with headroom, the backward pass with a smaller gradient.

    Every layer of a chain but the last is a child, named as ``build_module`` names it, which stands for what the layer stores, behind its
    ReLU and pool: hooks, and Captum's layer methods, work on it. The network is run in pieces then, cut at the children that have hooks.

    Args:
        network: 'cifar10', the path of a network file, a ``Network``, or a ``GraphNetwork``, which runs whole: it has no children.
        backend: 'golden' or 'rtl', or a ``Setup``.
        method: the rule of the ReLUs in backward passes: 'saliency', which is the derivative, 'deconvnet' or 'guided'.
        progress: see ``gradcore.host.progress``.
        options: attributes of ``Setup``: ``preset``, ``headroom`` and so on.

    Attributes:
        classes: their names.
        runs: of the core since the module was made, forward and backward counted apart.
        cycles: clock cycles of these; 0 with 'golden'.

    Raises:
        GradCoreError: the network cannot be run, or there is no such back end or method. Calls raise it for inputs that do not fit.
    """

    def __init__(
        self,
        network: Given = "cifar10",
        backend: str | Setup = "golden",
        method: str = "saliency",
        *,
        progress: Progress = silent,
        **options: Any,
    ) -> None:
        super().__init__()
        setup = Setup.of(backend, **options)
        check_choice("backend", setup.backend, ("golden", "rtl"))
        check_choice("method", method, rules())
        loaded = load_network(network)
        self.method = method
        self.classes = tuple(loaded.classes)
        self.runs = self.cycles = 0
        self._shape = tuple(loaded.input_shape)
        self._progress = progress
        self._engines = levels(open_backend(setup, loaded))
        self._opened: list[Backend] = [next(self._engines)[1]]
        self._children: dict[str, str] = {}
        if isinstance(loaded, Network):
            for layer, name in zip(loaded.layers[:-1], child_names(loaded.layers), strict=False):  # the last stores the logits
                self._children[layer.name] = name
                self.add_module(name, nn.Identity())
        self.eval()

    def layer(self, name: str) -> nn.Module:
        """The child that stands for what a layer stores, by the layer's name. Raises GradCoreError when there is none."""
        if name not in self._children:
            raise GradCoreError(f"there is no layer {name!r}: use one of {', '.join(self._children) or 'a chain of layers'}")
        return self.get_submodule(self._children[name])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of normalised input."""
        if inputs.ndim != 4 or tuple(inputs.shape[1:]) != self._shape:
            wanted = " x ".join(map(str, ("N", *self._shape)))
            raise GradCoreError(f"the network takes inputs of {wanted}, not {' x '.join(map(str, inputs.shape))}: resize or batch them")
        run, since = _Pass(self), None
        for name in self._children:
            if _is_hooked(self.layer(name)):
                inputs = self.layer(name)(_Segment.apply(inputs, run, since, name))
                since = name
        return _Segment.apply(inputs, run, since, None)

    def _level(self, number: int) -> Backend | None:
        """The back end with the headroom that is tried at a place; None behind the last."""
        while len(self._opened) <= number:
            following = next(self._engines, None)
            if following is None:
                return None
            self._opened.append(following[1])
        return self._opened[number]

    def _execute(self, engine: Backend, requests: Sequence[Request]) -> list[Reply]:
        replies = engine.execute(requests, self._progress)
        self.runs += len(replies)
        self.cycles += sum(reply.cycles.total for reply in replies if reply.cycles is not None)
        return replies


class _Pass:
    """One forward pass of a batch: its pieces use the formats that those before them needed, or wider ones."""

    def __init__(self, module: HardwareModule) -> None:
        self._module, self._level = module, 0

    def forward(self, values: np.ndarray, since: str | None, until: str | None) -> tuple[Backend, list[Reply]]:
        """The replies to a batch (N, C, H, W), and the back end that gave them."""
        requests = [Request(one, since=since, until=until) for one in values]
        while True:
            engine = self._module._level(self._level)
            replies = self._module._execute(engine, requests)
            if not _saturated(replies) or self._module._level(self._level + 1) is None:
                return engine, replies
            self._level += 1

    def backward(self, engine: Backend, states: Sequence[Any], gradients: np.ndarray) -> list[np.ndarray | None]:
        """The gradients that come out; None where nothing came in."""
        found: list[np.ndarray | None] = [None] * len(states)
        waiting = [number for number, one in enumerate(gradients) if np.any(one)]
        for room in ROOMS:
            requests = [Request(method=self._module.method, seed=gradients[number], state=states[number], room=room) for number in waiting]
            replies = self._module._execute(engine, requests) if requests else []
            for number, reply in zip(waiting, replies, strict=True):
                found[number] = reply.gradient
            waiting = [number for number, reply in zip(waiting, replies, strict=True) if _saturated([reply])]
        return found


class _Segment(torch.autograd.Function):
    """The layers between two that have hooks, or all of them."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, run: _Pass, since: str | None, until: str | None) -> torch.Tensor:
        ctx.run, ctx.shape = run, values.shape
        ctx.engine, replies = run.forward(values.detach().cpu().double().numpy(), since, until)
        ctx.states = [reply.state for reply in replies]
        return _tensor([reply.output for reply in replies], values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        found = ctx.run.backward(ctx.engine, ctx.states, gradient.detach().cpu().double().numpy())
        nothing = np.zeros(ctx.shape[1:])
        return _tensor([nothing if one is None else one for one in found], gradient), None, None, None


def _tensor(rows: Sequence[np.ndarray], like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.stack(rows)).to(like)


def _saturated(replies: Sequence[Reply]) -> bool:
    return any(one.values for reply in replies for one in reply.saturation)


def _is_hooked(module: nn.Module) -> bool:
    """Whether somebody looks at what a module makes."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, kind, None) for kind in kinds)

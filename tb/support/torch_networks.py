# SPDX-License-Identifier: Apache-2.0
"""Networks that people know, as modules of PyTorch with generated weights: always the same ones.

LeNet-5 (LeCun and others 1998; with ReLUs and max-pools, as it is taught today), VGG-11 for CIFAR (configuration A of Simonyan and
Zisserman, with batch norms and one fully connected layer), AlexNet (Krizhevsky 2014, as torchvision has it, with a smaller head),
SqueezeNet 1.1 (Iandola and others), ResNet-18 (He and others).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

import gradcore
from gradcore.network import GraphNetwork


def _conv(entering: int, leaving: int, kernel: int, stride: int = 1, padding: int = 0) -> list[nn.Module]:
    """Convolution and ReLU."""
    return [nn.Conv2d(entering, leaving, kernel, stride, padding), nn.ReLU()]


def _normed(entering: int, leaving: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the size but for its stride, and batch norm."""
    return nn.Sequential(nn.Conv2d(entering, leaving, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(leaving))


def _lenet5() -> nn.Module:
    features = [*_conv(1, 6, 5, padding=2), nn.MaxPool2d(2), *_conv(6, 16, 5), nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    return nn.Sequential(*features, *head)


def _vgg11() -> nn.Module:
    layers: list[nn.Module] = []
    entering = 3
    for wide in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        if wide:
            layers += [_normed(entering, wide, 3), nn.ReLU()]
            entering = wide
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


def _alexnet() -> nn.Module:
    features = [*_conv(3, 64, 11, 4, 2), nn.MaxPool2d(3, 2), *_conv(64, 192, 5, padding=2), nn.MaxPool2d(3, 2)]
    features += [*_conv(192, 384, 3, padding=1), *_conv(384, 256, 3, padding=1), *_conv(256, 256, 3, padding=1), nn.MaxPool2d(3, 2)]
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(256 * 6 * 6, 256), nn.ReLU(), nn.Linear(256, 100))


class _Fire(nn.Module):
    """A squeeze to few channels, and two convolutions side by side."""

    def __init__(self, entering: int, squeezed: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(*_conv(entering, squeezed, 1))
        self.narrow, self.broad = nn.Sequential(*_conv(squeezed, wide, 1)), nn.Sequential(*_conv(squeezed, wide, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze(x)
        return torch.cat([self.narrow(x), self.broad(x)], 1)


def _squeezenet() -> nn.Module:
    layers = [*_conv(3, 64, 3, 2), nn.MaxPool2d(3, 2, ceil_mode=True), _Fire(64, 16, 64), _Fire(128, 16, 64)]
    layers += [nn.MaxPool2d(3, 2, ceil_mode=True), _Fire(128, 32, 128), _Fire(256, 32, 128), nn.MaxPool2d(3, 2, ceil_mode=True)]
    layers += [_Fire(256, 48, 192), _Fire(384, 48, 192), _Fire(384, 64, 256), _Fire(512, 64, 256)]
    return nn.Sequential(*layers, nn.Dropout(), *_conv(512, 1000, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class _Residual(nn.Module):
    """Two convolutions, and what enters added, by a convolution of its own where the shape changes."""

    def __init__(self, entering: int, wide: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = _normed(entering, wide, 3, stride), _normed(wide, wide, 3)
        self.shortcut = _normed(entering, wide, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


def _resnet18() -> nn.Module:
    stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64))
    blocks: list[nn.Module] = []
    entering = 64
    for wide in (64, 128, 256, 512):
        blocks += [_Residual(entering, wide, 1 if wide == entering else 2), _Residual(wide, wide, 1)]
        entering = wide
    return nn.Sequential(stem, nn.ReLU(), nn.MaxPool2d(3, 2, 1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


# Name: what makes the module, the shape of its input.
MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "lenet-5": (_lenet5, (1, 28, 28)),
    "vgg-11": (_vgg11, (3, 32, 32)),
    "alexnet": (_alexnet, (3, 224, 224)),
    "squeezenet-1.1": (_squeezenet, (3, 224, 224)),
    "resnet-18": (_resnet18, (3, 224, 224)),
}


def torch_module(name: str) -> nn.Module:
    """A module of ``MODULES``, for inference: weights of He's scale, batch norms with statistics that are not 0 and 1."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(20)
        module = MODULES[name][0]().eval()
        for one in module.modules():
            if isinstance(one, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(one.weight, nonlinearity="relu")
                if one.bias is not None:
                    nn.init.normal_(one.bias, std=0.1)
            elif isinstance(one, nn.BatchNorm2d):
                nn.init.normal_(one.running_mean, std=0.2)
                nn.init.uniform_(one.running_var, 0.5, 2)
                nn.init.uniform_(one.weight, 0.5, 1)
                nn.init.normal_(one.bias, std=0.2)
    return module


def torch_network(name: str) -> GraphNetwork:
    """A module of ``MODULES`` as GradCore imports it."""
    return gradcore.from_torch(torch_module(name), torch.zeros(1, *MODULES[name][1]), name=name, mean=0.5, std=0.25)

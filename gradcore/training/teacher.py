# SPDX-License-Identifier: Apache-2.0
"""The teacher: a wider network of about 120 M MACs, after airbench94 (Keller Jordan, 2024)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_LOGIT_SCALE = 1 / 9
_WHITENED = 24


class Teacher(nn.Module):
    """Three pairs of convolutions behind a fixed one that whitens 2 x 2 patches: (N, 3, H, W) to (N, classes).

    Batch normalisation has no gain, only a bias. Convolutions start as identities.
    """

    def __init__(self, widths: tuple[int, ...] = (64, 256, 256), classes: int = 10) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, _WHITENED, 2)
        self.whiten.weight.requires_grad = False
        body: list[nn.Module] = []
        channels = _WHITENED
        for width in widths:
            for entering, pool in ((channels, True), (width, False)):
                norm = nn.BatchNorm2d(width, eps=1e-12, momentum=0.4)
                norm.weight.requires_grad = False
                conv = nn.Conv2d(entering, width, 3, padding=1, bias=False)
                nn.init.dirac_(conv.weight[:entering])
                body += [conv, *([nn.MaxPool2d(2)] if pool else []), norm, nn.GELU()]
            channels = width
        self.body = nn.Sequential(*body)
        self.head = nn.Linear(channels, classes, bias=False)
        nn.init.normal_(self.head.weight)
        self.head.weight.data.div_(self.head.weight.data.std())

    def set_whitening(self, pictures: torch.Tensor) -> None:
        """Fit the first convolution to normalised pictures (N, 3, H, W): each eigenvector of their patches, and its negative."""
        patches = pictures.float().unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, _WHITENED // 2)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        kernels = (vectors / (values + 5e-4).sqrt()).T.flip(0).reshape(-1, 3, 2, 2)
        self.whiten.weight.data = torch.cat([kernels, -kernels])
        self.whiten.bias.data.zero_()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values = self.body(functional.gelu(self.whiten(values)))
        return self.head(functional.adaptive_max_pool2d(values, 1).flatten(1)) * _LOGIT_SCALE

    def kernels(self) -> list[nn.Parameter]:
        """The trained kernels, each followed by batch normalisation."""
        return [module.weight for module in self.body if isinstance(module, nn.Conv2d)]

    def biases(self) -> list[nn.Parameter]:
        """The biases of batch normalisation."""
        return [module.bias for module in self.body if isinstance(module, nn.BatchNorm2d)]

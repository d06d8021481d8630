# SPDX-License-Identifier: Apache-2.0
"""Views: pictures shifted by a few pixels and mirrored, and what a teacher says about them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn


class Views:
    """Every view of a set of pictures, made when asked for.

    A view is a number in 0 .. ``count`` - 1: ``((dy * side) + dx) * 2 + mirrored`` with dy, dx in 0 .. ``side`` - 1, where
    ``side`` is 2 * ``shift`` + 1 and dy = dx = ``shift`` leaves the picture in place. What a shift uncovers is reflected.
    """

    def __init__(self, images: np.ndarray, shift: int, mean: np.ndarray, std: np.ndarray) -> None:
        """``images``: uint8, (N, H, W, C); ``mean``, ``std``: for each channel, of pixel values in 0..1."""
        self.shift, self.side = shift, 2 * shift + 1
        self.count = self.side * self.side * 2
        padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="reflect")
        self._windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[1:3], axis=(1, 2))
        self._scale = torch.from_numpy((1 / (255 * std)).astype(np.float32))
        self._offset = torch.from_numpy((mean / std).astype(np.float32))

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def plain(self) -> int:
        """The view that is the picture itself."""
        return (self.shift * self.side + self.shift) * 2

    def batch(self, pictures: np.ndarray, views: np.ndarray) -> torch.Tensor:
        """Normalised bfloat16 (B, C, H, W), channels last, of one view each of the pictures with these indices."""
        mirrored, place = views % 2 == 1, views // 2
        pixels = self._windows[pictures, place // self.side, place % self.side].transpose(0, 2, 3, 1)
        pixels = np.where(mirrored[:, None, None, None], pixels[:, :, ::-1], pixels)
        values = torch.from_numpy(pixels).float() * self._scale - self._offset
        return values.to(torch.bfloat16).permute(0, 3, 1, 2)


def predict(model: nn.Module, views: Views, chosen: np.ndarray, tick: Callable[[int], None], batch: int = 500) -> torch.Tensor:
    """Float32 logits (N, classes) of one view of every picture; ``chosen`` (N,) says which."""
    model.eval()
    logits = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(views), batch):
            pictures = np.arange(start, min(start + batch, len(views)))
            logits.append(model(views.batch(pictures, chosen[pictures])).float())
            tick(len(pictures))
    model.train()
    return torch.cat(logits).clone()


def ask_teacher(
    teacher: nn.Module, views: Views, number: int, generator: np.random.Generator, tick: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray]:
    """``number`` different views of every picture, drawn at random, (N, number), and the teacher's logits for them, float16
    (N, number, classes)."""
    chosen = generator.permuted(np.tile(np.arange(views.count), (len(views), 1)), axis=1)[:, :number].astype(np.int16)
    logits = [predict(teacher, views, chosen[:, column].astype(np.int64), tick).half().numpy() for column in range(number)]
    return chosen, np.stack(logits, axis=1)

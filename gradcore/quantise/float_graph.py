# SPDX-License-Identifier: Apache-2.0
"""Passes in float32 with NumPy alone: what number formats are chosen by. Maps are (N, H, W, C), in the units of ``Passes.units``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.models.graph import sums, sums_backward
from gradcore.models.network import flatten, unflatten
from gradcore.models.passes import INPUT, Pass, Passes
from gradcore.models.windows import gather, scatter


@dataclass(frozen=True)
class FloatPass:
    """What a pass makes: ``full`` (N, H', W', O) before its pool, the ``mask`` of what it writes (0 < x, below a clip's limit), and the
    ``index`` of the winners of its pool or None."""

    full: np.ndarray
    mask: np.ndarray
    index: np.ndarray | None


@dataclass(frozen=True)
class FloatForward:
    """Every map, and what each pass made, by name."""

    maps: Mapping[str, np.ndarray]
    passes: Mapping[str, FloatPass]


def forward(passes: Passes, inputs: np.ndarray) -> FloatForward:
    """Every pass on inputs (N, H, W, C).

    Raises:
        GradCoreError: what a pass makes is beyond float32.
    """
    inputs = np.asarray(inputs, dtype=np.float32)
    maps = {name: np.zeros((len(inputs), *shape), dtype=np.float32) for name, shape in passes.maps.items()}
    maps[INPUT] = inputs
    traces = {}
    for one in passes.passes:
        with np.errstate(all="ignore"):
            full = np.float32(0)
            for source in one.sources:
                read = maps[source.reads.map][..., source.reads.channels]
                full = full + sums(source, source.weights.astype(np.float32), read, one.size, np.matmul)
            full = (full + one.bias).astype(np.float32)
        if not np.all(np.isfinite(full)):
            raise _beyond(one.name, "outputs")
        if one.relu:
            full = np.clip(full, 0, one.limit)
        output, index = (full, None) if one.pool is None else _pool(one, full, passes.maps[one.makes.map][:2])
        mask = output > 0 if one.limit is None else (output > 0) & (output < one.limit)
        traces[one.name] = FloatPass(full, mask, index)
        maps[one.makes.map][..., one.makes.channels] = output
    return FloatForward(maps, traces)


def _pool(one: Pass, full: np.ndarray, places: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    windows = gather(full, one.pool, places, fill=-np.inf)
    return windows.max(axis=3), windows.argmax(axis=3)


def backward(passes: Passes, result: FloatForward, method: str) -> dict[str, np.ndarray]:
    """The gradient of every map, by name, from the one-hot seed at the arg-max.

    Raises:
        GradCoreError: a gradient is beyond float32.
    """
    gradients = {name: np.zeros_like(values) for name, values in result.maps.items()}
    logits = flatten(result.maps[passes.output])
    seed = np.zeros_like(logits)
    seed[np.arange(len(logits)), logits.argmax(axis=1)] = 1.0
    gradients[passes.output] = unflatten(seed, passes.maps[passes.output])
    for one in reversed(passes.passes):
        trace, gradient = result.passes[one.name], gradients[one.makes.map][..., one.makes.channels]
        if one.relu:
            if method != "saliency":
                gradient = np.maximum(gradient, 0)
            if method != "deconvnet":
                gradient = gradient * trace.mask
        if one.pool is not None:
            taken = trace.index[..., None, :] == np.arange(one.pool.taps)[:, None]
            gradient = scatter(np.where(taken, gradient[..., None, :], np.float32(0)), one.pool, one.size)
        for source in one.sources:
            size = passes.maps[source.reads.map][:2]
            with np.errstate(all="ignore"):
                made = sums_backward(source, source.weights.astype(np.float32), gradient, size, np.matmul)
                gradients[source.reads.map][..., source.reads.channels] += made
            if not np.all(np.isfinite(made)):
                raise _beyond(one.name, "gradients")
    return gradients


def _beyond(name: str, what: str) -> GradCoreError:
    return GradCoreError(f"the {what} of {name} are beyond float32: train the network with bounded weights")

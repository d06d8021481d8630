# SPDX-License-Identifier: Apache-2.0
"""Attributions of pictures, on a back end; run again with headroom where values saturate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import GradCoreError
from ..inputs import Progress, silent
from ..requests import Engine, levels
from ..results import Run
from .case import Aim, Case
from .methods import MOST_RUNS, Method

KEPT_VALUES = 1 << 22  # of all layers' maps, up to which they are kept with the result


def attribute(
    engine: Engine,
    pictures: Sequence[np.ndarray],
    method: Method,
    aim: Aim,
    parameters: Mapping[str, Any],
    progress: Progress = silent,
    keep: bool | None = None,
) -> Iterator[Run]:
    """The attribution of each picture, uint8 (H, W, C), or of any input as real numbers (C, H, W), by a method.

    Args:
        engine: the back end. Where it decides on headroom, a picture is run again, by all of the method, until nothing saturates.
        aim: what is explained.
        parameters: see ``Method.checked``.
        keep: whether results have the maps of all layers; None: where they are not large.

    Raises:
        GradCoreError: a parameter, class or layer that does not fit the network.
    """
    aim.check(len(engine.classes))
    keep = keeps(engine) if keep is None else keep
    for pixels in pictures:
        shape = (pixels.shape[2], *pixels.shape[:2]) if pixels.dtype == np.uint8 else pixels.shape
        runs = method.runs(parameters, shape)
        if runs > MOST_RUNS:
            raise GradCoreError(f"{method.name} would take {runs:,} runs, at most are {MOST_RUNS:,}: give larger windows or strides")
        first: Run | None = None
        for bits, level in levels(engine):
            case = Case(level, pixels, aim, parameters, keep=keep or "layer" in parameters, runs=runs, progress=progress)
            run = case.result(method.compute(case))
            if first is not None:
                run = replace(run, headroom=bits, without_headroom=first.saturation)
            first = first or run
            if not any(one.values for one in run.saturation):
                break
        yield run


def keeps(engine: Engine) -> bool:
    """Whether the maps of all layers are few enough to be kept with every result."""
    return sum(int(np.prod(shape)) for shape in engine.layers.values()) <= KEPT_VALUES

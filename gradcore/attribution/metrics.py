# SPDX-License-Identifier: Apache-2.0
"""Is a map any good? Deletion and insertion, sensitivity, sparseness, likeness: numbers from attributions, with NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradcore.runtime.attribution import stretched

STEPS = 16  # of deletion and insertion: pixels are changed in so many groups
RADIUS, SAMPLES = 0.02, 10  # of the sensitivity, Captum's: noise in the normalised input, and how often it is drawn


def ranked(attribution: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """int64 (H * W,): pixels, the most important first: by the attribution (C, h, w), stretched to ``size``, summed over its
    channels."""
    importance = stretched(attribution, size).sum(axis=0).reshape(-1)
    return np.argsort(-importance, kind="stable")


def flipped(
    inputs: np.ndarray, attribution: np.ndarray, baseline: float = 0.0, steps: int = STEPS, insert: bool = False
) -> list[np.ndarray]:
    """Inputs (C, H, W) of a deletion or insertion curve (Samek et al., 2015; Petsiuk et al., 2018): ``steps`` + 1 of them.

    Deletion begins with the input and puts the baseline in place of its pixels, the most important first; insertion begins with the
    baseline and puts the input's pixels in place.
    """
    order, shape = ranked(attribution, inputs.shape[1:]), inputs.shape
    begin, end = np.full_like(inputs, baseline), inputs
    begin, end = (begin, end) if insert else (end, begin)
    made = []
    for step in range(steps + 1):
        changed, chosen = begin.reshape(shape[0], -1).copy(), order[: round(step * order.size / steps)]
        changed[:, chosen] = end.reshape(shape[0], -1)[:, chosen]
        made.append(changed.reshape(shape))
    return made


def area(curve: Sequence[float]) -> float:
    """The area under a curve over 0..1, by trapezia."""
    values = np.asarray(curve, dtype=np.float64)
    return float((values[1:] + values[:-1]).sum() / 2 / (len(values) - 1))


def max_sensitivity(
    explain: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, radius: float = RADIUS, samples: int = SAMPLES, seed: int = 0
) -> float:
    """The largest relative change of an attribution when the input changes a little (Yeh et al., 2019), as Captum's ``sensitivity_max``:
    noise is uniform in -radius..radius, the norm Frobenius'."""
    before = explain(inputs)
    size = np.linalg.norm(before)
    noise = np.random.default_rng(seed).uniform(-radius, radius, (samples, *inputs.shape))
    changes = [float(np.linalg.norm(explain(inputs + one) - before)) for one in noise]
    return max(changes) / size if size else (0.0 if not any(changes) else float("inf"))


def sparseness(attribution: np.ndarray) -> float:
    """Gini's index of |attribution| (Chalasani et al., 2020): 0 where all places have the same, near 1 where one has all."""
    values = np.sort(np.abs(np.asarray(attribution, dtype=np.float64)).reshape(-1))
    total, count = values.sum(), values.size
    if not total:
        return 0.0
    return float(((2 * np.arange(1, count + 1) - count - 1) * values).sum() / (count * total))


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of |one| and |other| (Adebayo et al., 2018), equal values with their mean rank; 0 where one does not
    vary."""
    ranks = [_ranks(np.abs(np.asarray(values, dtype=np.float64)).reshape(-1)) for values in (one, other)]
    if not all(np.ptp(values) for values in ranks):
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places.reshape(-1)]

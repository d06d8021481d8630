# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/vector/seed_unit.v: the winning class of a map of logits, and the one-hot gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcore import hardware
from gradcore.models import arithmetic
from gradcore.models.jobs import SeedUnitJob
from gradcore.models.memory import ReadWords

ARG_MAX, GIVEN, SUPPLIED = hardware.SEED_MODE_ARG_MAX, hardware.SEED_MODE_INDEX, hardware.SEED_MODE_SUPPLIED


@dataclass(frozen=True)
class SeedResult:
    """``class_index``: the winner's number in memory order, padding counted; ``seed``: uint64 words to write, or None."""

    class_index: int
    class_value: int
    seed: np.ndarray | None


def seed_unit(job: SeedUnitJob, seed_mode: int, seed_index: int, explain: bool, read: ReadWords, *, rules=arithmetic) -> SeedResult:
    """All that ``job`` does: arg-max over the valid channels, then zeros with the seed value at the winner or the given index.

    ``rules``: the arithmetic, see ``gradcore.models.arithmetic``.
    """
    words = job.pixels * job.words_per_pixel
    logits = read(job.logits_address, words).view("<i2").astype(np.int64)
    pixel, channel = divmod(rules.arg_max(logits.reshape(job.pixels, -1)[:, : job.channels]), job.channels)
    class_index = pixel * 4 * job.words_per_pixel + channel
    seed = None
    if explain and seed_mode != SUPPLIED:
        target = seed_index if seed_mode == GIVEN else class_index
        values = np.zeros(4 * words, dtype="<u2")
        if target < len(values):
            values[target] = job.seed_value & 0xFFFF
        seed = values.view("<u8")
    return SeedResult(class_index, int(logits[class_index]), seed)

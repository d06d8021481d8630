# SPDX-License-Identifier: Apache-2.0
"""Which class of each picture is explained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .errors import GradCoreError

Target = int | Sequence[int] | None
"""Class to explain, by index: one for all pictures, one for each, or None: each picture's predicted class (of several equal
largest logits the first)."""


def class_indexes(target: Target, classes: int, pictures: int) -> np.ndarray | None:
    """int64 (pictures,): the index of the class to explain in each picture; None for the predicted ones.

    Raises:
        GradCoreError: there is no such class, or not one for each picture.
    """
    if target is None:
        return None
    indexes = np.asarray(target)
    if not np.issubdtype(indexes.dtype, np.integer) or indexes.shape not in ((), (pictures,)):
        raise GradCoreError(
            f"the target {str(indexes.reshape(-1)[:1])[1:-1]} is no class's index, or there is not one for each of the {pictures} "
            "pictures: give an integer, or one for each picture"
        )
    if indexes.min(initial=0) < 0 or indexes.max(initial=0) >= classes:
        wrong = indexes.reshape(-1)[(indexes.reshape(-1) < 0) | (indexes.reshape(-1) >= classes)]
        raise GradCoreError(f"there is no class {wrong[0]}: give an index from 0 to {classes - 1}")
    return np.broadcast_to(indexes, (pictures,)).astype(np.int64)

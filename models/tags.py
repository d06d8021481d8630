# SPDX-License-Identifier: Apache-2.0
"""Tag pieces: what the forward pass keeps of ReLUs and pools for the backward pass.

Of each pixel and each block of 16 channels a piece of 16 bits holds the mask (channel l in bit l); of a pooled layer two more hold the
winners, 2*row + column in 2 bits each, of channels 0 to 7 and 8 to 15. Of a layer that is a max-pool over other windows it has winners
alone, 3*row + column in 4 bits each: a piece for each four channels.
"""

from __future__ import annotations

import numpy as np

from gradcore.hardware import LANES

BLOCK = LANES
POOLED_PIECES = 3  # of a block: the mask and two pieces of winners
WINDOW_PIECES = 4  # of a block: winners alone
WINDOW_SIDE = 3  # what a winner's row counts there


def split_pieces(pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """(..., blocks, pieces) of 16 bits to (mask bool (..., blocks * 16), index int64 or None)."""
    lanes = np.arange(BLOCK)
    pieces = pieces.astype(np.int64)
    shape = (*pieces.shape[:-2], pieces.shape[-2] * BLOCK)
    mask = ((pieces[..., :1] >> lanes) & 1).astype(bool).reshape(shape)
    if pieces.shape[-1] == 1:
        return mask, None
    index = (np.repeat(pieces[..., 1:3], BLOCK // 2, axis=-1) >> (2 * (lanes % 8))) & 3
    return mask, index.reshape(shape)


def join_pieces(mask: np.ndarray, index: np.ndarray | None) -> np.ndarray:
    """The inverse of ``split_pieces``: uint16 (..., blocks, 1 or 3) from (..., blocks * 16)."""
    lanes = np.arange(BLOCK)
    mask = np.asarray(mask).astype(np.int64)
    mask = mask.reshape(*mask.shape[:-1], mask.shape[-1] // BLOCK, BLOCK)
    pieces = [(mask << lanes).sum(axis=-1)]
    if index is not None:
        index = np.asarray(index).reshape(mask.shape).astype(np.int64)
        shifted = index << (2 * (lanes % 8))
        pieces += [shifted[..., :8].sum(axis=-1), shifted[..., 8:].sum(axis=-1)]
    return np.stack(pieces, axis=-1).astype(np.uint16)


def split_winners(pieces: np.ndarray) -> np.ndarray:
    """(..., pieces) of 16 bits, as windows have them, to winners int64 (..., 4 * pieces)."""
    found = (pieces.astype(np.int64)[..., None] >> 4 * np.arange(4)) & 15
    return found.reshape(*pieces.shape[:-1], 4 * pieces.shape[-1])


def join_winners(index: np.ndarray) -> np.ndarray:
    """The inverse of ``split_winners``."""
    index = np.asarray(index).astype(np.int64)
    return (index.reshape(*index.shape[:-1], index.shape[-1] // 4, 4) << 4 * np.arange(4)).sum(axis=-1).astype(np.uint16)

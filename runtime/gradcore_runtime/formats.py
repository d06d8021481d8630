# SPDX-License-Identifier: Apache-2.0
"""What a program has otherwise in wider number formats: headroom inside the network, an input that reaches further than a picture.

Weights, descriptors and places are the same; some hundred bytes differ, shifts and biases. A program's file holds these for some formats,
so that a board needs no compiler for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Formats = tuple[int, int]
"""(bits of headroom, bits by which the input's format is wider), counted from the program's own formats."""


@dataclass(frozen=True)
class OtherFormats:
    """One of them.

    Attributes:
        places: bytes of the image, from its first on. changes: uint8, what they are XORed with: so they fit a moved program, too.
        activations, gradients: fraction bits, see ``Runnable``.
        pixel_values: int16 (256, C): see ``Program``.
    """

    places: np.ndarray
    changes: np.ndarray
    activations: np.ndarray
    gradients: np.ndarray
    pixel_values: np.ndarray


def to_arrays(formats: Mapping[Formats, OtherFormats]) -> dict[str, np.ndarray]:
    """The arrays of a program's file that hold them."""
    return {_name(key, what): np.asarray(getattr(one, what)) for key, one in formats.items() for what in OtherFormats.__dataclass_fields__}


def from_arrays(arrays: Mapping[str, Any]) -> dict[Formats, OtherFormats]:
    """The inverse of ``to_arrays``; arrays of other names are left alone."""
    keys = [tuple(map(int, name.split("_")[1:3])) for name in arrays if name.startswith("formats_") and name.endswith("_places")]
    return {key: OtherFormats(*(arrays[_name(key, what)] for what in OtherFormats.__dataclass_fields__)) for key in keys}  # type: ignore[misc]


def _name(key: Any, what: str) -> str:
    return f"formats_{key[0]}_{key[1]}_{what}"

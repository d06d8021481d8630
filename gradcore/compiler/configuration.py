# SPDX-License-Identifier: Apache-2.0
"""What the compiler must know of the hardware that it compiles for."""

from __future__ import annotations

from dataclasses import dataclass

from gradcore.errors import GradCoreError
from gradcore.hardware import PRESETS
from gradcore.host.inputs import check_choice


@dataclass(frozen=True)
class HardwareConfig:
    """Sizes of the buffers of one build of the core.

    Attributes:
        groups: groups of two streams of ``lanes`` lanes.
        lanes: MACs of a stream; a block of output channels.
        tile_depth: entries of a tile bank (value and channel).
        tile_pixels: pixels of a tile bank.
        weight_depth: rows of the weight buffer, one weight a lane.
        output_words: 64-bit words of a bank of the output buffer, for one parity of the row.
        output_pieces: 16-bit tag pieces of the same.
        vector_blocks: most blocks of 8 lanes in each half of the vector engine.
    """

    groups: int = 4
    lanes: int = 16
    tile_depth: int = 8192
    tile_pixels: int = 512
    weight_depth: int = 1024
    output_words: int = 512
    output_pieces: int = 512
    vector_blocks: int = 32

    @classmethod
    def of_preset(cls, preset: str) -> HardwareConfig:
        """That of a preset of the hardware. Raises GradCoreError when there is no such preset."""
        check_choice("preset", preset, tuple(PRESETS))
        return cls(groups=PRESETS[preset]["GROUPS"])

    def __post_init__(self) -> None:
        if not 1 <= self.groups <= 7:
            raise GradCoreError(f"{self.groups} groups cannot be compiled for: use 1 to 7")
        if self.lanes != 16:
            raise GradCoreError(f"{self.lanes} lanes cannot be compiled for: the layouts need 16")

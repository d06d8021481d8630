# SPDX-License-Identifier: Apache-2.0
"""What the compiler must know of the hardware that it compiles for."""

from __future__ import annotations

from dataclasses import dataclass

from gradcore.errors import GradCoreError
from gradcore.hardware import LANES, OUTPUT_WORDS, PARTIAL_PIXELS, PRESETS, STREAMS, TILE_ENTRIES, TILE_PIXELS, VECTOR_LANES, WEIGHT_ROWS
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
        partial_pixels: pixels of a stream whose partial sums may wait.
        vector_blocks: most blocks of 8 lanes in each half of the vector engine.
    """

    groups: int = PRESETS["full"]["GROUPS"]
    lanes: int = LANES
    tile_depth: int = TILE_ENTRIES
    tile_pixels: int = TILE_PIXELS
    weight_depth: int = WEIGHT_ROWS
    output_words: int = OUTPUT_WORDS
    output_pieces: int = OUTPUT_WORDS
    partial_pixels: int = PARTIAL_PIXELS
    vector_blocks: int = 32

    @classmethod
    def of_preset(cls, preset: str) -> HardwareConfig:
        """That of a preset of the hardware. Raises GradCoreError when there is no such preset."""
        check_choice("preset", preset, tuple(PRESETS))
        return cls(groups=PRESETS[preset]["GROUPS"])

    @property
    def group_macs(self) -> int:
        """Multipliers of a group."""
        return STREAMS * self.lanes

    @property
    def macs(self) -> int:
        """Multipliers of the core: conv groups and vector engine."""
        return self.groups * self.group_macs + VECTOR_LANES

    def __post_init__(self) -> None:
        if not 1 <= self.groups <= 7:
            raise GradCoreError(f"{self.groups} groups cannot be compiled for: use 1 to 7")
        if self.lanes != LANES:
            raise GradCoreError(f"{self.lanes} lanes cannot be compiled for: the layouts need {LANES}")

# SPDX-License-Identifier: Apache-2.0
"""Golden model of rtl/control/layer_saturation.v: the saturated values of each layer."""

from __future__ import annotations

from dataclasses import dataclass, field

VECTOR_VALUES = 512  # at most, of a job of the vector engine


@dataclass
class LayerSaturation:
    """Sums of the jobs since the last mark of their kind: ``tile`` and ``vector``."""

    sums: dict[str, int] = field(default_factory=lambda: {"tile": 0, "vector": 0})

    def clear(self) -> None:
        """The start of a run."""
        self.sums = {"tile": 0, "vector": 0}

    def finish(self, kind: str, saturated: int) -> None:
        """A job of this kind has finished."""
        self.sums[kind] += saturated

    def mark(self, kind: str) -> int:
        """The layer's last job has finished: how many values saturated in the layer. Nothing does in a ``seed``."""
        if kind == "seed":
            return 0
        total, self.sums[kind] = self.sums[kind], 0
        return total

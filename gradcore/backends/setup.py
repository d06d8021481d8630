# SPDX-License-Identifier: Apache-2.0
"""What runs a network: the choices that travel together from a command to the back end, as one object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

BACKENDS = ("rtl", "golden", "float")


@dataclass(frozen=True)
class Setup:
    """What runs a network. Whoever opens the back end checks it: see ``open_backend``.

    Attributes:
        backend: 'rtl' simulates the Verilog, 'golden' is the bit-exact model, 'float' is PyTorch.
        simulator: 'verilator' or 'icarus' (slow); this and what follows up to the clock is for 'rtl' only.
        preset: hardware: 'full' (128 MACs), 'paper' (64) or 'small' (32).
        waves: FST file to write the waveforms to.
        trace: file to write a timeline of the engines to: Chrome's trace events (.json), an overview (.png), or its jobs as text (.txt);
            for one picture only.
        clock_mhz: clock of the hardware, which latencies are given for; memory gives 1.6 GB/s whatever it is.
        headroom: bits by which number formats are wider than the network's; None runs pictures in which values saturate again,
            with 2 bits or more, and says so. Not for 'float'.
        observe: record what the engines do, for the overview of a timeline; where there is one picture and one run.
    """

    backend: str = "rtl"
    simulator: str = "verilator"
    preset: str = "full"
    waves: str | Path | None = None
    trace: str | Path | None = None
    clock_mhz: float = 100.0
    headroom: int | None = None
    observe: bool = False

    @classmethod
    def of(cls, backend: str | Setup, **options: Any) -> Setup:
        """A set-up from what callers may write: a back end's name or a set-up, and attributes that take the place of its own.

        Raises:
            TypeError: there is no such attribute.
        """
        return replace(backend, **options) if isinstance(backend, Setup) else cls(backend, **options)

    @property
    def simulated(self) -> bool:
        """Whether the Verilog runs."""
        return self.backend == "rtl"

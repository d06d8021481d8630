# SPDX-License-Identifier: Apache-2.0
"""What runs on the memory model and its checker of the protocol, gradcore/simulator/harness/axi_memory.v and axi_checker.v.

One build: what plusargs set elsewhere, the bench sets inside. A breach of the protocol does not end the simulation.
"""

from tb.support.declaration import Bench, Run
from tb.support.places import ROOT

BENCH = Bench(
    "axi_memory",
    runs=(Run({"BYTES": 1 << 18, "BYTES_PER_1024": 16384, "FATAL": 0}),),
    sources=tuple(ROOT / "gradcore" / "simulator" / "harness" / name for name in ("axi_memory.v", "axi_checker.v")),
    visible=("axi_checker.violation",),
)

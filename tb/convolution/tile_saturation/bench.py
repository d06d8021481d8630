# SPDX-License-Identifier: Apache-2.0
"""What runs on tile_saturation, with the streams of one group and of four."""

from tb.support.declaration import Bench, Run

BENCH = Bench(
    "tile_saturation",
    runs=(Run({"STREAMS": 8}, ("verilator",)), Run({"STREAMS": 2}, ("icarus",))),
    netlist=(Run({"STREAMS": 2}, tests="RandomTiles", regress=True),),
)

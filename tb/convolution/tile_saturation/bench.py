# SPDX-License-Identifier: Apache-2.0
"""What runs on tile_saturation, with the streams of one group and of four."""

from tb.support.declaration import Bench, Run

BENCH = Bench(
    "tile_saturation",
    runs=(
        Run({"STREAMS": 8}, ("verilator",), tests="RandomTiles"),
        Run({"STREAMS": 2}, ("icarus",), tests="RandomTiles"),
        Run({"STREAMS": 2}, ("verilator",), tests="WrongCount|NeverFull", one_seed=True, name="bites"),
    ),
    netlist=(Run({"STREAMS": 2}, tests="RandomTiles", regress=True),),
)

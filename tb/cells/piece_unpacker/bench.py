# SPDX-License-Identifier: Apache-2.0
"""What runs on piece_unpacker."""

from tb.support.declaration import Bench, Run

BENCH = Bench(
    "piece_unpacker",
    light=True,
    runs=(Run({"PIECES_WIDTH": 5}), Run({"PIECES_WIDTH": 16})),
    netlist=(Run({"PIECES_WIDTH": 5}, regress=True),),
)

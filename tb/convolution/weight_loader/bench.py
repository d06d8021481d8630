# SPDX-License-Identifier: Apache-2.0
"""What runs on weight_loader."""

from tb.support.declaration import Bench, Refusal, Run

SIZES = ((1, 1024), (2, 64), (4, 1024), (6, 512))

BENCH = Bench(
    "weight_loader",
    runs=tuple(Run({"GROUPS": groups, "WEIGHT_DEPTH": depth}) for groups, depth in SIZES),
    netlist=(Run({"GROUPS": 4, "WEIGHT_DEPTH": 1024}, regress=True),),
    # A depth that is no power of two, or beyond the address.
    refusals=tuple(Refusal({"GROUPS": 4, "WEIGHT_DEPTH": depth}, f"WEIGHT_DEPTH {depth};") for depth in (1, 1000, 2048)),
)

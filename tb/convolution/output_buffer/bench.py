# SPDX-License-Identifier: Apache-2.0
"""What runs on output_buffer, for different numbers of sources."""

from tb.support.declaration import Bench, Run

BENCH = Bench(
    "output_buffer",
    light=True,
    runs=tuple(Run({"GROUPS": groups}) for groups in (1, 2, 4)),
    netlist=(Run({"GROUPS": 2}, regress=True),),
)

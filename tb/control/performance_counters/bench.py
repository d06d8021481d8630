# SPDX-License-Identifier: Apache-2.0
"""What runs on performance_counters."""

from tb.support.declaration import Bench, Refusal, Run

MESSAGE = "needs GROUPS 1..64, ZERO_WIDTH 1..15, BITS 33..64, COUNTER_TOTAL as in the registers"
USUAL = {"GROUPS": 4, "ZERO_WIDTH": 5, "BITS": 40}

BENCH = Bench(
    "performance_counters",
    light=True,
    runs=(Run(USUAL), Run({"GROUPS": 1, "ZERO_WIDTH": 3, "BITS": 33}), Run({"GROUPS": 7, "ZERO_WIDTH": 5, "BITS": 64})),
    netlist=(Run({"GROUPS": 1, "ZERO_WIDTH": 3, "BITS": 33}, regress=True),),
    inside=("Carries",),  # it sets counters inside the unit
    refusals=tuple(Refusal(USUAL | wrong, MESSAGE) for wrong in ({"BITS": 32}, {"ZERO_WIDTH": 16}, {"COUNTER_TOTAL": 16})),
)

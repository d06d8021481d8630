# SPDX-License-Identifier: Apache-2.0
"""What runs on register_file."""

from tb.support.declaration import Bench, Refusal, Run

MESSAGE = "a size does not fit its field, or COUNTER_TOTAL is not the number of counters"


ACCESSES = {"accesses": 500}  # random ones, at least

BENCH = Bench(
    "register_file",
    light=True,
    runs=tuple(Run({"GROUPS": groups}, settings=ACCESSES) for groups in (4, 2)),
    netlist=(Run({"GROUPS": 2}, settings=ACCESSES, regress=True),),
    inside=(
        "interrupt_is_never_lost",
        "event_wins_over_acknowledgement",
        "MirrorDiffers",
    ),  # they look at `pending`, and set `interrupt_enable`
    refusals=tuple(Refusal({"GROUPS": 4, **wrong}, MESSAGE) for wrong in ({"GROUPS": 16}, {"COUNTER_TOTAL": 16}, {"TILE_ENTRIES": 65536})),
)

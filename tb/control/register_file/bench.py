# SPDX-License-Identifier: Apache-2.0
"""What runs on register_file."""

from tb.support.declaration import Bench, Refusal, Run

MESSAGE = "a size does not fit its field, or COUNTER_TOTAL is not the number of counters"


def of(groups: int, simulator: str, accesses: int) -> Run:
    """A run with at least so many random accesses."""
    return Run({"GROUPS": groups}, (simulator,), settings={"accesses": accesses})


BENCH = Bench(
    "register_file",
    runs=tuple(of(groups, *way) for groups in (4, 2) for way in (("verilator", 600), ("icarus", 400))),
    netlist=(Run({"GROUPS": 2}, settings={"accesses": 400}, regress=True),),
    inside=(
        "interrupt_is_never_lost",
        "event_wins_over_acknowledgement",
        "MirrorDiffers",
    ),  # they look at `pending`, and set `interrupt_enable`
    refusals=tuple(Refusal({"GROUPS": 4, **wrong}, MESSAGE) for wrong in ({"GROUPS": 16}, {"COUNTER_TOTAL": 16}, {"TILE_ENTRIES": 65536})),
)

# SPDX-License-Identifier: Apache-2.0
"""What runs on conv_group, for groups that share their work in different ways."""

from tb.support.declaration import Bench, Run


def of(groups: int, group: int, **options: object) -> Run:
    """A run of group ``group`` of ``groups``."""
    return Run({"GROUPS": groups, "GROUP": group}, **options)


QUICK = "QuickJobs|ChunksEqualOneJob"  # where a simulator is slow
OTHERS = "(?!QuickJobs$).*"

BENCH = Bench(
    "conv_group",
    runs=(
        *(of(*share, simulators=("verilator",), tests=OTHERS) for share in ((1, 0), (4, 2))),
        *(of(*share, simulators=("verilator",), tests=OTHERS, regress=True) for share in ((2, 1), (4, 3))),
        *(of(*share, simulators=("icarus",), tests=QUICK) for share in ((1, 0), (4, 2))),
    ),
    netlist=(
        of(1, 0, tests=QUICK, regress=True),
        of(4, 2, tests=QUICK, regress=True),
        of(1, 0, simulators=("verilator",), regress=True),  # every test, in the faster simulator
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""What runs on sequencer."""

from tb.support.declaration import Bench, Run

BENCH = Bench(
    "sequencer",
    runs=(Run({"GROUPS": 4, "PROGRAM_LIMIT": 65536}), Run({"GROUPS": 2, "PROGRAM_LIMIT": 7})),
    # Without the tests that need most cycles: each field's range, size limits, corrupted descriptors, two stall patterns.
    netlist=(
        Run(
            {"GROUPS": 2, "PROGRAM_LIMIT": 65536},
            tests="programs/stalls=2|forward_end|waits_for_every_kind|misaligned_program",
            regress=True,
        ),
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""What runs on sequencer."""

from tb.support.declaration import Bench, Run

BENCH = Bench(
    "sequencer",
    runs=(
        Run({"GROUPS": 4, "PROGRAM_LIMIT": 65536}, tests="(?!ProgramLimit$).*"),
        Run({"GROUPS": 2, "PROGRAM_LIMIT": 7}, tests="ProgramLimit"),
    ),
    # Without the tests that need most cycles: each rule, corrupted descriptors.
    netlist=(
        Run(
            {"GROUPS": 2, "PROGRAM_LIMIT": 65536},
            tests="Programs|ForwardEnd|WaitsForEveryKind|MisalignedProgram",
            regress=True,
        ),
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""What runs on sequencer."""

from tb.support.declaration import Bench, Run

BENCH = Bench(
    "sequencer",
    runs=(
        Run({"GROUPS": 4, "PROGRAM_LIMIT": 65536}, ("verilator",), tests="(?!ProgramLimit$).*"),
        # Without the tests that need most cycles: each rule, corrupted descriptors.
        Run({"GROUPS": 4, "PROGRAM_LIMIT": 65536}, ("icarus",), tests="(?!ProgramLimit$|CorruptedBits$|EveryRule$).*"),
        Run({"GROUPS": 4, "PROGRAM_LIMIT": 65536}, ("icarus",), tests="CorruptedBits|EveryRule", name="rules", regress=True),
        Run({"GROUPS": 2, "PROGRAM_LIMIT": 7}, tests="ProgramLimit"),
    ),
    netlist=(
        Run(
            {"GROUPS": 2, "PROGRAM_LIMIT": 65536},
            tests="Programs|ForwardEnd|WaitsForEveryKind|MisalignedProgram",
            regress=True,
        ),
    ),
)

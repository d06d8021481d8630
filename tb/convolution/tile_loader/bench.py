# SPDX-License-Identifier: Apache-2.0
"""What runs on tile_loader."""

from tb.support.declaration import Bench, Run

QUICK = "Corners|ResetInJob"  # where a simulator is slow

BENCH = Bench(
    "tile_loader",
    runs=(
        Run(simulators=("verilator",), tests="(?!Corners$).*"),
        Run(simulators=("icarus",), tests=QUICK),
        Run(simulators=("icarus",), tests=f"(?!(?:{QUICK})$).*", name="rest", regress=True),
    ),
    netlist=(Run(tests="Corners", name="quick", regress=True), Run(regress=True)),
)

# SPDX-License-Identifier: Apache-2.0
"""What runs on vector_engine."""

from tb.support.declaration import Bench, Run

QUICK = "SlowMemory|StalledPorts|Tokens"  # where a simulator is slow

BENCH = Bench(
    "vector_engine",
    runs=(
        Run(simulators=("verilator",)),
        Run(simulators=("icarus",), tests=QUICK),
        Run(simulators=("icarus",), tests=f"(?!(?:{QUICK})$).*", name="rest", regress=True),
    ),
    netlist=(Run(tests="StalledPorts", name="quick", regress=True), Run(regress=True)),
)

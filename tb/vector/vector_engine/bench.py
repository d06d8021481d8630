# SPDX-License-Identifier: Apache-2.0
"""What runs on vector_engine."""

from tb.support.declaration import Bench, Run

BENCH = Bench("vector_engine", netlist=(Run(tests="StalledPorts", name="quick"), Run(regress=True)))

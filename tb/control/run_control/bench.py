# SPDX-License-Identifier: Apache-2.0
"""What runs on run_control."""

from tb.support.declaration import Bench, Run

BENCH = Bench("run_control", light=True, runs=(Run({"STOP_LIMIT": 64}),), netlist=(Run({"STOP_LIMIT": 64}, regress=True),))

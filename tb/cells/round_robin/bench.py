# SPDX-License-Identifier: Apache-2.0
"""What runs on round_robin. Not on its netlist: Yosys' abc9 fails on it alone ("no_loops"); it is checked inside axi_read_port."""

from tb.support.declaration import Bench, Run

BENCH = Bench("round_robin", light=True, runs=(Run({"WIDTH": 1}), Run({"WIDTH": 3}), Run({"WIDTH": 8})))

# SPDX-License-Identifier: Apache-2.0
"""What runs on axi_read_port."""

from tb.support.declaration import Bench, Run

BENCH = Bench("axi_read_port", runs=(Run({"CLIENTS": 1}), Run({"CLIENTS": 5})), netlist=(Run({"CLIENTS": 5}, regress=True),))

# SPDX-License-Identifier: Apache-2.0
"""What runs on axi_write_port."""

from tb.support.declaration import Bench, Run

BENCH = Bench("axi_write_port", runs=(Run({"CLIENTS": 1}), Run({"CLIENTS": 3})), netlist=(Run({"CLIENTS": 3}, regress=True),))

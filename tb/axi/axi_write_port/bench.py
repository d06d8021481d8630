# SPDX-License-Identifier: Apache-2.0
"""What runs on axi_write_port. One client alone is a corner of the arbiters."""

from tb.support.declaration import Bench, Run

THREE = {"CLIENTS": 3}

BENCH = Bench(
    "axi_write_port",
    runs=(Run(THREE), Run({"CLIENTS": 1}, simulators=("icarus",), one_seed=True, tests=r"(?!SwappedClient).*")),
    netlist=(Run(THREE, regress=True),),
)

# SPDX-License-Identifier: Apache-2.0
"""What runs on axi_read_port. One client of five has half of the words, as in the core; one client alone is a corner of the arbiters."""

from tb.support.declaration import Bench, Run

FIVE = {"CLIENTS": 5, "SHALLOW": 2}
SEVERAL = ("NoClientBlocksAnother", "SwappedClient")

BENCH = Bench(
    "axi_read_port",
    runs=(Run(FIVE), Run({"CLIENTS": 1, "SHALLOW": 0}, simulators=("icarus",), one_seed=True, tests=rf"(?!{'|'.join(SEVERAL)}).*")),
    netlist=(Run(FIVE, regress=True),),
)

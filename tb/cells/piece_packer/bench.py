# SPDX-License-Identifier: Apache-2.0
"""What runs on piece_packer."""

from tb.support.declaration import Bench, Run

BENCH = Bench("piece_packer", light=True, netlist=(Run(regress=True),))

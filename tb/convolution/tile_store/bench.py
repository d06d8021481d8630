# SPDX-License-Identifier: Apache-2.0
"""What runs on tile_store."""

from tb.support.declaration import Bench, Run

BENCH = Bench("tile_store", netlist=(Run(regress=True),))

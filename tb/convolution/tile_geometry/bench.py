# SPDX-License-Identifier: Apache-2.0
"""What runs on tile_geometry."""

from tb.support.declaration import Bench, Run

BENCH = Bench("tile_geometry", light=True, netlist=(Run(regress=True),))

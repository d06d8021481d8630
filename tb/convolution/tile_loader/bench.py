# SPDX-License-Identifier: Apache-2.0
"""What runs on tile_loader."""

from tb.support.declaration import Bench, Run

BENCH = Bench(
    "tile_loader",
    runs=(Run(tests="(?!Corners$).*"),),
    netlist=(Run(tests="Corners", name="quick"), Run(regress=True)),
)

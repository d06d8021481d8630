# SPDX-License-Identifier: Apache-2.0
"""What runs on seed_unit."""

from tb.support.declaration import Bench, Run

BENCH = Bench("seed_unit", netlist=(Run(regress=True),))

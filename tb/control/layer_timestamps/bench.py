# SPDX-License-Identifier: Apache-2.0
"""What runs on layer_timestamps."""

from tb.support.declaration import Bench, Run

BENCH = Bench("layer_timestamps", light=True, netlist=(Run(regress=True),))

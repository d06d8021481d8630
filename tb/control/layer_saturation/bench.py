# SPDX-License-Identifier: Apache-2.0
"""What runs on layer_saturation."""

from tb.support.declaration import Bench, Run

BENCH = Bench("layer_saturation", light=True, netlist=(Run(tests="RandomJobs", regress=True),))

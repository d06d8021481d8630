# SPDX-License-Identifier: Apache-2.0
"""What runs on relu_keep."""

from tb.support.declaration import Bench, Run

BENCH = Bench("relu_keep", light=True, netlist=(Run(regress=True),))

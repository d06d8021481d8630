# SPDX-License-Identifier: Apache-2.0
"""What runs on requantise."""

from tb.support.declaration import Bench, Run

BENCH = Bench("requantise", light=True, netlist=(Run(),))

# SPDX-License-Identifier: Apache-2.0
"""What runs on tests/designs/stream_register.v, the example of the kit."""

from tb.support.declaration import Bench, Run
from tb.support.places import ROOT

BENCH = Bench(
    "stream_register",
    runs=(
        Run({"OFFSET": 7}, tests="transfers/.*"),
        Run({"OFFSET": 1}, tests="RegisterTest|NothingSent|CoverageHole|WrongModel|LostItem"),
    ),
    sources=(ROOT / "tests" / "designs" / "stream_register.v",),
)

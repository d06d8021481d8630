# SPDX-License-Identifier: Apache-2.0
"""What runs on fifo and on skid_buffer, which keep the same contract."""

from tb.support.declaration import Bench, Refusal, Run

BENCHES = (
    Bench(
        "fifo",
        light=True,
        runs=(Run({"WIDTH": 64, "DEPTH": 16}), Run({"WIDTH": 5, "DEPTH": 2}), Run({"WIDTH": 12, "DEPTH": 64})),
        netlist=(Run({"WIDTH": 64, "DEPTH": 16}),),
        refusals=tuple(Refusal({"WIDTH": 8, "DEPTH": depth}, f"DEPTH is {depth} but must be a power of two") for depth in (3, 6)),
    ),
    Bench("skid_buffer", light=True, runs=(Run({"WIDTH": 73}),), netlist=(Run({"WIDTH": 73}, regress=True),)),
)

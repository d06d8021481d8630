# SPDX-License-Identifier: Apache-2.0
"""What runs on the memory model and its checker of the protocol, gradcore/simulator/harness/axi_memory.v and axi_checker.v."""

from tb.support.declaration import Bench, Run
from tb.support.places import ROOT

BEHAVIOUR = (
    "latency_and_data",
    "outstanding_bursts",
    "bandwidth",
    "reads_do_not_see_unanswered_writes",
    "held_beat_stays",
    "no_violation_without_cause",
)
VIOLATIONS = ("long", "page", "size", "kind", "alignment", "range", "withdrawn", "last")


def of(tests: str, bytes_per_1024: int = 16384, **options: object) -> Run:
    """A run that does not end the simulation at a breach of the protocol."""
    return Run({"BYTES": 1 << 18, "BYTES_PER_1024": bytes_per_1024, "FATAL": 0}, tests=tests, one_seed=True, **options)


BENCH = Bench(
    "axi_memory",
    runs=(
        of("|".join(BEHAVIOUR)),
        # The share at 150 MHz, and no limit.
        *(of("bandwidth", share, simulators=("verilator",)) for share in (10922, 0)),
        # One simulation each: a violation that was noticed stays.
        *(of(f"violation_{name}", simulators=("verilator",), name=name) for name in VIOLATIONS),
    ),
    sources=tuple(ROOT / "gradcore" / "simulator" / "harness" / name for name in ("axi_memory.v", "axi_checker.v")),
)

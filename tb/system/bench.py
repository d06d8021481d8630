# SPDX-License-Identifier: Apache-2.0
"""What runs on the whole core with the memory model: one group, 1 MiB."""

from pathlib import Path

from gradcore.models.arithmetic import METHODS
from tb.support.declaration import Bench, Run
from tb.support.places import ROOT
from tb.support.runner import file_list, module_closure

MODELS = [ROOT / "gradcore" / "simulator" / "harness" / name for name in ("core_with_memory.v", "axi_memory.v", "axi_checker.v")]
# What the environments of the units see.
VISIBLE = (
    "axi_read_port", "axi_write_port",
    "register_file", "register_file.pending", "register_file.interrupt_enable", "run_control", "performance_counters", "layer_saturation",
    "layer_timestamps", "sequencer", "tile_loader", "weight_loader", "conv_group", "output_buffer", "tile_saturation", "tile_store",
    "vector_engine", "seed_unit",
)  # fmt: skip
PARAMETERS = {"GROUPS": 1, "MEMORY_BYTES": 1 << 20}
TABLE_ONE = {"GROUPS": 4, "MEMORY_BYTES": 1 << 23}


def sources(folder: Path, run: Run) -> list[Path]:
    """The core, the memory model, and the toplevel round both."""
    return [*module_closure("gradcore", file_list()), *MODELS, ROOT / "tb" / "system" / "system.v"]


BENCH = Bench(
    "system",
    runs=(
        Run(PARAMETERS, ("verilator",), tests="EveryMethod|Graph", settings={"inference": True}),
        Run(PARAMETERS, ("icarus",), tests="EveryMethod"),
        Run(PARAMETERS, ("verilator",), tests="Wrong.*|MethodLeftOut", one_seed=True, name="bites"),
        *(Run(TABLE_ONE, ("verilator", "icarus"), "TableOne", {"method": method}, True, True, f"table-one-{method}") for method in METHODS),
    ),
    sources=sources,
    visible=VISIBLE,
    timeout=6 * 3600.0,  # Table I in Icarus
)

# SPDX-License-Identifier: Apache-2.0
"""Where the units lie inside the core: the one file of the benches that knows the names of its hierarchy.

``units`` says for each unit which instance its environment watches, and with which parameters it was built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from gradcore import hardware
from tb.axi.axi_read_port.axi_read_port_env import ReadPortEnvironment
from tb.axi.axi_write_port.axi_write_port_env import WritePortEnvironment
from tb.control.layer_saturation.layer_saturation_env import LayerSaturationEnvironment
from tb.control.layer_timestamps.layer_timestamps_env import TimestampEnvironment
from tb.control.performance_counters.performance_counters_env import CounterEnvironment
from tb.control.register_file.register_file_env import RegisterEnvironment
from tb.control.run_control.run_control_env import RunEnvironment
from tb.control.sequencer.sequencer_env import SequencerEnvironment
from tb.convolution.conv_group.conv_group_env import GroupEnvironment
from tb.convolution.output_buffer.output_buffer_env import BufferEnvironment
from tb.convolution.tile_loader.tile_loader_env import TileLoaderEnvironment
from tb.convolution.tile_saturation.tile_saturation_env import TileSaturationEnvironment
from tb.convolution.tile_store.tile_store_env import StoreEnvironment
from tb.convolution.weight_loader.weight_loader_env import WeightLoaderEnvironment
from tb.support.base import UnitEnvironment
from tb.support.watched import Watched
from tb.vector.seed_unit.seed_unit_env import SeedEnvironment
from tb.vector.vector_engine.vector_engine_env import VectorEnvironment

CORE = "core_with_memory.core"  # below the toplevel system.v


@dataclass(frozen=True)
class Unit:
    """One unit of the core: its environment, its path below the core, the parameters that its environment asks for.

    ``opcode``: of the descriptors whose jobs it takes, in their order; "" for a unit without jobs.
    """

    environment: type[UnitEnvironment]
    path: str
    parameters: Mapping[str, int] = field(default_factory=dict)
    opcode: str = ""


def units(groups: int) -> dict[str, Unit]:
    """The units of a core with so many groups by the names of their environments."""
    of_groups = {"GROUPS": groups}
    control, conv, vector = "control_unit", "conv_path", "vector_path"
    counters = of_groups | {"ZERO_WIDTH": hardware.ZERO_BITS, "BITS": hardware.COUNTER_BITS}
    weights = of_groups | {"WEIGHT_DEPTH": hardware.WEIGHT_ROWS}
    found = {
        "register_file": Unit(RegisterEnvironment, f"{control}.register_file", of_groups),
        "run_control": Unit(RunEnvironment, f"{control}.run_control", {"STOP_LIMIT": hardware.STOP_LIMIT}),
        "performance_counters": Unit(CounterEnvironment, f"{control}.performance_counters", counters),
        "layer_saturation": Unit(LayerSaturationEnvironment, f"{control}.layer_saturation"),
        "layer_timestamps": Unit(TimestampEnvironment, f"{control}.layer_timestamps"),
        "sequencer": Unit(SequencerEnvironment, "sequencer", of_groups | {"PROGRAM_LIMIT": hardware.PROGRAM_LIMIT}),
        "tile_loader": Unit(TileLoaderEnvironment, f"{conv}.tile_loader", opcode="TILE"),
        "weight_loader": Unit(WeightLoaderEnvironment, f"{conv}.weight_loader", weights, "WEIGHTS"),
    }
    for group in range(groups):
        path = f"{conv}.conv_engine.g_group[{group}].conv_group"
        found[f"conv_group{group}"] = Unit(GroupEnvironment, path, of_groups | {"GROUP": group}, "TILE")
    for port, short in enumerate(hardware.READ_SHORT):
        found[f"axi_read_port{port}"] = Unit(ReadPortEnvironment, f"axi_ports.g_read[{port}].read_port", {"SHALLOW": short})
        found[f"axi_write_port{port}"] = Unit(WritePortEnvironment, f"axi_ports.g_write[{port}].write_port")
    return found | {
        "output_buffer": Unit(BufferEnvironment, f"{conv}.output_buffer", of_groups),
        "tile_saturation": Unit(TileSaturationEnvironment, f"{conv}.tile_saturation", {"STREAMS": hardware.STREAMS * groups}),
        "tile_store": Unit(StoreEnvironment, f"{conv}.tile_store", opcode="TILE"),
        "vector_engine": Unit(VectorEnvironment, f"{vector}.vector_engine", opcode="VECTOR"),
        "seed_unit": Unit(SeedEnvironment, f"{vector}.seed_unit", opcode="SEED"),
    }


class Instance:
    """An instance inside the core, for environments that only watch: its signals are ``Watched``.

    The clock is the toplevel's: in Verilator one further down changes only when all that it clocks has changed.
    """

    def __init__(self, toplevel: Any, path: str) -> None:
        self.clk = toplevel.clk
        self._handle = reduce(_child, f"{CORE}.{path}".split("."), toplevel)

    def __getattr__(self, name: str) -> Any:
        handle = Watched(getattr(self._handle, name))
        setattr(self, name, handle)
        return handle


def _child(handle: Any, name: str) -> Any:
    """An instance below a handle: ``name``, or ``name[index]`` of a generated one."""
    name, _, index = name.partition("[")
    child = getattr(handle, name)
    return child[int(index.rstrip("]"))] if index else child

# SPDX-License-Identifier: Apache-2.0
"""What a report says of the hardware: predicted cycles and bounds of a run, zeros, registers, resources, memory. No run is made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradcore import hardware as registers
from gradcore.attribution import rules
from gradcore.compiler import Program, compile_network
from gradcore.errors import GradCoreError
from gradcore.network import GraphNetwork, Network
from gradcore.quantise import in_integers
from gradcore.quantise.headroom import widen
from gradcore.report.stored import Stored
from gradcore.simulator import bytes_per_1024
from gradcore.speed.bounds import LayerBound, layer_bounds, sparse_bound
from gradcore.speed.cycle_model import MapZeros, Prediction, predict, zeros_of
from gradcore.synthesis.report import DEVICE, sources_hash
from gradcore.synthesis.resources import KINDS, XC7Z020, accepted

BUILDS = Path("build") / "vivado"  # where `make bitstream` leaves its results
PORT_BYTES = 8  # a cycle, of each of the two ports, in each direction
CLOCKS = (150, 100)
LARGEST_PREDICTION = 400_000_000  # MACs of a forward pass: beyond, the cycle model takes long


@dataclass(frozen=True)
class LayerRow:
    """Cycles of a layer: measured (None without the Verilog), predicted, its bound and what that is of ('MACs' or 'bytes'), useful MACs."""

    layer: str
    direction: str
    measured: int | None
    predicted: int | None
    bound: float | None
    limit: str
    macs: int | None


@dataclass(frozen=True)
class ZeroRow:
    """How many values of a map are zero, of what is loaded: part of the values of the activation, and of the gradient behind the rule."""

    name: str
    activation: float | None
    gradient: float | None
    values: int


@dataclass(frozen=True)
class Hardware:
    """A result's run on the core.

    Attributes:
        layers: of ``method``, in order.
        method: whose single run the predictions are of: the result's own where it is one run, else saliency.
        prediction, sparse: predicted run, and its sparse bound in cycles; None where there are none.
        zeros: of each map.
        program: compiled for the preset; None where that cannot be.
        notes: what is not shown, and why.
    """

    layers: tuple[LayerRow, ...]
    method: str
    prediction: Prediction | None
    sparse: float | None
    zeros: tuple[ZeroRow, ...]
    program: Program | None
    notes: tuple[str, ...]


def hardware_of(result: Stored, network: Network | GraphNetwork | None) -> Hardware:
    """The run on the core, as far as it is known without one."""
    about = result.about
    one_run = result.method in rules() and result.against is None and about.get("seed") is None
    method = result.method if result.method in rules() else "saliency"
    cycles = (about.get("cycles") or {}).get("layers", ())
    measured = {(one["layer"], one.get("pass", "forward")): int(one["cycles"]) for one in cycles}
    plain = tuple(LayerRow(layer, direction, count, None, None, "", None) for (layer, direction), count in measured.items())
    if network is None or result.pixels is None:
        return Hardware(
            plain, method, None, None, (), None, ("predicted cycles, bounds and zeros are not shown: they need network and picture",)
        )
    try:
        quantised = in_integers(widen(network, int(about.get("headroom", 0))))
        program = compile_network(quantised, str(about.get("preset") or "full"))
    except GradCoreError as error:
        return Hardware(plain, method, None, None, (), None, (f"predicted cycles, bounds and zeros are not shown: {error}",))
    if network.graph.macs > LARGEST_PREDICTION:
        told = f"predicted cycles, bounds and zeros are not shown: {network.graph.macs:,} MACs take long; gradcore inspect predicts them"
        return Hardware(plain, method, None, None, (), program, (told,))
    clock = float(about.get("clock_mhz") or 100.0)
    picture = quantised.quantise_image(result.pixels)[None]
    (zeros,) = zeros_of(quantised, picture, [method], np.array([result.target]))
    prediction = predict(program, zeros[method], method, clock_mhz=clock)
    bounds = layer_bounds(quantised, zeros[method], method, groups=program.hardware.groups, clock_mhz=clock)
    rows = _rows(prediction, bounds, measured if one_run else {})
    notes = () if one_run else (f"{result.method} takes several runs: cycles of layers are those of one run of {method}, predicted",)
    return Hardware(rows, method, prediction, sparse_bound(bounds), _zeros(zeros[method], quantised), program, notes)


def _rows(prediction: Prediction, bounds: Sequence[LayerBound], measured: Mapping[tuple[str, str], int]) -> tuple[LayerRow, ...]:
    made = []
    for predicted, bound in zip(prediction.layers, bounds, strict=True):
        place = predicted.layer, predicted.direction
        limit = {"macs": "MACs"}.get(bound.limit, bound.limit)
        made.append(LayerRow(*place, measured.get(place), predicted.cycles, bound.cycles, limit, int(bound.macs)))
    return tuple(made)


def _zeros(zeros: Mapping[str, MapZeros], quantised: Any) -> tuple[ZeroRow, ...]:
    """A row for each map; the picture is the first."""
    made = []
    count = sum(name.startswith("activation_") for name in zeros)
    names = _map_names(quantised, count)
    for place in range(count):
        activation, gradient = zeros.get(f"activation_{place}"), zeros.get(f"gradient_{place}")
        shares = [None if one is None else 1.0 - float(one.source.mean()) for one in (activation, gradient)]
        made.append(ZeroRow(names[place], *shares, activation.source.size))
    return tuple(made)


def _map_names(quantised: Any, count: int) -> list[str]:
    layers = getattr(quantised, "layers", None)
    names = [layer.name for layer in layers] if layers else list(dict.fromkeys(one.makes.map for one in quantised.passes))
    return ["input", *names, *(f"map {place}" for place in range(len(names) + 1, count))]


# The core ------------------------------------------------------------------------------------------------------------


def configuration(preset: str) -> list[tuple[str, int, int, str]]:
    """(register, address, value, fields) of what the driver checks before it loads a program."""
    made = []
    for name in ("IDENTIFIER", "VERSION", "CONFIGURATION", "CONFIGURATION_TILE", "CONFIGURATION_BUFFERS"):
        value = registers.RESETS[name]
        fields = [one for one in registers.REGISTER_FIELDS if one.startswith(f"{name}.")]
        if f"{name}.groups" in fields:  # resets are those of the default build
            low, width, _ = registers.REGISTER_FIELDS[f"{name}.groups"]
            value = value & ~((1 << width) - 1 << low) | registers.PRESETS[preset]["GROUPS"] << low
        told = ", ".join(f"{one.partition('.')[2].replace('_', ' ')} {registers.register_field(value, one)}" for one in fields)
        made.append(
            (name, getattr(registers, name), value, told if len(fields) > 1 else bytes.fromhex(f"{value:08x}").decode("ascii", "replace"))
        )
    return made


def version() -> str:
    """Of the Verilog: the register VERSION."""
    value = registers.RESETS["VERSION"]
    return ".".join(str(registers.register_field(value, f"VERSION.{name}")) for name in ("major", "minor", "patch"))


@dataclass(frozen=True)
class Resources:
    """What a preset takes: (kind, used, of the device) rows; the deepest logic; whether that is of the Verilog as it is now."""

    rows: tuple[tuple[str, float, float], ...]
    levels: int
    current: bool
    device: str = DEVICE


def resources(preset: str) -> Resources:
    """From the committed report of Yosys."""
    known = accepted()
    numbers = known["presets"][preset]
    labels = {"lut": "LUT", "ff": "FF", "bram36": "BRAM36", "dsp": "DSP"}
    rows = tuple((labels[kind], numbers[kind], getattr(XC7Z020, kind)) for kind in KINDS)
    return Resources(rows, numbers["levels"], known["sources"] == sources_hash())


def built(preset: str) -> tuple[dict[str, Any], Path] | None:
    """What Vivado said of a preset, the fastest build below the current folder, and where; None where it has not run."""
    for clock in CLOCKS:
        path = BUILDS / f"{preset}-{clock}" / "summary.json"
        try:
            summary = json.loads(path.read_text())
            if summary["preset"] == preset and isinstance(summary["timing_ns"], dict) and isinstance(summary["utilisation"], dict):
                return summary, path
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def memory_rate(clock_mhz: float) -> float:
    """Bytes a cycle that the memory gives."""
    return bytes_per_1024(clock_mhz) / 1024

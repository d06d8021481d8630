# SPDX-License-Identifier: Apache-2.0
"""What a network is made of: its nodes, what its import did, what it needs, whether the core runs it, and how fast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.compiler import compile_network
from gradcore.compiler.compilation import not_run
from gradcore.errors import GradCoreError
from gradcore.hardware import PRESETS
from gradcore.host.progress import Progress, silent
from gradcore.importer.opening import load_graph, load_network
from gradcore.network import GraphNetwork, Network, graph_float
from gradcore.network.graph import INPUT
from gradcore.quantise import QuantisedGraph, QuantisedNetwork, in_integers, standard_images
from gradcore.speed.cycle_model import MapZeros, predict, zeros_of

if TYPE_CHECKING:
    from rich.table import Table

PICTURES = 1  # that cycles are predicted for
METHOD = "saliency"
VALUE_BYTES = 2


def inspect(network: str | Path | Network | GraphNetwork, output: str | None = None, *, progress: Progress | None = None) -> dict[str, Any]:
    """Describe a network.

    Args:
        network: a network, a file of GradCore or ONNX, or the name of one that comes with GradCore.
        output: of an ONNX file, the node or tensor that is explained.
        progress: see ``gradcore.host.progress``.

    Returns:
        A dictionary with ``network``, ``input`` and ``output`` (channels, height, width), ``nodes`` (each with ``node``, ``kind``,
        ``inputs``, ``output``, ``windows``, ``macs``, ``weights`` and ``bytes``, which its map takes), ``macs``, ``weights``,
        ``weight_bytes``, ``map_bytes``, ``import`` (what was ``folded``, ``rewritten`` and ``cut``, and the ``difference`` from the
        source; None for a network that was trained here), ``not_run`` (each node that the core does not run, with the reason)
        and ``presets``: for each whether it ``fits`` and, where it does, predicted ``cycles_forward``, ``cycles_backward`` and
        ``cycles_total`` of a generated picture with Saliency, and ``memory_bytes``; else the ``reason``.

    Raises:
        GradCoreError: there is no such network, or it cannot be imported.
    """
    progress = progress or silent
    progress("reading the network", 0, 0)
    loaded = load_graph(network, output)
    graph = loaded.graph
    report: dict[str, Any] = {
        "network": loaded.label,
        "input": list(loaded.input_shape),
        "output": list(graph.shapes[graph.output]),
        "nodes": [
            {
                "node": node.name,
                "kind": node.kind,
                "inputs": list(node.inputs),
                "output": list(graph.shapes[node.name]),
                "windows": _windows(node),
                "macs": node.macs(graph.inputs_of(node)),
                "weights": sum(graph.weights[name].size for name in graph_float.names_of(graph, node)),
                "bytes": VALUE_BYTES * math.prod(graph.shapes[node.name]),
            }
            for node in graph.nodes
        ],
        "import": loaded.metadata.get("import"),
    }
    for total, part in (("macs", "macs"), ("weights", "weights"), ("map_bytes", "bytes")):
        report[total] = sum(node[part] for node in report["nodes"])
    report["weight_bytes"] = VALUE_BYTES * report["weights"]
    runnable = load_network(loaded)
    report["not_run"] = not_run(runnable)
    report["presets"] = {} if report["not_run"] else _presets_of(runnable, progress)
    return report


def _windows(node: Any) -> str:
    """Kernel, stride, padding, dilation and groups of a node, as far as they are not the plain ones."""
    kernel = getattr(node, "kernel", None)
    if kernel is None:
        return ""
    told = ["x".join(map(str, kernel))]
    for name, plain in (("stride", (1, 1)), ("padding", (0, 0, 0, 0)), ("dilation", (1, 1)), ("groups", 1)):
        value = getattr(node, name, plain)
        if value != plain:
            told.append(
                f"{name} {'x'.join(map(str, dict.fromkeys(value) if len(set(value)) == 1 else value)) if name != 'groups' else value}"
            )
    return ", ".join(told)


def _presets_of(network: Network | GraphNetwork, progress: Progress) -> dict[str, dict[str, Any]]:
    try:
        quantised = in_integers(network)
    except GradCoreError as error:
        return {preset: {"fits": False, "reason": str(error)} for preset in PRESETS}
    pictures = np.stack([quantised.quantise_image(one) for one in standard_images(network.input_shape, PICTURES)])
    (zeros,) = zeros_of(quantised, pictures, [METHOD])
    return {preset: _preset(quantised, zeros[METHOD], preset, progress) for preset in PRESETS}


def _preset(quantised: QuantisedNetwork | QuantisedGraph, zeros: Mapping[str, MapZeros], preset: str, progress: Progress) -> dict[str, Any]:
    progress(f"predicting the cycles of the preset {preset}", 0, 0)
    try:
        program = compile_network(quantised, preset)
    except GradCoreError as error:
        return {"fits": False, "reason": str(error)}
    predicted = predict(program, zeros, METHOD)
    cycles = {"cycles_forward": predicted.forward, "cycles_backward": predicted.backward, "cycles_total": predicted.total}
    return {"fits": True, **cycles, "memory_bytes": program.memory_size}


def tables(report: dict[str, Any]) -> list[Table]:
    """The report as tables for people."""
    from rich.table import Table
    from rich.text import Text

    from gradcore.host.streams import printable

    def text(value: str) -> Text:
        return Text(printable(value))

    def shape(sizes: list[int]) -> str:
        return " x ".join(map(str, sizes))

    nodes = Table(
        title=text(
            f"{report['network']}: {shape(report['input'])} to {shape(report['output'])}, {report['macs']:,} MACs forward, "
            f"{report['weights']:,} weights ({report['weight_bytes']:,} bytes), maps of {report['map_bytes']:,} bytes"
        ),
        title_justify="left",
    )
    for heading in ("", "node", "kind", "reads", "windows", "output", "MACs", "weights", "bytes"):
        nodes.add_column(heading, justify="right" if heading in ("", "MACs", "weights", "bytes") else "left", overflow="fold")
    places = {INPUT: "input", **{node["node"]: str(place) for place, node in enumerate(report["nodes"], 1)}}
    for place, node in enumerate(report["nodes"], 1):
        numbers = [f"{node[key]:,}" for key in ("macs", "weights", "bytes")]
        reads = ", ".join(places[name] for name in node["inputs"])
        nodes.add_row(str(place), text(node["node"]), node["kind"], reads, node["windows"], shape(node["output"]), *numbers)
    made = [nodes]
    told = report["import"] or {}
    for key, title in (("cut", "cut"), ("rewritten", "rewritten, exactly"), ("folded", "folded")):
        if told.get(key):
            made.append(_lines(title, told[key], Table, text))
    if report["not_run"]:
        made.append(_lines("what the core does not run", report["not_run"], Table, text))
    if report["presets"]:
        made.append(_presets(report["presets"], Table, text))
    return made


def _lines(title: str, lines: list[str], table_class: type[Table], text: Any) -> Table:
    table = table_class(title=f"{title}: {len(lines)}", title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    for line in lines:
        table.add_row(text(line))
    return table


def _presets(presets: dict[str, Any], table_class: type[Table], text: Any) -> Table:
    table = table_class(title=f"predicted cycles of a generated picture, {METHOD}", title_justify="left")
    keys = ("cycles_forward", "cycles_backward", "cycles_total", "memory_bytes")
    for heading in ("preset", "forward", "backward", "total", "memory, bytes", ""):
        table.add_column(heading, justify="left" if heading in ("preset", "") else "right", overflow="fold")
    for name, one in presets.items():
        cells = [f"{one[key]:,}" for key in keys] if one["fits"] else [""] * len(keys)
        table.add_row(name, *cells, text("fits" if one["fits"] else one["reason"]))
    return table

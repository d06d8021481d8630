# SPDX-License-Identifier: Apache-2.0
"""Opens a network, whatever it is in: a file of GradCore, one of ONNX, or the name of one that comes with GradCore."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gradcore.errors import GradCoreError, Refusal
from gradcore.importer.foreign import SUFFIX, refuse_foreign
from gradcore.importer.imported import Imported
from gradcore.network import GraphNetwork, Network
from gradcore.network.network_file import GRAPH, network_path, read_network_file

Given = str | Path | Network | GraphNetwork


def load_network(network: Given) -> Network | GraphNetwork:
    """The network itself, or the one in a file, or the one of that name that comes with GradCore: as a chain of layers where it is one, or
    can be made one exactly, and has no number formats of a graph; else as a graph.

    Args:
        network: a network; a file that ``train`` or ``import`` wrote, or one of ONNX; or a name: ``cifar10``, ``fer``.

    Raises:
        GradCoreError: there is no such network, it is damaged, or it cannot be imported; a ``Refusal`` names all that cannot.
    """
    if isinstance(network, Network):
        return network
    graph = load_graph(network)
    formats = graph.metadata.get("quantisation", {})
    if isinstance(formats, dict) and isinstance(formats.get("activations"), dict):  # they are of the graph's maps
        return graph
    try:
        return Network.of_graph(graph)
    except Refusal:
        return graph


def load_graph(network: Given, output: str | None = None) -> GraphNetwork:
    """The same, always as a graph.

    Args:
        network: see there.
        output: of an ONNX file the node or tensor that is explained.

    Raises:
        GradCoreError: there is no such network, it is damaged, or it cannot be imported.
    """
    if output is not None and not (isinstance(network, str | Path) and _is_onnx(network)):
        raise GradCoreError("only ONNX files may have several outputs: leave --output out")
    if isinstance(network, GraphNetwork):
        return network
    if isinstance(network, Network):
        return as_graph(network)
    refuse_foreign(network)
    if _is_onnx(network):
        from gradcore.importer.importing import import_onnx

        return replace(network_of(import_onnx(network, output), Path(network).stem), origin=os.fspath(network))
    if _version(network) == GRAPH:
        return GraphNetwork.load(network)
    return as_graph(Network.load(network))


def as_graph(network: Network) -> GraphNetwork:
    """A chain as a graph, with all that stands round it."""
    return GraphNetwork(network.name, network.graph, network.classes, network.mean, network.std, network.metadata, network.origin)


def network_of(
    imported: Imported,
    name: str,
    *,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | float = 0.0,
    std: Sequence[float] | float = 1.0,
) -> GraphNetwork:
    """An imported graph as a network, with what no file of ONNX says.

    Args:
        imported: the graph.
        name: what reports call it.
        classes: one name for each output, in the source's order; None calls them by their numbers.
        mean, std: of pixel values in 0..1: the network's input is (pixel - mean) / std; one for all channels, or one for each.

    Raises:
        GradCoreError: there is not one name for each output, or not one mean and standard deviation for each channel.
    """
    channels = imported.graph.input_shape[0]
    outputs = len(imported.output_order)
    given = [f"class {number}" for number in range(outputs)] if classes is None else list(classes)
    if len(given) != outputs:
        raise GradCoreError(f"the network has {outputs} outputs but {len(given)} class names: give one name for each output")
    names = np.empty(outputs, dtype=object)
    names[imported.output_order] = given
    spread = [[one] * channels if isinstance(one, int | float) else list(one) for one in (mean, std)]
    spread = [one * channels if len(one) == 1 else one for one in spread]
    return GraphNetwork(name, imported.graph, list(names), spread[0], spread[1], {"import": described(imported)})


def described(imported: Imported) -> dict[str, Any]:
    """What a network's metadata keeps of its import."""
    notes = imported.notes
    told: dict[str, Any] = {"folded": notes.folded, "rewritten": notes.rewritten, "cut": notes.cut}
    if imported.difference is not None:
        told["difference"] = imported.difference.as_dict()
    return told


def _is_onnx(network: str | Path) -> bool:
    return os.fspath(network).lower().endswith(SUFFIX)


def _version(path: str | Path) -> str:
    file = network_path(path)
    try:
        return read_network_file(file)[0]
    except GradCoreError as error:
        raise GradCoreError(f"{path}: {error}") from None

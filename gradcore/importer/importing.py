# SPDX-License-Identifier: Apache-2.0
"""Imports a network: an ONNX file becomes a checked graph, which is compared with its source."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from gradcore.errors import GradCoreError
from gradcore.importer.builder import MEMORY, VALUE_BYTES, Builder, Notes
from gradcore.importer.comparison import Difference, compare_onnx
from gradcore.importer.folding import fold, prune
from gradcore.importer.onnx_model import prepared, read_onnx
from gradcore.importer.problems import Problem, refusal
from gradcore.importer.translation import translate
from gradcore.importer.views import View
from gradcore.network.graph import Graph


@dataclass
class Imported:
    """A network that was imported.

    Attributes:
        graph: what it became.
        notes: what was folded, rewritten and cut for it.
        output_order: int64 (outputs,): for each value of the source's output, flattened, its place in the graph's.
        difference: of the graph from its source on random inputs; None where it was not asked for.
    """

    graph: Graph
    notes: Notes
    output_order: np.ndarray
    difference: Difference | None = field(default=None)


def import_onnx(source: str | os.PathLike[str] | onnx.ModelProto, output: str | None = None, *, check: bool = True) -> Imported:
    """Import a network of ONNX.

    Args:
        source: a file, or a model.
        output: the node or tensor that is explained, where the network has several outputs.
        check: compare the graph with the source, by onnx's reference evaluator.

    Raises:
        GradCoreError: no such file, none of ONNX, or a network that GradCore cannot take; a ``Refusal`` then names every problem.
    """
    if isinstance(source, onnx.ModelProto):
        model, name = prepared(source, source.graph.name or "model"), source.graph.name or "model"
    else:
        model, name = read_onnx(source), os.fspath(source)
    problems: list[Problem] = []
    try:
        made = translate(model, output, problems)
    except GradCoreError as error:
        raise GradCoreError(f"{name}: {error}") from None
    if made is None:
        raise refusal(name, problems)
    imported = finish(made.builder, made.output, name)
    if check:
        imported.difference = compare_onnx(model, made, imported.graph, name)
    return imported


def finish(builder: Builder, output: View, name: str) -> Imported:
    """Fold what was built, and make the graph.

    Raises:
        GradCoreError: weights are beyond float32, or the network needs more memory than there is.
    """
    prune(builder, output.map)
    last = fold(builder, output.map)
    problems = []
    weights = {}
    for tensor, values in builder.weights.items():
        with np.errstate(over="ignore"):
            weights[tensor] = values.astype(np.float32)
        if not np.all(np.isfinite(weights[tensor])):
            node, _, what = tensor.rpartition(".")
            problems.append(Problem(node, "", f"its {what} is beyond float32 when it is folded", "train the network again at a lower rate"))
    parts = [sum(tensor.size for tensor in weights.values()), sum(math.prod(builder.shapes[node.name]) for node in builder.nodes)]
    if VALUE_BYTES * sum(parts) > MEMORY:
        of_weights, of_maps = (VALUE_BYTES * part / (1 << 20) for part in parts)
        told = f"{of_weights:.1f} MiB of weights and {of_maps:.1f} MiB of maps"
        problems.append(Problem("", "", f"it needs {told}, more than the {MEMORY >> 20} MiB of memory", "use a smaller network or input"))
    if problems:
        raise refusal(name, problems)
    graph = Graph(tuple(builder.nodes), weights, builder.shapes["input"], last)
    if not output.is_in_order:
        builder.notes.rewritten.append("output: its values are in the order C, H, W of its map, not in the file's")
    return Imported(graph, builder.notes, output.flat)


def network_name(path: str | os.PathLike[str]) -> str:
    """What reports call the network of a file."""
    return Path(path).stem

# SPDX-License-Identifier: Apache-2.0
"""What an import gives, and the last steps of each: folding, and the checked graph."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradcore.importer.builder import MEMORY, VALUE_BYTES, Builder, Notes
from gradcore.importer.comparison import Difference, Source, compare, random_inputs
from gradcore.importer.folding import fold, prune
from gradcore.importer.problems import Problem, refusal
from gradcore.importer.views import View
from gradcore.network.graph import Graph


@dataclass
class Imported:
    """A network that was imported.

    Attributes:
        graph: what it became.
        notes: what was folded, rewritten and cut for it.
        output_order: int64 (outputs,): for each value of the source's output, flattened, its place in the graph's.
        source: what it was made of.
        name: of the network, for errors.
        difference: of the graph from its source on random inputs; None where it was not asked for.
    """

    graph: Graph
    notes: Notes
    output_order: np.ndarray
    source: Source
    name: str
    difference: Difference | None = None

    def compare(self, inputs: np.ndarray, what: str) -> Difference:
        """The difference from the source on inputs, float32 (N, C, H, W), that are ``what``.

        Raises:
            GradCoreError: it is not small.
        """
        return compare(self.source, self.graph, inputs, self.output_order, self.name, what)


def finish(builder: Builder, output: View, name: str, source: Source, *, check: bool) -> Imported:
    """Fold what was built, make the graph, and where ``check`` says so compare it with its source.

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
    imported = Imported(graph, builder.notes, output.flat, source, name)
    if check:
        imported.difference = imported.compare(random_inputs(graph.input_shape), "random inputs")
    return imported

# SPDX-License-Identifier: Apache-2.0
"""A network as a graph, with its classes and what its input is; and the file that holds one (version 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.network.graph import KINDS, Graph, Node
from gradcore.network.network_file import GRAPH, damaged, network_path, read_network_file, write_network_file
from gradcore.network.surroundings import check_input, check_outputs, normalise, numbers


@dataclass
class GraphNetwork:
    """A network whose nodes are a graph. Checked when it is made.

    Attributes:
        name: what reports call it.
        graph: its nodes and weights.
        classes: one name for each value of its output, in the order C, H, W.
        mean, std: for each channel, of pixel values in 0..1: the network's input is (pixel - mean) / std.
        metadata: what else the file says, by key; values are what JSON can hold. ``import``: where it came from, what was folded,
            rewritten and cut, and how far it is from its source; ``quantisation``: number formats, where they were chosen.
        origin: what it was loaded from; None for a network that was made otherwise.

    Raises:
        GradCoreError: the description contradicts itself.
    """

    name: str
    graph: Graph
    classes: list[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    origin: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        self.classes = [str(name) for name in self.classes]
        self.mean, self.std = numbers(self.mean, self.std)
        check_input(self.input_shape, self.mean, self.std)
        check_outputs(math.prod(self.graph.shapes[self.graph.output]), self.classes)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height, width of the input."""
        return self.graph.shapes["input"]

    @property
    def label(self) -> str:
        """What people call it: as they named it when it was loaded, else its name."""
        return self.origin or self.name

    def normalise(self, images: np.ndarray) -> np.ndarray:
        """The network's input, float32 (N, C, H, W), from uint8 pictures (N, H, W, C)."""
        return normalise(images, self.input_shape, self.mean, self.std)

    @classmethod
    def load(cls, path: str | Path) -> GraphNetwork:
        """Read a network file of version 2; ``path`` may also be the name of one that comes with GradCore, such as ``fer``.

        Raises:
            GradCoreError: no such file, no network file of version 2, or a damaged one.
        """
        file = network_path(path)
        try:
            version, name, described, weights = read_network_file(file)
            if version != GRAPH:
                raise GradCoreError("the file holds a chain of layers, not a graph: read it with gradcore.load_network")
            return replace(cls.from_description(name, described, weights), origin=str(path))
        except GradCoreError as error:
            raise GradCoreError(f"{path}: {error}") from None

    @classmethod
    def from_description(cls, name: str, described: Mapping[str, Any], weights: dict[str, np.ndarray]) -> GraphNetwork:
        """A network from what its file says; see ``save``.

        Raises:
            GradCoreError: it contradicts itself.
        """
        described = dict(described)
        try:
            told, entering = described.pop("graph"), described.pop("input")
            nodes = [_node(one) for one in told["nodes"]]
            graph = Graph(tuple(nodes), weights, tuple(entering["shape"]), told["output"])
            return cls(name, graph, described.pop("classes"), tuple(entering["mean"]), tuple(entering["std"]), described)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise damaged(error) from None

    def save(self, path: str | Path) -> None:
        """Write the network as a safetensors file, version 2.

        Its ``graph`` holds ``nodes``, a list of objects with each node's ``kind`` and attributes, in order, and the name of the ``output``;
        the rest is as ``gradcore.network.network_file`` says.

        Raises:
            GradCoreError: the file cannot be written, or ``metadata`` holds what JSON cannot.
        """
        nodes = [{"kind": node.kind, **asdict(node)} for node in self.graph.nodes]
        described = {
            **self.metadata,
            "graph": {"nodes": nodes, "output": self.graph.output},
            "classes": self.classes,
            "input": {"shape": self.input_shape, "mean": self.mean, "std": self.std},
        }
        write_network_file(path, GRAPH, self.name, self.graph.weights, described)


def _node(told: Mapping[str, Any]) -> Node:
    """A node from its attributes: only those that its kind has, each of the type that its default has."""
    kind = KINDS.get(told["kind"])
    if kind is None:
        raise GradCoreError(f"node {told['name']}: the kind {told['kind']!r} is unknown: update GradCore, or import the network again")
    known = {one.name: one.default for one in fields(kind)}
    attributes = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items() if name != "kind"}
    if unknown := attributes.keys() - known.keys():
        raise GradCoreError(f"node {told['name']}: the attribute {min(unknown)} is unknown: update GradCore, or import the network again")
    for name, value in attributes.items():
        default = known[name]
        wanted = {bool: bool, int: int, float: (int, float), tuple: tuple}.get(type(default), object)
        members = value if isinstance(value, tuple) and name != "inputs" else ()
        right = isinstance(value, wanted) and (isinstance(value, bool) == isinstance(default, bool) or wanted is object)
        if not right or (isinstance(default, tuple) and len(value) != len(default)) or any(type(one) is not int for one in members):
            raise GradCoreError(f"node {told['name']}: {name} = {value!r} is no such attribute's value: import the network again")
    return kind(**attributes)

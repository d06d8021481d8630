# SPDX-License-Identifier: Apache-2.0
"""From a graph to passes: which nodes the engine computes together, and where each map lies.

``gradcore.models.passes`` says what a pass is. Nodes are computed together only where that changes nothing: a map that is folded into
a pass has one reader.

- A convolution, fully connected layer, affine map or average pool is a source of a pass, an addend of an add an identity. An add
  takes the sources of an addend that is such a sum and has no other reader.
- A ReLU or clip ends the pass of a sum that only it reads; otherwise it is a pass on an identity.
- A 2 x 2 max-pool of stride 2 without padding ends the pass of a map that only it reads, if its sources have stride 1 and no means over
  different numbers of places. (A ReLU behind a pool stays a pass: the pool's winner among negative values counts, for DeconvNet.) A
  max-pool of 1 x 1 is an identity with a stride. Any other max-pool is a pass on an identity.
- A concat is a map; what it joins is written into it at once, and read there. What is joined twice, or is the input, is copied by a pass
  on an identity; so is a concat that is the output, whose gradient is the seed: one pass makes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.models.arithmetic import VALUE_MAX
from gradcore.models.passes import INPUT, MapShape, Pass, Passes, Slice, Source
from gradcore.models.windows import Window
from gradcore.network.graph import Add, Affine, AveragePool, Clip, Concat, Conv, FullyConnected, Graph, MaxPool, Node, Relu

_POINT = Window()
_FUSED = Window((2, 2), (2, 2))


def lower(graph: Graph) -> Passes:
    """A graph as passes, in real numbers, in the units of its maps (``Passes.units``).

    Raises:
        GradCoreError: a window of a pool lies beyond its map.
    """
    graph = _ends_in_one_pass(graph)
    drafts = _drafts(graph)
    places = _places(graph, drafts)
    return _in_units(_assemble(graph, drafts, places))


def _ends_in_one_pass(graph: Graph) -> Graph:
    """The graph; one whose output is joined of several maps with a copy of it as the output: a max-pool of 1 x 1."""
    last = graph[graph.output]
    if not isinstance(last, Concat):
        return graph
    name = f"{last.name}.joined"
    while name in graph.shapes:
        name += "_"
    nodes = [replace(last, name=name) if node is last else node for node in graph.nodes]
    return replace(graph, nodes=(*nodes, MaxPool(last.name, (name,))))


@dataclass
class _Draft:
    """A pass that is being made. Its sources read maps of the graph, by name, with all their channels."""

    name: str
    sources: list[Source]
    bias: np.ndarray
    size: tuple[int, int]
    nodes: list[str]
    relu: bool = False
    limit: float | None = None
    pool: Window | None = None
    position: int = 0  # in the order of the graph

    @property
    def is_sum(self) -> bool:
        """Whether more can be added to it."""
        return not self.relu and self.pool is None

    @property
    def takes_pool(self) -> bool:
        """Whether a pool can be computed with it: its sums are next to one another in what it reads, and all have the same weights."""
        alike = all(source.kind != "average_pool" or not np.ptp(source.weights) for source in self.sources)
        return self.pool is None and alike and all(source.window.stride == (1, 1) for source in self.sources)


def _drafts(graph: Graph) -> dict[str, _Draft]:
    """The passes, by the map of the graph that each makes; maps that are folded into a pass are not there."""
    drafts: dict[str, _Draft] = {}

    def only_reader(name: str) -> bool:
        return name != graph.output and len(graph.readers(name)) == 1

    for position, node in enumerate(graph.nodes):
        if isinstance(node, Concat):
            continue
        first = node.inputs[0]
        before = drafts.get(first)
        if isinstance(node, Relu | Clip) and before and only_reader(first) and before.is_sum:
            draft = drafts.pop(first)
        elif isinstance(node, MaxPool) and before and only_reader(first) and before.takes_pool and _window(node) == _FUSED:
            draft = drafts.pop(first)
        elif isinstance(node, MaxPool) and tuple(node.kernel) == (1, 1):
            size, window = graph.shapes[node.name][1:], _window(node)
            _check_windows(node.name, window, graph.shapes[first][1:], size)
            source = replace(_identity(graph, node.name, first), window=window)
            draft = _Draft(node.name, [source], np.zeros(graph.shapes[first][0]), size, [])
        elif isinstance(node, Add):
            draft = _add(graph, node, drafts, only_reader)
        elif isinstance(node, Relu | Clip | MaxPool):
            draft = _Draft(node.name, [_identity(graph, node.name, first)], np.zeros(graph.shapes[first][0]), graph.shapes[first][1:], [])
        else:
            source, bias = _linear(graph, node)
            draft = _Draft(node.name, [source], bias, graph.shapes[node.name][1:], [])
        if isinstance(node, Relu | Clip):
            draft.relu, draft.limit = True, getattr(node, "high", None)
        elif isinstance(node, MaxPool) and tuple(node.kernel) != (1, 1):
            draft.pool = _window(node)
            _check_windows(node.name, draft.pool, draft.size, graph.shapes[node.name][1:])
        draft.nodes.append(node.name)
        draft.position = position
        drafts[node.name] = draft
    return drafts


def _add(graph: Graph, node: Add, drafts: dict[str, _Draft], only_reader) -> _Draft:
    """The pass of an add: what is only added is computed with it."""
    draft = _Draft(node.name, [], np.zeros(graph.shapes[node.name][0]), graph.shapes[node.name][1:], [])
    for name in node.inputs:
        if name in drafts and only_reader(name) and drafts[name].is_sum:
            part = drafts.pop(name)
            draft.sources += part.sources
            draft.bias = draft.bias + part.bias
            draft.nodes += part.nodes
        else:
            draft.sources.append(_identity(graph, node.name, name))
    return draft


def _reads(graph: Graph, name: str) -> Slice:
    """All channels of a map of the graph."""
    return Slice(name, 0, graph.shapes[name][0])


def _identity(graph: Graph, node: str, name: str) -> Source:
    channels = graph.shapes[name][0]
    return Source("identity", node, _reads(graph, name), _POINT, channels, np.ones((channels, 1, 1, 1)))


def _linear(graph: Graph, node: Node) -> tuple[Source, np.ndarray]:
    """The source and the bias (O,) of a linear node."""
    (name,) = node.inputs
    channels, height, width = graph.shapes[name]
    tensors = {tensor: graph.weights[f"{node.name}.{tensor}"].astype(np.float64) for tensor in node.tensors(graph.inputs_of(node))}
    bias = tensors.get("bias", np.zeros(graph.shapes[node.name][0]))
    reads = _reads(graph, name)
    if isinstance(node, Conv):
        return Source("conv", node.name, reads, _window(node), node.groups, tensors["weight"]), bias
    if isinstance(node, FullyConnected):
        weights = tensors["weight"].reshape(-1, channels, height, width)
        return Source("fc", node.name, reads, Window((height, width)), 1, weights), bias
    if isinstance(node, Affine):
        return Source("affine", node.name, reads, _POINT, channels, tensors["scale"][:, None, None, None]), tensors["shift"]
    assert isinstance(node, AveragePool), f"a {node.kind} is no linear node"
    divisors = node.divisors(height, width)
    window = _window(node)
    _check_windows(node.name, window, (height, width), divisors.shape)
    return Source("average_pool", node.name, reads, window, channels, 1.0 / divisors), bias


def _window(node: Conv | MaxPool | AveragePool) -> Window:
    return Window(tuple(node.kernel), tuple(node.stride), tuple(node.padding), tuple(node.dilation))


def _check_windows(name: str, window: Window, size: tuple[int, int], places: tuple[int, int]) -> None:
    if window.inside(tuple(size), tuple(places)).min() == 0:
        raise GradCoreError(f"node {name}: a window of the pool lies in the padding alone: give less padding")


def _places(graph: Graph, drafts: dict[str, _Draft]) -> dict[str, Slice]:
    """Where each map of the graph lies: itself, or channels of a concat's map. Adds the copies that concats need to ``drafts``."""
    places: dict[str, Slice] = {}
    for position, node in reversed(list(enumerate(graph.nodes))):
        if not isinstance(node, Concat):
            continue
        whole = places.setdefault(node.name, _reads(graph, node.name))
        start = whole.start
        for number, name in enumerate(node.inputs):
            channels, height, width = graph.shapes[name]
            place = Slice(whole.map, start, start + channels)
            if name == INPUT or name in places:
                copy = f"{node.name}.{number}"
                while copy in graph.shapes or copy in drafts:
                    copy += "_"
                source = _identity(graph, node.name, name)
                drafts[copy] = _Draft(copy, [source], np.zeros(channels), (height, width), [], position=position)
                name = copy
            places[name] = place
            start += channels
    for name in drafts:
        if name not in places:
            places[name] = _reads(graph, name)
    return places | {INPUT: _reads(graph, INPUT)}


def _assemble(graph: Graph, drafts: dict[str, _Draft], places: dict[str, Slice]) -> Passes:
    """The passes in order, their sources on the maps that are stored."""
    passes = []
    for name, draft in sorted(drafts.items(), key=lambda item: item[1].position):
        sources = tuple(replace(source, reads=places[source.reads.map]) for source in draft.sources)
        passes.append(
            Pass(draft.name, tuple(draft.nodes), sources, draft.bias, tuple(draft.size), draft.relu, draft.limit, draft.pool, places[name])
        )
    stored = {place.map for place in places.values()}
    maps: dict[str, MapShape] = {}
    for name, (channels, height, width) in graph.shapes.items():
        if name in stored:
            maps[name] = (height, width, channels)
    return Passes(maps, tuple(passes), graph.output)


def _in_units(made: Passes) -> Passes:
    """The same in units of each map: a clip's limit becomes the largest 16-bit number of some fraction.

    What comes as it is, or as an average, from a map with a unit keeps the unit, so that weights stay powers of two.
    """
    units: dict[str, float] = {}
    for one in made.passes:
        limits = [other.limit for other in made.makers(one.makes.map) if other.limit is not None]
        kept = [
            units[source.reads.map] for source in one.sources if source.kind in ("identity", "average_pool") and source.reads.map in units
        ]
        if one.makes.map in units:
            continue
        if limits:
            units[one.makes.map] = _unit(max(limits))
        elif kept:
            units[one.makes.map] = kept[0]
    passes = []
    for one in made.passes:
        own = units.get(one.makes.map, 1.0)
        sources = tuple(replace(source, weights=source.weights * (units.get(source.reads.map, 1.0) / own)) for source in one.sources)
        limit = None if one.limit is None else one.limit / own
        passes.append(replace(one, sources=sources, bias=one.bias / own, limit=limit))
    return Passes(made.maps, tuple(passes), made.output, units)


def _unit(limit: float) -> float:
    """1 <= unit < 2 such that limit / unit is VALUE_MAX * 2**-n for some n."""
    fraction = math.floor(math.log2(VALUE_MAX / limit)) + 1
    unit = limit / VALUE_MAX * 2.0**fraction
    return unit / 2 if unit >= 2 else unit

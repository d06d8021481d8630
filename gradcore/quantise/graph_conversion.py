# SPDX-License-Identifier: Apache-2.0
"""Quantisation of graphs: from passes in real numbers to the integers that the golden model computes with.

``gradcore.models.quantised_graph`` says what they are. Only NumPy is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.models import arithmetic
from gradcore.models.passes import Pass, Passes, Source
from gradcore.models.quantised_graph import GraphQuantisation, QuantisedGraph, QuantisedMap, QuantisedPass, QuantisedSource
from gradcore.quantise.calibration import SEED_FRACTION
from gradcore.quantise.conversion import MAX_SHIFT, to_fixed
from gradcore.quantise.equalisation import in_units
from gradcore.quantise.graph_calibration import accumulators

FEW_BITS = 9  # of a source's largest weight, of 15: below, a note tells of it
_CALIBRATE = "calibrate the network again (gradcore.calibrate)"


def quantise_passes(
    passes: Passes,
    formats: GraphQuantisation,
    *,
    name: str = "graph",
    classes: Sequence[str] = (),
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    notes: Sequence[str] = (),
) -> QuantisedGraph:
    """Passes in integers, with these formats.

    Args:
        passes: the lowered graph.
        formats: of every map.
        name, classes, mean, std, notes: what the result holds beside.

    Raises:
        GradCoreError: a number format does not fit (shift or accumulator out of range, units of other maps).
    """
    passes = in_units(passes, formats.units)
    seed = formats.gradients[passes.output]
    if not 0 <= seed <= SEED_FRACTION:
        raise GradCoreError(f"the seed gradient has {seed} fraction bits, allowed are 0..{SEED_FRACTION}: {_CALIBRATE}")
    of_pass, of_gradient = accumulators(passes, formats)
    saturated: dict[str, int] = {}
    made = [_pass(one, formats, of_pass(one), of_gradient, saturated) for one in passes.passes]
    maps = {
        key: QuantisedMap(
            shape, formats.activations[key], formats.gradients[key], of_gradient(key), passes.unit(key), tuple(formats.units.get(key, ()))
        )
        for key, shape in passes.maps.items()
    }
    told = (*notes, *_notes(passes, made))
    graph = QuantisedGraph(name, maps, tuple(made), passes.output, formats, tuple(classes), tuple(mean), tuple(std), saturated, told)
    _check(graph)
    return graph


def _pass(one: Pass, formats: GraphQuantisation, common: int, of_gradient, saturated: dict[str, int]) -> QuantisedPass:
    sources = [_source(source, one, formats, common, of_gradient(source.reads.map), saturated) for source in one.sources]
    bias = np.floor(one.bias * 2.0**common + 0.5)
    if np.abs(bias).max(initial=0) >= 2.0**46:
        raise GradCoreError(
            f"pass {one.name}: a bias of {np.abs(one.bias).max():.3g} does not fit the 48-bit accumulator beside its weights: train with "
            "bounded weights and biases"
        )
    fraction = formats.activations[one.makes.map]
    limit = None if one.limit is None else min(arithmetic.VALUE_MAX, int(np.floor(one.limit * 2.0**fraction + 0.5)))
    if limit is not None and limit < 1:
        raise GradCoreError(f"pass {one.name}: its limit vanishes in the format of its map: {_CALIBRATE}")
    return QuantisedPass(
        one.name,
        one.nodes,
        tuple(sources),
        bias.astype(np.int64),
        one.size,
        one.relu,
        limit,
        one.pool,
        one.makes,
        common,
        fraction,
    )


def _source(
    source: Source, one: Pass, formats: GraphQuantisation, common: int, backward: int, saturated: dict[str, int]
) -> QuantisedSource:
    fractions = common - formats.activations[source.reads.map], backward - formats.gradients[one.makes.map]
    weights = []
    for fraction in fractions:
        if source.exact and fraction < 0:
            raise GradCoreError(
                f"pass {one.name}: the format of {source.reads.map} is finer than the sum that it is added to: {_CALIBRATE}"
            )
        raw, clipped = to_fixed(source.weights, fraction)
        weights.append(raw)
        if clipped:
            saturated[source.node] = max(clipped, saturated.get(source.node, 0))
    return QuantisedSource(
        source.kind, source.node, source.reads, source.window, source.groups, weights[0], fractions[0], weights[1], fractions[1]
    )


def _notes(passes: Passes, made: Sequence[QuantisedPass]) -> list[str]:
    """Of sources whose largest weight keeps few bits, because of what they are added up with, or vanishes in its format."""
    notes = []
    for one, quantised in zip(passes.passes, made, strict=True):
        for real, source in zip(one.sources, quantised.sources, strict=True):
            if real.exact or not np.any(real.weights):
                continue
            for direction, raw in (("forward", source.weights), ("backward", source.backward_weights)):
                bits = int(np.abs(raw).max()).bit_length()
                if bits < FEW_BITS:
                    notes.append(
                        f"the largest weight of {source.node} keeps {bits} bits in the {direction} pass beside what it is added up with: "
                        f"classes and heatmaps may be off; compare with the float backend, or {_CALIBRATE}"
                    )
    return notes


def _check(graph: QuantisedGraph) -> None:
    """Shifts in 0..47, and no sum, over all sources, that could leave the 48-bit accumulator."""
    least = arithmetic.VALUE_MIN
    for one in graph.passes:
        _check_shift(f"pass {one.name}: the forward pass", one.shift)
        largest = sum(_magnitude(source, source.weights) for source in one.sources) * -least + np.abs(one.bias)
        _check_sum(f"pass {one.name}", largest, one.shift)
    for name, stored in graph.maps.items():
        _check_shift(f"map {name}: the backward pass", stored.backward_shift)
        largest = np.zeros(stored.shape[2])
        for one, source in graph.readers(name):
            windows = 1 if one.pool is None else one.pool.overlap
            largest[source.reads.channels] += _backward_magnitude(source, source.backward_weights) * windows * -least
        _check_sum(f"the gradient of map {name}", largest, stored.backward_shift)


def _check_shift(what: str, shift: int) -> None:
    if not 0 <= shift <= MAX_SHIFT:
        raise GradCoreError(f"{what} would shift by {shift}, allowed are 0..{MAX_SHIFT}: {_CALIBRATE}")


def _check_sum(what: str, largest: np.ndarray, shift: int) -> None:
    if float(largest.max(initial=0)) + arithmetic.rounding_constant(shift) >= 2.0 ** (arithmetic.ACCUMULATOR_BITS - 1):
        raise GradCoreError(f"{what}: its sums could overflow the 48-bit accumulator: use fewer inputs or fewer weight bits")


def _magnitude(source: QuantisedSource, weights: np.ndarray) -> np.ndarray:
    """The sum of the weights' magnitudes for each output channel, or one number for all."""
    if source.kind == "average_pool":
        return np.asarray(float(np.abs(weights).max()) * source.window.taps)
    return np.abs(weights).sum(axis=(1, 2, 3)).astype(np.float64)


def _backward_magnitude(source: QuantisedSource, weights: np.ndarray) -> np.ndarray:
    """Likewise for each channel that it reads: all taps count, though with a stride none sees them all."""
    if source.kind == "average_pool":
        return np.asarray(float(np.abs(weights).max()) * source.window.overlap)
    by_group = np.abs(weights).sum(axis=(2, 3)).reshape(source.groups, -1, weights.shape[1])
    return by_group.sum(axis=1).reshape(-1).astype(np.float64)

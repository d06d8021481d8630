# SPDX-License-Identifier: Apache-2.0
"""Calibration of graphs: which number formats the maps get, and how those that meet in one sum agree.

``gradcore.models.quantised_graph`` says what the formats mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.models import arithmetic
from gradcore.models.passes import INPUT, Pass, Passes, Source
from gradcore.models.quantised_graph import GraphQuantisation
from gradcore.quantise import float_graph
from gradcore.quantise.calibration import MARGIN, SEED_FRACTION, fraction_for

SPARE_BITS = 3  # of a source's weights that a common accumulator may cost before its map gives some
_ROUNDS = 1000
_VALUES = 8_000_000  # of all maps together, in one batch


def calibrate_passes(
    passes: Passes, inputs: np.ndarray, *, input_fraction: int | None = None, source: str = "", methods: Sequence[str] = arithmetic.METHODS
) -> GraphQuantisation:
    """Choose the fraction bits of every map.

    Args:
        passes: the lowered graph.
        inputs: float32 (N, H, W, C), what the network takes; some tens are enough.
        input_fraction: of the input's format; None: as many bits as hold ``inputs``.
        source: what the inputs are, kept for people.
        methods: whose gradients the formats hold; others may saturate. In deep networks DeconvNet's gradients are orders of magnitude
            smaller than the others', so formats for all keep few bits of them.

    Raises:
        GradCoreError: there are no inputs, or a value is beyond float32.

    Values and gradients are measured in float on all inputs (gradients by each method, from the arg-max). Gradients and the
    output keep a margin of one bit. A clip's map has the format whose largest number is the limit. Then see ``settle``.
    """
    inputs = np.asarray(inputs, dtype=np.float32)
    if not len(inputs):
        raise GradCoreError("calibration needs inputs, and there are none: give at least one")
    values, gradients = measure(passes, inputs, methods)
    activations = {name: fraction_for(values[name] * (MARGIN if name == passes.output else 1.0)) for name in passes.maps}
    if input_fraction is not None:
        activations[INPUT] = input_fraction
    if MARGIN * max(gradients.values()) > np.finfo(np.float32).max:
        raise GradCoreError("the gradients are beyond float32: train the network with bounded weights")
    wanted = {name: fraction_for(MARGIN * gradients[name]) for name in passes.maps} | {passes.output: SEED_FRACTION}
    return settle(passes, GraphQuantisation(activations, wanted, source))


def measure(passes: Passes, inputs: np.ndarray, methods: Sequence[str] = arithmetic.METHODS) -> tuple[dict[str, float], dict[str, float]]:
    """The largest magnitudes of the values and of the gradients of every map; of values that are pooled, before the pool. What a clip
    makes counts as its limit."""
    values, gradients = dict.fromkeys(passes.maps, 0.0), dict.fromkeys(passes.maps, 0.0)
    batch = max(1, _VALUES // sum(int(np.prod(shape)) for shape in passes.maps.values()))
    for start in range(0, len(inputs), batch):
        part = inputs[start : start + batch]
        result = float_graph.forward(passes, part)
        values[INPUT] = max(values[INPUT], float(np.abs(part).max()))
        for one in passes.passes:
            largest = one.limit if one.limit is not None else float(np.abs(result.passes[one.name].full).max())
            values[one.makes.map] = max(values[one.makes.map], largest)
        for method in methods:
            for name, gradient in float_graph.backward(passes, result, method).items():
                gradients[name] = max(gradients[name], float(np.abs(gradient).max()))
    return values, gradients


def settle(passes: Passes, wanted: GraphQuantisation) -> GraphQuantisation:
    """The formats nearest to those wanted, never finer, with which every sum works.

    - No map has more fraction bits than the sums that it is rounded from.
    - An identity's weight 2**k has k >= 0: its map has no more fraction bits than the sum.
    - Where the common accumulator would cost a source's weights more than ``SPARE_BITS``, its map takes half of that, or what is
      beyond SPARE_BITS. (A map that clips alone make does not: its format is the clip.)

    The same holds backward, for the gradients of the maps that the passes make, which meet in the gradient of the map that they read.
    """
    activations, gradients = dict(wanted.activations), dict(wanted.gradients)
    forwards = [([(source.reads.map, source) for source in one.sources], one.makes.map) for one in passes.passes]
    backwards = [([(one.makes.map, source) for one, source in passes.readers(name)], name) for name in passes.maps if name != passes.output]
    _settle(activations, forwards, passes.clips)
    _settle(gradients, backwards, set())
    return GraphQuantisation(activations, gradients, wanted.source)


def _settle(fractions: dict[str, int], sums: list[tuple[list[tuple[str, Source]], str]], fixed: set[str]) -> None:
    """Lower fractions until all sums work; a sum is what meets in it, each with the map that it reads, and the map that it makes.

    Maps give bits for others' weights once: where two sums would ask the same maps for it in turns, weights keep fewer bits.
    """
    _agree(fractions, sums)
    given: dict[str, int] = {}
    for terms, _ in sums:
        common = accumulator(fractions, terms)
        for name, source in terms:
            lost = fractions[name] + most_bits(source) - common
            if not source.exact and name not in fixed:
                given[name] = max(given.get(name, 0), lost - max(SPARE_BITS, (lost + 1) // 2))
    for name, bits in given.items():
        fractions[name] -= bits
    _agree(fractions, sums)


def _agree(fractions: dict[str, int], sums: list[tuple[list[tuple[str, Source]], str]]) -> None:
    """Lower fractions until no map has more than a sum that makes it, or that it is added to as it is."""
    for _ in range(_ROUNDS):
        before = dict(fractions)
        for terms, made in sums:
            common = accumulator(fractions, terms)
            for name, source in terms:
                if source.exact:
                    fractions[name] = min(fractions[name], common)
            fractions[made] = min(fractions[made], common)
        if fractions == before:
            return
    raise GradCoreError("no number formats fit the network: train it with bounded weights")


def accumulator(fractions: dict[str, int], terms: list[tuple[str, Source]]) -> int:
    """The fraction that all terms of a sum can have: the least of what each can have at most."""
    return min(fractions[name] + most_bits(source) for name, source in terms)


def most_bits(source: Source) -> int:
    """The most fraction bits with which the real weights of a source fit 16 bits."""
    return _most_bits(source)


@cache
def _most_bits(source: Source) -> int:
    return fraction_for(float(np.abs(source.weights).max(initial=0)))


def accumulators(passes: Passes, formats: GraphQuantisation) -> tuple[Callable[[Pass], int], Callable[[str], int]]:
    """F of a pass, and F of the gradient of a map: see ``gradcore.models.quantised_graph``. The output's gradient is no sum: its own."""

    def of_pass(one: Pass) -> int:
        return accumulator(formats.activations, [(source.reads.map, source) for source in one.sources])

    def of_gradient(name: str) -> int:
        if name == passes.output:
            return formats.gradients[name]
        return accumulator(formats.gradients, [(one.makes.map, source) for one, source in passes.readers(name)])

    return of_pass, of_gradient

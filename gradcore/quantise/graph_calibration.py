# SPDX-License-Identifier: Apache-2.0
"""Calibration of graphs: which number formats the maps get, and how those that meet in one sum agree.

``gradcore.models.quantised_graph`` says what the formats mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.models import arithmetic
from gradcore.models.passes import INPUT, Pass, Passes, Source
from gradcore.models.quantised_graph import GraphQuantisation
from gradcore.quantise import float_graph
from gradcore.quantise.calibration import MARGIN, SEED_FRACTION, fraction_for
from gradcore.quantise.equalisation import equalise, in_units

SPARE_BITS = 3  # of a source's weights that a common accumulator may cost before its map gives some
# Of maps whose channels all come near the largest value, so that a held-out input is sooner above it: without and with contrast.
VALUE_MARGINS = (1.6, 1.25)
_ROUNDS = 1000
_VALUES = 8_000_000  # of all maps together, in one batch


def calibrate_passes(
    passes: Passes,
    inputs: np.ndarray,
    *,
    input_fraction: int | None = None,
    source: str = "",
    methods: Sequence[str] = arithmetic.METHODS,
    contrast: bool = False,
    equal: bool = False,
) -> GraphQuantisation:
    """Choose the fraction bits of every map.

    Args:
        passes: the lowered graph.
        inputs: float32 (N, H, W, C), what the network takes; some tens are enough.
        input_fraction: of the input's format; None: as many bits as hold ``inputs``.
        source: what the inputs are, kept for people.
        methods: whose gradients the formats hold; others may saturate. In deep networks DeconvNet's gradients are orders of magnitude
            smaller than the others', so formats for all keep few bits of them.
        contrast: whether pictures of high contrast are among the inputs: then formats need hardly any margin.
        equal: whether the channels of maps get units of their own: see ``gradcore.quantise.equalisation``.

    Raises:
        GradCoreError: there are no inputs, or a value is beyond float32.

    Values and gradients are measured in float on all inputs (gradients by each method, from the arg-max). The output keeps a margin of
    one bit, and so do gradients without contrast. A clip's map has the format whose largest number is the limit. Then see ``settle``.
    """
    inputs = np.asarray(inputs, dtype=np.float32)
    if not len(inputs):
        raise GradCoreError("calibration needs inputs, and there are none: give at least one")
    values, gradients = measure(passes, inputs, methods)
    units = equalise(passes, values, VALUE_MARGINS[contrast]) if equal else {}
    for name, one in units.items():
        values[name], gradients[name] = values[name] / one, gradients[name] * one
    activations = {name: fraction_for(one.max() * (MARGIN if name == passes.output else 1.0)) for name, one in values.items()}
    if input_fraction is not None:
        activations[INPUT] = input_fraction
    if MARGIN * max(one.max() for one in gradients.values()) > np.finfo(np.float32).max:
        raise GradCoreError("the gradients are beyond float32: train the network with bounded weights")
    margin = 1.0 if contrast else MARGIN
    wanted = {name: fraction_for(margin * one.max()) for name, one in gradients.items()} | {passes.output: SEED_FRACTION}
    return settle(passes, GraphQuantisation(activations, wanted, source, units))


Largest = dict[str, np.ndarray]


def measure(passes: Passes, inputs: np.ndarray, methods: Sequence[str] = arithmetic.METHODS) -> tuple[Largest, Largest]:
    """The largest magnitudes of the values and of the gradients of each channel (C,) of every map; of values that are pooled, before the
    pool. What a clip makes counts as its limit."""
    values, gradients = ({name: np.zeros(shape[2]) for name, shape in passes.maps.items()} for _ in range(2))
    batch = max(1, _VALUES // sum(int(np.prod(shape)) for shape in passes.maps.values()))
    for start in range(0, len(inputs), batch):
        part = inputs[start : start + batch]
        result = float_graph.forward(passes, part)
        _raise(values[INPUT], part)
        for one in passes.passes:
            made = result.passes[one.name].full if one.limit is None else np.full((1, 1, 1, one.makes.width), one.limit)
            _raise(values[one.makes.map][one.makes.channels], made)
        for method in methods:
            for name, gradient in float_graph.backward(passes, result, method).items():
                _raise(gradients[name], gradient)
    return values, gradients


def _raise(largest: np.ndarray, maps: np.ndarray) -> None:
    """Raise (C,) in place to the largest magnitudes in maps (N, H, W, C)."""
    np.maximum(largest, np.abs(maps).max(axis=(0, 1, 2)), out=largest)


def settle(passes: Passes, wanted: GraphQuantisation) -> GraphQuantisation:
    """The formats nearest to those wanted, never finer, with which every sum works.

    - No map has more fraction bits than the sums that it is rounded from.
    - An identity's weight 2**k has k >= 0: its map has no more fraction bits than the sum.
    - Where the common accumulator would cost a source's weights more than ``SPARE_BITS``, its map takes half of that, or what is
      beyond SPARE_BITS. (A map that clips alone make does not: its format is the clip.)

    The same holds backward, for the gradients of the maps that the passes make, which meet in the gradient of the map that they read.
    """
    passes = in_units(passes, wanted.units)
    activations, gradients = dict(wanted.activations), dict(wanted.gradients)
    forwards = [([(source.reads.map, source) for source in one.sources], one.makes.map) for one in passes.passes]
    backwards = [([(one.makes.map, source) for one, source in passes.readers(name)], name) for name in passes.maps if name != passes.output]
    _settle(activations, forwards, passes.clips)
    _settle(gradients, backwards, set())
    return replace(wanted, activations=activations, gradients=gradients)


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
    if source not in _most:
        _most[source] = fraction_for(float(np.abs(source.weights).max(initial=0)))
    return _most[source]


_most: WeakKeyDictionary[Source, int] = WeakKeyDictionary()


def accumulators(passes: Passes, formats: GraphQuantisation) -> tuple[Callable[[Pass], int], Callable[[str], int]]:
    """F of a pass, and F of the gradient of a map: see ``gradcore.models.quantised_graph``. The output's gradient is no sum: its own."""

    def of_pass(one: Pass) -> int:
        return accumulator(formats.activations, [(source.reads.map, source) for source in one.sources])

    def of_gradient(name: str) -> int:
        if name == passes.output:
            return formats.gradients[name]
        return accumulator(formats.gradients, [(one.makes.map, source) for one, source in passes.readers(name)])

    return of_pass, of_gradient

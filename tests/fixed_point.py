# SPDX-License-Identifier: Apache-2.0
"""Graphs in fixed point, held against the golden model and against float: for tests of compiled graphs and of conformance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gradcore.compiler import HardwareConfig, Program, compile_network
from gradcore.models import graph as golden
from gradcore.models.passes import INPUT, Passes, Source
from gradcore.models.program import check_tokens, execute, simulate
from gradcore.models.quantised_graph import GraphQuantisation, QuantisedGraph, QuantisedSource
from gradcore.models.windows import gather
from gradcore.network.graph import Graph
from gradcore.quantise import float_graph
from gradcore.quantise.calibration import fraction_for
from gradcore.quantise.graph_calibration import calibrate_passes, settle
from gradcore.quantise.graph_conversion import quantise_passes
from gradcore.quantise.lowering import lower


def compare(quantised: QuantisedGraph, values: np.ndarray, method: str, groups: int, seed: np.ndarray | None = None) -> Program:
    """Compile a graph and hold what its program makes of an input (H, W, C) against the golden model; ``seed``: int (H, W, C), the
    gradient of the output; otherwise the one that the program finds."""
    program = compile_network(quantised, HardwareConfig(groups=groups))
    jobs = program.jobs()
    check_tokens(jobs)
    simulate(jobs, np.random.default_rng(len(jobs)))
    memory = execute(program, values, method, seed=seed).memory
    forward = golden.forward(quantised, values)
    backward = golden.backward(quantised, forward, method, seed=program.seed.read(memory, program.base)[None])
    for number, name in enumerate(quantised.maps):
        np.testing.assert_array_equal(program.read_activation(memory, number), forward.maps[name][0], err_msg=name)
    for number, one in enumerate(quantised.passes):
        wanted = backward.gradients[one.makes.map][0][..., one.makes.channels]
        np.testing.assert_array_equal(program.read_gradient(memory, number + 1), wanted, err_msg=f"gradient of {one.name}")
        tags = program.read_tags(memory, number)
        if tags is not None:
            mask, index = tags
            made = forward.passes[one.name]
            if mask is not None:
                np.testing.assert_array_equal(mask, made.mask[0], err_msg=f"mask of {one.name}")
            if index is not None:
                row, column = np.divmod(made.index[0], one.pool.kernel[1])
                np.testing.assert_array_equal(index, (2 if mask is not None else 3) * row + column, err_msg=f"winners of {one.name}")
    np.testing.assert_array_equal(program.read_attribution(memory), backward.attribution[0])
    for raw in (forward.logits[0], backward.attribution[0]):  # what raw numbers mean
        np.testing.assert_array_equal(program.dequantise_logits(raw), quantised.dequantise_logits(raw))
        np.testing.assert_array_equal(program.dequantise_attribution(raw), quantised.dequantise_attribution(raw))
    if seed is None:
        places = np.flatnonzero(program.seed.read(memory, program.base, padding=True).reshape(-1))
        assert program.class_of(int(places[0])) == forward.winners[0]
    return program


def in_integers(graph: Graph, inputs: np.ndarray) -> tuple[Passes, QuantisedGraph, np.ndarray]:
    """A graph as passes, and in integers, with formats that are chosen on inputs (N, C, H, W); and these as int64 (N, H, W, C)."""
    passes, values = lower(graph), np.asarray(inputs, dtype=np.float32).transpose(0, 2, 3, 1)
    quantised = quantise_passes(passes, calibrate_passes(passes, values))
    return passes, quantised, np.floor(values * 2.0**quantised.picture_fraction + 0.5).astype(np.int64)


def agrees(graph: Graph, inputs: np.ndarray, real: np.ndarray, method: str, groups: int) -> float:
    """Hold a graph in integers against its output ``real`` (N, values), on inputs (N, C, H, W) on which its formats are chosen.

    The golden model computes all inputs; the compiled program computes the first bit for bit as it does. No value may be farther from
    ``real`` than rounding in these formats can take it. Returns the largest of these bounds as a share of the largest value.

    Raises:
        GradCoreError: the core does not run it.
        AssertionError: a value is farther off, or saturates, or the program differs from the golden model.
    """
    passes, quantised, raw = in_integers(graph, inputs)
    compare(quantised, raw[0], method, groups)
    result = golden.forward(quantised, raw)
    assert not any(trace.saturated.any() for trace in result.passes.values()), "a value saturates on the inputs that formats were chosen on"
    values = np.asarray(inputs, dtype=np.float32).transpose(0, 2, 3, 1)
    bound = golden.flatten(rounding_bounds(passes, quantised, values)[passes.output]) * passes.unit(passes.output)
    error = np.abs(quantised.dequantise_logits(result.logits) - real)
    np.testing.assert_array_less(error, bound + 1e-5 * np.abs(real).max(), err_msg="farther off than rounding can take it")
    return float(bound.max() / max(np.abs(real).max(), np.finfo(np.float32).tiny))


def rounding_bounds(passes: Passes, quantised: QuantisedGraph, inputs: np.ndarray) -> Mapping[str, np.ndarray]:
    """How far rounding can take each value of each map, (N, H, W, C), from what it is in real numbers, on inputs (N, H, W, C).

    Of a sum s = sum of w x + b, with x off by e, w by half of its last bit d unless it is exact, and b by half of its own: at most
    sum of (|w| + d) e + d |x|, half of the bias's last bit, and half of the result's. ReLU, clip and max take no value farther off.
    """
    real = float_graph.forward(passes, inputs)
    off = {name: np.zeros_like(values, dtype=np.float64) for name, values in real.maps.items()}
    off[INPUT] += half(quantised.picture_fraction)
    for one, made in zip(passes.passes, quantised.passes, strict=True):
        found = half(made.fraction) + half(made.accumulator_fraction) * (one.bias != 0)
        for source, integers in zip(one.sources, made.sources, strict=True):
            weights = np.abs(source.weights)
            rounded = half(integers.weight_fraction) * (weights != 0) * (not source.exact)
            before, values = (maps[source.reads.map][..., source.reads.channels] for maps in (off, real.maps))
            found = found + golden.sums(source, weights + rounded, before, one.size, np.matmul)
            found = found + golden.sums(source, rounded, np.abs(values.astype(np.float64)), one.size, np.matmul)
        if one.limit is not None:
            found = found + half(made.fraction)
        if one.pool is not None:
            found = gather(found, one.pool, passes.maps[one.makes.map][:2]).max(axis=3)
        off[one.makes.map][..., one.makes.channels] = found
    return off


def half(fraction: int) -> float:
    """Half of the last of so many fraction bits."""
    return 2.0 ** -(fraction + 1)


def gradient_agrees(graph: Graph, seed: np.ndarray, real: np.ndarray, groups: int) -> None:
    """Hold the gradient of a graph of one convolution, in integers, against ``real`` (N, C, H, W), from gradients ``seed`` (N, C, H, W)
    of its output; the program computes the first bit for bit as the golden model does, and rounding can take no value farther off.

    Raises:
        AssertionError: it does not agree.
    """
    passes = lower(graph)
    (one,) = passes.passes
    shape = passes.maps[INPUT]
    formats = calibrate_passes(passes, np.ones((1, *shape), dtype=np.float32))
    wanted = {INPUT: fraction_for(np.abs(real).max()), passes.output: min(14, fraction_for(np.abs(seed).max()))}
    quantised = quantise_passes(passes, settle(passes, GraphQuantisation(formats.activations, wanted)))
    given = seed.transpose(0, 2, 3, 1).astype(np.float64)
    raw = np.floor(given * 2.0 ** quantised.maps[passes.output].gradient_fraction + 0.5).astype(np.int64)
    values = np.zeros((len(raw), *shape), dtype=np.int64)
    compare(quantised, values[0], "saliency", groups, seed=raw[0])
    result = golden.backward(quantised, golden.forward(quantised, values), "saliency", seed=raw)
    assert not any(count.any() for count in result.saturated.values())
    bound = _backward_bound(one.sources[0], quantised.passes[0].sources[0], quantised, given, shape[:2])
    error = np.abs(quantised.dequantise_attribution(result.attribution) - real)
    np.testing.assert_array_less(error, bound.transpose(0, 3, 1, 2) + 1e-5 * np.abs(real).max())


def _backward_bound(source: Source, integers: QuantisedSource, quantised: QuantisedGraph, seed: np.ndarray, size) -> np.ndarray:
    """As ``rounding_bounds``, of the gradient of the input."""
    weights = np.abs(source.weights)
    rounded = half(integers.backward_weight_fraction) * (weights != 0)
    off = np.full_like(seed, half(quantised.maps[quantised.output].gradient_fraction))
    parts = [(weights + rounded, off), (rounded, np.abs(seed))]
    found = sum(golden.sums_backward(source, factor, values, size, np.matmul) for factor, values in parts)
    return found + half(quantised.maps[INPUT].gradient_fraction)

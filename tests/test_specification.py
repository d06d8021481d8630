# SPDX-License-Identifier: Apache-2.0
"""The rules of arithmetic, stated in fxpmath, and their fast twin in integers: equal everywhere, and a difference is seen."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gradcore.models import arithmetic, specification
from gradcore.models.convolution.conv_group import ConvJob, output
from gradcore.models.expectation import Checked, SpecificationError
from gradcore.models.numbers import Format, PassFormats, value_format
from gradcore.models.windows import Window, gather
from tb.support.seeds import SEEDS

ROOT = Path(__file__).resolve().parents[1]
ENDS = (-32768, -32767, -1, 0, 1, 32766, 32767)


def checked(shift: int, seed: int = 1) -> Checked:
    """Rules of random formats with this shift."""
    return Checked.of_shift(shift, np.random.default_rng((shift, seed)))


def corners(shift: int) -> np.ndarray:
    """Accumulators round both ends of the range, zero, and exactly one half, at a shift; and the ends of 48 bits."""
    half = (1 << shift) >> 1
    places = [whole << shift for whole in (-32769, -32768, -2, -1, 0, 1, 32766, 32767, 32768)]
    made = [place + step for place in places for step in (-half - 1, -half, -half + 1, -1, 0, 1, half - 1, half, half + 1)]
    ends = [-(1 << 47), -(1 << 47) + half, (1 << 47) - 1 - half, (1 << 47) - 1]
    return np.array([one for one in (*made, *ends) if -(1 << 47) <= one < 1 << 47])


@pytest.mark.parametrize("seed", SEEDS)
def test_requantisation_rounds_half_up_and_saturates_at_every_shift(seed):
    rng = np.random.default_rng(seed)
    for shift in range(48):
        rules = checked(shift, seed)
        sums = np.concatenate([corners(shift), rng.integers(-(1 << 47), 1 << 47, 50) >> rng.integers(0, 47, 50)])
        assert len(np.unique(rules.requantise(sums, shift))) > 2
        held = sums[(sums >= -(1 << 47) + rules.rounding_constant(shift))]
        rules.requantise_rounded(held, shift)
        for relu in (False, True):
            rules.saturated(sums, shift, relu)
            rules.saturated_rounded(held, shift, relu)
        assert not rules.sampled and rules.checked["saturated"] == 2 * len(sums)


@pytest.mark.parametrize("seed", SEEDS)
def test_products_and_sums_are_exact(seed):
    rng = np.random.default_rng(seed)
    for products, rows, lanes in ((1, 1, 1), (9, 7, 16), (300, 2, 16)):
        values, weights = rng.integers(-32768, 32768, (rows, products)), rng.integers(-32768, 32768, (products, lanes))
        values[0], weights[:, 0] = -32768, -32768
        initial = rng.integers(-(1 << 46), 1 << 46, lanes)
        rules = checked(int(rng.integers(48)), seed)
        assert rules.exact_sum(values, weights, initial)[0, 0] == (products << 30) + initial[0]
        assert rules.checked["exact_sum"] == rows * products * lanes
        small = specification.product(
            specification.number(values[0], value_format(3)), specification.number(weights[:, 0], value_format(9))
        )
        assert specification.format_of(small) == Format(32, 12) and np.all(specification.raw(small) == 1 << 30)
    np.testing.assert_array_equal(rules.exact_sum(np.zeros((1, 0)), np.zeros((0, 4)), [1, 2, 3, 4]), [[1, 2, 3, 4]])


def test_a_sum_beyond_the_accumulator_is_noticed():
    formats = PassFormats.of_fractions(3, 4, 5)
    numbers = (specification.number(np.full((1, 1), 32767), one) for one in (formats.source, formats.weights))
    with pytest.raises(OverflowError, match="Q41.7"):
        specification.exact_sum(*numbers, specification.number((1 << 47) - 1, formats.accumulator))


def test_relu_rules_of_each_method_at_the_ends_of_the_range():
    rules = checked(3)
    values, mask = np.meshgrid(ENDS, [False, True])
    assert rules.relu(values)[0].min() == 0
    for method in arithmetic.METHODS:
        rules.relu_backward(values, mask, method)
    with pytest.raises(ValueError, match="saliency"):
        specification.relu_backward(specification.number(values, value_format(0)), mask, "gradcam")


@pytest.mark.parametrize("limit", [1, 2, 12288, 32766, 32767])
def test_a_clip_has_two_ends_and_its_mask_neither(limit):
    values = np.array([*ENDS, limit - 1, limit, min(limit + 1, 32767)])
    made, mask = checked(3).clip(values, limit)
    assert made.min() == 0 and made.max() == limit and not mask[(values <= 0) | (values >= limit)].any()
    assert mask[values == 1].all() == (limit > 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_pool_and_unpool_at_ties_extremes_and_odd_sizes(seed):
    rng = np.random.default_rng(seed)
    rules = checked(5, seed)
    for values in (rng.integers(0, 2, (40, 4, 16)), rng.choice(ENDS, (40, 4, 16)), np.full((1, 4, 3), -32768)):
        best, index = rules.winners(values)
        assert len(np.unique(index)) == (4 if len(values) > 1 else 1)
    for height, width in ((2, 2), (5, 7), (6, 3)):
        values = rng.choice([-32768, -1, 0, 0, 32767], (height, width, 5))
        exact, places = specification.max_pool(specification.number(values, value_format(7)))
        best, index = arithmetic.max_pool(values)
        np.testing.assert_array_equal(specification.raw(exact), best)
        np.testing.assert_array_equal(places, index)
        made = rules.max_unpool(rng.choice(ENDS, best.shape), index, height, width)
        assert made.shape == (height, width, 5) and np.count_nonzero(made) <= best.size


WINDOWS = [
    (Window((2, 2), (2, 2)), (5, 6)),
    (Window((3, 3), (2, 2)), (7, 6)),
    (Window((3, 3), (1, 1), (1, 1, 1, 1)), (4, 5)),
    (Window((3, 3), (3, 3), (1, 0, 1, 2)), (7, 4)),
    (Window((3, 2), (2, 1), (0, 1, 2, 0), (1, 2)), (6, 7)),
    (Window((1, 1), (3, 2)), (5, 5)),
]


@pytest.mark.parametrize(("window", "size"), WINDOWS)
def test_pools_of_any_windows_and_the_sums_of_their_gradients(window, size):
    rng = np.random.default_rng(size)
    rules = checked(5)
    top, left, bottom, right = window.padding
    padded, least = (size[0] + top + bottom, size[1] + left + right), window.reach((1, 1))
    places = tuple((whole - reach) // stride + 1 for whole, reach, stride in zip(padded, least, window.stride, strict=True))
    assert window.inside(size, places).min() > 0
    peak = np.zeros((1, *size, 1), dtype=int)
    peak[:, 2, 2] = 1
    for values in (np.stack([rng.integers(-2, 2, (*size, 2)), rng.choice(ENDS, (*size, 2))]), np.full((1, *size, 1), -32768), peak):
        best, index = rules.pool_windows(values, window, places)
        made = rules.unpool_windows(rng.choice(ENDS, best.shape), index, window, size)
        ones = rules.unpool_windows(np.ones_like(best), index, window, size)
        assert made.shape == values.shape and ones.sum() == best.size and ones.max() <= window.overlap
        if window.kernel == window.stride == (2, 2):
            np.testing.assert_array_equal(arithmetic.max_pool(values), (best, index))
            np.testing.assert_array_equal(arithmetic.max_unpool(best, index, *size), rules.unpool_windows(best, index, window, size))
    assert (window.overlap > 1) == (ones[0, 2, 2, 0] > 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_of_equal_values_is_the_arg_max(seed):
    rng = np.random.default_rng(seed)
    for values in ([5], [1, 7, 7, 2], np.full(9, -32768), rng.integers(0, 3, 50), rng.choice(ENDS, (3, 4))):
        checked(0).arg_max(np.array(values))
    assert checked(0).arg_max(np.array([1, 7, 7, 2])) == 1


@pytest.mark.parametrize("fraction", [-3, 0, 3, 9, 15, 20, 30])
def test_floats_are_rounded_half_up_and_saturated(fraction):
    rng = np.random.default_rng(fraction + 3)
    just_below_half = np.nextafter(0.5, 0)
    raw = np.concatenate([rng.normal(0, 32768, 500), np.arange(-4, 5) + 0.5, [just_below_half, -just_below_half, 32767.5, -32768.5, 1e12]])
    made, clipped = checked(0).quantise(raw * 2.0**-fraction, fraction)
    assert made[509] == 0 and list(made[-3:]) == [32767, -32768, 32767] and list(clipped[-3:]) == [True, False, True]


# ---- a difference is seen ----------------------------------------------------------------------------------


def a_pass(rules: Checked, shift: int, initial: np.ndarray | None = None) -> np.ndarray:
    """Some sums, requantised; the shift is given by hand."""
    rng = np.random.default_rng(2)
    values, weights = rng.integers(-2000, 2000, (6, 9)), rng.integers(-2000, 2000, (9, 16))
    return rules.requantise(rules.exact_sum(values, weights, 77 if initial is None else initial), shift)


RIGHT = PassFormats.of_fractions(source=11, weights=15, result=9)


@pytest.mark.parametrize("step", [-1, 1])
@pytest.mark.parametrize("part", ["source", "weights", "result"])
def test_a_wrong_fraction_fails(part, step, monkeypatch):
    """Of any of the three formats: by its shift, and by its numbers where nobody looks at the shift."""
    a_pass(Checked(RIGHT), RIGHT.shift)
    wrong = replace(RIGHT, **{part: value_format(getattr(RIGHT, part).fraction + step)})
    with pytest.raises(SpecificationError, match="does not follow from the formats"):
        a_pass(Checked(wrong), RIGHT.shift)
    monkeypatch.setattr(Checked, "_check_shift", lambda *_: None)
    with pytest.raises(SpecificationError, match=r"requantise .*\(Q\d+\.\d+, raw 0x[0-9A-F]{4}\), expected .* differ"):
        a_pass(Checked(wrong), RIGHT.shift)


@pytest.mark.parametrize("step", [-1, 1])
def test_a_bias_of_a_wrong_fraction_fails(step):
    numbers = (specification.number(np.ones((1, 1), dtype=int), one) for one in (RIGHT.source, RIGHT.weights))
    wrong = replace(RIGHT.accumulator, fraction=RIGHT.accumulator.fraction + step)
    with pytest.raises(ValueError, match=f"sums of Q22.26, not of {wrong}"):
        specification.exact_sum(*numbers, specification.number(np.array([3]), wrong))


def test_a_result_of_more_places_than_the_sum_is_refused():
    with pytest.raises(ValueError, match="shifts right only"):
        specification.requantise(specification.number(np.array([3]), Format(48, 4)), value_format(5))


def floor_only(sums, shift):
    return arithmetic.saturate(np.asarray(sums) >> shift)


def half_to_even(sums, shift):
    return arithmetic.saturate(np.round(np.asarray(sums) / 2.0**shift).astype(np.int64))


def last_wins(windows, outside=None):
    return windows.max(axis=-2), 3 - windows[..., ::-1, :].argmax(axis=-2)


def wraps(sums, shift):
    return np.asarray(arithmetic._shifted(sums, shift)).astype(np.int16).astype(np.int64)


def last_window_counts(gradients, index, window, size):
    made = np.zeros((len(gradients), *size, gradients.shape[3]), dtype=int)
    for row, column in np.ndindex(gradients.shape[1:3]):
        one = np.zeros_like(gradients)
        one[:, row, column] = gradients[:, row, column]
        there = TRUE_UNPOOL(one, index, window, size)
        made = np.where(there != 0, there, made)
    return made


TRUE_UNPOOL = arithmetic.unpool_windows
WRONG_TWINS = {
    "floor": ("requantise", floor_only),
    "half to even": ("requantise", half_to_even),
    "wrapping": ("requantise", wraps),
    "no constant": ("requantise_rounded", lambda sums, shift: arithmetic.requantise(sums, shift)),
    "the end of the range counts as saturated": (
        "saturated",
        lambda sums, shift, relu: np.abs(arithmetic.requantise(sums, shift)) >= 32767,
    ),
    "the last of equals wins": ("winners", last_wins),
    "zero passes the ReLU": ("relu", lambda values: (np.maximum(values, 0), np.asarray(values) >= 0)),
    "a clip whose mask holds the limit": ("clip", lambda values, limit: (np.clip(values, 0, limit), np.asarray(values) > 0)),
    "guided without mask": ("relu_backward", lambda gradients, mask, method: np.maximum(gradients, 0)),
    "transposed windows": ("max_unpool", lambda g, index, h, w, true=arithmetic.max_unpool: true(g, index // 2 + index % 2 * 2, h, w)),
    "padding wins": ("pool_windows", lambda v, w, places: arithmetic.winners(gather(v, w, places))),
    "only the last of overlapping windows counts": ("unpool_windows", last_window_counts),
    "arg-max of magnitudes": ("arg_max", lambda values: int(np.argmax(np.abs(values)))),
    "truncated floats": ("quantise", lambda real, fraction: (np.trunc(real * 2.0**fraction).astype(int), np.zeros(np.shape(real), bool))),
    "a product too few": ("exact_sum", lambda values, weights, initial: values[:, 1:] @ weights[1:] + initial),
}


@pytest.mark.parametrize("kind", WRONG_TWINS)
def test_a_wrong_twin_fails(kind, monkeypatch):
    """A rule of the integers that is broken in one way is seen, and the message names the rule."""
    rule, broken = WRONG_TWINS[kind]
    monkeypatch.setattr(arithmetic, rule, broken)
    rules, values = checked(4), np.random.default_rng(1).integers(-2, 3, (20, 4, 8))
    calls = {
        "requantise": (corners(4), 4),
        "requantise_rounded": (corners(4), 4),
        "saturated": (corners(4), 4, False),
        "winners": (values,),
        "relu": (values,),
        "clip": (values, 2),
        "relu_backward": (values, values > 5, "guided"),
        "max_unpool": (values, np.abs(values), 40, 8),
        "pool_windows": (np.full((1, 2, 2, 1), -3), Window((3, 3), (1, 1), (1, 1, 1, 1)), (2, 2)),
        "unpool_windows": (np.full((1, 1, 2, 1), 7), np.array([1, 0]).reshape(1, 1, 2, 1), Window((1, 2)), (1, 3)),
        "arg_max": (np.array([1, -5]),),
        "quantise": (np.array([-1.25, 0.75]), 0),
        "exact_sum": (values[0], values[1].T, 5),
    }
    with pytest.raises(SpecificationError, match=f"differs from the specification: {rule}"):
        getattr(rules, rule)(*calls[rule])


# ---- in the models of units --------------------------------------------------------------------------------


def a_job(**changes) -> ConvJob:
    fields = {"buffer_rows": 5, "buffer_columns": 6, "slot": 12, "unit_rows": 2, "unit_columns": 3, "kernel_h": 3, "kernel_w": 3}
    more = {
        "pack_pixels": 1,
        "blocks": 1,
        "origin_row": -1,
        "origin_column": 0,
        "shift": 17,
        "relu": True,
        "pool": True,
        "store_tags": True,
    }
    return ConvJob.tight(**{**fields, **more, "weight_base": 1000, "tap_rows": 12, **changes})


@pytest.mark.parametrize("pool", [False, True])
def test_a_units_model_computes_in_fxpmath_what_it_computes_in_integers(pool):
    rng = np.random.default_rng(pool)
    tile, weights = rng.integers(-32768, 32768, (5, 6, 12)), rng.integers(-32768, 32768, (1024, 16))
    job, initial = a_job(pool=pool, shift=RIGHT.shift), rng.integers(-(1 << 40), 1 << 40, 16)
    plain = output(job, tile, weights, initial, 1, 0)
    rules = Checked(RIGHT, limit=10**6)
    in_fxpmath = output(job, tile, weights, initial, 1, 0, rules=rules)
    assert in_fxpmath.transfers == plain.transfers and in_fxpmath.saturated == plain.saturated > 0
    assert rules.checked["exact_sum"] == 6 * (4 if pool else 1) * 9 * 12 * 16 and not rules.sampled
    with pytest.raises(SpecificationError, match="shift 18 does not follow"):
        output(a_job(shift=18), tile, weights, initial, 1, 0, rules=rules)


def test_what_is_too_large_is_sampled_and_the_sample_bites(monkeypatch):
    rng = np.random.default_rng(3)
    rules = Checked(RIGHT, limit=3000)
    values, weights = rng.integers(-32768, 32768, (500, 90)), rng.integers(-32768, 32768, (90, 16))
    sums = rules.exact_sum(values, weights)
    rules.requantise(sums, RIGHT.shift)
    assert rules.sampled == {"exact_sum", "requantise"}
    assert 1400 < rules.checked["exact_sum"] <= 3000 and rules.checked["requantise"] == 3000
    monkeypatch.setattr(arithmetic, "exact_sum", lambda values, weights, initial: values @ weights + 1)
    with pytest.raises(SpecificationError, match="exact_sum"):
        rules.exact_sum(values, weights)


def test_nothing_that_runs_at_run_time_imports_fxpmath():
    """``explain`` installs no fxpmath: the package imports neither it nor the two modules that need it."""
    apart = {ROOT / "models" / f"{name}.py" for name in ("specification", "expectation")}
    files = [path for folder in ("gradcore", "models") for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts]
    assert apart < set(files)
    for path in set(files) - apart:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = getattr(node, "module", None) or ""
            parts = {part for name in (*names, module) for part in name.split(".")}
            assert not parts & {"fxpmath", "specification", "expectation"}, f"{path.relative_to(ROOT)}: line {getattr(node, 'lineno', 0)}"

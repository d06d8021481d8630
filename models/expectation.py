# SPDX-License-Identifier: Apache-2.0
"""Expectations of benches: every arithmetic rule computed in fxpmath, and the integer twin compared with it at once.

``Checked`` has the functions of ``gradcore.models.arithmetic`` as methods: raw integers in, raw integers out. It knows the formats
of the numbers, computes each rule by ``gradcore.models.specification``, computes it by ``arithmetic`` too, and raises
``SpecificationError`` where the two differ, with the real number, its format and the raw word. A predictor hands it to its unit's
model as ``rules``:

    rules = Checked(PassFormats.of_fractions(source=11, weights=15, result=9))
    want = conv_group.output(job, tile, weights, initial, groups, group, rules=rules)

Arrays of more elements, and sums of more products, than ``limit`` are computed by the twin, and a random sample of ``limit`` in
fxpmath. For tests alone: it needs fxpmath.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from fxpmath import Fxp

from gradcore.models import arithmetic, specification
from gradcore.models.numbers import Format, PassFormats, mismatch, value_format
from gradcore.models.windows import Window

LIMIT = 20_000
FLAG = Format(16, 0)  # of masks and indexes, in messages


class SpecificationError(AssertionError):
    """The integer twin and the specification differ, or a shift does not follow from the formats."""


class Checked:
    """The rules for a pass of a layer.

    What a unit reads has the format ``formats.source``, what it makes ``formats.result``; a shift that is not the formats'
    is refused.

    Attributes:
        checked: elements computed in fxpmath, by rule; of ``exact_sum`` products. sampled: rules of which only a sample was.
    """

    def __init__(self, formats: PassFormats, *, limit: int = LIMIT, rng: np.random.Generator | None = None) -> None:
        self.formats, self.limit = formats, limit
        self.rng = rng or np.random.default_rng(1)
        self.checked: Counter[str] = Counter()
        self.sampled: set[str] = set()

    @classmethod
    def of_shift(cls, shift: int, rng: np.random.Generator, *, limit: int = LIMIT) -> Checked:
        """For a job that has a shift: formats drawn at random with which it is that shift."""
        source, weights = (int(fraction) for fraction in rng.integers(0, 24, 2))
        return cls(PassFormats.of_shift(shift, source, weights), limit=limit, rng=rng)

    # ---- rules of sums ---------------------------------------------------------------------------------------

    def exact_sum(self, values: np.ndarray, weights: np.ndarray, initial: np.ndarray | int = 0) -> np.ndarray:
        """``arithmetic.exact_sum``; values are of the source's format, initial accumulators of the accumulator's."""
        made = arithmetic.exact_sum(values, weights, initial)
        values, weights = np.asarray(values), np.asarray(weights)
        products, columns = weights.shape
        flat = made.reshape(-1, columns)
        initial = np.broadcast_to(initial, made.shape).reshape(flat.shape)
        lanes = self._some(columns, self.limit // max(1, products))
        rows = self._some(len(flat), self.limit // max(1, products * len(lanes)))
        place = np.ix_(rows, lanes)
        self._note("exact_sum", len(rows) * len(lanes), flat.size, products)
        if flat.size:
            accumulators = specification.exact_sum(
                specification.number(values.reshape(len(flat), products)[rows], self.formats.source),
                specification.number(weights[:, lanes], self.formats.weights),
                specification.number(initial[place], self.formats.accumulator),
            )
            self._compare("exact_sum", accumulators, flat[place])
        return made

    def requantise(self, accumulators: np.ndarray, shift: int) -> np.ndarray:
        """``arithmetic.requantise``."""
        return self._of_sums("requantise", specification.requantise, accumulators, shift)

    def requantise_rounded(self, accumulators: np.ndarray, shift: int) -> np.ndarray:
        """``arithmetic.requantise_rounded``."""
        return self._of_sums("requantise_rounded", specification.requantise_rounded, accumulators, shift)

    def saturated(self, accumulators: np.ndarray, shift: int, relu: bool = False) -> np.ndarray:
        """``arithmetic.saturated``."""
        return self._of_sums("saturated", specification.saturated, accumulators, shift, bool(relu))

    def saturated_rounded(self, accumulators: np.ndarray, shift: int, relu: bool = False) -> np.ndarray:
        """``arithmetic.saturated_rounded``."""
        return self._of_sums("saturated_rounded", specification.saturated_rounded, accumulators, shift, bool(relu))

    def rounding_constant(self, shift: int) -> int:
        """``arithmetic.rounding_constant``."""
        self._check_shift(shift)
        made = arithmetic.rounding_constant(shift)
        self._compare("rounding_constant", specification.rounding_constant(self.formats.accumulator, self.formats.result), made)
        return made

    # ---- rules of values -------------------------------------------------------------------------------------

    def quantise(self, real: np.ndarray, fraction: int) -> tuple[np.ndarray, np.ndarray]:
        """``arithmetic.quantise``; the format is that of ``fraction``."""
        made, clipped = arithmetic.quantise(real, fraction)
        place = self._sample("quantise", made.shape)
        if made.size:
            exact, beyond = specification.quantise(np.asarray(real)[place], value_format(fraction))
            self._compare("quantise", exact, made[place])
            self._compare("quantise (clipped)", beyond, clipped[place])
        return made, clipped

    def relu(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``arithmetic.relu``, of results."""
        made, mask = arithmetic.relu(values)
        place = self._sample("relu", made.shape)
        if made.size:
            exact, flags = specification.relu(specification.number(np.asarray(values)[place], self.formats.result))
            self._compare("relu", exact, made[place])
            self._compare("relu (mask)", flags, mask[place])
        return made, mask

    def clip(self, values: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
        """``arithmetic.clip``, of results."""
        made, mask = arithmetic.clip(values, limit)
        place = self._sample("clip", made.shape)
        if made.size:
            chosen = specification.number(np.asarray(values)[place], self.formats.result)
            exact, flags = specification.clip(chosen, specification.number(np.array(limit), self.formats.result))
            self._compare("clip", exact, made[place])
            self._compare("clip (mask)", flags, mask[place])
        return made, mask

    def relu_backward(self, gradients: np.ndarray, mask: np.ndarray, method: str) -> np.ndarray:
        """``arithmetic.relu_backward``, of what a unit reads."""
        made = arithmetic.relu_backward(gradients, mask, method)
        place = self._sample("relu_backward", made.shape)
        if made.size:
            flags = np.broadcast_to(mask, made.shape)[place]
            read = specification.number(np.asarray(gradients)[place], self.formats.source)
            self._compare(f"relu_backward ({method})", specification.relu_backward(read, flags, method), made[place])
        return made

    def winners(self, windows: np.ndarray, outside: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """``arithmetic.winners``, of results."""
        made, index = arithmetic.winners(windows, outside)
        windows = np.asarray(windows)
        place = self._sample("winners", windows.shape[:-2], int(np.prod(windows.shape[-2:])))
        if windows.size:
            beyond = None if outside is None else outside[place]
            best, places = specification.winners(specification.number(windows[place], self.formats.result), beyond)
            self._compare("winners", best, made[place])
            self._compare("winners (index)", places, index[place])
        return made, index

    def max_unpool(self, gradients: np.ndarray, index: np.ndarray, height: int, width: int) -> np.ndarray:
        """``arithmetic.max_unpool`` of one map (H, W, C), of what a unit reads."""
        made = arithmetic.max_unpool(gradients, index, height, width)
        gradients, index = np.asarray(gradients), np.asarray(index)
        (channels,) = self._sample("max_unpool", gradients.shape[-1:], height * width)
        if gradients.size:
            read = specification.number(gradients[..., channels], self.formats.source)
            self._compare("max_unpool", specification.max_unpool(read, index[..., channels], height, width), made[..., channels])
        return made

    def pool_windows(self, values: np.ndarray, window: Window, places: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """``arithmetic.pool_windows``, of results; never sampled."""
        made, index = arithmetic.pool_windows(values, window, places)
        for one, best, places_there in zip(np.asarray(values), made, index, strict=True):
            exact, there = specification.pool_windows(specification.number(one, self.formats.result), window, places)
            self._note("pool_windows", best.size, best.size)
            self._compare("pool_windows", exact, best)
            self._compare("pool_windows (index)", there, places_there)
        return made, index

    def unpool_windows(self, gradients: np.ndarray, index: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
        """``arithmetic.unpool_windows``, of what a unit reads; never sampled."""
        made = arithmetic.unpool_windows(gradients, index, window, size)
        for one, its, sums in zip(np.asarray(gradients), np.asarray(index), made, strict=True):
            exact = specification.unpool_windows(specification.number(one, self.formats.source), its, window, size)
            self._note("unpool_windows", sums.size, sums.size)
            self._compare("unpool_windows", exact, sums)
        return made

    def arg_max(self, values: np.ndarray) -> int:
        """``arithmetic.arg_max``, of what a unit reads; never sampled."""
        made = arithmetic.arg_max(values)
        exact = specification.arg_max(specification.number(values, self.formats.source))
        self._note("arg_max", np.size(values), np.size(values))
        self._compare("arg_max", np.array(exact), made)
        return made

    # ---- comparison ------------------------------------------------------------------------------------------

    def _check_shift(self, shift: int) -> None:
        if shift != self.formats.shift:
            raise SpecificationError(f"shift {shift} does not follow from the formats {self.formats}: that is {self.formats.shift}")

    def _some(self, count: int, most: int) -> np.ndarray:
        """Indexes of all of ``count``, or of ``most`` of them (one at least), at random."""
        return np.arange(count) if count <= max(1, most) else np.sort(self.rng.choice(count, max(1, most), replace=False))

    def _note(self, rule: str, chosen: int, of: int, size: int = 1) -> None:
        self.checked[rule] += chosen * size
        if chosen < of:
            self.sampled.add(rule)

    def _sample(self, rule: str, shape: tuple[int, ...], size: int = 1) -> tuple[np.ndarray, ...]:
        """Indexes of all elements of an array, or of so many as the limit allows; each counts ``size``."""
        count = int(np.prod(shape))
        chosen = self._some(count, self.limit // max(1, size))
        self._note(rule, len(chosen), count, size)
        return np.unravel_index(chosen, shape) if shape else ()

    def _of_sums(self, rule: str, exact, accumulators: np.ndarray, shift: int, *options: bool) -> np.ndarray:
        self._check_shift(shift)
        made = getattr(arithmetic, rule)(accumulators, shift, *options)
        place = self._sample(rule, made.shape)
        if made.size:
            chosen = specification.number(np.asarray(accumulators)[place], self.formats.accumulator)
            self._compare(rule, exact(chosen, self.formats.result, *options), made[place])
        return made

    def _compare(self, rule: str, exact: Fxp | np.ndarray, made: np.ndarray) -> None:
        raw, format = (specification.raw(exact), specification.format_of(exact)) if isinstance(exact, Fxp) else (exact, FLAG)
        text = mismatch(raw, made, format, f"{rule} ({self.formats})")
        if text:
            raise SpecificationError(f"the integer twin differs from the specification: {text}")

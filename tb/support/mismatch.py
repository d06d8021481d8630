# SPDX-License-Identifier: Apache-2.0
"""What a scoreboard says of an item that differs: the numbers as real numbers and raw, the place, the time, and how to see it again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import cocotb
from cocotb.simtime import get_sim_time

from gradcore.models.numbers import Format
from tb.support.replay import replay_command


def differences(want: Mapping[str, object], got: Mapping[str, object], formats: Mapping[str, Format]) -> Iterator[str]:
    """A line for each field that differs. A field with a format that is wider than it holds several numbers, the first in the low bits."""
    for name in dict.fromkeys((*want, *got)):
        expected, actual = want.get(name), got.get(name)
        if expected == actual:
            continue
        if name in formats and isinstance(expected, int) and isinstance(actual, int):
            yield from _numbers(name, expected, actual, formats[name])
        elif isinstance(expected, int) and isinstance(actual, int):
            yield f"{name}: {actual} (0x{actual & (1 << 64) - 1:x}), expected {expected} (0x{expected & (1 << 64) - 1:x})"
        else:
            yield f"{name}: {actual!r}, expected {expected!r}"


def _numbers(name: str, expected: int, actual: int, form: Format) -> Iterator[str]:
    """The numbers of a field that differ."""
    if all(form.least <= number <= form.most for number in (expected, actual)):
        yield f"{name}: {form.text(actual)}, expected {form.text(expected)}"
        return
    lane, mask = 0, (1 << form.word) - 1
    while (expected or actual) and (expected, actual) != (-1, -1):
        want, got = expected & mask, actual & mask
        if want != got:
            yield f"{name}, number {lane}: {form.text(_signed(got, form))}, expected {form.text(_signed(want, form))}"
        lane, expected, actual = lane + 1, expected >> form.word, actual >> form.word


def _signed(word: int, form: Format) -> int:
    return word - (1 << form.word) if word >> (form.word - 1) else word


def circumstances() -> str:
    """Module, simulated time, seed and, on a line of its own, the command that runs the test again with waves."""
    seed = os.environ.get("COCOTB_RANDOM_SEED", "?")
    replay = replay_command()
    return f"{cocotb.top._name}, at {get_sim_time('ns'):g} ns, seed {seed}" + (f"\n  replay with waves: {replay}" if replay else "")

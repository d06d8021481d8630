# SPDX-License-Identifier: Apache-2.0
"""Number formats: notation, range, what people read of a number, and the shift that follows from the formats of a pass."""

from __future__ import annotations

import numpy as np
import pytest

from gradcore.models.numbers import Fixed, Format, PassFormats, mismatch, value_format
from gradcore.network import Layer, Network
from gradcore.quantise import Quantisation, quantise


@pytest.mark.parametrize(("text", "word", "fraction"), [("Q7.9", 16, 9), ("Q16.0", 16, 0), ("Q-4.20", 16, 20), ("Q19.-3", 16, -3)])
def test_q_notation_counts_the_sign_and_goes_both_ways(text, word, fraction):
    assert Format.parse(text) == Format(word, fraction) and str(Format(word, fraction)) == text


@pytest.mark.parametrize("text", ["", "Q7", "7.9", "q7.9", "Q7.9.1", "Q-9.9", "U7.9"])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="Q notation"):
        Format.parse(text)


def test_a_format_knows_its_ends_and_reads_raw_numbers():
    format = Format.parse("Q7.9")
    assert (format.least, format.most) == (-32768, 32767)
    assert format.holds([-32768, 32767]) and not format.holds([32768]) and not format.holds(-32769)
    np.testing.assert_array_equal(format.real([-640, 1]), [-1.25, 2.0**-9])
    assert format.text(-640) == "-1.25 (Q7.9, raw 0xFD80)"
    assert Format(48, 26).text(-1) == "-1.49011611938e-08 (Q22.26, raw 0xFFFFFFFFFFFF)"


def test_values_carry_their_format():
    values = Fixed(np.array([[3, -4], [5, 6]]), value_format(1))
    np.testing.assert_array_equal(values.real, [[1.5, -2.0], [2.5, 3.0]])
    assert values[1].format == value_format(1) and values[1].raw.tolist() == [5, 6]
    with pytest.raises(ValueError, match="do not fit Q15.1"):
        Fixed([32768], value_format(1))


def test_the_shift_follows_from_the_formats():
    formats = PassFormats.of_fractions(source=11, weights=15, result=9)
    assert formats.accumulator == Format(48, 26) and formats.shift == 17
    assert str(formats) == "Q5.11 x Q1.15 -> Q7.9"
    assert PassFormats.of_shift(17, source=11, weights=15) == formats


def test_a_layers_shifts_follow_from_its_formats():
    network = Network.random([Layer("conv", "a", 2, 3, 1)], (2, 2, 2))
    (layer,) = quantise(network, Quantisation(weights=(15,), activations=(11, 9), gradients=(12, 14))).layers
    assert str(layer.formats) == "Q5.11 x Q1.15 -> Q7.9" and layer.shift == layer.formats.shift == 17
    assert str(layer.backward_formats) == "Q2.14 x Q1.15 -> Q4.12" and layer.backward_shift == 17


def test_a_mismatch_says_place_real_number_format_and_raw_word():
    expected = np.array([[1, 2], [3, -640]])
    assert mismatch(expected, expected, value_format(9)) is None
    actual = expected.copy()
    actual[1] = [4, -639]
    text = mismatch(expected, actual, value_format(9), "word")
    assert text == "word[1, 0]: 0.0078125 (Q7.9, raw 0x0004), expected 0.005859375 (Q7.9, raw 0x0003); 2 of 4 differ"
    assert mismatch(5, -1, value_format(0), "value") == "value: -1 (Q16.0, raw 0xFFFF), expected 5 (Q16.0, raw 0x0005)"
    assert mismatch([1], [1, 1], value_format(0)) == "value: (2,) numbers, expected (1,)"

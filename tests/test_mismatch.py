# SPDX-License-Identifier: Apache-2.0
"""A mismatch is told in the words of the network: layer, unit, tile, pixel, channel, both numbers, and how to see it again.

What a scoreboard says inside a simulator is checked by the twin ``WrongModel`` of tb/support/support_tests.py.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from gradcore.models.numbers import Format, value_format
from tb.support.mismatch import differences
from tb.system.mismatch import describe
from tb.system.session import GUARD, Case, Request, compare, expectation, layered_case

LAYERS = ["conv3:5 relu pool bias", "conv1:17 relu", "fc:6 relu bias", "fc:3 bias"]


@pytest.fixture(scope="module")
def case() -> Case:
    return layered_case((3, 6, 5), LAYERS, "small")


@pytest.fixture(scope="module")
def memory(case: Case) -> np.ndarray:
    return expectation(case, Request("guided")).after


def told(case: Case, memory: np.ndarray, *addresses: int, change: int = 1) -> str:
    """What is said when bits of the bytes at these addresses are changed."""
    got = memory.copy()
    for address in addresses:
        got[address - case.program.window[0] + GUARD] ^= change
    return describe(case.program, got, memory, case.program.window[0] - GUARD)


NUMBER = r"-?[\d.e-]+ \(Q-?\d+\.\d+, raw 0x[0-9A-F]{4}\)"


@pytest.mark.parametrize(
    ("region", "row", "column", "channel", "said"),
    [
        ("activation_1", 2, 1, 3, r"\(conv3_0, forward\): 1 of 48 values; first at row 2, column 1, channel 3: .* tile_store, tile 0 "),
        ("activation_2", 1, 0, 16, r"\(conv1_1, forward\): 1 of 120 values; first at row 1, column 0, channel 16: .* tile_store, tile 2 "),
        ("activation_2", 1, 0, 19, r"channel 19 \(padding\)"),
        ("activation_3", 0, 0, 4, r"\(fc_2, forward\).*channel 4: .* vector_engine, half 0, descriptor \d+"),
        ("gradient_4", 0, 0, 2, r"\(the seed\).*channel 2: .* written by seed_unit, descriptor \d+"),
        ("gradient_3", 0, 0, 1, r"\(fc_3_backward, backward\).*channel 1: .* vector_engine"),
        ("gradient_1", 2, 1, 4, r"\(conv1_1_backward, backward\).*row 2, column 1, channel 4: .* tile_store, tile 3 "),
        ("gradient_0", 5, 4, 2, r"\(conv3_0_backward, backward\).*row 5, column 4, channel 2: .* tile_store, tile 4 "),
    ],
)
def test_a_wrong_value_is_located(case: Case, memory: np.ndarray, region: str, row: int, column: int, channel: int, said: str) -> None:
    """Layer, pixel, channel, unit, tile, and both numbers as real, format and raw word."""
    place = case.program.regions[region].pixel_address(row, column) + 2 * channel
    text = told(case, memory, place)
    assert text.startswith("1 bytes of memory are wrong") and f"\n  {region} (" in text
    assert re.search(said, text), text
    found = re.search(rf": ({NUMBER}), expected ({NUMBER});", text)
    assert found and found[1] != found[2], text


def test_a_wrong_tag_is_located(case: Case, memory: np.ndarray) -> None:
    """Masks and pool indexes by channel."""
    tags = case.program.regions["tags_0"]
    place = tags.pixel_address(1, 1)
    said = r"tags_0 \(conv3_0, forward\).*row 1, column 1, channel 2 \(mask, bit 2 of piece 0 of block 0\)"
    assert re.search(said, told(case, memory, place, change=4))
    assert re.search(r"channel 1 \(pool index, bit 3 of piece 1 of block 0\).*tile_store, tile 0", told(case, memory, place + 2, change=8))
    assert re.search(r"channel 12 \(pool index, bit 9 of piece 2", told(case, memory, place + 5, change=2))
    two = case.program.regions["tags_1"]
    assert re.search(r"channel 16 \(mask, bit 0 of piece 0 of block 1\)", told(case, memory, two.pixel_address(0, 0) + 2))


def test_the_first_to_deviate_is_first(case: Case, memory: np.ndarray) -> None:
    """In the order in which the core makes the regions, whatever their addresses; other memory last."""
    regions = case.program.regions
    names = ["gradient_0", "gradient_3", "activation_2", "tags_0", "activation_1"]
    text = told(case, memory, *(regions[name].address for name in names[1:]), case.program.window[0] - 8)
    found = re.findall(r"\n  (\w+)[ :]", text)
    assert found == ["activation_1", "tags_0", "activation_2", "gradient_3", "and"], text
    assert "outside every region: 1 bytes" in told(case, memory, case.program.window[0] - 8)
    assert re.search(r"program \(.*\): 1 bytes, first at 0x[0-9a-f]+: word 0x", told(case, memory, regions["program"].address + 9))


def test_it_can_be_seen_again(case: Case, memory: np.ndarray) -> None:
    """The message ends with the command that runs this test with waves."""
    wrong = memory.copy()
    wrong[GUARD] ^= 1
    with pytest.raises(AssertionError) as raised:
        compare(case.program, wrong, memory, "seen in this test")
    last = str(raised.value).splitlines()[-1]
    assert "seen in this test" in str(raised.value)
    assert re.fullmatch(r"  replay with waves: WAVES=1 GRADCORE_SEED=\d+ \.venv/bin/python -m pytest .*::test_it_can_be_seen_again", last)
    compare(case.program, memory, memory)


def test_the_fields_of_an_item_are_told_as_numbers() -> None:
    """Those that differ: real, format, raw; the numbers of a packed word by their places; others as integers."""
    want = {"data": 0x0001_FFFF_8000_0004, "sum": -3, "kind": 1, "name": "a"}
    got = {**want, "data": 0x0001_FFFE_8000_0003, "sum": -5, "kind": 0, "name": "b"}
    formats = {"data": value_format(9), "sum": Format(48, 1)}
    assert list(differences(want, got, formats)) == [
        "data, number 0: 0.005859375 (Q7.9, raw 0x0003), expected 0.0078125 (Q7.9, raw 0x0004)",
        "data, number 2: -0.00390625 (Q7.9, raw 0xFFFE), expected -0.001953125 (Q7.9, raw 0xFFFF)",
        "sum: -2.5 (Q47.1, raw 0xFFFFFFFFFFFB), expected -1.5 (Q47.1, raw 0xFFFFFFFFFFFD)",
        "kind: 0 (0x0), expected 1 (0x1)",
        "name: 'b', expected 'a'",
    ]
    assert list(differences({"a": 1}, {"a": 1}, {})) == []
    assert list(differences({"a": 1}, {}, {"a": value_format(0)})) == ["a: None, expected 1"]

# SPDX-License-Identifier: Apache-2.0
"""The core has not grown: its presets need no more than what was accepted, and keep the rules."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from gradcore.simulator import PRESETS
from gradcore.synthesis import accept, report, yosys
from gradcore.synthesis.resources import BUDGET_FULL, KINDS, XC7Z020

pytestmark = pytest.mark.hardware

ACCEPTED = Path(__file__).parent / "expected" / "resources.json"
DESIGNS = Path(__file__).parent / "measured_designs.json"


def numbers(lut: int = 1000, levels: int = 6, unit: int = 900) -> dict[str, Any]:
    """Figures of a made-up preset."""
    row = {"module": "unit", "instances": 1, "lut": unit, "ff": 50, "bram36": 1, "dsp": 1}
    return {"lut": lut, "ff": 100, "bram36": 2.0, "dsp": 3, "levels": levels, "modules": [row]}


def test_growth_of_resources_is_seen() -> None:
    """One percent may come in; more is told with the unit that grew, and so is a deeper path."""
    assert accept.worse(numbers(), numbers(lut=1010)) == []
    assert accept.worse(numbers(), numbers(lut=500, levels=5)) == []
    lines = accept.worse(numbers(), numbers(lut=1011, unit=911))
    assert lines[0].startswith("lut: 1,011 instead of 1,000") and lines[1] == "  unit: +11 lut"
    assert accept.worse(numbers(), numbers(levels=7)) == ["levels: 7 instead of 6"]


# Synthesis takes minutes, and gives the same for the same design: `make test` measures the full preset if its design is another one
# than was measured last, `make regress` all presets in any case.
def is_known(preset: str) -> bool:
    """Whether what would be synthesised was, when its figures were last taken."""
    return accept.fingerprint(preset) == json.loads(DESIGNS.read_text()).get(preset)


def test_a_changed_design_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another netlist, script or version of Yosys is not known; lines that have moved are."""
    measured = accept.fingerprint("full")
    design = yosys.elaborate(yosys.TOP, PRESETS["full"])
    for pattern, new, known in ((r"v:\d+\.", "v:9999.", True), (r"connect \\A ", r"connect \\B ", False)):
        name = next(name for name, text in design.text.items() if re.search(pattern, text))
        changed = copy.copy(design)
        changed.text = {**design.text, name: re.sub(pattern, new, design.text[name])}
        monkeypatch.setattr(yosys, "elaborate", lambda *_, changed=changed: changed)
        assert (accept.fingerprint("full") == measured) == known
    monkeypatch.setattr(yosys, "elaborate", lambda *_: design)
    monkeypatch.setattr(yosys, "SYNTHESIS", "synth_xilinx")
    assert accept.fingerprint("full") != measured


@pytest.mark.parametrize(
    ("preset", "again"), [("full", False), *(pytest.param(preset, True, marks=pytest.mark.regress) for preset in PRESETS)]
)
def test_resources_do_not_grow(preset: str, again: bool) -> None:
    """The preset needs no more than what was accepted."""
    if is_known(preset) and not again:
        return
    accepted = json.loads(ACCEPTED.read_text())["presets"][preset]
    found = accept.worse(accepted, accept.measure(preset))
    told = "\n".join(found)
    assert not found, f"the {preset} preset has grown; if it must: make accept-resources, and commit the files\n{told}"


def test_accepted_resources_are_within_the_budget() -> None:
    """The figures accepted for the full preset keep its budget, and none exceeds the device."""
    presets = json.loads(ACCEPTED.read_text())["presets"]
    assert set(presets) == set(PRESETS)
    for kind in KINDS:
        assert presets["full"][kind] <= getattr(BUDGET_FULL, kind)
        assert all(entry[kind] <= getattr(XC7Z020, kind) for entry in presets.values())


@pytest.mark.parametrize("again", [False, pytest.param(True, marks=pytest.mark.regress)])
def test_full_preset_keeps_the_rules(again: bool) -> None:
    """All checks hold for the netlist of the full preset."""
    if is_known("full") and not again:
        return
    broken = {name: check["violations"] for name, check in report.synth("full")["checks"].items() if not check["holds"]}
    assert not broken

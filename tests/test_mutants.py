# SPDX-License-Identifier: Apache-2.0
"""Faults put into the Verilog are noticed by the benches: a sample; and the tool that does so, by itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tb.support.declaration import all_benches
from tb.support.places import workshop
from tb.support.runner import file_list
from verification import mutate
from verification.mutants import Mutant, mutants_of, sample

SAMPLE = 20
SAMPLE_SEED = 1
# Cells, which run in seconds in their own benches; `make mutate` takes all modules.
QUICK = sorted(bench.toplevel for bench in all_benches().values() if bench.light and bench.folder.startswith("tb/cells/"))
FILES = {path.stem: path for path in file_list()}


def test_every_module_has_mutants_with_names_of_their_own() -> None:
    mutants = mutate.all_mutants()
    assert {one.module for one in mutants} == {name for name, path in FILES.items() if path.parent.name != "checks"}
    assert len({one.key for one in mutants}) == len(mutants)
    assert {one.kind for one in mutants} == {"assignment", "branches", "condition", "connection", "constant", "negation", "operator"}
    for one in mutants:
        assert one.source() != one.path.read_text(), one
    with pytest.raises(ValueError, match="no module nothing"):
        mutate.all_mutants(["nothing"])


def test_a_sample_is_the_same_for_a_seed_and_leaves_no_module_out() -> None:
    mutants = mutate.all_mutants()
    taken = sample(mutants, 300, 3, seed=7)
    assert taken == sample(mutants, 300, 3, seed=7) != sample(mutants, 300, 3, seed=8)
    assert len(taken) == 300 and min(Counter(one.module for one in taken).values()) >= 3


def test_parameters_and_checks_of_parameters_are_left_alone(tmp_path: Path) -> None:
    source = tmp_path / "unit.v"
    source.write_text(
        "module unit #(parameter N = 4) (input wire clk, input wire [N-1:0] a, output reg q);\n"
        "  localparam M = N + 1;\n  wire [M-1:0] b = {1'b0, a};\n"
        '  initial if (N != 4) $display("no");\n'
        "  always @(posedge clk) q <= b == 5'd3;\nendmodule\n"
    )
    assert {one.line for one in mutants_of(source)} == {3, 5}
    assert sorted(one.new for one in mutants_of(source) if one.line == 5) == ["!=", "5'd4", ";"]


def test_only_what_is_equal_is_proven_equal() -> None:
    """A mutant that is the module itself is; one without a negation is not."""
    other = next(one for one in mutants_of(FILES["skid_buffer"]) if one.kind == "negation")
    for mutant, equal in ((replace(other, new=other.old), True), (other, False)):
        folder = workshop() / f"proof-{equal}"
        folder.mkdir(exist_ok=True)
        changed = folder / mutant.path.name
        changed.write_text(mutant.source())
        assert mutate.proven_equal(mutant, changed, folder) == equal


def test_what_does_not_compile_is_no_mutant() -> None:
    broken = replace(mutants_of(FILES["relu_keep"])[0], new="&& &&")
    assert mutate.judge(broken).outcome == mutate.STILLBORN


def test_the_report_names_survivors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And counts without the equivalent ones; a campaign that was cut goes on with what it had."""
    monkeypatch.setattr(mutate, "RESULTS", tmp_path)
    monkeypatch.setattr(mutate, "LEAST", 2)
    first = mutate.Campaign(3, 4, ["relu_keep"])
    outcomes = [mutate.KILLED, mutate.SURVIVED, mutate.EQUIVALENT, mutate.STILLBORN]
    for mutant, outcome in zip(first.wanted(), outcomes, strict=True):
        first.results[mutant.key] = mutate.Result(mutant.key, mutant.module, str(mutant), outcome, "relu_keep all")
    first.path.write_text("".join(mutate.json.dumps(mutate.asdict(one)) + "\n" for one in first.results.values()))
    again = mutate.Campaign(3, 4, ["relu_keep"])
    assert again.results == first.results
    assert len(again.wanted()) == 4, "what does not compile is replaced"
    before = {"relu_keep": {"seed": 1, "results": []}, "fifo": {"seed": 2, "results": [mutate.asdict(again.judged()[0])]}}
    page = mutate.report(mutate.kept(again, before))
    assert "**2 of the other 3 were noticed (66.7 %)**" in page
    assert again.judged()[1].text in page
    assert "| `fifo` | 2 | 1 |" in page and "| `relu_keep` | 3 | 3 |" in page, "each module has its last campaign"


@pytest.mark.hardware
@pytest.mark.parametrize("mutant", sample(mutate.all_mutants(QUICK), SAMPLE, 0, SAMPLE_SEED), ids=str)
def test_sample_is_noticed(mutant: Mutant) -> None:
    """Each fails a bench, or is proven to change nothing."""
    result = mutate.judge(mutant)
    assert result.outcome != mutate.SURVIVED, f"no bench notices {mutant}"

# SPDX-License-Identifier: Apache-2.0
"""The Vivado scripts against what the tool is known to do: commands that warn and succeed, fail without a reason, or are not strict.

Each test is named after the finding of a review of the scripts: f1 to f7b, f15. The stand-ins (vivado_stubs.tcl) behave as Vivado does.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from vivado_build import RESULTS, Build, copy_checkout, run

ACCEPTED = json.loads((Path(__file__).parent / "expected" / "resources.json").read_text())["presets"]["full"]


def fails(build: Build, *words: str) -> None:
    """The build ended with one line that has these words, and without a result."""
    assert build.status == 1
    assert build.errors.count("\n") == 1 and build.errors.startswith("gradcore: "), build.errors
    assert all(word in build.errors for word in words), build.errors
    assert not any((build.output / result).exists() for result in RESULTS)


def broken(folder: Path, file: str, *changes: tuple[str, str]) -> Path:
    """A copy of the checkout with changes in a file."""
    checkout = copy_checkout(folder)
    path = checkout / file
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    return checkout


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A build in which nothing goes wrong."""
    build = run(tmp_path_factory.mktemp("good"))
    assert build.status == 0, build.errors
    return build


@pytest.mark.parametrize(
    ("file", "old", "new", "name"),
    [
        ("ps7_pynq_z2.tcl", "PCW_UIPARAM_DDR_ENABLE 1", "PCW_UIPARAM_DDR_LANES 2", "cell ps has no property CONFIG.PCW_UIPARAM_DDR_LANES"),
        ("block_design.tcl", "MI_PROTOCOL AXI3", "MI_PROTOCOLS AXI3", "cell memory0_bridge has no property CONFIG.MI_PROTOCOLS"),
        ("block_design.tcl", "proc_sys_reset:5.0 {}", "proc_sys_reset:5.0 {C_EXT_RESET_HIGH 0}", "[BD 41-737]"),
    ],
)
def test_vivado_f1_a_property_that_is_not_set_ends_the_build_early(tmp_path: Path, file: str, old: str, new: str, name: str) -> None:
    """Misspelled and read-only properties are critical warnings, and set_property succeeds: found before anything is synthesised."""
    build = run(tmp_path / "run", root=broken(tmp_path, f"vivado/{file}", (old, new)))
    fails(build, name)
    assert not build.named("launch_runs")


def test_vivado_f1_the_log_is_read_before_synthesis(tmp_path: Path) -> None:
    """The same without the reading back: the message in the log is enough, as an error or as a critical warning."""
    changes = (("PCW_UIPARAM_DDR_ENABLE 1", "PCW_UIPARAM_DDR_LANES 2"),)
    checkout = broken(tmp_path, "vivado/ps7_pynq_z2.tcl", *changes)
    design = checkout / "vivado" / "block_design.tcl"
    design.write_text(design.read_text().replace('[get_property $property $cell] eq ""', "0"))
    build = run(tmp_path / "run", root=checkout)
    fails(build, "error [BD 41-1276]", "PCW_UIPARAM_DDR_LANES")
    assert not build.named("launch_runs")
    fails(run(tmp_path / "strict", root=checkout, RAISED="fails"), "[BD 41-1276]", "PCW_UIPARAM_DDR_LANES")
    text = (checkout / "vivado" / "build.tcl").read_text()
    (checkout / "vivado" / "build.tcl").write_text(text.replace("  raise_messages\n", ""))
    build = run(tmp_path / "again", root=checkout)
    fails(build, "critical warning [BD 41-1276]", "PCW_UIPARAM_DDR_LANES")
    assert not build.named("launch_runs")


@pytest.mark.parametrize("wait", ["raises", "returns"])
@pytest.mark.parametrize("name", ["synth_1", "impl_1"])
def test_vivado_f2_a_failed_run_is_named_with_its_log(tmp_path: Path, name: str, wait: str) -> None:
    """Whether wait_on_runs raises an error for it, as newer versions do, or returns, as 2022.2 does."""
    log = {f"LOG_{name}": "ERROR: [Synth 8-439] module 'lane' not found\nERROR: [Common 17-69] Command failed: Synthesis failed"}
    build = run(tmp_path, FAILED_RUN=name, WAIT=wait, **log)
    fails(build, f"run {name} failed (", "[Synth 8-439] module 'lane' not found; see ", f"{name}/runme.log")


def test_vivado_f2_another_error_of_waiting_is_not_lost(tmp_path: Path) -> None:
    """Finished runs, but waiting failed."""
    fails(run(tmp_path, FAIL="wait_on_runs"), "wait_on_runs does not work today")


def test_vivado_f3_the_last_line_names_the_cause_whatever_fails(tmp_path: Path, good: Build) -> None:
    """Each command that the scripts use, failing as Vivado's do: the reason is in the log only; where, is said on standard output."""
    names = {call[0] for call in good.calls} - {"set_property", "get_property", "version"}
    assert len(names) > 40
    for number, name in enumerate(sorted(names)):
        build = run(tmp_path / str(number), FAIL=name)
        fails(build, f"[Stub 1-1] {name} does not work today", "vivado.log")
        assert "while executing" in build.text and f'"{name}' in build.text, build.text


def test_vivado_f3_a_reason_that_is_nowhere(tmp_path: Path) -> None:
    """A command that fails without a word."""
    checkout = broken(tmp_path, "vivado/build.tcl", ("  open_run impl_1\n", "  error \"ERROR: \\[Common 17-39\\] 'x' failed\"\n"))
    fails(run(tmp_path / "run", root=checkout), "[Common 17-39] 'x' failed", "vivado.log")


@pytest.mark.parametrize("name", ["no_clock", "unconstrained_internal_endpoints", "loops", "latch_loops"])
def test_vivado_f4_places_that_no_constraint_reaches_end_the_build(tmp_path: Path, name: str) -> None:
    """Slack says nothing of them."""
    fails(run(tmp_path, UNCONSTRAINED=f"{name} 17"), "17 place(s)", f"checking {name}")


def test_vivado_f4_checks_that_do_not_matter_here(tmp_path: Path) -> None:
    """The design has no pins with delays."""
    assert run(tmp_path, UNCONSTRAINED="no_input_delay 3 no_output_delay 130").status == 0


def test_vivado_f4_a_report_without_the_checks(tmp_path: Path) -> None:
    """A table that is not there is not a table of zeros."""
    fails(run(tmp_path, report_timing_summary="slack 1.0"), "checking no_clock")


@pytest.mark.parametrize(("clocks", "status"), [("sys_clk", 1), ("sys_clk clk_fpga_0", 0), ("clk_fpga_01", 1)])
def test_vivado_f4_the_clock_is_known_by_name(tmp_path: Path, clocks: str, status: int) -> None:
    """Another clock of the same period says nothing of the core's."""
    build = run(tmp_path, CLOCKS=clocks)
    assert build.status == status
    if status:
        fails(build, "no clock clk_fpga_0", clocks)


@pytest.mark.parametrize("severity", ["INFO", "WARNING", "CRITICAL WARNING", "ERROR"])
@pytest.mark.parametrize("name", ["Synth 8-6849", "Synth 8-7186"])
def test_vivado_f5_a_block_ram_that_was_not_inferred_ends_the_build(tmp_path: Path, name: str, severity: str) -> None:
    """The tool takes it for a warning, in the log of the run; whether it hands the raised severity to runs is not known."""
    build = run(tmp_path, LOG_synth_1=f'{severity}: [{name}] Infeasible attribute ram_style = "block" set for RAM')
    fails(build, f"[{name}]", "ram_style")
    assert not any("impl_1" in call for call in build.named("launch_runs"))


def test_vivado_f5_messages_are_raised_before_the_runs(good: Build) -> None:
    """Of cells that do not take a property, and of memories that are not inferred."""
    raised = {call[call.index("-id") + 1]: call[call.index("-new_severity") + 1] for call in good.named("set_msg_config")}
    assert raised == {
        "BD 41-1276": "ERROR",
        "BD 41-737": "ERROR",
        "Synth 8-6849": "CRITICAL WARNING",
        "Synth 8-7186": "CRITICAL WARNING",
    }
    names = [call[0] for call in good.calls]
    last = len(names) - 1 - names[::-1].index("set_msg_config")
    assert names.index("create_bd_cell") > last and names.index("launch_runs") > last


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"BRAM": "96"}, ("made 96 bram36", str(ACCEPTED["bram36"]))),
        ({"DSP": "107"}, ("made 107 dsp", "139")),
        ({"DSP": "220"}, ("made 220 dsp", "139")),
        ({"BRAM": str(ACCEPTED["bram36"] - 2), "DSP": "136"}, ()),
        ({"BRAM": str(ACCEPTED["bram36"] + 6), "DSP": "139"}, ()),
    ],
)
def test_vivado_f5_figures_are_compared_with_yosys(tmp_path: Path, answers: dict[str, str], words: tuple[str, ...]) -> None:
    """Fewer block RAMs, or another number of multipliers, than `gradcore synth` finds in the same Verilog."""
    build = run(tmp_path, **answers)
    if words:
        fails(build, *words)
    else:
        assert build.status == 0, build.errors


@pytest.mark.parametrize("answers", [{"FAIL": "write_hw_platform"}, {"NO_HWH": "1"}, {"NO_BIT": "1"}])
def test_vivado_f6_nothing_is_left_when_the_export_fails(tmp_path: Path, answers: dict[str, str]) -> None:
    """Neither the bitstream, nor its description, nor the platform."""
    fails(run(tmp_path, **answers))


def test_vivado_f6_the_bitstream_comes_last(tmp_path: Path) -> None:
    """Whoever sees it has the other two."""
    checkout = broken(tmp_path, "vivado/build.tcl", ("foreach name {description bitstream} {", "foreach name {description} {"))
    build = run(tmp_path / "run", root=checkout)
    assert build.status == 0 and [name for name in RESULTS if not (build.output / name).exists()] == ["gradcore.bit"]


@pytest.mark.parametrize(("answer", "status"), [("0", 1), ("1", 0), ("", 0)])
def test_vivado_f7_the_packaged_core_is_checked(tmp_path: Path, answer: str, status: int) -> None:
    """What ipx::check_integrity returns counts; an empty answer, which some versions may give, is none."""
    build = run(tmp_path, INTEGRITY=answer)
    assert build.status == status
    if status:
        fails(build, "ipx::check_integrity")
        assert not build.named("create_bd_design")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PCW_S_AXI_HP0_DATA_WIDTH", "32"),
        ("PCW_S_AXI_HP1_DATA_WIDTH", ""),
        ("PCW_USE_FABRIC_INTERRUPT", "0"),
        ("SI_PROTOCOL", "AXI4LITE"),
        ("MI_PROTOCOL", "AXI4"),
        ("TRANSLATION_MODE", "1"),
        ("GROUPS", "1"),
    ],
)
def test_vivado_f7b_what_propagation_made_is_read_back(tmp_path: Path, name: str, value: str) -> None:
    """Widths, protocols, modes and parameters, after validation and before synthesis."""
    build = run(tmp_path, READ_BACK=f"CONFIG.{name}", READ_BACK_VALUE=value)
    fails(build, f"CONFIG.{name}")
    assert not build.named("launch_runs")


def test_vivado_f7b_a_core_that_would_stay_in_reset(tmp_path: Path) -> None:
    """The polarity of the reset is not set but propagated: nothing else would show that it went wrong."""
    build = run(tmp_path, RESET_HIGH="1")
    fails(build, "CONFIG.C_EXT_RESET_HIGH of cell reset `1`, not 0")
    assert build.named("validate_bd_design") and not build.named("launch_runs")


def test_vivado_f15_a_remark_behind_the_power(tmp_path: Path) -> None:
    """report_power says more than a number when the junction gets too hot."""
    build = run(tmp_path, report_power="| Total On-Chip Power (W)  | 2.5 (Junction temp exceeded!) |")
    assert build.status == 0, build.errors
    assert '"power_w": 2.5' in (build.output / "summary.json").read_text()


def test_vivado_paths_with_spaces(tmp_path: Path) -> None:
    """A checkout in `my projects`: no path falls apart where Tcl takes it for a list."""
    checkout = copy_checkout(tmp_path / "my  projects")
    build = run(checkout / "build" / "vivado", root=checkout)
    assert build.status == 0, build.errors
    assert all((build.output / name).is_file() for name in RESULTS)
    assert not any(" " in word for word in build.command[1:]), "Vivado's own start script may not quote its arguments"


def test_vivado_a_build_folder_elsewhere(tmp_path: Path) -> None:
    """`build` is a link to another disk: the script is found from there."""
    checkout = copy_checkout(tmp_path)
    (tmp_path / "disk" / "a" / "b").mkdir(parents=True)
    (checkout / "build").symlink_to(tmp_path / "disk" / "a" / "b")
    build = run(checkout / "build" / "vivado", root=checkout)
    assert build.status == 0, build.errors

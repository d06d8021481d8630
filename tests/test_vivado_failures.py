# SPDX-License-Identifier: Apache-2.0
"""The Vivado scripts fail when they must, with one line that names the cause; and so does the command that starts them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from vivado_build import RESULTS, ROOT, STUB_FILES, STUBS, copy_checkout, run

from gradcore.errors import GradCoreError

SKEW = "CRITICAL WARNING: [PSU-{lane}]  Parameter : PCW_UIPARAM_DDR_DQS_TO_CLK_DELAY_{lane} has negative value -0.009 . PS DDR might fail"
FAILURES = {
    "wns": ({"WNS": "-0.012"}, "timing not met at 100 MHz"),
    "whs": ({"WHS": "-0.001"}, "timing not met at 100 MHz"),
    "tns": ({"TNS": "-3"}, "tns -3"),
    "ths": ({"THS": "-0.5"}, "ths -0.5"),
    "tpws": ({"TPWS": "-0.5"}, "tpws -0.5"),
    "unrouted": ({"FAILED_NETS": "3"}, "failed_nets 3"),
    "no slack": ({"WNS": ""}, "no figure for STATS.WNS"),
    "no clock": ({"CLOCKS": ""}, "no clock clk_fpga_0"),
    "wrong clock": ({"CLOCK": "50"}, "clk_fpga_0 has a period of 20.0 ns, not 10.000"),
    "synthesis": ({"FAILED_RUN": "synth_1"}, "run synth_1 failed (synth_design ERROR)"),
    "implementation": ({"FAILED_RUN": "impl_1"}, "run impl_1 failed (route_design ERROR)"),
    "critical in main": ({"LOG_main": "CRITICAL WARNING: [BD 41-1] open"}, "1 message(s) that must not be there, the first: critical warn"),
    "critical in synthesis": ({"LOG_synth_1": "CRITICAL WARNING: [Synth 8-1] latch"}, "[Synth 8-1] latch"),
    "critical in implementation": ({"LOG_impl_1": "CRITICAL WARNING: [Route 35-39] slack"}, "[Route 35-39] slack"),
    "error in main": ({"LOG_main": "ERROR: [BD 41-1] open"}, "error [BD 41-1] open"),
    "critical without id": ({"LOG_impl_1": "CRITICAL WARNING: odd"}, "odd"),
    "half allowed": ({"LOG_main": SKEW.format(lane=0)}, "DELAY_0"),
    "no log": ({"NO_LOG": "synth_1"}, "no log"),
    "old": ({"VERSION": "2022.1"}, "Vivado 2022.1 is not supported: use 2022.2 to 2024.x"),
    "new": ({"VERSION": "2025.1"}, "Vivado 2025.1 is not supported"),
    "odd version": ({"VERSION": "beta"}, "Vivado beta is not supported"),
    "no part": ({"PARTS": ""}, "does not know the part xc7z020clg400-1"),
    "utilisation": ({"report_utilization": "| DSPs | 1 | 0 | 0 | 220 | 1 |"}, "no row `Slice LUTs`"),
    "power": ({"report_power": "| Total On-Chip Power (W) | unknown |"}, "no total power"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures(tmp_path: Path, name: str) -> None:
    """What must not pass ends with one line and status 1, and leaves no bitstream behind."""
    answers, message = FAILURES[name]
    build = run(tmp_path, **answers)
    assert build.status == 1
    assert build.errors.count("\n") == 1 and build.errors.startswith("gradcore: ") and message in build.errors, build.errors
    assert not any((build.output / result).exists() for result in RESULTS)
    assert not build.named("write_hw_platform")


@pytest.mark.parametrize("version", ["2022.2", "2023.1", "2024.2", "2024.1.2"])
def test_versions(tmp_path: Path, version: str) -> None:
    """The versions that the scripts are for."""
    assert run(tmp_path, VERSION=version).status == 0


def test_allowed_critical_warning(tmp_path: Path) -> None:
    """The known critical warning passes. Every entry of the list has a reason."""
    assert run(tmp_path, LOG_main="\n".join(SKEW.format(lane=lane) for lane in (2, 3))).status == 0
    text = (ROOT / "vivado" / "allowed_critical_warnings.txt").read_text()
    entries = [row for row in text.splitlines() if row and not row.startswith("#")]
    assert entries and all(len(row.split("|")) == 3 and len(row.split("|")[2].strip()) > 20 for row in entries)


IRQ = "output wire         irq,"
# A file, what to change in it, and what is then said. The copy is broken as a careless change would break it.
MUTATIONS = {
    "port in no interface": ("rtl/gradcore.v", IRQ, IRQ + "\n    output wire led,", "port led of rtl/gradcore.v"),
    "unknown signal": ("rtl/gradcore.v", IRQ, IRQ + "\n    output wire m_axi0_arled,", "no signal ARLED"),
    "port renamed": ("rtl/gradcore.v", IRQ, "output wire interrupt,", "port interrupt"),
    "file list": ("rtl/rtl.f", "cells/fifo.v", "cells/fifos.v", "fifos.v"),
    "no header": ("vivado/build.tcl", "  package_ip $settings", "  dict set settings headers x.vh\n  package_ip $settings", "x.vh"),
    "parameter": ("vivado/package_ip.tcl", "get_user_parameters $name", "get_user_parameters ${name}S", "no parameter GROUPS"),
    "port mapped twice": ("vivado/package_ip.tcl", "{RST rst}", "{RST clk}", "port clk is mapped twice"),
    "option": ("vivado/package_ip.tcl", "-import_files", "-import", "Unknown option '-import'"),
    "command": ("vivado/block_design.tcl", "validate_bd_design", "validate_design", "validate_design"),
    "pin": ("vivado/block_design.tcl", "reset/ext_reset_in", "reset/ext_reset", "no pin reset/ext_reset"),
    "memory port off": ("vivado/ps7_pynq_z2.tcl", "PCW_USE_S_AXI_HP1 1", "PCW_USE_S_AXI_HP1 0", "S_AXI_HP1"),
    "bus left open": ("vivado/block_design.tcl", "gradcore/m_axi1        memory1_bridge/S_AXI", "", "gradcore/m_axi1 is not connected"),
    "clock left open": ("vivado/block_design.tcl", "registers_bridge/aclk ", "", "registers_bridge/aclk is not connected"),
    "wrong reset": ("vivado/block_design.tcl", "reset/peripheral_reset gradcore/rst", "", "not connected"),
    "segment": ("vivado/block_design.tcl", "gradcore/s_axil/registers", "gradcore/s_axil/reg0", "no segment"),
    "core parameter": ("vivado/block_design.tcl", "[dict get $settings parameters]", "{LINES 3}", "no property CONFIG.LINES"),
    "constraints": ("vivado/bitstream.py", '"pynq_z2.xdc"', '"pynq.xdc"', "pynq.xdc"),
    "top": ("vivado/build.tcl", "set_property top [file rootname [file tail $wrapper]]", "set_property top gradcore", "nothing to run"),
    "PLL": ("vivado/ps7_pynq_z2.tcl", "150 {DDR PLL}", "150 {IO PLL}", "makes a clock of 142.857"),
    "allow list": ("vivado/allowed_critical_warnings.txt", "PSU-*", "| PSU-*", "expected `id | text | reason`"),
    "early report": ("vivado/build.tcl", "  open_run impl_1\n", "", "no open design"),
    "no bitstream": ("vivado/build.tcl", "-to_step write_bitstream", "-to_step route_design", "expected one file"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_broken_scripts_fail(tmp_path: Path, name: str) -> None:
    """The stand-ins notice what Vivado would: each change in a copy ends the build with a line that names it."""
    file, old, new, message = MUTATIONS[name]
    checkout = copy_checkout(tmp_path)
    path = checkout / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    try:
        build = run(tmp_path / "run", clock="150", root=checkout)
    except GradCoreError as error:  # the driver's own, before Vivado is started
        assert message in str(error)
        return
    assert build.status == 1 and message in build.errors, build.errors


def command(arguments: list[str], path: str) -> subprocess.CompletedProcess[str]:
    """vivado/bitstream.py with its own PATH."""
    script = [sys.executable, str(ROOT / "vivado" / "bitstream.py"), *arguments]
    return subprocess.run(script, env={**os.environ, "PATH": path}, capture_output=True, text=True)


def start(folder: Path, vivado: str, checkout: Path, **answers: str) -> subprocess.Popen[str]:
    """vivado/bitstream.py of a copy for paper-150, with a shell script as the program called vivado, in a process group of its own."""
    program = folder / "vivado"
    program.write_text(vivado)
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "STUB_CALLS": str(folder / "calls"), **answers}
    script = [sys.executable, str(checkout / "vivado" / "bitstream.py"), "--preset", "paper", "--clock", "150"]
    pipe = subprocess.PIPE
    return subprocess.Popen(script, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "vivado is not on the PATH: install Vivado 2022.2 to 2024.x"),
        (["--preset", "huge"], "unknown preset 'huge': use PRESET=small|paper|full"),
        (["--clock", "200"], "unknown clock '200': use CLOCK=100|150"),
    ],
)
def test_user_errors(tmp_path: Path, arguments: list[str], message: str) -> None:
    """One line, status 2."""
    result = command(arguments, str(tmp_path))
    assert result.returncode == 2 and not result.stdout
    assert result.stderr.count("\n") == 1 and message in result.stderr


STAND_IN = f'#!/bin/sh\nexec tclsh "{STUBS}" "$@"\n'


@pytest.mark.parametrize(("wns", "status"), [("0.1", 0), ("-0.1", 1)])
def test_command(tmp_path: Path, wns: str, status: int) -> None:
    """The command starts a program called vivado, keeps an earlier result apart, and hands on the status."""
    checkout = copy_checkout(tmp_path / "my projects")
    output = checkout / "build" / "vivado" / "paper-150"
    output.mkdir(parents=True)
    (output / "gradcore.bit").write_text("of an earlier build")
    (output.parent / "paper-150-previous").mkdir()
    (output.parent / "paper-150-previous" / "old").touch()
    process = start(tmp_path, STAND_IN, checkout, STUB_WNS=wns)
    _, errors = process.communicate()
    assert process.returncode == status, errors
    assert (output / "gradcore.bit").exists() == (status == 0)
    assert json.loads((output / "summary.json").read_text())["timing_met"] is (status == 0)
    previous = output.parent / "paper-150-previous"
    assert [path.name for path in previous.iterdir()] == ["gradcore.bit"]
    assert (previous / "gradcore.bit").read_text() == "of an earlier build"


@pytest.mark.parametrize(
    ("vivado", "message"),
    [
        ("#!/nowhere/sh\n", "cannot be started"),
        ("#!/bin/sh\ntouch gradcore.hwh\nkill -9 $$\n", "ended by signal 9"),
        ("#!/bin/sh\ntouch gradcore.bit\n", "without gradcore.hwh"),
    ],
)
def test_a_vivado_that_does_not_work(tmp_path: Path, vivado: str, message: str) -> None:
    """One line, status 2, and no half of a result."""
    checkout = copy_checkout(tmp_path)
    process = start(tmp_path, vivado, checkout)
    output, errors = process.communicate()
    assert process.returncode == 2 and not output
    assert errors.count("\n") == 1 and errors.startswith("gradcore: ") and message in errors
    assert not any((checkout / "build" / "vivado" / "paper-150" / name).exists() for name in RESULTS)


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C ends Vivado and the command, with one line and status 130; what Vivado had begun to write is gone.

    A second build in the same folder is refused meanwhile and disturbs nothing.
    """
    checkout = copy_checkout(tmp_path)
    process = start(tmp_path, "#!/bin/sh\ntouch gradcore.hwh started\nsleep 60\n", checkout)
    output = checkout / "build" / "vivado" / "paper-150"
    while not (output / "started").exists():
        assert process.poll() is None
        time.sleep(0.02)
    _, errors = (second := start(tmp_path, "#!/bin/sh\ntouch never\n", checkout)).communicate()
    assert second.returncode == 2 and errors.count("\n") == 1 and "another build is running" in errors
    assert (output / "started").exists() and not (output / "never").exists()
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    text, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and not text and errors == "gradcore: interrupted\n"
    assert time.monotonic() - begun < 15 and not (output / "gradcore.hwh").exists()


@pytest.mark.parametrize("name", ["a(b)", "a'b", "a$b", "pr\u00e4zise", "a;b"])
def test_a_place_that_vivado_does_not_support(tmp_path: Path, name: str) -> None:
    """Before Vivado is started: which letters of the path it does not take."""
    process = start(tmp_path, "#!/bin/sh\ntouch started\n", copy_checkout(tmp_path / name))
    output, errors = process.communicate()
    assert process.returncode == 2 and not output and errors.count("\n") == 1 and "does not support in paths" in errors


@pytest.mark.parametrize("file", ["build/vivado/paper-150", "build"])
def test_a_folder_that_cannot_be_made(tmp_path: Path, file: str) -> None:
    """A file is in the way."""
    checkout = copy_checkout(tmp_path)
    (checkout / file).parent.mkdir(parents=True, exist_ok=True)
    (checkout / file).touch()
    process = start(tmp_path, "#!/bin/sh\n", checkout)
    _, errors = process.communicate()
    assert process.returncode == 2 and errors.count("\n") == 1 and file in errors, errors


def test_a_checkout_that_is_not_whole(tmp_path: Path) -> None:
    """A file of the Verilog is missing."""
    checkout = copy_checkout(tmp_path)
    (checkout / "rtl" / "gradcore.v").unlink()
    process = start(tmp_path, "#!/bin/sh\n", checkout)
    _, errors = process.communicate()
    assert process.returncode == 2 and errors.count("\n") == 1 and "gradcore.v" in errors


def test_make() -> None:
    """`make bitstream` passes preset and clock on; tclsh for these tests is installed by `make test`."""
    makefile = (ROOT / "Makefile").read_text()
    target = re.search(r"^bitstream:.*\n((?:\t.*\n)+)", makefile, flags=re.M)
    assert target and "vivado/bitstream.py" in target[1]
    assert '--preset "$(or $(PRESET),full)"' in target[1] and '--clock "$(or $(CLOCK),100)"' in target[1]
    assert re.search(r"^PACKAGES_TEST := .*\btcl=tclsh\b", makefile, flags=re.M)


def test_sizes() -> None:
    """The scripts stay readable: less than 300 lines a file."""
    for path in (*(ROOT / "vivado").glob("*"), *STUB_FILES):
        if path.is_file():
            assert len(path.read_text().splitlines()) < 300, path.name

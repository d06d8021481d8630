# SPDX-License-Identifier: Apache-2.0
"""The tables of operators in docs/import.md, made from the importer's own rules: ``python -m gradcore.importer.documents`` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gradcore.importer.aten import MOVEMENTS as ATEN_MOVEMENTS
from gradcore.importer.aten import RULES as ATEN_RULES
from gradcore.importer.operator import Rule
from gradcore.importer.operators import NOT_RUN
from gradcore.importer.translation import RULES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "import.md"
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


def page(text: str) -> str:
    """A page with the tables between their marks brought up to date."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n{END}{rest.partition(END)[2]}"


def _table(heading: str, rules: Mapping[str, Rule]) -> list[str]:
    lines = [f"| operator | becomes | {heading} |", "|---|---|---|"]
    for kind, rule in sorted(rules.items()):
        told = "; ".join(f"{name}: {what}" for name, what in rule.attributes.items())
        lines.append(f"| {kind} | {rule.becomes} | {told} |")
    return lines


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

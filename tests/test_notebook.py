# SPDX-License-Identifier: Apache-2.0
"""The notebook, executed: no error, and its texts are what it shows; small, and nothing of the machine that it was run on is in it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "methods.ipynb"


def outputs(notebook: nbformat.NotebookNode) -> list[list[nbformat.NotebookNode]]:
    """Of each cell of code."""
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def texts(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """What each cell of code printed."""
    return [["".join(one.text) for one in some if one.output_type == "stream"] for some in outputs(notebook)]


def pictures(notebook: nbformat.NotebookNode) -> list[int]:
    """How many pictures each cell of code shows."""
    return [sum("image/png" in one.get("data", {}) for one in some) for some in outputs(notebook)]


def test_it_does_what_it_shows() -> None:
    """Cell by cell, in a kernel of its own, from the folder that it lies in; `jupyter execute --inplace` brings it up to date."""
    stored = nbformat.read(NOTEBOOK, as_version=4)
    fresh = nbformat.read(NOTEBOOK, as_version=4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(fresh, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    assert texts(fresh) == texts(stored)
    assert pictures(fresh) == pictures(stored) and sum(pictures(stored)) >= 6


def test_it_is_small_and_of_no_machine() -> None:
    content = NOTEBOOK.read_text()
    assert len(content) < 300_000
    assert not [word for word in (str(ROOT), "site-packages", "/home/", "/tmp/", "Traceback", "Warning:") if word in content]
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "it was run from the top to the end"


@pytest.mark.parametrize("name", ["docs/attribution.md", "docs/board.md", "README.md"])
def test_it_is_linked(name: str) -> None:
    assert "notebooks/methods.ipynb" in (ROOT / name).read_text()

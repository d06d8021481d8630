# SPDX-License-Identifier: Apache-2.0
"""Writes a report: one HTML file that needs nothing else, neither network nor scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from gradcore import __version__
from gradcore.drawing import svg
from gradcore.errors import GradCoreError
from gradcore.explanation.result_folders import FILES
from gradcore.host.files import check_outputs, write_atomically
from gradcore.host.progress import Progress
from gradcore.host.streams import printable
from gradcore.network import GraphNetwork, Network
from gradcore.report.gather import Subject, gather
from gradcore.report.view import subject_view

SUFFIXES = (".html", ".htm")
_OPTION = "--out"


def check_report(path: str | Path, *, option: str = _OPTION) -> None:
    """Refuse, before any work, a report that cannot be written; makes nothing.

    Raises:
        GradCoreError: another suffix, or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise GradCoreError(f"a report is HTML: call it {path.parent / (path.stem or 'report')}.html with {option}, not {path.name!r}")
    check_outputs([("the report", path)], option=option)


def write_report(
    folders: Sequence[str | Path],
    out: str | Path,
    *,
    networks: Mapping[str, Network | GraphNetwork] | None = None,
    progress: Progress | None = None,
    option: str = _OPTION,
) -> dict[str, Any]:
    """Write the report of results.

    Args:
        folders: of results, as ``gradcore explain`` writes them.
        out: the HTML file.
        networks: those that are loaded already, by the name that results have for them.
        progress: see ``gradcore.host.progress``.
        option: the command line's option that names the file, for errors.

    Returns:
        ``pictures``, ``results``, ``notes`` (what is not shown, and why, one sentence each) and ``files`` (``report``).

    Raises:
        GradCoreError: no folder, a folder without a result, or the file cannot be written; or it would overwrite a result.
    """
    if not folders:
        raise GradCoreError("a report is of results: name the folders that gradcore explain has written, such as explanations/*")
    check_report(out, option=option)
    read = [(f"the {name} of {folder}", Path(folder) / file) for folder in folders for name, file in FILES.items()]
    check_outputs([("the report", out)], read, option=option)
    subjects = gather(folders, networks, progress)
    write_atomically(out, render(subjects), option=option)
    notes = dict.fromkeys(note for one in subjects for note in (*one.measured.notes, *one.hardware.notes, *one.first.notes))
    return {
        "pictures": len(subjects),
        "results": sum(len(one.results) for one in subjects),
        "notes": list(notes),
        "files": {"report": str(out)},
    }


def render(subjects: Sequence[Subject]) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("gradcore.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str and "\n" not in value else value,
    )
    views = [subject_view(one, number) for number, one in enumerate(subjects, 1)]
    return environment.get_template("report.html.j2").render(subjects=views, version=__version__, drawing_style=svg.style()) + "\n"

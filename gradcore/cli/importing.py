# SPDX-License-Identifier: Apache-2.0
"""The commands that bring networks in, and look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradcore.cli.commands import app
from gradcore.cli.group import Command
from gradcore.cli.options import JsonOption
from gradcore.cli.printing import print_json, print_tables
from gradcore.errors import GradCoreError
from gradcore.host.streams import printable, put

OutputOption = Annotated[
    str | None,
    typer.Option("--output", metavar="NODE", show_default="its only one", help="Output to explain: the name of a node or tensor."),
]


@app.command(name="import", cls=Command)
def import_(
    network: Annotated[str, typer.Argument(metavar="NET.onnx", help="Network as an ONNX file.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the network goes.")],
    mean: Annotated[str, typer.Option("--mean", metavar="M,...", help="Of pixels in 0..1: one number, or one for each channel.")] = "0",
    std: Annotated[str, typer.Option("--std", metavar="S,...", help="The network's input is (pixel - mean) / std.")] = "1",
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes", metavar="FILE|A,B,...", show_default="their numbers", help="Names: a line each in a file, or with commas."
        ),
    ] = None,
    output: OutputOption = None,
    calibrate: Annotated[
        str | None,
        typer.Option("--calibrate", metavar="FILE.parquet", show_default=False, help="Pictures that number formats are chosen on."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Import a network of ONNX: a graph, compared with its source. What was folded, rewritten and cut is told."""
    from gradcore.explanation import importation
    from gradcore.host.files import check_outputs
    from gradcore.host.progress import ProgressDisplay

    check_outputs([("the network", out)], [("the network", network), ("the pictures", calibrate), ("the classes", classes)], option="--out")
    with ProgressDisplay() as progress:
        report = importation.import_file(
            network,
            out,
            output=output,
            mean=importation.read_numbers(mean, "--mean"),
            std=importation.read_numbers(std, "--std"),
            classes=None if classes is None else importation.read_classes(classes),
            calibration=calibrate,
            progress=progress,
        )
        for note in report["notes"]:
            progress.note(note)
    if as_json:
        print_json(report)
        return
    put(f"network: {printable(str(out))}, {report['nodes']} nodes, {report['macs']:,} MACs forward, {report['weights']:,} weights")
    for key in ("cut", "rewritten"):
        for line in report[key]:
            put(f"{key}: {printable(line)}")
    put(f"folded: {len(report['folded'])} (gradcore inspect lists them)")
    for line in report["compared"]:
        put(f"compared: {line}")


@app.command(cls=Command)
def inspect(
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="ONNX or network file, or the name of one that comes with GradCore.")],
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a network's layers, what its import folded, rewrote and cut, what it needs, what does not fit, and predicted cycles."""
    from gradcore.host.progress import ProgressDisplay
    from gradcore.speed import inspection

    if not network:
        raise GradCoreError("the name of a network is empty: give the path of a file")
    with ProgressDisplay() as progress:
        report = inspection.inspect(network, output, progress=progress)
    print_json(report) if as_json else print_tables(inspection.tables(report))

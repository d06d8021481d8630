# SPDX-License-Identifier: Apache-2.0
"""The command that explains whole data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradcore.cli.commands import app
from gradcore.cli.group import Command
from gradcore.cli.options import (
    AgainstOption,
    HeadroomOption,
    JsonOption,
    MethodOption,
    NetworkOption,
    ParameterOption,
    PresetOption,
    SimulatorOption,
    TargetOption,
)
from gradcore.cli.printing import print_json, print_tables
from gradcore.host.streams import printable, put


@app.command(name="explain-dataset", cls=Command)
def explain_dataset(
    data: Annotated[str, typer.Argument(metavar="DATA.parquet", help="Pictures in the column image, and label if there are labels.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results: Parquet files, one a part.")],
    network: NetworkOption = "cifar10",
    method: MethodOption = "saliency",
    parameter: ParameterOption = None,
    target: TargetOption = None,
    against: AgainstOption = None,
    backend: Annotated[str, typer.Option("--backend", metavar="golden|rtl", help="The bit-exact model, or also the Verilog.")] = "golden",
    simulator: SimulatorOption = "verilator",
    preset: PresetOption = "full",
    headroom: HeadroomOption = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            show_default="one a core; with --shard 0",
            help="Processes on this machine. 0: this one alone, without Dask.",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", show_default=False, help="Workers of this Dask cluster instead: tcp://host:8786."),
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="In which the scheduler must answer.")] = 10.0,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", show_default="all", help="Only the I-th of N shares of the parts, as 2/8: for job arrays."),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option("--rows", metavar="N", min=1, show_default="256, or fewer where they take long", help="Rows that make a part."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, show_default="all", help="Only the first N pictures.")] = None,
    verify: Annotated[
        int | None,
        typer.Option(
            "--verify",
            metavar="N",
            show_default="4, or fewer where they take long",
            help="Pictures that run through the Verilog, too, which must be equal in every bit; 0: none.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, show_default="a fresh one", help="That chooses these pictures.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Explain every picture of a data file, on all cores or a farm. Killed at any moment, the same command makes what is missing."""
    from gradcore.attribution.listing import read_parameters
    from gradcore.backends import Setup
    from gradcore.datasets import running
    from gradcore.host.progress import ProgressDisplay
    from gradcore.quantise.headroom import read_headroom

    parameters = read_parameters(method, parameter or [])
    with ProgressDisplay() as progress:
        report = running.explain_dataset(
            data,
            out,
            network=network,
            method=method,
            target=target,
            against=against,
            backend=Setup(backend, simulator, preset, headroom=read_headroom(headroom)),
            rows=rows,
            limit=limit,
            shard=shard,
            workers=workers,
            scheduler=scheduler,
            timeout=timeout,
            verify=verify,
            seed=seed,
            progress=progress,
            **parameters,
        )
        for note in report["notes"]:
            progress.note(note)
    if as_json:
        print_json(report)
    else:
        print_tables([running.table(report)])
        put(f"results: {printable(report['files']['out'])}")

# SPDX-License-Identifier: Apache-2.0
"""The command line: options in, library calls, tables or JSON out. Everything else is in the library.

Standard output carries results only; progress, notes and errors go to standard error. Exit status: see ``_STATUS``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gradcore import __version__
from gradcore.cli.group import Command, OneLineErrors
from gradcore.errors import GradCoreError
from gradcore.host.streams import not_finite, printable, put, put_json, standard_output, tell

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from gradcore.explanation import Explanation
    from gradcore.host.progress import ProgressDisplay

DEFAULT_OUT = Path("explanations")
METHODS = "saliency|deconvnet|guided"
_STATUS = (
    "Results go to standard output, all else to standard error. Exit status: 0; 1 where nobody reads standard output any more; "
    "2 after an error, which is one line; 130 after Ctrl-C."
)

app = typer.Typer(
    name="gradcore",
    cls=OneLineErrors,
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Explain what a neural network sees in a picture, on the GradCore accelerator.",
    epilog=_STATUS,
)

NetworkOption = Annotated[
    str,
    typer.Option("--network", metavar="FILE|cifar10", help="Network file, or the name of a network that comes with GradCore."),
]
SimulatorOption = Annotated[
    str,
    typer.Option("--simulator", metavar="verilator|icarus", help="Simulator that runs the Verilog. Icarus is slow."),
]
PresetOption = Annotated[
    str,
    typer.Option(
        "--preset",
        metavar="small|paper|full",
        help="Size of the hardware: 128 MACs (full), the 64 of the paper, or small.",
    ),
]
ClockOption = Annotated[float, typer.Option("--clock", metavar="MHZ", help="Clock of the hardware; memory stays at 1.6 GB/s.")]
HeadroomOption = Annotated[
    str,
    typer.Option(
        "--headroom",
        metavar="auto|BITS",
        help="Bits by which number formats are wider than the network's. auto: where values saturate, a second run.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")]


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        put(f"gradcore {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        put(context.get_help())


@app.command(cls=Command)
def explain(
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE",
            show_default=False,
            help="Image files of any kind. Without one, a sample: scikit-image's cat.",
        ),
    ] = None,
    network: NetworkOption = "cifar10",
    method: Annotated[str, typer.Option("--method", metavar=METHODS, help="How the gradient passes a ReLU.")] = "saliency",
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="CLASS", show_default="the predicted class", help="Class to explain: its name or index."),
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", metavar="rtl|golden|float", help="The Verilog, its bit-exact model, or PyTorch.")
    ] = "rtl",
    simulator: SimulatorOption = "verilator",
    preset: PresetOption = "full",
    waves: Annotated[
        Path | None,
        typer.Option("--waves", metavar="FILE.fst", show_default=False, help="Write the waveforms of the run, for GTKWave or Surfer."),
    ] = None,
    headroom: HeadroomOption = "auto",
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace",
            metavar="FILE.json|.png|.txt",
            show_default=False,
            help="Write a timeline of the engines: for Perfetto (.json), an overview (.png), or its jobs as text (.txt).",
        ),
    ] = None,
    clock: ClockOption = 100.0,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results; each picture gets one in it.")] = DEFAULT_OUT,
    as_json: JsonOption = False,
) -> None:
    """Say what a network sees in each picture, and draw why: a heatmap of the pixels that decided."""
    from gradcore import explanation
    from gradcore.backends import load_network
    from gradcore.backends.headroom import read_headroom
    from gradcore.explanation.result_folders import FILES, result_folders
    from gradcore.host.files import check_folder, check_outputs
    from gradcore.host.progress import ProgressDisplay
    from gradcore.pictures.picture import load_picture, sample_picture

    channels, height, width = load_network(network).input_shape
    size = {"height": height, "width": width, "channels": channels}
    shown: dict[int, Explanation] = {}
    with ProgressDisplay() as progress, _errors_last() as later:
        pictures = [load_picture(image, **size) for image in images] if images else [sample_picture(**size)]
        folders = result_folders(out, pictures)
        for folder in folders:
            check_folder(folder, option="--out")
        results = [(f"the {name} of {folder.name}", folder / file) for folder in folders for name, file in FILES.items()]
        read = explanation.inputs_of(pictures if images else [], network)
        check_outputs([("the waves", waves), ("the trace", trace), *results], read)

        def show(number: int, result: Explanation) -> None:
            """Save and print what is known of a picture: at once, and again what the Verilog adds."""
            first, folder = number not in shown, folders[number]
            shown[number] = result
            if first and not shown.keys() - {number}:
                if not images:
                    progress.note(f"no IMAGE was named: this is the sample picture, {result.image} of scikit-image")
                _tell(progress, network, result.remarks)
            if first:
                _tell(progress, result.image, result.notes)
                if folder.name != pictures[number].stem:
                    progress.note(f"{result.image}: results are in {folder}, for {folder.parent / pictures[number].stem} holds others")
            with later():
                result.save(folder) if first else result.save_result(folder)
            if not as_json:
                with progress.paused():
                    _print_explanation(result) if first else _print_verilog(result, alone=len(folders) == 1)

        try:
            explanation.explain(
                pictures,
                network,
                method,
                target,
                backend,
                simulator=simulator,
                preset=preset,
                waves=waves,
                trace=trace,
                clock_mhz=clock,
                headroom=read_headroom(headroom),
                progress=progress,
                ready=show,
            )
        finally:
            if as_json and shown:
                with progress.paused():
                    put_json([result.as_dict() for result in shown.values()])


@app.command(cls=Command)
def bench(
    images: Annotated[int, typer.Option("--images", metavar="N", min=1, help="Number of pictures.")] = 10,
    method: Annotated[str | None, typer.Option("--method", metavar=METHODS, show_default="all three", help="Only this one.")] = None,
    network: NetworkOption = "cifar10",
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="FILE.parquet",
            show_default="cuts of scikit-image's pictures",
            help="Take the pictures from here.",
        ),
    ] = None,
    clock: ClockOption = 100.0,
    simulator: SimulatorOption = "verilator",
    preset: PresetOption = "full",
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="FILE.png",
            show_default=False,
            help="Draw the layers' cycles and the roofline (PNG, PDF, SVG ...).",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure cycles, MACs and memory traffic of the simulated Verilog, beside prediction and bounds; means."""
    from gradcore.host.files import check_outputs
    from gradcore.host.progress import ProgressDisplay
    from gradcore.speed import benchmark, performance_plot

    if picture is not None:
        performance_plot.check_file(picture)
        check_outputs([("the picture", picture)], [("the data file", data), ("the network", network)], option="--picture")
    with ProgressDisplay() as progress:
        report = benchmark.bench(
            images,
            None if method is None else [method],
            network=network,
            data=data,
            clock_mhz=clock,
            simulator=simulator,
            preset=preset,
            progress=progress,
        )
        _tell(progress, network, report["notes"])
    if not as_json:
        _print_tables(benchmark.tables(report))
    try:  # what was measured is printed even if it cannot be drawn
        if picture is not None:
            performance_plot.draw(report, picture)
            report["files"] = {"picture": str(picture)}
    finally:
        if as_json:
            _print_json(report)
    if picture is not None and not as_json:
        put(f"picture: {printable(str(picture))}")


@app.command(name="eval", cls=Command)
def evaluate(
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="FILE.parquet", show_default=False, help="Pictures and labels: columns image and label."),
    ] = None,
    patterns: Annotated[
        bool,
        typer.Option("--patterns", help="Instead of --data: generated pictures of high contrast, such as print and line art."),
    ] = False,
    network: NetworkOption = "cifar10",
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, show_default="all", help="Only the first N pictures.")] = None,
    backend: Annotated[str, typer.Option("--backend", metavar="golden|float", help="The bit-exact model, or PyTorch.")] = "golden",
    headroom: HeadroomOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure accuracy, and how well the attributions agree with PyTorch's autograd."""
    from gradcore.backends.headroom import read_headroom
    from gradcore.explanation import evaluation
    from gradcore.host.progress import ProgressDisplay

    if (data is None) == (not patterns):
        raise GradCoreError(
            "eval takes pictures from a file or generates them, either --data FILE.parquet or --patterns: see gradcore eval --help"
        )
    if patterns and limit is not None:
        raise GradCoreError("--patterns always measures the same pictures: leave --limit out")
    with ProgressDisplay() as progress:
        options = {"network": network, "backend": backend, "headroom": read_headroom(headroom), "progress": progress}
        if data is None:
            report = evaluation.evaluate_patterns(**options)
        else:
            report = evaluation.evaluate(data, limit=limit, **options)
        for note in report["notes"]:
            progress.note(note)
    _print_json(report) if as_json else _print_tables(evaluation.tables(report))


@app.command(cls=Command)
def train(
    data: Annotated[str, typer.Option("--data", metavar="FILE.parquet", help="Pictures and labels: columns image and label.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the network goes.")],
    test: Annotated[
        str | None,
        typer.Option(
            "--test",
            metavar="FILE.parquet",
            show_default=False,
            help="Pictures to measure the accuracy on when all is done.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", metavar="N", min=1, show_default="the recipe's", help="Passes over the pictures."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, show_default="all", help="Only the first N pictures.")] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", min=1, show_default="PyTorch's choice", help="Threads of PyTorch.")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            "--work",
            metavar="DIR",
            show_default=False,
            help="Keep intermediate results; a run that was stopped goes on from there.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train the network of the paper on labelled pictures, with the recipe of the network that comes with GradCore."""
    from gradcore import training
    from gradcore.host.progress import ProgressDisplay
    from gradcore.quantise import quantise

    recipe = training.Recipe() if epochs is None else training.Recipe(epochs=epochs)
    with ProgressDisplay() as progress:
        made = training.train_file(
            data, out, recipe=recipe, threads=threads, work=work, limit=limit, test=test, progress=progress, note=progress.note
        )
        notes = list(quantise(made).notes)
        _tell(progress, str(out), notes)
    told = made.metadata["training"]
    report = {
        "network": made.name,
        "notes": notes,
        "files": {"network": str(out)},
        **{name: told[name] for name in ("pictures", "validation_accuracy", "test_pictures", "test_accuracy") if name in told},
    }
    if as_json:
        _print_json(report)
    else:
        for name in ("validation_accuracy", "test_accuracy"):
            if name in report:
                put(f"{name.replace('_', ' ')}: {report[name]:.2%}")
        put(f"network: {printable(str(out))}")


@app.command(name="compile", cls=Command)
def compile_(
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="Network file, or the name of one that comes with GradCore.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the memory image goes; its listing goes beside it.")],
    preset: PresetOption = "full",
    base: Annotated[
        str,
        typer.Option("--base", metavar="ADDRESS", help="Where memory will hold it, such as 0x10000000: a multiple of 4096."),
    ] = "0x10000000",
    headroom: Annotated[
        int, typer.Option("--headroom", metavar="BITS", help="Bits by which number formats are wider than the network's.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Compile a network: its program and memory image, and a listing that a person can read."""
    from gradcore.compiler import compilation
    from gradcore.host.progress import ProgressDisplay

    with ProgressDisplay() as progress:
        report = compilation.compile_to_file(network, out, preset=preset, base=compilation.read_address(base), headroom=headroom)
        _tell(progress, network, report["notes"])
    if as_json:
        _print_json(report)
    else:
        for name, path in report["files"].items():
            put(f"{name}: {printable(path)}")


@app.command(cls=Command)
def synth(
    preset: PresetOption = "full",
    unit: Annotated[
        str | None,
        typer.Option("--unit", metavar="MODULE", show_default="the whole core", help="Only this module, as the core uses it."),
    ] = None,
    timing: Annotated[
        bool,
        typer.Option("--timing", help="Also place and route, for an ECP5 as a stand-in: minutes for a unit, long for the core."),
    ] = False,
    speed_grade: Annotated[int, typer.Option("--speed-grade", metavar="6|7|8", help="The ECP5's, for --timing: 6 is the slowest.")] = 8,
    as_json: JsonOption = False,
) -> None:
    """Synthesise the Verilog for the XC7Z020: resources, checks of the netlist, and depth of the logic."""
    from gradcore.host.progress import ProgressDisplay
    from gradcore.synthesis import report as synthesis

    def show(report: dict[str, Any]) -> None:
        _print_json(report) if as_json else _print_tables(synthesis.tables(report))

    with ProgressDisplay() as progress:
        try:
            report = synthesis.synth(preset, unit, timing=timing, speed_grade=speed_grade, progress=progress)
        except GradCoreError as error:
            if error.report is not None:
                with progress.paused():
                    show(error.report)
            raise
    show(report)


def _tell(progress: ProgressDisplay, subject: str, notes: Sequence[str]) -> None:
    """Notes, on standard error, each with what it is about."""
    for note in notes:
        progress.note(f"{subject}: {note}")


@contextlib.contextmanager
def _errors_last() -> Iterator[Callable[[], contextlib.AbstractContextManager]]:
    """Gives a context that keeps an error for the end of the block, so that what comes after it is done; the first one counts."""
    found: list[GradCoreError] = []

    @contextlib.contextmanager
    def later() -> Iterator[None]:
        try:
            yield
        except GradCoreError as error:
            found.append(error)

    yield later
    if found:
        raise found[0]


def _print_json(report: dict[str, Any]) -> None:
    """The report; numbers that are none become null, which standard error says."""
    broken = not_finite(report)
    if broken:
        tell(f"{', '.join(broken[:5])}{' ...' if len(broken) > 5 else ''}: no finite numbers, null in the JSON")
    put_json(report)


def _console() -> Console:
    """What prints tables: names are taken literally."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def _print_tables(tables: list[Table]) -> None:
    with standard_output():
        console = _console()
        for table in tables:
            console.print(table)


def _print_explanation(result: Explanation) -> None:
    """The classes with their scores, and where the files are."""
    import numpy as np
    from rich.table import Table
    from rich.text import Text

    from gradcore.explanation.result_folders import FILES

    answer = f"{result.image}: {result.classes[result.predicted]}{' (weak)' if result.weak else ''}"
    table = Table(title=Text(printable(answer)), title_justify="left", title_style="bold")
    for heading, justify in (("class", "left"), ("score", "right"), ("softmax", "right"), ("", "left")):
        table.add_column(heading, justify=justify)
    order = np.argsort(-result.logits, kind="stable")
    for index in dict.fromkeys([*order[:10].tolist(), result.target]):
        numbers = [
            form.format(value) if np.isfinite(value) else "not finite"
            for form, value in (("{:.3f}", result.logits[index]), ("{:.1%}", result.softmax[index]))
        ]
        mark = "explained" if index == result.target else ""
        style = "bold" if index == result.predicted else None
        table.add_row(Text(printable(result.classes[index])), *numbers, mark, style=style)
    _print_tables([table])
    for name in FILES:
        if name in result.files:
            put(f"{name}: {printable(result.files[name])}")


def _print_verilog(result: Explanation, alone: bool) -> None:
    """What the Verilog adds; with several pictures each line names its own."""
    if "trace" in result.files:
        put(f"trace: {printable(result.files['trace'])}")
        return
    place = "" if alone else f"{printable(result.image)}: "
    put(f"{place}verilog: {result.verilog} to its model in every bit of the scores and the heatmap")
    if result.cycles is not None:
        put(
            f"{place}cycles: {result.cycles.total:,} ({result.cycles.forward:,} forward, {result.cycles.backward:,} "
            f"backward), {result.latency_ms:.2f} ms at {result.clock_mhz:g} MHz"
        )
    if "waves" in result.files:
        put(f"{place}waves: {printable(result.files['waves'])}")

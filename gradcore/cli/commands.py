# SPDX-License-Identifier: Apache-2.0
"""The command line: options in, library calls, tables or JSON out. Everything else is in the library.

Standard output carries results only; progress, notes and errors go to standard error. Exit status: see ``_STATUS``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gradcore import __version__
from gradcore.cli.group import Command, OneLineErrors
from gradcore.cli.options import (
    RULES,
    AgainstOption,
    ClockOption,
    HeadroomOption,
    JsonOption,
    MethodOption,
    NetworkOption,
    ParameterOption,
    PresetOption,
    SimulatorOption,
    TargetOption,
)
from gradcore.cli.printing import errors_last, print_explanation, print_json, print_tables, print_verilog, tell_notes
from gradcore.errors import GradCoreError
from gradcore.host.streams import printable, put, put_json

if TYPE_CHECKING:
    from gradcore.explanation import Explanation

DEFAULT_OUT = Path("explanations")
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
            help="Image files of any kind, or .npy files of inputs that are no pictures. Without one, a sample of scikit-image's.",
        ),
    ] = None,
    network: NetworkOption = "cifar10",
    method: MethodOption = "saliency",
    parameter: ParameterOption = None,
    target: TargetOption = None,
    against: AgainstOption = None,
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
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE.html", show_default=False, help="Write a page on all of it: see gradcore report."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a network sees in each picture, and draw why: a heatmap of the pixels that decided."""
    from gradcore import explanation
    from gradcore.attribution.listing import read_parameters
    from gradcore.backends import Setup
    from gradcore.explanation.result_folders import FILES, result_folders
    from gradcore.host.files import check_folder, check_outputs
    from gradcore.host.progress import ProgressDisplay
    from gradcore.importer.opening import load_network
    from gradcore.pictures.picture import load_picture, sample_of
    from gradcore.quantise.headroom import read_headroom

    setup = Setup(backend, simulator, preset, waves, trace, clock, read_headroom(headroom), observe=report is not None)
    if report is not None:
        from gradcore.report import check_report, write_report

        check_report(report, option="--report")
    parameters = read_parameters(method, parameter or [])
    loaded = load_network(network)
    channels, height, width = loaded.input_shape
    size = {"height": height, "width": width, "channels": channels}
    shown: dict[int, Explanation] = {}
    with ProgressDisplay() as progress, errors_last() as later:
        pictures = [load_picture(image, **size) for image in images] if images else [sample_of(loaded)]
        folders = result_folders(out, pictures)
        for folder in folders:
            check_folder(folder, option="--out")
        results = [(f"the {name} of {folder.name}", folder / file) for folder in folders for name, file in FILES.items()]
        read = explanation.inputs_of(pictures if images else [], loaded)
        check_outputs([("the waves", waves), ("the trace", trace), ("the report", report), *results], read)

        def show(number: int, result: Explanation) -> None:
            """Save and print what is known of a picture: at once, and again what the Verilog adds."""
            first, folder = number not in shown, folders[number]
            shown[number] = result
            if first and not shown.keys() - {number}:
                if not images:
                    progress.note(f"no IMAGE was named: this is the sample picture, {result.image} of scikit-image")
                tell_notes(progress, network, result.remarks)
            if first:
                tell_notes(progress, result.image, result.notes)
                if folder.name != pictures[number].stem:
                    progress.note(f"{result.image}: results are in {folder}, for {folder.parent / pictures[number].stem} holds others")
            with later():
                result.save(folder) if first else result.save_result(folder)
            if not as_json:
                with progress.paused():
                    print_explanation(result) if first else print_verilog(result, alone=len(folders) == 1)

        try:
            asked = {"against": against, **parameters}
            explanation.explain(pictures, loaded, method, target, setup, progress=progress, ready=show, **asked)
            if report is not None:
                with later():
                    write_report(folders, report, networks={loaded.label: loaded}, progress=progress, option="--report")
                    for number, result in shown.items():
                        result.files["report"] = str(report)
                        result.save_result(folders[number])
                    if not as_json:
                        with progress.paused():
                            put(f"report: {printable(str(report))}")
        finally:
            if as_json and shown:
                with progress.paused():
                    put_json([result.as_dict() for result in shown.values()])


@app.command(name="report", cls=Command)
def report_(
    results: Annotated[
        list[str],
        typer.Argument(metavar="RESULTS", show_default=False, help="Folders of results, such as explanations/*, that explain has written."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="Where the page goes.")],
    as_json: JsonOption = False,
) -> None:
    """Write one HTML page on results: maps, scores and curves; where the cycles went; what the core takes. It needs nothing else."""
    from gradcore.host.progress import ProgressDisplay
    from gradcore.report import write_report

    with ProgressDisplay() as progress:
        made = write_report(results, out, progress=progress)
        tell_notes(progress, str(out), made["notes"])
    if as_json:
        print_json(made)
    else:
        put(f"report: {printable(made['files']['report'])}")


@app.command(cls=Command)
def methods(as_json: JsonOption = False) -> None:
    """List the attribution methods: what they are, what they cost, their parameters and defaults."""
    from gradcore.attribution import listing

    print_json({"methods": listing.as_list()}) if as_json else print_tables([listing.table()])


@app.command(cls=Command)
def bench(
    images: Annotated[int, typer.Option("--images", metavar="N", min=1, help="Number of pictures.")] = 10,
    method: Annotated[str | None, typer.Option("--method", metavar="|".join(RULES), show_default="all", help="Only this one.")] = None,
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
    from gradcore.backends import Setup
    from gradcore.host.files import check_outputs
    from gradcore.host.progress import ProgressDisplay
    from gradcore.speed import benchmark, performance_plot

    if picture is not None:
        performance_plot.check_file(picture)
        check_outputs([("the picture", picture)], [("the data file", data), ("the network", network)], option="--picture")
    with ProgressDisplay() as progress:
        setup = Setup(simulator=simulator, preset=preset, clock_mhz=clock)
        methods = None if method is None else [method]
        report = benchmark.bench(images, methods, network=network, data=data, backend=setup, progress=progress)
        tell_notes(progress, network, report["notes"])
    if not as_json:
        print_tables(benchmark.tables(report))
    try:  # what was measured is printed even if it cannot be drawn
        if picture is not None:
            performance_plot.draw(report, picture)
            report["files"] = {"picture": str(picture)}
    finally:
        if as_json:
            print_json(report)
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
    metrics: Annotated[
        bool,
        typer.Option("--metrics", help="Of --data: whether attributions are any good, each method in fixed point and float; 4 pictures."),
    ] = False,
    network: NetworkOption = "cifar10",
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, show_default="all", help="Only the first N pictures.")] = None,
    backend: Annotated[str, typer.Option("--backend", metavar="golden|float", help="The bit-exact model, or PyTorch.")] = "golden",
    headroom: HeadroomOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure accuracy, and how well the attributions agree with PyTorch's autograd."""
    from gradcore.backends import Setup
    from gradcore.explanation import evaluation
    from gradcore.host.progress import ProgressDisplay
    from gradcore.quantise.headroom import read_headroom

    if (data is None) == (not patterns):
        raise GradCoreError(
            "eval takes pictures from a file or generates them, either --data FILE.parquet or --patterns: see gradcore eval --help"
        )
    if patterns and limit is not None:
        raise GradCoreError("--patterns always measures the same pictures: leave --limit out")
    if metrics:
        if data is None:
            raise GradCoreError("--metrics measures pictures of a file: give --data FILE.parquet")
        from gradcore.explanation import quality

        with ProgressDisplay() as progress:
            report = quality.evaluate_metrics(data, network=network, limit=quality.PICTURES if limit is None else limit, progress=progress)
        print_json(report) if as_json else print_tables(quality.tables(report))
        return
    with ProgressDisplay() as progress:
        setup = Setup(backend, headroom=read_headroom(headroom))
        if data is None:
            report = evaluation.evaluate_patterns(network=network, backend=setup, progress=progress)
        else:
            report = evaluation.evaluate(data, network=network, limit=limit, backend=setup, progress=progress)
        for note in report["notes"]:
            progress.note(note)
    print_json(report) if as_json else print_tables(evaluation.tables(report))


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
        tell_notes(progress, str(out), notes)
    told = made.metadata["training"]
    report = {
        "network": made.name,
        "notes": notes,
        "files": {"network": str(out)},
        **{name: told[name] for name in ("pictures", "validation_accuracy", "test_pictures", "test_accuracy") if name in told},
    }
    if as_json:
        print_json(report)
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
        tell_notes(progress, network, report["notes"])
    if as_json:
        print_json(report)
    else:
        for name, path in report["files"].items():
            put(f"{name}: {printable(path)}")


@app.command(cls=Command)
def bundle(
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="Network file, or the name of one that comes with GradCore.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The bundle's folder; an earlier bundle there is replaced.")],
    preset: PresetOption = "full",
    base: Annotated[
        str,
        typer.Option("--base", metavar="ADDRESS", help="Where software in C has the image in memory; Linux moves it: a multiple of 4096."),
    ] = "0x10000000",
    bitstream: Annotated[
        Path | None,
        typer.Option("--bitstream", metavar="FILE.bit", show_default="that of `make bitstream`", help="With its .hwh beside it."),
    ] = None,
    image: Annotated[
        Path | None, typer.Option("--image", metavar="FILE", show_default="random pixels", help="Picture of the sample.")
    ] = None,
    headroom: Annotated[
        int, typer.Option("--headroom", metavar="BITS", help="Bits by which number formats are wider than the network's.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make the folder that goes to the board: program, bitstream, and a sample with what the core must give for it."""
    from gradcore.compiler.compilation import read_address
    from gradcore.deployment import make_bundle
    from gradcore.host.progress import ProgressDisplay

    with ProgressDisplay() as progress:
        options = {"preset": preset, "base": read_address(base), "bitstream": bitstream, "image": image, "headroom": headroom}
        report = make_bundle(network, out, **options)
        tell_notes(progress, network, report["notes"])
    if as_json:
        print_json(report)
    else:
        put(f"bundle: {printable(report['files']['bundle'])}")


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
        print_json(report) if as_json else print_tables(synthesis.tables(report))

    with ProgressDisplay() as progress:
        try:
            report = synthesis.synth(preset, unit, timing=timing, speed_grade=speed_grade, progress=progress)
        except GradCoreError as error:
            if error.report is not None:
                with progress.paused():
                    show(error.report)
            raise
    show(report)

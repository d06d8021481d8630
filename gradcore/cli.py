# SPDX-License-Identifier: Apache-2.0
"""The command line: options in, library calls, tables or JSON out. Everything else is in the library.

Standard output carries results only; progress, notes and errors go to standard error. Exit status: 0, 2 after an error
that the user can put right (one line, never a traceback), 130 after Ctrl-C.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from gradcore import __version__
from gradcore.errors import GradCoreError
from gradcore.processes import ended_by_signals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gradcore.explanation import Explanation
    from gradcore.progress import ProgressDisplay

DEFAULT_OUT = Path("explanations")
METHODS = "saliency|deconvnet|guided"


class OneLineErrors(TyperGroup):
    """A command group that ends an error with one line on standard error, and Ctrl-C with 130."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run; see the base class."""
        try:
            with ended_by_signals():
                result = super().main(*args, standalone_mode=False, **extra)
        except GradCoreError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            _fail("interrupted", 130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except MemoryError:
            _fail("not enough memory: use fewer or smaller pictures, or a smaller network")
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            _fail(f"{place}{error.strerror or error}: check that the place exists, is writable and has room")
        except Exception as error:
            if not hasattr(error, "format_message"):  # only the errors of the command line's parser have it
                raise
            _fail(
                f"{error.format_message().rstrip('.')}: see {_command_path(error)} --help",
                getattr(error, "exit_code", 2),
            )
        if result == 130:  # Typer's answer to Ctrl-C
            _fail("interrupted", 130)
        if standalone_mode:
            sys.exit(result if isinstance(result, int) else 0)
        return result

    def invoke(self, context: typer.Context) -> Any:
        """Run a command; at Ctrl-C also say what was saved. See the base class."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt as error:
            _fail("; ".join(["interrupted", *getattr(error, "__notes__", ())]), 130)


def _fail(message: str, status: int = 2) -> None:
    text = " ".join(message.split())
    print(f"gradcore: {text}", file=sys.stderr)
    sys.exit(status)


def _command_path(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context is not None else "gradcore"


app = typer.Typer(
    name="gradcore",
    cls=OneLineErrors,
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Explain what a neural network sees in a picture, on the GradCore accelerator.",
)

NetworkOption = Annotated[
    str,
    typer.Option(
        "--network", metavar="FILE|cifar10", help="Network file, or the name of a network that comes with GradCore."
    ),
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
ClockOption = Annotated[
    float, typer.Option("--clock", metavar="MHZ", help="Clock of the hardware; memory stays at 1.6 GB/s.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")]


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print(f"gradcore {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
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
    method: Annotated[
        str, typer.Option("--method", metavar=METHODS, help="How the gradient passes a ReLU.")
    ] = "saliency",
    target: Annotated[
        str | None,
        typer.Option(
            "--target", metavar="CLASS", show_default="the predicted class", help="Class to explain: its name or index."
        ),
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", metavar="rtl|golden|float", help="The Verilog, its bit-exact model, or PyTorch.")
    ] = "rtl",
    simulator: SimulatorOption = "verilator",
    preset: PresetOption = "full",
    waves: Annotated[
        Path | None,
        typer.Option("--waves", metavar="FILE.fst", show_default=False, help="Write the waveforms of the run."),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace",
            metavar="FILE.json|FILE.png",
            show_default=False,
            help="Write a timeline of the engines: for Perfetto (.json), or an overview (.png).",
        ),
    ] = None,
    clock: ClockOption = 100.0,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the results; each picture gets one in it.")
    ] = DEFAULT_OUT,
    as_json: JsonOption = False,
) -> None:
    """Say what a network sees in each picture, and draw why: a heatmap of the pixels that decided."""
    from gradcore import explanation
    from gradcore.backends import load_network
    from gradcore.picture import load_picture, sample_picture
    from gradcore.progress import ProgressDisplay

    channels, height, width = load_network(network).input_shape
    size = {"height": height, "width": width, "channels": channels}
    with ProgressDisplay() as progress:
        if images:
            pictures = [load_picture(image, **size) for image in images]
        else:
            pictures = [sample_picture(**size)]
        folders = explanation.result_folders(out, pictures)
        for folder in folders:
            explanation.check_folder(folder)
        results = explanation.explain(
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
            progress=progress,
        )
        if not images:
            progress.note(f"no IMAGE was named: this is the sample picture, {pictures[0].name} of scikit-image")
        _tell(progress, network, results[0].remarks)
        for result, folder in zip(results, folders, strict=True):
            _tell(progress, result.image, result.notes)
            result.save(folder)
    if as_json:
        _print_json([result.as_dict() for result in results])
    else:
        for result in results:
            _print_explanation(result)
        if waves is not None:
            print(f"waveforms: {waves}")


@app.command()
def bench(
    images: Annotated[int, typer.Option("--images", metavar="N", min=1, help="Number of pictures.")] = 10,
    method: Annotated[str | None, typer.Option("--method", metavar=METHODS, show_default="all three")] = None,
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
    from gradcore import benchmark, performance_plot
    from gradcore.progress import ProgressDisplay

    if picture is not None:
        performance_plot.check_file(picture)
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
    if picture is not None:
        performance_plot.draw(report, picture)
        report["files"] = {"picture": str(picture)}
    if as_json:
        _print_json(report)
    else:
        _print_tables(benchmark.tables(report))
        if picture is not None:
            print(f"picture: {picture}")


@app.command(name="eval")
def evaluate(
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="FILE.parquet", show_default=False, help="Pictures and labels: columns image and label."
        ),
    ] = None,
    patterns: Annotated[
        bool,
        typer.Option(
            "--patterns", help="Instead of --data: generated pictures of high contrast, such as print and line art."
        ),
    ] = False,
    network: NetworkOption = "cifar10",
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, show_default="all", help="Only the first N pictures.")
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", metavar="golden|float", help="The bit-exact model, or PyTorch.")
    ] = "golden",
    as_json: JsonOption = False,
) -> None:
    """Measure accuracy, and how well the attributions agree with PyTorch's autograd."""
    from gradcore import evaluation
    from gradcore.progress import ProgressDisplay

    if (data is None) == (not patterns):
        raise GradCoreError("eval takes pictures from a file or generates them: give either --data FILE.parquet or --patterns")
    if patterns and limit is not None:
        raise GradCoreError("--patterns always measures the same pictures: leave --limit out")
    with ProgressDisplay() as progress:
        options: dict[str, Any] = {"network": network, "backend": backend, "progress": progress}
        if data is None:
            report = evaluation.evaluate_patterns(**options)
        else:
            report = evaluation.evaluate(data, limit=limit, **options)
        for note in report["notes"]:
            progress.note(note)
    _print_json(report) if as_json else _print_tables(evaluation.tables(report))


@app.command()
def train(
    data: Annotated[
        str, typer.Option("--data", metavar="FILE.parquet", help="Pictures and labels: columns image and label.")
    ],
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
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, show_default="all", help="Only the first N pictures.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", min=1, show_default="PyTorch's choice")
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
    from gradcore.progress import ProgressDisplay
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
        **{
            name: told[name]
            for name in ("pictures", "validation_accuracy", "test_pictures", "test_accuracy")
            if name in told
        },
    }
    if as_json:
        _print_json(report)
    else:
        for name in ("validation_accuracy", "test_accuracy"):
            if name in report:
                print(f"{name.replace('_', ' ')}: {report[name]:.2%}")
        print(f"network: {out}")


@app.command(name="compile")
def compile_(
    network: Annotated[
        str, typer.Argument(metavar="NETWORK", help="Network file, or the name of one that comes with GradCore.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where the memory image goes; its listing goes beside it.")
    ],
    preset: PresetOption = "full",
    base: Annotated[
        str,
        typer.Option("--base", metavar="ADDRESS", help="Where memory will hold it, such as 0x10000000: a multiple of 4096."),
    ] = "0x10000000",
    as_json: JsonOption = False,
) -> None:
    """Compile a network: its program and memory image, and a listing that a person can read."""
    from gradcore import compilation
    from gradcore.progress import ProgressDisplay

    with ProgressDisplay() as progress:
        report = compilation.compile_to_file(network, out, preset=preset, base=compilation.read_address(base))
        _tell(progress, network, report["notes"])
    if as_json:
        _print_json(report)
    else:
        for name, path in report["files"].items():
            print(f"{name}: {path}")


@app.command()
def synth(
    preset: PresetOption = "full",
    unit: Annotated[
        str | None,
        typer.Option(
            "--unit", metavar="MODULE", show_default="the whole core", help="Only this module, as the core uses it."
        ),
    ] = None,
    timing: Annotated[
        bool,
        typer.Option(
            "--timing", help="Also place and route, for an ECP5 as a stand-in: minutes for a unit, long for the core."
        ),
    ] = False,
    speed_grade: Annotated[
        int, typer.Option("--speed-grade", metavar="6|7|8", help="The ECP5's, for --timing: 6 is the slowest.")
    ] = 8,
    as_json: JsonOption = False,
) -> None:
    """Synthesise the Verilog for the XC7Z020: resources, checks of the netlist, and depth of the logic."""
    from gradcore.progress import ProgressDisplay
    from gradcore.synthesis import report as synthesis

    with ProgressDisplay() as progress:
        report = synthesis.synth(preset, unit, timing=timing, speed_grade=speed_grade, progress=progress)
    _print_json(report) if as_json else _print_tables(synthesis.tables(report))


def _tell(progress: ProgressDisplay, subject: str, notes: Sequence[str]) -> None:
    """Notes, on standard error, each with what it is about."""
    for note in notes:
        progress.note(f"{subject}: {note}")


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def _print_tables(tables: list[Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for table in tables:
        console.print(table)


def _print_explanation(result: Explanation) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(
        title=Text(f"{result.image}: {result.classes[result.predicted]}"), title_justify="left", title_style="bold"
    )
    for heading, justify in (("class", "left"), ("score", "right"), ("softmax", "right"), ("", "left")):
        table.add_column(heading, justify=justify)
    shares = np.exp(result.logits - result.logits.max())
    shares /= shares.sum()
    order = np.argsort(-result.logits, kind="stable")
    for index in order[:10]:
        mark = "explained" if index == result.target else ""
        table.add_row(
            Text(result.classes[index]),
            f"{result.logits[index]:.3f}",
            f"{shares[index]:.1%}",
            mark,
            style="bold" if index == result.predicted else None,
        )
    if result.target not in order[:10]:
        table.add_row(
            Text(result.classes[result.target]),
            f"{result.logits[result.target]:.3f}",
            f"{shares[result.target]:.1%}",
            "explained",
        )
    console.print(table)
    if result.cycles is not None:
        print(
            f"cycles: {result.cycles.total:,} ({result.cycles.forward:,} forward, {result.cycles.backward:,} "
            f"backward), {result.latency_ms:.2f} ms at {result.clock_mhz:g} MHz"
        )
    for name, path in result.files.items():
        print(f"{name}: {path}")

# SPDX-License-Identifier: Apache-2.0
"""Measure the simulated Verilog: clock cycles, MACs, memory traffic, as means over real pictures.

Beside what is measured stand what the cycle model predicts, and the bounds of the machine: how few cycles a layer could
take (``gradcore/speed/cycle_model.py``, ``gradcore/speed/bounds.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.backends import METHODS, Run, Setup, open_backend
from gradcore.errors import GradCoreError
from gradcore.host.inputs import check_choice
from gradcore.host.progress import Progress, silent
from gradcore.importer.opening import load_network
from gradcore.network import Network, check_pictures
from gradcore.pictures.picture import load_picture, read_picture, skimage_folder
from gradcore.quantise import precision
from gradcore.simulator import bytes_per_1024
from gradcore.speed.bounds import LayerBound, layer_bounds, sparse_bound
from gradcore.speed.cycle_model import Prediction, predict, zeros_of

if TYPE_CHECKING:
    from rich.table import Table

    from gradcore.backends.rtl import RtlBackend
    from gradcore.pictures.data import DataSet

INFERENCE = "inference"
_BATCH = 16
PICTURES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
)  # in scikit-image's wheel


def bench(
    images: int | Sequence[np.ndarray] = 10,
    methods: Sequence[str] | None = None,
    *,
    network: str | Path | Network = "cifar10",
    data: str | Path | None = None,
    backend: str | Setup = "rtl",
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Run the Verilog on pictures and return means.

    Args:
        images: how many pictures, or the pictures: uint8, H x W x C of the network's size.
        methods: which attribution methods; None is all three.
        network: 'cifar10', the path of a network file, or a ``Network``.
        data: Parquet file to take the pictures from; None cuts them out of scikit-image's pictures.
        backend: 'rtl', or a ``Setup`` with it; its headroom None counts as 0: the formats are the network's own.
        progress: see ``gradcore.host.progress``.
        options: attributes of ``Setup``, in place of the set-up's: ``preset``, ``simulator``, ``clock_mhz``.

    Returns:
        A dictionary with ``images``, ``pictures`` (where they come from), ``network``, ``preset``, ``simulator``,
        ``clock_mhz``, ``macs`` (multipliers in hardware), ``memory_bytes`` (that memory gives in a cycle), ``notes`` (on pictures,
        network and on what saturated, one sentence each), ``saturation`` (in how many ``pictures`` values saturated, ``which``,
        and in which ``layers``), ``inference`` and ``methods``.

        ``inference`` and each of ``methods`` have ``cycles_total``, ``layers``, ``macs_dense``, ``macs_issued``,
        ``mac_utilisation`` (issued MACs over MAC-cycles), ``bytes_read``, ``bytes_written``, ``latency_ms``,
        ``predicted_cycles``, ``sparse_bound`` (cycles, see ``gradcore.speed.bounds``) and ``over_sparse_bound`` (total
        over bound); a method also ``cycles_forward``, ``cycles_backward`` and ``attribution``: the ``cycles`` that it
        adds to inference alone, and ``over_inference``, their ratio.

        A layer has ``layer``, ``pass``, ``cycles``, ``predicted_cycles``, ``bound_cycles``, ``bound`` ('macs' or
        'bytes': what bounds it), ``sparse_bound`` (its part of the total's), ``macs`` (useful ones), ``bytes`` (that it
        must move) and ``span_cycles`` (predicted, from its first job's start to its end: layers overlap, so a layer's
        cycles may be fewer than its bound, its span may not).

    Raises:
        GradCoreError: anything that a user can put right.
    """
    progress = progress or silent
    setup = Setup.of(backend, **options)
    setup = replace(setup, headroom=setup.headroom or 0)
    if not setup.simulated or setup.trace is not None:
        raise GradCoreError("bench measures many runs of the Verilog: take the back end rtl, and leave the trace out")
    clock_mhz = setup.clock_mhz
    chosen = tuple(methods or METHODS)
    for method in chosen:
        check_choice("method", method, METHODS)
    loaded = load_network(network)
    read: tuple[str, ...] = ()
    if not isinstance(images, int):
        pictures, source = list(images), "given"
    elif data is None:
        pictures, source = cut_pictures(images, loaded.input_shape)
    else:
        found = dataset_pictures(data, images, loaded.input_shape)
        pictures, source, read = list(found.images), str(data), found.notes
    if not len(pictures):
        raise GradCoreError("there are no pictures to measure: give at least one")
    pictures = list(check_pictures(pictures, loaded.input_shape))
    engine = open_backend(setup, loaded)
    report: dict[str, Any] = {
        "images": len(pictures),
        "pictures": source,
        "network": loaded.label,
        "preset": setup.preset,
        "simulator": setup.simulator,
        "clock_mhz": clock_mhz,
        "macs": engine.macs,
        "memory_bytes": bytes_per_1024(clock_mhz) / 1024,
    }
    macs = loaded.graph.macs
    runs = engine.run(pictures, chosen, progress=progress)
    saturation = precision.saturation_report([run.saturation for run in of_one] for of_one in zip(*runs.values(), strict=True))
    report["notes"] = [*read, *engine.notes, *precision.report_notes(saturation, len(pictures))]
    report["saturation"] = saturation
    inference = engine.infer(pictures, progress)
    analyses = _analyse(engine, pictures, chosen, clock_mhz, progress)
    report["inference"] = _means(inference, analyses[INFERENCE], macs, engine.macs, clock_mhz)
    report["methods"] = {}
    for method in chosen:
        values = _means(runs[method], analyses[method], 2 * macs, engine.macs, clock_mhz)
        added = values["cycles_total"] - report["inference"]["cycles_total"]
        report["methods"][method] = {
            **values,
            "cycles_forward": float(np.mean([run.cycles.forward for run in runs[method]])),
            "cycles_backward": float(np.mean([run.cycles.backward for run in runs[method]])),
            "attribution": {"cycles": added, "over_inference": added / report["inference"]["cycles_total"]},
        }
    return report


@dataclass(frozen=True)
class _Analysis:
    """What is known of one picture's run without the Verilog."""

    prediction: Prediction
    bounds: list[LayerBound]


def _analyse(
    backend: RtlBackend, pictures: Sequence[np.ndarray], methods: Sequence[str], clock_mhz: float, progress: Progress
) -> dict[str, list[_Analysis]]:
    """Predictions and bounds of each picture, for each method and for inference alone."""
    network, program = backend.quantised, backend.program
    result: dict[str, list[_Analysis]] = {name: [] for name in (*methods, INFERENCE)}
    total = len(pictures) * len(result)
    for start in range(0, len(pictures), _BATCH):
        batch = np.stack([network.quantise_image(picture) for picture in pictures[start : start + _BATCH]])
        for number, zeros in enumerate(zeros_of(network, batch, methods), start):
            for position, name in enumerate(result):
                progress("predicting the cycles", number * len(result) + position, total)
                explain = name != INFERENCE
                passes, method = (zeros[name], name) if explain else (zeros[methods[0]], "saliency")
                prediction = predict(program, passes, method, clock_mhz=clock_mhz, explain=explain)
                groups = program.hardware.groups
                bounds = layer_bounds(network, passes, method, groups=groups, clock_mhz=clock_mhz, explain=explain)
                result[name].append(_Analysis(prediction, bounds))
    progress("predicting the cycles", total, total)
    return result


def cut_pictures(count: int, input_shape: tuple[int, int, int]) -> tuple[list[np.ndarray], str]:
    """``count`` pictures of the network's size, cut out of scikit-image's photographs; always the same ones."""
    channels, height, width = input_shape
    folder = skimage_folder()
    photographs = [np.asarray(read_picture(folder / name, name)[0]) for name in PICTURES]
    rng = np.random.default_rng(20)
    pictures = []
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        side = int(min(photograph.shape[:2]) * rng.uniform(0.35, 1.0))
        top, left = (int(rng.integers(0, size - side + 1)) for size in photograph.shape[:2])
        cut = photograph[top : top + side, left : left + side]
        pictures.append(load_picture(cut, height=height, width=width, channels=channels).pixels)
    return pictures, "cut out of the photographs that come with scikit-image"


def dataset_pictures(path: str | Path, count: int, input_shape: tuple[int, int, int]) -> DataSet:
    """The first ``count`` pictures of a Parquet file, brought to the network's size.

    Raises:
        GradCoreError: see ``gradcore.pictures.data.read_parquet``; or there are fewer.
    """
    from gradcore.pictures.data import read_parquet

    pictures = read_parquet(path, count, shape=input_shape)
    if len(pictures) < count:
        raise GradCoreError(f"{path} holds {len(pictures)} pictures, not {count}: ask for fewer with --images")
    return pictures


def tables(report: dict[str, Any]) -> list[Table]:
    """The report as tables for people: totals, then the layers of each method."""
    from rich.table import Table

    table = Table(
        title=f"{report['network']}, {report['images']} pictures ({report['pictures']}), {report['preset']} preset, "
        f"{report['clock_mhz']:g} MHz: means",
        title_justify="left",
    )
    for heading in ("", INFERENCE, *report["methods"]):
        table.add_column(heading, justify="right" if heading else "left")
    columns = [report["inference"], *report["methods"].values()]
    sections = (
        (("cycles", "cycles_total", "{:,.0f}"), ("  forward", "cycles_forward", "{:,.0f}")),
        (("  backward", "cycles_backward", "{:,.0f}"), ("  predicted", "predicted_cycles", "{:,.0f}")),
        (("sparse bound", "sparse_bound", "{:,.0f}"), ("cycles / sparse bound", "over_sparse_bound", "{:.3f}")),
        (("milliseconds", "latency_ms", "{:.3f}"),),
        (("MACs, dense", "macs_dense", "{:,.0f}"), ("MACs issued", "macs_issued", "{:,.0f}")),
        (("MAC utilisation", "mac_utilisation", "{:.1%}"),),
        (("bytes read", "bytes_read", "{:,.0f}"), ("bytes written", "bytes_written", "{:,.0f}")),
    )
    for label, key, form in (row for section in sections for row in section):
        table.add_row(label, *(form.format(column[key]) if key in column else "" for column in columns))
        if key == "predicted_cycles":
            for label, key, form in (
                ("added by attribution", "cycles", "{:,.0f}"),
                ("added / inference", "over_inference", "{:.1%}"),
            ):
                added = [column.get("attribution") for column in columns]
                table.add_row(label, *("" if one is None else form.format(one[key]) for one in added))
    return [table, *(_layer_table(name, values, Table) for name, values in report["methods"].items())]


def _layer_table(method: str, values: dict[str, Any], table_class: type[Table]) -> Table:
    """Cycles of each layer: measured, predicted, and the bound."""
    table = table_class(
        title=f"{method}: cycles of each layer",
        title_justify="left",
        caption="Counted from the end of the layer before. Layers overlap: so one may take fewer than its bound.",
        caption_justify="left",
    )
    for heading in ("layer", "pass", "measured", "predicted", "bound", "measured / bound", "bound by"):
        table.add_column(heading, justify="left" if heading in ("layer", "pass", "bound by") else "right")
    for one in values["layers"]:
        numbers = [f"{one[key]:,.0f}" for key in ("cycles", "predicted_cycles", "bound_cycles")]
        ratio = f"{one['cycles'] / one['bound_cycles']:.2f}"
        table.add_row(one["layer"], one["pass"], *numbers, ratio, {"macs": "MACs"}.get(one["bound"], one["bound"]))
    return table


def _means(runs: Sequence[Run], analyses: Sequence[_Analysis], macs_dense: int, macs: int, clock_mhz: float) -> dict[str, Any]:
    def mean(values: Iterable[float]) -> float:
        return float(np.mean(list(values)))

    total = mean(run.cycles.total for run in runs)
    issued = mean(run.counters["macs_issued"] for run in runs)
    bound = mean(sparse_bound(one.bounds) for one in analyses)
    layers = []
    for position, one in enumerate(runs[0].cycles.layers):
        bounds = [analysis.bounds[position] for analysis in analyses]
        predicted = [analysis.prediction.layers[position] for analysis in analyses]
        layers.append(
            {
                "layer": one.layer,
                "pass": one.direction,
                "cycles": mean(run.cycles.layers[position].cycles for run in runs),
                "predicted_cycles": mean(layer.cycles for layer in predicted),
                "bound_cycles": mean(layer.cycles for layer in bounds),
                "bound": max(("macs", "bytes"), key=[layer.limit for layer in bounds].count),
                "sparse_bound": mean(layer.mac_cycles for layer in bounds),
                "macs": mean(layer.macs for layer in bounds),
                "bytes": mean(layer.bytes for layer in bounds),
                "span_cycles": mean(layer.span for layer in predicted),
            }
        )
    return {
        "cycles_total": total,
        "layers": layers,
        "macs_dense": macs_dense,
        "macs_issued": issued,
        "mac_utilisation": issued / (total * macs),
        "latency_ms": total / (clock_mhz * 1e3),
        "bytes_read": mean(run.counters["bytes_read"] for run in runs),
        "bytes_written": mean(run.counters["bytes_written"] for run in runs),
        "predicted_cycles": mean(one.prediction.total for one in analyses),
        "sparse_bound": bound,
        "over_sparse_bound": total / bound,
    }

# SPDX-License-Identifier: Apache-2.0
"""Measure the simulated Verilog: clock cycles, MACs, memory traffic, as means over real pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.backends import METHODS, Run, check_choice, load_network, open_backend
from gradcore.errors import GradCoreError
from gradcore.picture import load_picture, skimage_folder
from gradcore.progress import Progress, silent

if TYPE_CHECKING:
    from rich.table import Table

    from gradcore.network import Network

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
    clock_mhz: float = 100.0,
    simulator: str = "verilator",
    preset: str = "full",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run the Verilog on pictures and return means.

    Args:
        images: how many pictures, or the pictures: uint8, H x W x C of the network's size.
        methods: which attribution methods; None is all three.
        network: 'cifar10', the path of a network file, or a ``Network``.
        data: Parquet file to take the pictures from; None cuts them out of scikit-image's pictures.
        clock_mhz: clock of the hardware; memory gives 1.6 GB/s whatever it is.
        simulator, preset: see ``gradcore.explain``.
        progress: see ``gradcore.progress``.

    Returns:
        A dictionary with ``images``, ``pictures`` (where they come from), ``network``, ``preset``, ``simulator``,
        ``clock_mhz``, ``macs`` (multipliers in hardware) and ``methods``; for each method ``cycles_total``,
        ``cycles_forward``, ``cycles_backward``, ``layers`` (a list of layer, pass, cycles), ``macs_dense``,
        ``macs_issued``, ``mac_utilisation`` (issued MACs over MAC-cycles), ``bytes_read``, ``bytes_written``,
        ``latency_ms``.

    Raises:
        GradCoreError: anything that a user can put right.
    """
    progress = progress or silent
    chosen = tuple(methods or METHODS)
    for method in chosen:
        check_choice("method", method, METHODS)
    loaded = load_network(network)
    if isinstance(images, int):
        pictures, source = (
            cut_pictures(images, loaded.input_shape)
            if data is None
            else (dataset_pictures(data, images, loaded.input_shape), str(data))
        )
    else:
        pictures, source = list(images), "given"
    if not len(pictures):
        raise GradCoreError("there are no pictures to measure: give at least one")
    backend = open_backend("rtl", loaded, simulator=simulator, preset=preset, clock_mhz=clock_mhz, progress=progress)
    name = str(network) if isinstance(network, str | Path) else loaded.name
    report: dict[str, Any] = {
        "images": len(pictures),
        "pictures": source,
        "network": name,
        "preset": preset,
        "simulator": simulator,
        "clock_mhz": clock_mhz,
        "macs": backend.macs,
        "methods": {},
    }
    for method, runs in backend.run(pictures, chosen, progress=progress).items():
        report["methods"][method] = _means(runs, 2 * loaded.macs, backend.macs, clock_mhz)
    return report


def cut_pictures(count: int, input_shape: tuple[int, int, int]) -> tuple[list[np.ndarray], str]:
    """``count`` pictures of the network's size, cut out of scikit-image's photographs; always the same ones."""
    channels, height, width = input_shape
    folder = skimage_folder()
    photographs = [load_picture(folder / name, height=1, width=1).original for name in PICTURES]
    rng = np.random.default_rng(20)
    pictures = []
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        side = int(min(photograph.shape[:2]) * rng.uniform(0.35, 1.0))
        top, left = (int(rng.integers(0, size - side + 1)) for size in photograph.shape[:2])
        cut = photograph[top : top + side, left : left + side]
        pictures.append(load_picture(cut, height=height, width=width, channels=channels).pixels)
    return pictures, "cut out of the photographs that come with scikit-image"


def dataset_pictures(path: str | Path, count: int, input_shape: tuple[int, int, int]) -> list[np.ndarray]:
    """The first ``count`` pictures of a Parquet file, brought to the network's size.

    Raises:
        GradCoreError: see ``gradcore.data.read_parquet``; or there are fewer.
    """
    from gradcore.data import read_parquet

    channels, height, width = input_shape
    images = read_parquet(path, count).images
    if len(images) < count:
        raise GradCoreError(f"{path} holds {len(images)} pictures, not {count}: ask for fewer with --images")
    return [load_picture(image, height=height, width=width, channels=channels).pixels for image in images]


def tables(report: dict[str, Any]) -> list[Table]:
    """The report as tables for people."""
    from rich.table import Table

    table = Table(
        title=f"{report['network']}, {report['images']} pictures ({report['pictures']}), {report['preset']} preset, "
        f"{report['clock_mhz']:g} MHz: means",
        title_justify="left",
    )
    table.add_column("")
    for method in report["methods"]:
        table.add_column(method, justify="right")
    columns = list(report["methods"].values())
    rows = [
        ("cycles", "cycles_total", "{:,.0f}"),
        ("  forward", "cycles_forward", "{:,.0f}"),
        ("  backward", "cycles_backward", "{:,.0f}"),
    ]
    for label, key, form in rows:
        table.add_row(label, *(form.format(column[key]) for column in columns))
    table.add_section()
    for position, layer in enumerate(columns[0]["layers"]):
        table.add_row(
            f"{layer['layer']} {layer['pass']}", *(f"{column['layers'][position]['cycles']:,.0f}" for column in columns)
        )
    table.add_section()
    rows = [
        ("milliseconds", "latency_ms", "{:.3f}"),
        ("MACs, dense", "macs_dense", "{:,.0f}"),
        ("MACs issued", "macs_issued", "{:,.0f}"),
        ("MAC utilisation", "mac_utilisation", "{:.1%}"),
        ("bytes read", "bytes_read", "{:,.0f}"),
        ("bytes written", "bytes_written", "{:,.0f}"),
    ]
    for label, key, form in rows:
        table.add_row(label, *(form.format(column[key]) for column in columns))
    return [table]


def _means(runs: Sequence[Run], macs_dense: int, macs: int, clock_mhz: float) -> dict[str, Any]:
    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values))

    total = mean([run.cycles.total for run in runs])
    issued = mean([run.counters["macs_issued"] for run in runs])
    first = runs[0].cycles.layers
    layers = [
        {
            "layer": one.layer,
            "pass": one.direction,
            "cycles": mean([run.cycles.layers[position].cycles for run in runs]),
        }
        for position, one in enumerate(first)
    ]
    return {
        "cycles_total": total,
        "cycles_forward": mean([run.cycles.forward for run in runs]),
        "cycles_backward": mean([run.cycles.backward for run in runs]),
        "layers": layers,
        "macs_dense": macs_dense,
        "macs_issued": issued,
        "mac_utilisation": issued / (total * macs),
        "latency_ms": total / (clock_mhz * 1e3),
        "bytes_read": mean([run.counters["bytes_read"] for run in runs]),
        "bytes_written": mean([run.counters["bytes_written"] for run in runs]),
    }

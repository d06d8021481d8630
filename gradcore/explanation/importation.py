# SPDX-License-Identifier: Apache-2.0
"""Imports a network into a file: what no file of ONNX says is added, number formats are chosen where there are pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradcore.compiler.compilation import not_run
from gradcore.errors import GradCoreError
from gradcore.host.inputs import input_path, unreadable
from gradcore.host.progress import Progress, silent
from gradcore.importer.foreign import SUFFIX, refuse_foreign
from gradcore.importer.opening import load_network, network_of
from gradcore.network import Network

COMPARED = 8  # calibration pictures that the graph is compared with its source on


def import_file(
    source: str | Path,
    out: str | Path,
    *,
    output: str | None = None,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
    classes: Sequence[str] | None = None,
    calibration: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Import an ONNX file and write it as a network file.

    Args:
        source: the file.
        out: where the network goes.
        output: the node or tensor that is explained, where there are several outputs.
        mean, std: of pixels in 0..1, one number or one for each channel: the network's input is (pixel - mean) / std.
        classes: one name for each output; None calls them by their numbers.
        calibration: Parquet file of pictures that number formats are chosen on.
        progress: see ``gradcore.host.progress``.

    Returns:
        A dictionary: ``network``, ``files``, ``nodes``, ``macs``, ``weights``, ``folded``, ``rewritten``, ``cut``, ``difference`` (from the
        source), ``compared`` (the same in words, also for calibration pictures), ``not_run`` (nodes that the core does not run)
        and ``notes``.

    Raises:
        GradCoreError: anything that a user can put right; a ``Refusal`` names every problem of the network.
    """
    progress = progress or silent
    refuse_foreign(source)
    if not os.fspath(source).lower().endswith(SUFFIX):
        raise GradCoreError(f"{source}: networks are imported from ONNX files, whose names end in {SUFFIX}: give one")
    from gradcore.importer.importing import import_onnx

    progress("importing the network and comparing it with its source", 0, 0)
    imported = import_onnx(source, output)
    network = network_of(imported, Path(source).stem, classes=classes, mean=mean, std=std)
    network.metadata["import"]["source"] = Path(source).name
    compared = [str(imported.difference)]
    notes = []
    if tuple(mean) == (0.0,) and tuple(std) == (1.0,):
        notes.append("no mean and std were given: the network gets pixel / 255; give --mean and --std if it was trained on other values")
    runnable = load_network(network)
    reasons = not_run(runnable)
    if reasons:
        notes.append(
            f"the core does not run {len(reasons)} of its {len(imported.graph.nodes)} nodes, only the back ends golden and float do: "
            "gradcore inspect names them"
        )
    if calibration is not None:
        from gradcore.pictures.data import read_parquet
        from gradcore.quantise import calibrate, calibrate_graph
        from gradcore.quantise.calibration import CALIBRATION_IMAGES

        progress("reading the pictures", 0, 0)
        images = read_parquet(calibration, CALIBRATION_IMAGES, shape=network.input_shape).images
        compared.append(str(imported.compare(network.normalise(images[:COMPARED]), "calibration pictures")))
        progress("choosing number formats", 0, 0)
        source = str(calibration)
        formats = (
            calibrate(runnable, images, source=source) if isinstance(runnable, Network) else calibrate_graph(network, images, source=source)
        )
        network.metadata["quantisation"] = formats.to_metadata()
    network.save(out)
    told = network.metadata["import"]
    return {
        "network": network.name,
        "files": {"network": str(out)},
        "nodes": len(imported.graph.nodes),
        "macs": imported.graph.macs,
        "weights": sum(tensor.size for tensor in imported.graph.weights.values()),
        **{key: told[key] for key in ("folded", "rewritten", "cut", "difference")},
        "compared": compared,
        "not_run": list(reasons),
        "notes": notes,
    }


def read_numbers(text: str, option: str) -> tuple[float, ...]:
    """Numbers, separated by commas.

    Raises:
        GradCoreError: there are none.
    """
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError:
        raise GradCoreError(f"{option} {text}: not numbers separated by commas: write such as 0.485,0.456,0.406") from None


def read_classes(text: str) -> list[str]:
    """Names of classes: a line each in a file of that name, or separated by commas.

    Raises:
        GradCoreError: the file cannot be read.
    """
    if not os.path.exists(text) and "," in text:
        return [name.strip() for name in text.split(",")]
    path = input_path(text, what="a file of class names", missing="check the path, or write the names with commas between them")
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise unreadable(text, error) from None
    except UnicodeDecodeError:
        raise GradCoreError(f"{text}: no text in UTF-8: write the names of the classes, one a line") from None

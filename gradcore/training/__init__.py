# SPDX-License-Identifier: Apache-2.0
"""Training: the whole recipe that made the network that comes with GradCore, on a CPU.

Needs PyTorch; importing this package without it raises ``GradCoreError``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradcore.errors import GradCoreError, missing_package
from gradcore.host.files import check_outputs
from gradcore.host.progress import Progress, silent
from gradcore.network import Network
from gradcore.pictures.classes import listed, match_classes
from gradcore.pictures.data import DataSet, read_data

try:
    import torch
except ImportError:
    raise missing_package("PyTorch", "torch", needed_by="training") from None

from gradcore.training.recipe import FILES, Recipe, measure_accuracy, train
from gradcore.training.student import TABLE_ONE

_THREADS = 1024

__all__ = ["TABLE_ONE", "Recipe", "measure_accuracy", "train", "train_file"]


def train_file(
    data: str | Path,
    out: str | Path,
    *,
    recipe: Recipe | None = None,
    threads: int | None = None,
    work: str | Path | None = None,
    limit: int | None = None,
    test: str | Path | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Network:
    """Train the network of Table I on labelled pictures and write its file: what ``gradcore train`` does.

    Everything that is given is checked before the training begins, and the network is written before it is measured.

    Args:
        data: Parquet file with the columns ``image`` and ``label``, or ``torchvision:FOLDER`` for torchvision's CIFAR-10.
        out: the network file to write.
        recipe: every setting; the shipped recipe when left out.
        threads: of PyTorch; its own choice when left out.
        work: folder for intermediate results; a run that was stopped goes on from there.
        limit: take only so many of the first pictures.
        test: pictures to measure the accuracy on once, when all is done; nothing is chosen by them. Of the same size and classes
            as ``data``'s, the classes in any order: see ``gradcore.pictures.classes``.
        progress: see ``gradcore.host.progress``.
        note: called with what a user should know of the pictures and of the run, one sentence each.

    Returns:
        The network that was written.

    Raises:
        GradCoreError: anything that a user can put right.
    """
    progress, note = progress or silent, note or silent
    recipe = recipe or Recipe()
    kept = [] if work is None else [("an intermediate result", Path(work) / name) for name in FILES]
    check_outputs([("the network", out), *kept], [("the training file", data), ("the test file", test)])
    if threads is not None:
        if not 1 <= threads <= _THREADS:
            raise GradCoreError(f"{threads} threads cannot train: give 1 to {_THREADS}")
        torch.set_num_threads(threads)
    progress("reading the pictures", 0, 0)
    pictures = read_data(data, train=True, limit=limit)
    recipe.check(TABLE_ONE, pictures)
    for said in (*pictures.notes, *_classes_without_pictures(pictures)):
        note(f"{data}: {said}")
    tested = None if test is None else _read_test(test, data, pictures, note)
    if work is None:
        note("a run that is stopped starts anew: name a folder with --work to let it go on")
    network = train(pictures, recipe, work=work, progress=progress)
    training: dict[str, Any] = network.metadata["training"]
    training["command"] = f"gradcore train --data {Path(data).name} --out {Path(out).name}"
    _save(network, Path(out))
    if tested is not None:
        note(f"the network is written to {out}")
        progress("measuring the accuracy on the test pictures", 0, 0)
        try:
            training["test_accuracy"], training["test_pictures"] = measure_accuracy(network, tested), len(tested)
            network.save(out)
        except Exception as error:
            training.pop("test_accuracy", None)
            raise GradCoreError(
                f"the network is trained and written to {out}, but it was not measured ({error or type(error).__name__}): "
                f"try gradcore eval --data {test} --network {out}"
            ) from None
    return network


def _classes_without_pictures(pictures: DataSet) -> list[str]:
    missing = [name for label, name in enumerate(pictures.classes) if label not in pictures.labels]
    return [f"no picture is of the class {listed(missing)}: it cannot be learnt"] if missing else []


def _read_test(test: str | Path, data: str | Path, pictures: DataSet, note: Callable[[str], None]) -> DataSet:
    """The test pictures, their labels numbered as the training pictures' are."""
    tested = read_data(test)
    if tested.images.shape[1:] != pictures.images.shape[1:]:
        sizes = [" x ".join(map(str, images.shape[1:3])) for images in (tested.images, pictures.images)]
        raise GradCoreError(
            f"the pictures of {test} have {sizes[0]} pixels (height x width), those of {data} {sizes[1]}: bring them to one size"
        )
    tested, notes = match_classes(tested, pictures.classes, data=str(test), other=str(data))
    for said in tested.notes:
        note(f"{test}: {said}")
    for said in notes:
        note(said)
    return tested


def _save(network: Network, out: Path) -> None:
    """Write the network; where that fails after hours of work, somewhere else."""
    try:
        network.save(out)
    except GradCoreError as error:
        try:
            spare = Path(tempfile.mkdtemp(prefix="gradcore-")) / "network.safetensors"
            network.save(spare)
        except (GradCoreError, OSError):
            raise error from None
        raise GradCoreError(f"{error}; the trained network is in {spare}: move it from there") from None

# SPDX-License-Identifier: Apache-2.0
"""Training: the whole recipe that made the network that comes with GradCore, on a CPU.

Needs PyTorch; importing this package without it raises ``GradCoreError``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradcore.data import read_data
from gradcore.errors import GradCoreError, missing_package
from gradcore.network import Network
from gradcore.progress import Progress, silent

try:
    import torch
except ImportError:
    raise missing_package("PyTorch", "torch", needed_by="training") from None

from gradcore.training.recipe import Recipe, measure_accuracy, train
from gradcore.training.student import TABLE_ONE

__all__ = ["TABLE_ONE", "Recipe", "measure_accuracy", "train", "train_file"]


def train_file(data: str | Path, out: str | Path, *, recipe: Recipe | None = None, threads: int | None = None,
               work: str | Path | None = None, limit: int | None = None, test: str | Path | None = None,
               progress: Progress | None = None) -> Network:
    """Train the network of Table I on labelled pictures and write its file: what ``gradcore train`` does.

    Args:
        data: Parquet file with the columns ``image`` and ``label``, or ``torchvision:FOLDER`` for torchvision's CIFAR-10.
        out: the network file to write.
        recipe: every setting; the shipped recipe when left out.
        threads: of PyTorch; its own choice when left out.
        work: folder for intermediate results; a run that was stopped goes on from there.
        limit: take only so many of the first pictures.
        test: pictures to measure the accuracy on once, when all is done; nothing is chosen by them.
        progress: see ``gradcore.progress``.

    Returns:
        The network that was written.

    Raises:
        GradCoreError: anything that a user can put right.
    """
    progress = progress or silent
    _check_writable(Path(out))
    if threads is not None:
        if threads < 1:
            raise GradCoreError(f"{threads} threads cannot train: give 1 or more")
        torch.set_num_threads(threads)
    progress("reading the pictures", 0, 0)
    pictures = read_data(data, train=True, limit=limit)
    tested = read_data(test) if test else None
    network = train(pictures, recipe, work=work, progress=progress)
    training: dict[str, Any] = network.metadata["training"]
    training["command"] = f"gradcore train --data {Path(data).name} --out {Path(out).name}"
    if tested:
        training["test_accuracy"], training["test_pictures"] = measure_accuracy(network, tested), len(tested)
    network.save(out)
    return network


def _check_writable(out: Path) -> None:
    """Find out before the training, not after, that its result has no place."""
    if out.is_dir():
        raise GradCoreError(f"{out} is a folder: name a file")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        existed = out.exists()
        out.open("ab").close()
        if not existed:
            out.unlink()
    except OSError as error:
        raise GradCoreError(f"{out} cannot be written ({error.strerror or error}): check the folder and its permissions") from None

# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures: Parquet files with the columns ``image`` (encoded bytes, PNG or JPEG) and ``label`` (integer)."""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.pictures.parquet import read_encoded, read_rows
from gradcore.pictures.picture import Picture, load_picture, read_picture

TORCHVISION = "torchvision:"
_DIGITS = re.compile(r"[\d.]+(e[+-]\d+)?")


@dataclass(frozen=True)
class DataSet:
    """Pictures of one size with their labels.

    Attributes:
        images: uint8, (N, height, width, 3), RGB; or of the channels that were asked for.
        labels: int64, (N,), 0 .. classes - 1.
        classes: one name for each label: its number, where nobody gave names.
        notes: what was done to the pictures when they were read, one sentence each.
        named: whether somebody gave the classes names; else they are called by their numbers.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: list[str]
    notes: tuple[str, ...] = ()
    named: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Images and labels in order, ``size`` at a time; the last batch may be smaller."""
        for start in range(0, len(self), size):
            yield self.images[start : start + size], self.labels[start : start + size]

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel, of pixel values in 0..1."""
        count = self.images[..., 0].size
        values = np.arange(256) / 255
        shares = np.stack([np.bincount(self.images[..., channel].reshape(-1), minlength=256) for channel in range(3)]) / count
        mean = shares @ values
        return mean, np.sqrt(np.maximum(shares @ values**2 - mean**2, 0))

    def split(self, number: int, seed: int = 0) -> tuple[DataSet, DataSet]:
        """Hold ``number`` pictures out, as many of each class as of the others: (the rest, those held out), both in file order."""
        generator = np.random.default_rng(seed)
        present = np.unique(self.labels)
        share, spare = divmod(number, max(1, len(present)))
        held = [
            generator.permutation(np.flatnonzero(self.labels == label))[: share + (position < spare)]
            for position, label in enumerate(present)
        ]
        chosen = np.zeros(len(self), dtype=bool)
        if held:
            chosen[np.concatenate(held)] = True
        return (
            replace(self, images=self.images[~chosen], labels=self.labels[~chosen]),
            replace(self, images=self.images[chosen], labels=self.labels[chosen]),
        )


def read_data(source: str | Path, *, train: bool = False, limit: int | None = None) -> DataSet:
    """Labelled pictures from a Parquet file, or from torchvision's CIFAR-10 where ``source`` is ``torchvision:FOLDER``.

    Args:
        source: a path, or ``torchvision:`` and a folder that CIFAR-10 is in or is downloaded to.
        train: torchvision's training pictures rather than its test pictures; a Parquet file has only what it has.
        limit: take only so many of the first pictures.

    Raises:
        GradCoreError: see ``read_parquet``; torchvision is not installed, or cannot get its data.
    """
    if str(source).startswith(TORCHVISION):
        return _read_torchvision(str(source).removeprefix(TORCHVISION), train, _checked(limit))
    return read_parquet(source, limit)


def read_parquet(path: str | Path, limit: int | None = None, *, shape: tuple[int, int, int] | None = None) -> DataSet:
    """Labelled pictures from a Parquet file. Needs pyarrow, the extra ``data``.

    Its column ``image`` holds encoded pictures (or, of a network whose input is no picture, ``.npy`` files): bytes of any Arrow type, or a
    struct with the field ``bytes``; ``label`` integers
    from 0. Class names come from the metadata key ``classes`` (separated by commas), or from Hugging Face's description of the
    features; without either the classes are called by their numbers. Pictures are read as ``gradcore.load_picture`` reads them.

    Args:
        path: the file.
        limit: take only so many of the first pictures.
        shape: channels, height and width that every picture is brought to, as ``gradcore.load_picture`` does; None leaves all as
            they are, and they must be of one size.

    Raises:
        GradCoreError: pyarrow is not installed; no such file, not Parquet, a column missing or of another type, no rows, a picture
            that cannot be read or (without ``shape``) has another size than the first, a label without a class.
    """
    rows = read_rows(path, _checked(limit))
    count, notes = len(rows.labels), Notes()
    images: np.ndarray | None = None
    for row, encoded in enumerate(rows.pictures):
        name = _name(path, row)
        if shape is None:
            rgb, said = read_picture(encoded, name)
            pixels = np.asarray(rgb)
        else:
            picture = _fitted(encoded, shape, name)
            pixels, said = picture.pixels, picture.notes
        notes.add(row, said)
        if images is None:
            images = _room(count, pixels.shape, path)
        if pixels.shape != images.shape[1:]:
            raise GradCoreError(
                f"{path}: the picture of row {row} has {pixels.shape[0]} x {pixels.shape[1]} pixels, row 0 has "
                f"{images.shape[1]} x {images.shape[2]}: bring all to one size"
            )
        images[row] = pixels
    assert images is not None  # there is at least one row
    classes = rows.names or [str(label) for label in range(int(rows.labels.max()) + 1)]
    return DataSet(images, rows.labels, classes, notes.told(count), named=bool(rows.names))


def read_pictures(path: str | Path, rows: range, shape: tuple[int, int, int]) -> Iterator[Picture]:
    """The pictures of consecutive rows of a Parquet file, each brought to channels, height and width as ``read_parquet`` does.

    Raises:
        GradCoreError: see ``read_parquet``; it names the row.
    """
    for row, encoded in zip(rows, read_encoded(path, rows), strict=True):
        yield _fitted(encoded, shape, _name(path, row))


def _name(path: str | Path, row: int) -> str:
    return f"{path}: the picture of row {row}"


def _fitted(encoded: bytes, shape: tuple[int, int, int], name: str) -> Picture:
    return load_picture(encoded, channels=shape[0], height=shape[1], width=shape[2], name=name)


class Notes:
    """Notes on many pictures: one line for all that differ in numbers only."""

    def __init__(self) -> None:
        self._seen: dict[str, list[Any]] = {}  # how often, the first row, and what was said of it

    def add(self, row: int, notes: Iterable[str]) -> None:
        """Take what was said of a row's picture."""
        for note in notes:
            self._seen.setdefault(_DIGITS.sub("", note), [0, row, note])[0] += 1

    def told(self, pictures: int) -> tuple[str, ...]:
        """The lines."""
        return tuple(
            f"{number} of {pictures} pictures, the first of them in row {row}: {note}" for number, row, note in self._seen.values()
        )


def _checked(limit: int | None) -> int | None:
    try:
        number = None if limit is None else operator.index(limit)
    except TypeError:
        raise GradCoreError(f"a limit of {limit!r} pictures is no number: give an integer, 1 or more") from None
    if number is not None and number < 1:
        raise GradCoreError(f"a limit of {limit} pictures leaves none: give 1 or more")
    return number


def _room(count: int, shape: tuple[int, ...], path: str | Path) -> np.ndarray:
    """Memory for the pictures, or one line where the machine has not got it."""
    needed = count * math.prod(shape)
    try:
        if needed > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
            raise MemoryError
        return np.empty((count, *shape), dtype=np.uint8)
    except MemoryError:
        raise GradCoreError(
            f"{path}: {count} pictures of {shape[0]} x {shape[1]} need {needed / 1e9:.1f} GB of memory: take fewer, or make them smaller"
        ) from None


def _read_torchvision(folder: str, train: bool, limit: int | None) -> DataSet:
    if not folder:
        raise GradCoreError("torchvision: names no folder: write torchvision:FOLDER, where CIFAR-10 is or may be downloaded to")
    try:
        from torchvision.datasets import CIFAR10
    except ImportError:
        raise GradCoreError("torchvision is not installed: pip install torchvision, or give a Parquet file") from None
    try:
        data = CIFAR10(folder, train=train, download=True)
    except Exception as error:  # urllib, OSError, RuntimeError: whatever the download meets
        raise GradCoreError(
            f"torchvision cannot get CIFAR-10 ({' '.join(str(error).split())}): check the network, or put "
            f"cifar-10-python.tar.gz in {folder}"
        ) from None
    return DataSet(data.data[:limit], np.asarray(data.targets[:limit], dtype=np.int64), list(data.classes))

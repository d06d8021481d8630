# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures: Parquet files with the columns ``image`` (encoded bytes, PNG or JPEG) and ``label`` (integer)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from gradcore.errors import GradCoreError

TORCHVISION = "torchvision:"
_ROWS = 1000


@dataclass(frozen=True)
class DataSet:
    """Pictures of one size with their labels.

    Attributes:
        images: uint8, (N, height, width, 3), RGB.
        labels: int64, (N,), 0 .. classes - 1.
        classes: one name for each label.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: list[str]

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
        return mean, np.sqrt(shares @ values**2 - mean**2)

    def split(self, number: int, seed: int = 0) -> tuple[DataSet, DataSet]:
        """Hold ``number`` pictures out, as many of each class as of the others: (the rest, those held out), both in file order."""
        generator = np.random.default_rng(seed)
        present = np.unique(self.labels)
        share, spare = divmod(number, max(1, len(present)))
        held = [generator.permutation(np.flatnonzero(self.labels == label))[: share + (position < spare)]
                for position, label in enumerate(present)]
        chosen = np.zeros(len(self), dtype=bool)
        if held:
            chosen[np.concatenate(held)] = True
        return (DataSet(self.images[~chosen], self.labels[~chosen], self.classes),
                DataSet(self.images[chosen], self.labels[chosen], self.classes))


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
        return _read_torchvision(str(source).removeprefix(TORCHVISION), train, limit)
    return read_parquet(source, limit)


def read_parquet(path: str | Path, limit: int | None = None) -> DataSet:
    """Labelled pictures from a Parquet file.

    Its column ``image`` holds encoded pictures of one size, as bytes or as a struct with the field ``bytes``; ``label`` integers
    from 0. Class names come from the metadata key ``classes`` (separated by commas), or from Hugging Face's description of the
    features; without either the classes are called by their numbers.

    Raises:
        GradCoreError: no such file, not Parquet, a column missing or of another type, no rows, a picture that cannot be decoded or
            has another size than the first, a label without a class.
    """
    if limit is not None and limit < 1:
        raise GradCoreError(f"a limit of {limit} pictures leaves none: give 1 or more")
    table = _read_table(Path(path), path, limit)
    labels = _labels(table["label"], path)
    column = table["image"]
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = pa.chunked_array([chunk.field("bytes") for chunk in column.chunks])
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise GradCoreError(f"{path}: the column image holds {column.type}, not encoded pictures: store PNG or JPEG bytes")
    images = _decode(column, path)
    classes = _classes(table.schema, path) or [str(label) for label in range(int(labels.max()) + 1)]
    if labels.min() < 0 or labels.max() >= len(classes):
        wrong = int(np.flatnonzero((labels < 0) | (labels >= len(classes)))[0])
        raise GradCoreError(f"{path}: row {wrong} has the label {labels[wrong]}, but there are {len(classes)} classes: correct the file")
    return DataSet(images, labels, classes)


def _read_table(file: Path, path: str | Path, limit: int | None) -> pa.Table:
    remedy = "give a Parquet file with the columns image and label"
    try:
        opened = pq.ParquetFile(file)
        missing = [name for name in ("image", "label") if name not in opened.schema_arrow.names]
        if missing:
            raise GradCoreError(f"{path} has no column {' and no column '.join(missing)}: {remedy}")
        batches, rows = [], 0
        for batch in opened.iter_batches(_ROWS, columns=["image", "label"]):
            batches.append(batch)
            rows += len(batch)
            if limit is not None and rows >= limit:
                break
        table = pa.Table.from_batches(batches, batches[0].schema if batches else None) if batches else None
    except FileNotFoundError:
        raise GradCoreError(f"{path}: there is no such file: check the path") from None
    except pa.ArrowInvalid as error:
        raise GradCoreError(f"{path} is not a Parquet file, or a damaged one ({error}): {remedy}") from None
    except OSError as error:
        cause = "is a folder" if file.is_dir() else f"cannot be read ({error.strerror or error})"
        raise GradCoreError(f"{path} {cause}: {remedy}") from None
    if table is None or not len(table):
        raise GradCoreError(f"{path} has no rows: {remedy}")
    return table.slice(0, limit).replace_schema_metadata(opened.schema_arrow.metadata)


def _labels(column: pa.ChunkedArray, path: str | Path) -> np.ndarray:
    if not pa.types.is_integer(column.type):
        raise GradCoreError(f"{path}: the column label holds {column.type}: store integers, 0 for the first class")
    if column.null_count:
        raise GradCoreError(f"{path}: {column.null_count} labels are missing: fill or drop their rows")
    return column.to_numpy().astype(np.int64)


def _decode(column: pa.ChunkedArray, path: str | Path) -> np.ndarray:
    images: np.ndarray | None = None
    for row, data in enumerate(column):
        try:
            with Image.open(io.BytesIO(data.as_py())) as image:
                pixels = np.asarray(image.convert("RGB"))
        except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, TypeError (of None) ...
            cause = " ".join(str(error).split()) or type(error).__name__
            raise GradCoreError(f"{path}: the picture of row {row} cannot be decoded ({cause}): replace or drop the row") from None
        if images is None:
            images = np.empty((len(column), *pixels.shape), dtype=np.uint8)
        if pixels.shape != images.shape[1:]:
            raise GradCoreError(f"{path}: the picture of row {row} has {pixels.shape[0]} x {pixels.shape[1]} pixels, row 0 has "
                                f"{images.shape[1]} x {images.shape[2]}: bring all to one size")
        images[row] = pixels
    assert images is not None  # there is at least one row
    return images


def _classes(schema: pa.Schema, path: str | Path) -> list[str]:
    metadata = schema.metadata or {}
    if b"classes" in metadata:
        return [name.strip() for name in metadata[b"classes"].decode(errors="replace").split(",")]
    try:
        features: Any = json.loads(metadata.get(b"huggingface", b"{}"))
        return [str(name) for name in features["info"]["features"]["label"]["names"]]
    except (ValueError, KeyError, TypeError):
        return []


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
        raise GradCoreError(f"torchvision cannot get CIFAR-10 ({' '.join(str(error).split())}): check the network, or put "
                            f"cifar-10-python.tar.gz in {folder}") from None
    return DataSet(data.data[:limit], np.asarray(data.targets[:limit], dtype=np.int64), list(data.classes))

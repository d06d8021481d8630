# SPDX-License-Identifier: Apache-2.0
"""Rows of a Parquet file: encoded pictures and labels, whatever Arrow types hold them. Needs pyarrow, the extra ``data``.

Labels are read and checked before anything is sized by them, and before a picture is read. Pictures come one after the
other, so that no more of the file is in memory than a few of them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import GradCoreError, missing_package
from gradcore.host.inputs import input_path, unreadable
from gradcore.network import check_classes

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

CLASSES = 65536
"""The most classes that a data file may have."""
_COLUMNS = ("image", "label")
_REMEDY = "give a Parquet file with the columns image and label"
_PICTURES = 16  # that are read at a time,
_LABELS = 65536  # and so many labels


@dataclass(frozen=True)
class Rows:
    """What a data file holds.

    Attributes:
        labels: int64, (N,), each with a class: below ``len(names)``, or without names below ``CLASSES``.
        names: of the classes, or none.
        pictures: the encoded pictures of these N rows, to be gone through once.
    """

    labels: np.ndarray
    names: list[str]
    pictures: Iterator[bytes]


@dataclass(frozen=True)
class Contents:
    """What a data file holds, without its pictures.

    Attributes:
        labels, names: as of ``Rows``; labels are None where the file has no column ``label``.
        groups: rows of each row group; their sum is N.
    """

    labels: np.ndarray | None
    names: list[str]
    groups: tuple[int, ...]


def read_contents(path: str | Path) -> Contents:
    """What a Parquet file holds; it need not have labels.

    Raises:
        GradCoreError: see ``read_rows``.
    """
    file = input_path(path, what="a Parquet file", folder=_REMEDY)
    with _opened(file, path, ("image",)) as opened:
        groups = tuple(opened.metadata.row_group(number).num_rows for number in range(opened.num_row_groups))
        schema = opened.schema_arrow
        if "label" in schema.names:
            labels, names = _labels_of(opened, range(sum(groups)), path)
        else:
            labels, names = None, _class_names(schema.metadata or {}, path)
    if not sum(groups):
        raise GradCoreError(f"{path} has no rows: give a Parquet file with pictures in the column image")
    return Contents(labels, names, groups)


def read_encoded(path: str | Path, rows: range) -> Iterator[bytes]:
    """The encoded pictures of consecutive rows that the file has; only row groups that hold some are read.

    Raises:
        GradCoreError: see ``read_rows``; a row has no picture.
    """
    file = input_path(path, what="a Parquet file", folder=_REMEDY)
    with _opened(file, path, ("image",)) as opened:
        yield from _pictures(opened, rows, path)


def read_rows(path: str | Path, limit: int | None = None) -> Rows:
    """The rows of a Parquet file, or the first ``limit`` of them.

    Raises:
        GradCoreError: pyarrow is not installed; no such file, not Parquet; a column missing, there twice or of a type that cannot
            hold its values; no rows; a missing label, or one without a class; class names that are not all different. Going through
            ``pictures`` raises it where a row has no picture.
    """
    arrow_parquet()  # what is missing is told before the file is looked for
    file = input_path(path, what="a Parquet file", folder=_REMEDY)
    with _opened(file, path, _COLUMNS) as opened:
        there = opened.metadata.num_rows
        labels, names = _labels_of(opened, range(there if limit is None else min(limit, there)), path)
    return Rows(labels, names, _pictures(opened, range(len(labels)), path))


def arrow_parquet() -> Any:
    """The module ``pyarrow.parquet``. Raises GradCoreError where it is not installed."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise missing_package("pyarrow", "data", needed_by="a Parquet file") from None
    return parquet


@contextlib.contextmanager
def _opened(file: Path, path: str | Path, columns: Sequence[str]) -> Iterator[parquet.ParquetFile]:
    """A data file that has these columns; pyarrow's errors in the block become one line."""
    parquet = arrow_parquet()
    import pyarrow as pa

    with _Errors(path, pa):
        opened = parquet.ParquetFile(file)
        _check_columns(opened.schema_arrow, path, columns)
        yield opened


def _labels_of(opened: parquet.ParquetFile, rows: range, path: str | Path) -> tuple[np.ndarray, list[str]]:
    """Labels of rows, and names of the classes."""
    import pyarrow as pa

    schema = opened.schema_arrow
    batches = list(_batches(opened, "label", _LABELS, rows))
    column = pa.chunked_array([batch.column(0) for batch in batches], schema.field("label").type)
    names = _class_names(schema.metadata or {}, path)
    return _labels(column, names, path), names


class _Errors:
    """A block in which pyarrow's errors become one line."""

    def __init__(self, path: str | Path, arrow: Any) -> None:
        self._path, self._arrow = path, arrow

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, self._arrow.ArrowException | UnicodeDecodeError) and not isinstance(error, MemoryError):
            raise GradCoreError(f"{self._path} is not a Parquet file, or a damaged one ({error}): {_REMEDY}") from None
        if isinstance(error, OSError):  # of the file, or of damaged pages
            raise unreadable(self._path, error) from None


def _batches(opened: parquet.ParquetFile, column: str, size: int, rows: range) -> Iterator[pa.RecordBatch]:
    """One column of consecutive rows; row groups without any of them are not read."""
    first, groups, skipped, left = 0, [], 0, len(rows)
    for number in range(opened.num_row_groups):
        behind = first + opened.metadata.row_group(number).num_rows
        if first < rows.stop and rows.start < behind:
            skipped = skipped if groups else rows.start - first
            groups.append(number)
        first = behind
    if not left:
        return
    for batch in opened.iter_batches(size, row_groups=groups, columns=[column]):
        part = batch.slice(min(skipped, len(batch)))[:left]
        skipped -= min(skipped, len(batch))
        left -= len(part)
        if len(part):
            yield part
        if not left:
            return


def _check_columns(schema: pa.Schema, path: str | Path, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in schema.names]
    if missing:
        there = ", ".join(schema.names[:10]) + (", ..." if len(schema.names) > 10 else "")
        raise GradCoreError(
            f"{path} has no column {' and no column '.join(missing)}, but {there or 'none'}: rename them to image and label, or {_REMEDY}"
        )
    for name in _COLUMNS:
        if schema.names.count(name) > 1:
            raise GradCoreError(f"{path} has {schema.names.count(name)} columns that are called {name}: keep one of them")
    kind = schema.field("image").type
    if not _holds_bytes(kind):
        raise GradCoreError(f"{path}: the column image holds {kind}, not encoded pictures: store PNG or JPEG bytes")


def _holds_bytes(kind: pa.DataType) -> bool:
    """Whether a type can hold encoded pictures: any of bytes, a list of bytes, a dictionary or a struct (field ``bytes``) of these."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return _holds_bytes(kind.storage_type)
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_bytes(kind.field(index).type)
    if hasattr(kind, "value_type"):  # a dictionary, or a list of any kind
        return kind.value_type == pa.uint8() or (pa.types.is_dictionary(kind) and _holds_bytes(kind.value_type))
    return str(kind).startswith(("binary", "large_binary", "fixed_size_binary"))


def _pictures(opened: parquet.ParquetFile, rows: range, path: str | Path) -> Iterator[bytes]:
    import pyarrow as pa

    row = rows.start
    with _Errors(path, pa):
        for batch in _batches(opened, "image", _PICTURES, rows):
            column = batch.column(0)
            for scalar in column.storage if isinstance(column, pa.ExtensionArray) else column:
                yield _bytes(scalar.as_py(), row, path)
                row += 1
    if row < rows.stop:
        raise GradCoreError(f"{path} is damaged: it has {rows.stop} labels but {row} pictures: get or make it again")


def _bytes(value: Any, row: int, path: str | Path) -> bytes:
    only = ""
    while isinstance(value, dict):
        only = f", only the path {value['path']}" if value.get("path") else ""
        value = value["bytes"]
    if value is None:
        raise GradCoreError(f"{path}: row {row} has no picture{only}: store its bytes, or drop the row")
    return bytes(value)


def _labels(column: pa.ChunkedArray, names: list[str], path: str | Path) -> np.ndarray:
    import pyarrow as pa

    kind = column.type
    while isinstance(kind, pa.BaseExtensionType) or pa.types.is_dictionary(kind):
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type
        column = column.cast(kind)
    if not pa.types.is_integer(kind):
        raise GradCoreError(
            f"{path}: the column label holds {column.type}: store integers, 0 for the first class, and the names of the "
            "classes, separated by commas, under the metadata key classes"
        )
    if not len(column):
        raise GradCoreError(f"{path} has no rows: {_REMEDY}")
    if column.null_count:
        row = next(row for row, label in enumerate(column) if not label.is_valid)
        raise GradCoreError(f"{path}: {column.null_count} labels are missing, the first in row {row}: fill or drop their rows")
    labels = column.to_numpy()
    known = len(names) or CLASSES
    wrong = np.flatnonzero((labels < 0) | (labels >= known))
    if len(wrong):
        there = f"there are {known} classes" if names else f"without class names labels go from 0 to {CLASSES - 1}"
        raise GradCoreError(f"{path}: row {wrong[0]} has the label {labels[wrong[0]]}, but {there}: correct the file")
    return labels.astype(np.int64)


def _class_names(metadata: dict[bytes, bytes], path: str | Path) -> list[str]:
    """Class names of the metadata key ``classes``, or of Hugging Face's description; none where there are none."""
    if b"classes" in metadata:
        names = [name.strip() for name in metadata[b"classes"].decode(errors="replace").split(",")]
    else:
        try:
            described = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]["label"]["names"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return []
        names = [str(name) for name in described] if isinstance(described, list) else []
    if len(names) > CLASSES:
        raise GradCoreError(f"{path} names {len(names)} classes, {CLASSES} may be: correct its metadata")
    try:
        check_classes(names)
    except GradCoreError as error:
        raise GradCoreError(f"{path}: {error}") from None
    return names

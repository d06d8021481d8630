# SPDX-License-Identifier: Apache-2.0
"""A part's results as a Parquet file: see docs/datasets.md for its columns and metadata. Needs pyarrow, the extra ``data``."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.datasets.integers import pack
from gradcore.datasets.task import Part, Task
from gradcore.errors import GradCoreError
from gradcore.explanation import Explanation
from gradcore.host.files import TEMPORARY_SUFFIX, write_atomically
from gradcore.host.streams import strict_json
from gradcore.pictures.parquet import arrow_parquet

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

FORMAT = "gradcore-attributions-1"
_KEY = b"gradcore"  # of the metadata


def table_of(task: Task, rows: range | Sequence[int], labels: np.ndarray | None, results: Sequence[Explanation]) -> pa.Table:
    """The results of rows as the table that is stored; without metadata."""
    import pyarrow as pa

    logits = [pack(one.logits, task.exponents[0] + one.headroom, task.unit) for one in results]
    maps = [pack(one.attribution, task.exponents[1] + one.headroom, task.unit) for one in results]
    saturated = [_count(one.saturation) for one in results]
    columns = {
        "row": pa.array(rows, pa.int64()),
        **({} if labels is None else {"label": pa.array(labels, pa.int32())}),
        "predicted": pa.array([one.predicted for one in results], pa.int32()),
        "target": pa.array([one.target for one in results], pa.int32()),
        "logits": _vectors([values for values, _, _ in logits]),
        "logits_exponent": pa.array([exponent for _, exponent, _ in logits], pa.int16()),
        "attribution": _vectors([values for values, _, _ in maps]),
        "attribution_exponent": pa.array([exponent for _, exponent, _ in maps], pa.int16()),
        "rounded": pa.array([rounded for _, _, rounded in maps], pa.bool_()),
        "saturated": pa.array(saturated, pa.int64()),
        "headroom": pa.array([one.headroom for one in results], pa.int8()),
        "saturated_without_headroom": pa.array(
            [_count(one.without_headroom) or count for one, count in zip(results, saturated, strict=True)], pa.int64()
        ),
        "notes": pa.array([list(one.picture.notes) for one in results], pa.list_(pa.string())),
    }
    return pa.table(columns)


def write_part(task: Task, part: Part, labels: np.ndarray | None, results: Sequence[Explanation]) -> None:
    """Write a part's results: whole, on the disk, or not at all; then remove what killed writers of it have left.

    Raises:
        GradCoreError: they cannot be written, or a value is not finite.
    """
    parquet = arrow_parquet()
    path = task.path(part)
    described = {**task.described, "part": part.number, "rows": [part.start, part.stop], "shape": list(results[0].attribution.shape)}
    table = table_of(task, part.rows, labels, results).replace_schema_metadata({_KEY: strict_json(described, None).encode()})
    stream = io.BytesIO()
    parquet.write_table(table, stream, compression="zstd", write_page_checksum=True)
    write_atomically(path, stream.getvalue(), option="--out", prefix=f".{path.stem}-", durable=True)
    remove_leftovers(task, [part])


def remove_leftovers(task: Task, parts: Sequence[Part]) -> None:
    """Remove what killed writers of parts that are there have left: no one needs it any more."""
    stems = {f".{task.path(part).stem}" for part in parts}
    for left in Path(task.out).glob(f".{task.name}-*{TEMPORARY_SUFFIX}"):
        if left.name.rpartition("-")[0] in stems:
            with contextlib.suppress(OSError):
                left.unlink()


def is_there(task: Task, part: Part) -> bool:
    """Whether a part is there, and is this run's. Its columns are not read."""
    path = task.path(part)
    try:
        with open_part(path) as (opened, described):
            whole = opened.metadata.num_rows == len(part.rows)
            return whole and (described["name"], described["rows"]) == (task.name, [part.start, part.stop])
    except GradCoreError:
        return False


@contextlib.contextmanager
def open_part(path: Path) -> Iterator[tuple[parquet.ParquetFile, dict[str, Any]]]:
    """A part, and what its metadata say. pyarrow's errors in the block become one line.

    Raises:
        GradCoreError: it cannot be read, or is no part, or a damaged one.
    """
    parquet = arrow_parquet()
    import pyarrow as pa

    damaged = "delete it and run gradcore explain-dataset again, which makes what is missing"
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as opened:
            described = json.loads((opened.schema_arrow.metadata or {}).get(_KEY, b"{}"))
            if not isinstance(described, dict) or described.get("format") != FORMAT:
                found = described.get("format") if isinstance(described, dict) else None
                raise GradCoreError(f"{path} holds no attributions of this version of GradCore ({found or 'no format'}): {damaged}")
            yield opened, described
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise GradCoreError(f"{path} cannot be read ({error.strerror or error}): check the path and its permissions") from None
        raise GradCoreError(f"{path} is damaged ({' '.join(str(error).split())}): {damaged}") from None


def vectors(column: pa.ChunkedArray) -> np.ndarray:
    """int16 (rows, size) of a column of vectors."""
    import pyarrow as pa

    size = column.type.list_size
    if not len(column):
        return np.zeros((0, size), np.int16)
    return np.concatenate([pa.array(chunk).flatten().to_numpy().reshape(len(chunk), size) for chunk in column.chunks])


def _vectors(values: Sequence[np.ndarray]) -> pa.FixedSizeListArray:
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate([one.reshape(-1) for one in values])), values[0].size)


def _count(saturation: Sequence[Any]) -> int:
    return sum(one.values for one in saturation)

# SPDX-License-Identifier: Apache-2.0
"""What tells one run from another: hashes of the network, of the data file, and of the sources that run."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gradcore import __version__
from gradcore.host.inputs import unreadable
from gradcore.network import GraphNetwork, Network

_PACKAGE = Path(__file__).resolve().parents[1]
_TAIL = 8  # bytes at the end of a Parquet file: the footer's length, and the mark


@functools.cache
def source_version() -> str:
    """GradCore's version, and a hash of its Python sources: what two processes must have in common to give the same results."""
    made = hashlib.sha256()
    for folder, folders, names in os.walk(_PACKAGE, followlinks=True):
        folders.sort()
        for name in sorted(name for name in names if name.endswith(".py")):
            path = Path(folder, name)
            made.update(f"{path.relative_to(_PACKAGE)}\0".encode() + path.read_bytes())
    return f"{__version__}+{made.hexdigest()[:12]}"


def network_digest(network: Network | GraphNetwork) -> str:
    """SHA-256 (hexadecimal) of all of a network that decides results: weights, structure, number formats, normalisation, classes."""
    body = network.graph if isinstance(network, GraphNetwork) else (network.layers, network.weights, network.input_shape)
    return digest(body, network.classes, network.mean, network.std, network.metadata.get("quantisation"))


def data_digest(path: Path) -> str:
    """SHA-256 of a Parquet file's size and footer, which tells where every column of every row group lies, and its statistics; the
    pictures themselves are not read.

    Raises:
        GradCoreError: the file cannot be read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            stream.seek(max(0, size - _TAIL))
            length = int.from_bytes(stream.read(4), "little")
            stream.seek(max(0, size - _TAIL - length))
            return digest(size, stream.read(length + _TAIL))
    except OSError as error:
        raise unreadable(path, error) from None


def digest(*values: Any) -> str:
    """SHA-256 (hexadecimal) of nested dataclasses, mappings (whatever their order), sequences, arrays, and what ``repr`` tells apart."""
    made = hashlib.sha256()
    _feed(made, values)
    return made.hexdigest()


def _feed(made: Any, value: Any) -> None:
    if dataclasses.is_dataclass(value):
        made.update(f"{type(value).__name__}(".encode())
        _feed(made, [(one.name, getattr(value, one.name)) for one in dataclasses.fields(value) if one.compare])
    elif isinstance(value, Mapping):
        made.update(b"{")
        _feed(made, sorted(value.items()))
    elif isinstance(value, list | tuple):
        made.update(f"[{len(value)}:".encode())
        for one in value:
            _feed(made, one)
    elif isinstance(value, np.ndarray):
        made.update(f"{value.dtype.str}{value.shape}:".encode())
        made.update(np.ascontiguousarray(value).tobytes())
    else:
        made.update(f"{value!r};".encode())

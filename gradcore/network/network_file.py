# SPDX-License-Identifier: Apache-2.0
"""The safetensors file that holds a network: float32 tensors, and string metadata. Nothing in it is executed.

Its metadata: ``format`` (``gradcore-network``), ``version``, ``name``, and as JSON ``classes``, ``input`` (``shape``, ``mean``, ``std``),
what describes the network (version 1: ``layers``, a chain; version 2: ``graph``), and whatever else it says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gradcore.errors import GradCoreError
from gradcore.host.files import write_atomically
from gradcore.host.inputs import input_path

FORMAT = "gradcore-network"
CHAIN, GRAPH = "1", "2"  # versions
SHIPPED = Path(__file__).with_name("trained")
REMEDY = "give a network that gradcore train or gradcore import wrote"


def network_path(path: str | Path) -> Path:
    """The network file of a path, or of the name of a network that comes with GradCore, such as ``cifar10``.

    Raises:
        GradCoreError: there is none.
    """
    shipped = SHIPPED / f"{path}.safetensors"
    if not os.path.isfile(path) and os.path.isfile(shipped):  # a folder of that name does not hide the network that comes with GradCore
        return shipped
    names = ", ".join(sorted(one.stem for one in SHIPPED.glob("*.safetensors")))
    missing = f"check the path, or use a network that comes with GradCore ({names})"
    return input_path(path, what="a network file", folder=REMEDY, missing=missing)


def write_network_file(path: str | Path, version: str, name: str, weights: Mapping[str, np.ndarray], described: Mapping[str, Any]) -> None:
    """Write a network file: ``described`` are the entries that are kept as JSON.

    Raises:
        GradCoreError: the file cannot be written, or ``described`` holds what JSON cannot.
    """
    try:
        metadata = {key: json.dumps(value, allow_nan=False) for key, value in described.items()}
    except (TypeError, ValueError) as error:
        raise GradCoreError(
            f"the network's metadata cannot be written as JSON ({error}): give strings, numbers, lists, dictionaries"
        ) from None
    metadata |= {"format": FORMAT, "version": version, "name": name}
    try:
        data = save({key: np.ascontiguousarray(tensor) for key, tensor in weights.items()}, metadata)
    except SafetensorError as error:
        raise GradCoreError(f"the network cannot be written as safetensors ({error}): check its weights and names") from None
    write_atomically(path, data)


def read_network_file(file: Path) -> tuple[str, str, dict[str, Any], dict[str, np.ndarray]]:
    """(version, name, what is kept as JSON, weights) of a network file.

    Raises:
        GradCoreError: not a network file, a damaged one, or one of a version that is unknown.
    """
    try:
        with safe_open(file, framework="numpy") as opened:
            metadata = opened.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise GradCoreError(f"a safetensors file, but not of a GradCore network: {REMEDY}")
            version = metadata.get("version")
            if version not in (CHAIN, GRAPH):
                raise GradCoreError(
                    f"version {version} of the format is unknown, this GradCore reads {CHAIN} and {GRAPH}: "
                    "update GradCore, or train the network again"
                )
            weights = {name: _tensor(opened, name) for name in opened.keys()}  # noqa: SIM118 (not a dictionary)
    except OSError as error:
        raise GradCoreError(f"the file cannot be read ({error.strerror or error}): check its permissions") from None
    except (SafetensorError, TypeError) as error:
        raise GradCoreError(f"not a safetensors file, or a damaged one ({error}): {REMEDY}") from None
    try:
        described = {key: json.loads(value) for key, value in metadata.items() if key not in ("format", "version", "name")}
    except ValueError as error:
        raise damaged(error) from None
    return version, metadata.get("name", "network"), described, weights


def damaged(error: Exception) -> GradCoreError:
    """The error for a description that is not what it should be."""
    return GradCoreError(f"the description in the file is damaged ({type(error).__name__}: {error}): train the network again")


def _tensor(opened: Any, name: str) -> np.ndarray:
    try:
        return opened.get_tensor(name)
    except (TypeError, AttributeError):  # a type that NumPy does not have
        raise GradCoreError(f"tensor {name} holds {opened.get_slice(name).get_dtype()}, not float32: convert it") from None

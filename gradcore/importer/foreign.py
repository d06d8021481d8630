# SPDX-License-Identifier: Apache-2.0
"""Files of other programs: which is read, and what to do with the others."""

from __future__ import annotations

import os
from pathlib import Path

from gradcore.errors import GradCoreError

SUFFIX = ".onnx"
_TORCH = (
    "it may hold code, and nothing in a file is executed: load it where you trust it, and give gradcore.from_torch(module, example), or "
    "write ONNX with torch.onnx.export(module, (example,), 'net.onnx')"
)
_KERAS = "write ONNX: model.export('net.onnx', format='onnx') in Keras 3, or python -m tf2onnx.convert --keras FILE --output net.onnx"
FOREIGN = {
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".pt2": _TORCH,
    ".bin": _TORCH,
    ".h5": _KERAS,
    ".hdf5": _KERAS,
    ".keras": _KERAS,
    ".pb": "write ONNX: python -m tf2onnx.convert --saved-model FOLDER --output net.onnx",
    ".tflite": "write ONNX from the float model: python -m tf2onnx.convert --tflite FILE --output net.onnx",
}


def refuse_foreign(path: str | os.PathLike[str]) -> None:
    """Refuse files of other programs, with the way to bring what is in them.

    Raises:
        GradCoreError: it is one.
    """
    suffix = Path(path).suffix.lower()
    if suffix in FOREIGN:
        raise GradCoreError(f"{os.fspath(path)}: {suffix} files are not read: {FOREIGN[suffix]}")

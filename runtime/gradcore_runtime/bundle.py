# SPDX-License-Identifier: Apache-2.0
"""A bundle: the folder that goes to the board. A manifest with hashes says what is in it; ``Board.selftest`` says whether it works.

| file | |
|---|---|
| ``manifest.json`` | format, version, network, preset, and size and SHA-256 of each other file |
| ``program.gradcore`` | the compiled program |
| ``sample.npz`` | a picture, and what the core must give for it |
| ``gradcore.bit``, ``gradcore.hwh`` | the bitstream and its description, if it was there |
| ``c/`` | memory image and header for software in C |
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import GradCoreError

FORMAT = "gradcore-bundle 1"
MANIFEST, PROGRAM, SAMPLE = "manifest.json", "program.gradcore", "sample.npz"
BITSTREAM, DESCRIPTION = "gradcore.bit", "gradcore.hwh"


def file_entry(content: bytes) -> dict[str, Any]:
    """What the manifest says of a file."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: every file was there, whole and unchanged.

    Attributes:
        folder: where it is. manifest: what manifest.json holds.
    """

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> Bundle:
        """Read the manifest and check every file.

        Raises:
            GradCoreError: it is no bundle, or a file is missing or damaged: the message names it.
        """
        folder = Path(folder)
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
            files = dict(manifest["files"])
            if manifest["format"] != FORMAT or not {PROGRAM, SAMPLE} <= files.keys():
                raise ValueError("another format")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GradCoreError(
                f"{folder} is not a bundle ({type(error).__name__} in {MANIFEST}): make one with gradcore bundle, or copy it again"
            ) from None
        for name, entry in files.items():
            try:
                found = file_entry((folder / name).read_bytes())
            except OSError as error:
                raise GradCoreError(f"{folder / name} cannot be read ({error.strerror or error}): copy the bundle again") from None
            if found != entry:
                raise GradCoreError(f"{folder / name} is damaged (its SHA-256 is not the manifest's): copy the bundle again")
        return cls(folder, manifest)

    @property
    def program(self) -> Path:
        return self.folder / PROGRAM

    @property
    def bitstream(self) -> Path | None:
        """The bitstream, or None when the bundle has none."""
        return self.folder / BITSTREAM if BITSTREAM in self.manifest["files"] else None

    def sample(self) -> dict[str, np.ndarray]:
        """The sample: ``picture`` uint8 (H, W, C), ``logits`` int64 (classes,), and by the methods' names the attributions,
        int16 (C, H, W), all as the hardware has them."""
        with np.load(self.folder / SAMPLE, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}

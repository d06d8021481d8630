# SPDX-License-Identifier: Apache-2.0
"""Makes a bundle: the folder that goes to the board, with all that the runtime wants there and a sample that says it works."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from gradcore import hardware
from gradcore.compiler import Program, compile_network
from gradcore.compiler.other_formats import with_other_formats
from gradcore.deployment.c_files import c_header, c_sample
from gradcore.errors import GradCoreError
from gradcore.host.files import check_folder, unwritable
from gradcore.host.scratch import scratch_folder
from gradcore.host.streams import strict_json
from gradcore.importer.opening import load_network
from gradcore.models import graph
from gradcore.models import network as chain
from gradcore.pictures.picture import load_picture
from gradcore.quantise import QuantisedGraph, QuantisedNetwork, in_integers
from gradcore.quantise.headroom import widen
from gradcore.runtime.bundle import BITSTREAM, DESCRIPTION, FORMAT, MANIFEST, PROGRAM, SAMPLE, file_entry

BUILDS = Path("build") / "vivado"  # where `make bitstream` leaves its results, below the checkout
CLOCKS = ("150", "100")


def make_bundle(
    network: Any,
    out: str | Path,
    *,
    preset: str = "full",
    base: int | None = None,
    bitstream: str | Path | None = None,
    image: str | Path | None = None,
    headroom: int = 0,
) -> dict[str, Any]:
    """Compile a network and write its bundle; see ``gradcore.runtime.bundle`` for what is in it.

    Args:
        network, preset, base, headroom: as for ``gradcore.compile_network``. The runtime moves the program; software in C takes
            it where it was compiled for.
        out: the bundle's folder: a new one, an empty one, or an earlier bundle, which is replaced.
        bitstream: a .bit file with its .hwh beside it; None takes what ``make bitstream`` left below the current folder, if it did.
        image: the picture of the sample; None is a picture of random pixels, which every network can be given.

    Returns:
        ``network``, ``preset``, ``base``, ``memory_bytes``, ``bitstream`` (path or None), ``notes``, ``files`` (``bundle``).

    Raises:
        GradCoreError: the network cannot be compiled, the bitstream is for another preset, or the folder is something else.
    """
    out = Path(out)
    check_folder(out, option="--out")
    _check_replaceable(out)
    loaded = widen(load_network(network), headroom)
    quantised = in_integers(loaded)
    program = with_other_formats(compile_network(quantised, preset, base=base), loaded, quantised, not headroom)
    found = _find_bitstream(preset) if bitstream is None else Path(bitstream)
    sample = _sample(quantised, image)
    stream = io.BytesIO()
    np.savez_compressed(stream, **sample)
    files = {
        SAMPLE: stream.getvalue(),
        "c/gradcore_image.bin": program.image.tobytes(),
        "c/gradcore_program.h": c_header(program).encode(),
        "c/gradcore_sample.h": c_sample(sample).encode(),
    }
    if found is not None:
        files |= _bitstream(found, preset)
    notes = list(program.notes)
    if found is None:
        notes.append("the bundle has no bitstream: make one with `make bitstream`, or name one with --bitstream")
    _write(out, files, program, preset)
    return {
        "network": program.name,
        "preset": preset,
        "base": program.base,
        "memory_bytes": program.memory_size,
        "bitstream": None if found is None else str(found),
        "notes": notes,
        "files": {"bundle": str(out)},
    }


def _write(out: Path, files: dict[str, bytes], program: Program, preset: str) -> None:
    """The folder, whole or not at all: what was there before goes when the new one is complete."""
    out = out.absolute()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(out.parent) as work:
            made = work / "bundle"
            for name, content in files.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_bytes(content)
            program.save(made / PROGRAM)
            entries = {name: file_entry((made / name).read_bytes()) for name in sorted([*files, PROGRAM])}
            manifest = {
                "format": FORMAT,
                "network": program.name,
                "preset": preset,
                "groups": program.hardware.groups,
                "version": "{major}.{minor}.{patch}".format(
                    **{part: hardware.register_field(hardware.RESETS["VERSION"], f"VERSION.{part}") for part in ("major", "minor", "patch")}
                ),
                "memory_bytes": program.memory_size,
                "files": entries,
            }
            (made / MANIFEST).write_text(strict_json(manifest) + "\n")
            if out.exists():
                out.rename(work / "earlier")
            made.rename(out)
    except OSError as error:
        raise unwritable(out, error, "--out") from error


def _check_replaceable(out: Path) -> None:
    """Refuse a folder that holds something other than a bundle."""
    if out.is_dir() and any(out.iterdir()):
        manifest = out / MANIFEST
        if not manifest.is_file() or FORMAT.encode() not in manifest.read_bytes():
            raise GradCoreError(f"{out} is there and is no bundle: choose another folder with --out")


def _find_bitstream(preset: str) -> Path | None:
    """What `make bitstream` left, the fastest first."""
    places = (BUILDS / f"{preset}-{clock}" / BITSTREAM for clock in CLOCKS)
    return next((path for path in places if path.is_file()), None)


def _bitstream(path: Path, preset: str) -> dict[str, bytes]:
    """The bitstream and its description, which must be of the preset."""
    description = path.with_suffix(".hwh")
    try:
        bits, text = path.read_bytes(), description.read_bytes()
    except OSError as error:
        raise GradCoreError(
            f"{error.filename} cannot be read ({error.strerror or error}): --bitstream wants a .bit file with its .hwh beside it"
        ) from None
    try:
        modules = [one for one in ElementTree.fromstring(text).iter("MODULE") if one.get("MODTYPE") == "gradcore"]
    except ElementTree.ParseError as error:
        raise GradCoreError(f"{description} is not a hardware description ({error}): build the bitstream again") from None
    groups = [one.get("VALUE") for module in modules for one in module.iter("PARAMETER") if one.get("NAME") == "GROUPS"]
    wanted = str(hardware.PRESETS[preset]["GROUPS"])
    if groups != [wanted]:
        has = f"has {groups[0]} groups" if groups else "has no GradCore"
        raise GradCoreError(f"{path} {has}, the preset {preset} has {wanted}: name another with --bitstream or --preset")
    return {BITSTREAM: bits, DESCRIPTION: text}


def _sample(network: QuantisedNetwork | QuantisedGraph, image: str | Path | None) -> dict[str, np.ndarray]:
    """A picture, and what the golden model gives for it by every method."""
    channels, height, width = network.input_shape
    if image is None:
        pixels = np.random.default_rng(1).integers(0, 256, (height, width, channels), dtype=np.uint8)
    else:
        pixels = load_picture(image, height=height, width=width, channels=channels).pixels
    golden = graph if isinstance(network, QuantisedGraph) else chain
    forward = golden.forward(network, network.quantise_image(pixels))
    made = {"picture": pixels, "logits": forward.logits[0]}
    for method in hardware.METHODS:
        backward = golden.backward(network, forward, method, np.argmax(forward.logits, axis=1))
        made[method] = backward.attribution[0].astype(np.int16)
    return made

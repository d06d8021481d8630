# SPDX-License-Identifier: Apache-2.0
"""From a network file to a program file: quantise, compile, write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradcore.compiler.configuration import HardwareConfig
from gradcore.compiler.other_formats import with_other_formats
from gradcore.compiler.program import Program
from gradcore.compiler.schedule import make_program
from gradcore.compiler.sums import refused
from gradcore.errors import GradCoreError
from gradcore.host.files import check_outputs, check_writable, is_special, write_atomically
from gradcore.importer.opening import Given, load_network
from gradcore.network import GraphNetwork, Network
from gradcore.quantise import QuantisedGraph, QuantisedNetwork, in_integers
from gradcore.quantise.headroom import widen
from gradcore.quantise.lowering import lower

# For simulations and for software without an operating system. Linux owns this memory and says what is free: see Program.at.
DEFAULT_BASE = 0x1000_0000
_LISTING_START = b"Program "  # what a listing begins with


def compile_network(
    network: Given | QuantisedNetwork | QuantisedGraph = "cifar10",
    preset: str | HardwareConfig = "full",
    *,
    base: int | None = None,
    headroom: int = 0,
) -> Program:
    """Quantise and compile a network.

    Args:
        network: 'cifar10', the path of a network file, a ``Network`` or a ``GraphNetwork``; one in integers is compiled as it is.
        preset: the hardware to compile for: 'full' (128 MACs), 'paper' (64) or 'small' (32), or the sizes of its buffers.
        base: address that the memory image starts at, a multiple of 4096; None is 0x10000000, for simulations and for
            software without an operating system. Under Linux the address is that of the memory that was allocated: see
            ``Program.at``, which moves a compiled program there.
        headroom: bits by which number formats are wider than the network's: see ``gradcore.quantise.headroom.widen``. Not for
            a quantised network, which has its formats.

    Returns:
        A ``gradcore.compiler.Program``: ``image`` and ``base`` say what memory must hold, ``listing()`` is for people.

    Raises:
        GradCoreError: no such network or preset, a layer that cannot be run (the message names the layer and the limit; a
            ``Refusal`` all that the core does not run), or a base that the program does not fit at.
    """
    hardware = preset if isinstance(preset, HardwareConfig) else HardwareConfig.of_preset(preset)
    if not isinstance(network, QuantisedNetwork | QuantisedGraph):
        network = in_integers(widen(load_network(network), headroom))
    elif headroom:
        raise GradCoreError("the network is quantised, and its number formats are chosen: give headroom with the float network")
    return make_program(network, hardware, DEFAULT_BASE if base is None else base)


def not_run(network: Network | GraphNetwork) -> list[str]:
    """What of a network the core does not run: each node with the reason. What is too large for a preset is not among it."""
    if isinstance(network, Network):
        return []
    return [f"{node}: {reason}" for node, reason in refused(lower(network.graph)).items()]


def read_address(text: str) -> int:
    """An address as people write it: decimal, or 0x and hexadecimal digits.

    Raises:
        GradCoreError: it is no number.
    """
    try:
        return int(text, 0)
    except ValueError:
        raise GradCoreError(f"{text!r} is no address: write a number such as 0x10000000") from None


def compile_to_file(network: Given, out: str | Path, *, preset: str = "full", base: int | None = None, headroom: int = 0) -> dict[str, Any]:
    """Compile a network and write its program with the memory image to ``out``, and its listing beside it.

    Returns:
        A dictionary: ``network``, ``preset``, ``base``, ``descriptors``, ``image_bytes``, ``memory_bytes``, ``tag_bytes``,
        ``macs`` (dense, forward and backward), ``notes`` and ``files``: ``program`` and ``listing``.

    Raises:
        GradCoreError: see ``compile_network``; or a file cannot be written, or would overwrite the network, or the listing a
            file that is none.
    """
    if is_special(out):
        raise GradCoreError(f"{out} is a device or pipe, and the listing goes beside it: name a file with --out")
    check_writable(out, option="--out")
    out = Path(out)
    listing = out.with_name(out.name + ".txt")
    network = load_network(network)
    check_outputs([("the program", out), ("its listing", listing)], [("the network", network.origin)], option="--out")
    _check_listing(listing)
    network = widen(network, headroom)
    quantised = in_integers(network)
    program = with_other_formats(compile_network(quantised, preset=preset, base=base), network, quantised, not headroom)
    program.save(out)
    write_atomically(listing, program.listing(), option="--out")
    return {
        "network": program.name,
        "preset": preset,
        "base": program.base,
        "descriptors": program.descriptors,
        "image_bytes": len(program.image),
        "memory_bytes": program.memory_size,
        "tag_bytes": program.tag_bytes,
        "macs": sum(layer.macs_dense for layer in program.layers),
        "notes": list(program.notes),
        "files": {"program": str(out), "listing": str(listing)},
    }


def _check_listing(listing: Path) -> None:
    """The listing's name is derived, not given: so it must not overwrite what is no listing."""
    if listing.is_file():
        with listing.open("rb") as stream:
            start = stream.read(len(_LISTING_START))
        if start not in (_LISTING_START, b""):
            raise GradCoreError(f"{listing}, where the listing would go, is there and is none: choose another name with --out")

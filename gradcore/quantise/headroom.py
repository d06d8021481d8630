# SPDX-License-Identifier: Apache-2.0
"""Headroom: number formats that hold larger values.

Formats that just hold photographs keep most bits for them. Print, line art and patterns make larger activations, which saturate
then, and the attribution with them goes astray. With some bits of headroom they fit; each bit halves the precision of the rest.
Weights stay as they are: only shifts and biases of the compiled network change.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.network import Network
from gradcore.quantise.conversion import quantise

MOST = 12


def widen(network: Network, bits: int) -> Network:
    """The network with number formats for activations, logits and gradients 2**bits times as large.

    Args:
        network: the network, with stored formats or without.
        bits: of headroom; 0 returns the network itself.

    Raises:
        GradCoreError: bits is not in 0..12.
    """
    if isinstance(bits, bool) or not isinstance(bits, int | np.integer) or not 0 <= bits <= MOST:
        raise GradCoreError(f"{bits!r} bits of headroom cannot be given: use 0 to {MOST}")
    if not bits:
        return network
    formats = quantise(network).quantisation
    activations = (formats.activations[0], *(fraction - int(bits) for fraction in formats.activations[1:]))
    gradients = (*(fraction - int(bits) for fraction in formats.gradients[:-1]), formats.gradients[-1])
    source = f"{formats.source or 'as stored'}, {bits} bits of headroom"
    widened = replace(formats, activations=activations, gradients=gradients, source=source)
    return replace(network, metadata={**network.metadata, "quantisation": widened.to_metadata()})


def read_headroom(text: str) -> int | None:
    """What the command line takes: a number of bits, or ``auto``, which is None.

    Raises:
        GradCoreError: it is neither.
    """
    if text == "auto":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        raise GradCoreError(f"--headroom {text!r} is no number of bits: give auto, or 0 to {MOST}")
    return int(text)

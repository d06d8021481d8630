# SPDX-License-Identifier: Apache-2.0
"""What a program has otherwise in wider number formats, for boards: headroom, noisy inputs and baselines without a compiler."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradcore.compiler.program import Program
from gradcore.compiler.schedule import make_program
from gradcore.errors import GradCoreError
from gradcore.models.quantised import QuantisedNetwork, picture_table
from gradcore.models.quantised_graph import QuantisedGraph
from gradcore.network import GraphNetwork, Network
from gradcore.quantise import in_integers
from gradcore.quantise.headroom import widen, with_wider_input
from gradcore.runtime.formats import Formats, OtherFormats

HEADROOM = (2, 4)  # bits: those that ``explain`` tries first
WIDER = 3  # bits: eight times a picture's range, for noise of standard deviation 1 and more


def with_other_formats(
    program: Program, network: Network | GraphNetwork, quantised: QuantisedNetwork | QuantisedGraph, headroom: bool = True
) -> Program:
    """A program with its ``formats``: inputs up to ``WIDER`` bits wider, each with the bits of ``HEADROOM`` and without.

    Where a network cannot have so wide an input, or more than bytes of the image would change, there are fewer.

    Args:
        program: of the network.
        network: in real numbers. quantised: the same in integers.
        headroom: False for a program whose formats were chosen: inputs alone.
    """
    found: dict[Formats, OtherFormats] = {}
    for room in (0, *(HEADROOM if headroom else ())):
        roomy = widen(network, room)
        integers = in_integers(roomy) if room else quantised
        for bits in range(WIDER + 1):
            try:
                other = make_program(with_wider_input(roomy, integers, bits), program.hardware, program.base)
            except GradCoreError:
                break
            if other.regions != program.regions or other.image.shape != program.image.shape:
                break
            if (room, bits) != (0, 0):
                places = np.flatnonzero(other.image != program.image).astype(np.uint32)
                changes = other.image[places] ^ program.image[places]
                pixels = picture_table(program.mean, program.std, other.activations[0])
                fractions = (np.array(one, np.int16) for one in (other.activations, other.gradients))
                found[room, bits] = OtherFormats(places, changes, *fractions, pixels)
    return replace(program, formats=found)

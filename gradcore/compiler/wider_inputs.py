# SPDX-License-Identifier: Apache-2.0
"""What a program has otherwise when its input's format holds larger values than a picture's: for noisy inputs and baselines on a board."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradcore.compiler.program import Program
from gradcore.compiler.schedule import make_program
from gradcore.errors import GradCoreError
from gradcore.models.quantised import QuantisedNetwork, picture_table
from gradcore.models.quantised_graph import QuantisedGraph
from gradcore.network import GraphNetwork, Network
from gradcore.quantise.headroom import with_wider_input
from gradcore.runtime.program import WiderInput

MOST = 3  # bits: eight times a picture's range, for noise of standard deviation 1 and more


def with_wider_inputs(program: Program, network: Network | GraphNetwork, quantised: QuantisedNetwork | QuantisedGraph) -> Program:
    """A program with its ``wider``: of each number of bits up to ``MOST`` the bytes of the image that are other.

    They are few: shifts of the first layer's descriptors, and its biases. Where a network cannot have so wide an input, or more than the
    input's format would change, there are fewer.

    Args:
        program: of the network.
        network: in real numbers. quantised: the same in integers.
    """
    wider: dict[int, WiderInput] = {}
    for bits in range(1, MOST + 1):
        try:
            other = make_program(with_wider_input(network, quantised, bits), program.hardware, program.base)
        except GradCoreError:
            break
        ours, theirs = ((one.regions, one.activations[1:], one.gradients, one.image.shape) for one in (program, other))
        if ours != theirs:
            break
        places = np.flatnonzero(other.image != program.image).astype(np.uint32)
        pixels = picture_table(program.mean, program.std, other.activations[0])
        wider[bits] = WiderInput(places, other.image[places] ^ program.image[places], pixels)
    return replace(program, wider=wider)

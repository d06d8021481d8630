# SPDX-License-Identifier: Apache-2.0
"""The network of Table I, compiled, and the generated networks that tests of programs take."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from gradcore.compiler import Program, compile_network
from gradcore.models import network as golden
from gradcore.models.quantised import QuantisedNetwork
from gradcore.network import Layer, Network
from gradcore.quantise import quantise, standard_images
from tb.support.seeds import FRESH_SEED

TABLE_I = [
    Layer("conv", "conv1", 3, 32, 3),
    Layer("conv", "conv2", 32, 32, 3, pool=True),
    Layer("conv", "conv3", 32, 64, 3),
    Layer("conv", "conv4", 64, 64, 3, pool=True),
    Layer("fc", "fc1", 4096, 128),
    Layer("fc", "fc2", 128, 10, relu=False),
]
GROUPS = (1, 2, 4)
FRESH = [FRESH_SEED % 1_000_000 + number for number in range(8)]
GENERATED = [*range(0, 24, 2), *FRESH[:4], *(pytest.param(seed, marks=pytest.mark.regress) for seed in (*range(1, 24, 2), *FRESH[4:]))]


@cache
def table_i_case() -> tuple[QuantisedNetwork, np.ndarray, golden.Forward]:
    """(quantised network, picture, golden forward)."""
    quantised = quantise(Network.random(TABLE_I, (3, 32, 32), seed=1))
    picture = quantised.quantise_image(standard_images((3, 32, 32), 1)[0])
    return quantised, picture, golden.forward(quantised, picture)


@cache
def table_i_program() -> Program:
    """The network's program, for the full core."""
    return compile_network(table_i_case()[0])

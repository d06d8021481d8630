# SPDX-License-Identifier: Apache-2.0
"""Real networks in fixed point: their accuracy and attributions against the float network, through import, calibration and back ends.

They lie in ../shared/networks, pictures of CIFAR-10 in ../shared/data; where the folders are missing, these tests are left out.
"""

from __future__ import annotations

import numpy as np
import pytest

from gradcore.backends import METHODS
from tb.support.places import DATA, NETWORKS
from verification.network_table import agreement
from verification.networks import known_network

pytestmark = [
    pytest.mark.skipif(not (NETWORKS.is_dir() and DATA.is_dir()), reason="there are no folders ../shared/networks and ../shared/data"),
    pytest.mark.usefixtures("one_thread"),
]


def check(name: str, count: int, attributed: int) -> None:
    found = agreement(name, known_network(name), count, attributed)
    assert abs(found["golden"] - found["float"]) <= 0.2 and found["equal"] >= 0.995
    for method in METHODS:
        assert np.median(found[method]) >= 0.999 and min(found[method]) >= 0.97, method


@pytest.mark.parametrize("name", ["resnet-8", "ds-cnn"])
def test_a_real_network_agrees_with_float(name: str) -> None:
    check(name, 24, 24)


@pytest.mark.regress
@pytest.mark.hardware
@pytest.mark.parametrize(("name", "count"), [("resnet-8", 500), ("resnet-20", 500), ("ds-cnn", 1000)])
def test_real_networks_keep_their_accuracy(name: str, count: int) -> None:
    check(name, count, 200)

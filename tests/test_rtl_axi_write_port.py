# SPDX-License-Identifier: Apache-2.0
"""rtl/axi/axi_write_port.v against models/axi_bursts.py."""

from __future__ import annotations

import pytest

from tb.support.runner import SIMULATORS, run_bench
from tb.support.seeds import SEEDS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("clients", [1, 3])
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_axi_write_port(simulator: str, clients: int, seed: int) -> None:
    """Bursts, bytes, window, errors, flush and throughput."""
    run_bench(
        "axi_write_port",
        "tb.axi.axi_write_port.axi_write_port_tests",
        simulator=simulator,
        seed=seed,
        parameters={"CLIENTS": clients},
        extra_env={"CLIENTS": clients},
    )

# SPDX-License-Identifier: Apache-2.0
"""Opens back ends. The rooms that only one of them needs are imported with it: PyTorch takes seconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gradcore.backends.runs import Backend
from gradcore.backends.setup import BACKENDS, Setup
from gradcore.errors import GradCoreError
from gradcore.host.inputs import check_choice
from gradcore.network import GraphNetwork, Network


def open_backend(backend: str | Setup, network: Network | GraphNetwork, **options: Any) -> Backend:
    """Make a back end ready to run a network. For ``rtl`` that compiles the network; the first run compiles, once, the simulator.

    Args:
        backend: 'rtl', 'golden' or 'float', or a ``Setup``.
        network: the float network.
        options: attributes of ``Setup``, in place of the set-up's.

    Raises:
        GradCoreError: the network cannot be run, the set-up asks for what the back end does not have, or a tool is missing.
    """
    setup = Setup.of(backend, **options)
    check_choice("backend", setup.backend, BACKENDS)
    if setup.waves is not None and not setup.simulated:
        raise GradCoreError(f"the {setup.backend} backend has no waveforms: leave waves out, or take the backend rtl")
    if setup.trace is not None and not setup.simulated:
        raise GradCoreError(f"the {setup.backend} backend has no timeline: leave the trace out, or take the backend rtl")
    if setup.backend == "float":
        from gradcore.backends.float_runs import FloatRuns, GraphTrace

        return FloatRuns(network, GraphTrace(network.graph) if isinstance(network, GraphNetwork) else None)
    from gradcore.backends.headroom import HeadroomBackend
    from gradcore.quantise.headroom import widen

    if setup.headroom is None:
        return HeadroomBackend(network, lambda widened: open_backend(replace(setup, headroom=0), widened))
    widened = widen(network, setup.headroom)
    if setup.backend == "golden":
        from gradcore.backends.golden import GoldenBackend

        return GoldenBackend(widened)
    from gradcore.backends.rtl import RtlBackend

    return RtlBackend(widened, setup)

# SPDX-License-Identifier: Apache-2.0
"""Networks that people have, with their weights or generated ones, on the simulated Verilog: every byte of memory as the golden model says,
forward and backward, and the cycles that the cycle model predicts. Those that simulate for long run in `make regress`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from gradcore.importer.opening import load_graph, load_network
from gradcore.network.graph import Graph
from gradcore.pictures.picture import sample_of
from gradcore.quantise import in_integers
from gradcore.simulator import Simulator, memory_for
from gradcore.speed.cycle_model import predict, zeros_of
from tb.support.places import NETWORKS
from tb.support.torch_networks import MODULES, torch_network
from tb.system.session import GUARD, METHODS, Case, Request, Session, make_case
from verification.networks import inputs_of, known_network

pytestmark = [pytest.mark.hardware, pytest.mark.usefixtures("one_thread")]

PREDICTED = 0.05  # how far a prediction may be off
SHORT = ("lenet-5",)
LONG = ("vgg-11",)
LARGE = ("squeezenet-1.1", "alexnet", "resnet-18")  # by one method: millions of cycles
SHARED_LONG = ("blazeface",)


@pytest.fixture(scope="module")
def full() -> Iterator[Session]:
    """One simulation of the full core in the memory that speed is measured against."""
    with Simulator("verilator", "full") as core:
        yield Session(core)


def case_of(name: str) -> Case:
    """A network with one of the inputs that it is measured on."""
    network = load_network(known_network(name))
    quantised = in_integers(network)
    return make_case(quantised, quantised.quantise_image(inputs_of(name, 1, network)[0][0]))


def simulation_for(case: Case) -> Simulator:
    """One with as much memory as a program needs, and the guards around it."""
    return Simulator("verilator", "full", parameters={"MEMORY_BYTES": memory_for(case.program.window[1] + GUARD)})


def check(case: Case, session: Session, methods: Sequence[str] = METHODS) -> None:
    """Inference with explanation by each method, then alone."""
    zeros = zeros_of(case.network, case.picture[None], methods)[0]
    for method in methods:
        cycles = session.run(case, Request(method)).cycles
        predicted = predict(case.program, zeros[method], method).total
        print(f"{case.program.name}, {method}: {cycles} cycles, {predicted} predicted")
        assert abs(predicted - cycles) < PREDICTED * cycles, method
    session.run(case, Request(explain=False))


@pytest.mark.parametrize("name", [*SHORT, *(pytest.param(name, marks=pytest.mark.regress) for name in LONG)])
def test_a_network_with_generated_weights(full: Session, name: str) -> None:
    check(case_of(name), full)


@pytest.mark.regress
@pytest.mark.parametrize("name", LARGE)
def test_a_large_network(name: str) -> None:
    case = case_of(name)
    with simulation_for(case) as core:
        check(case, Session(core), ("saliency",))


@pytest.mark.skipif(not NETWORKS.is_dir(), reason="there is no folder ../shared/networks")
@pytest.mark.parametrize("name", ["mnist-cntk", *(pytest.param(name, marks=pytest.mark.regress) for name in SHARED_LONG)])
def test_a_network_of_others(name: str) -> None:
    case = case_of(name)
    with simulation_for(case) as core:
        check(case, Session(core))


@pytest.mark.parametrize(
    ("size", "methods"), [(32, ("guided",)), pytest.param(64, METHODS, marks=pytest.mark.regress)], ids=["middle", "whole"]
)
def test_fer(full: Session, size: int, methods: Sequence[str]) -> None:
    """The network for faces on its sample picture, or on as many pixels of its middle."""
    network = load_graph("fer")
    pixels = sample_of(network).pixels
    start = (len(pixels) - size) // 2
    *nodes, mean = network.graph.nodes
    before = Graph(tuple(nodes), network.graph.weights, (1, size, size), nodes[-1].name)
    mean = replace(mean, kernel=before.shapes[before.output][1:])
    quantised = in_integers(replace(network, graph=Graph((*nodes, mean), network.graph.weights, (1, size, size), mean.name)))
    check(make_case(quantised, quantised.quantise_image(pixels[start:, start:][:size, :size])), full, methods)


def test_the_modules_are_always_the_same() -> None:
    first, second = torch_network("lenet-5"), torch_network("lenet-5")
    assert all(np.array_equal(first.graph.weights[name], tensor) for name, tensor in second.graph.weights.items())
    assert first.metadata["import"]["difference"]["gradient"] < 1e-4 and set(MODULES) == {*SHORT, *LONG, *LARGE}

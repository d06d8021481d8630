# SPDX-License-Identifier: Apache-2.0
"""The whole core, driven through its registers, against the golden network: every bit that it writes to memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from gradcore.backends import open_backend
from gradcore.backends.rtl import RtlBackend
from gradcore.network import Layer, Network, load_network
from gradcore.quantise import QuantisedNetwork, quantise
from gradcore.simulator import Simulator
from gradcore.speed.benchmark import cut_pictures
from tb.support.random_networks import saturating
from tb.support.seeds import FRESH_SEED
from tb.system.session import METHODS, Request, Session, generated_case, make_case

pytestmark = pytest.mark.hardware

SALIENCY_CYCLES = 400_000
FRESH_NETWORKS = 8


@pytest.fixture(scope="module")
def table_one() -> QuantisedNetwork:
    return quantise(load_network("cifar10"))


@pytest.fixture(scope="module")
def full() -> Iterator[Session]:
    """The full preset in Verilator, with the memory that speed is measured against."""
    simulator = Simulator("verilator", "full")
    simulator.build()
    with simulator:
        yield Session(simulator)


@pytest.fixture(scope="module")
def stalled() -> Iterator[Session]:
    """The same, with a memory that withholds one ready or valid in four."""
    simulator = Simulator("verilator", "full", stalls=0.25, seed=FRESH_SEED)
    simulator.build()
    with simulator:
        yield Session(simulator)


def shaped(name: str, shape: tuple[int, int, int], *layers: tuple) -> QuantisedNetwork:
    """A network of (kind, outputs, kernel, options) with random weights."""
    channels, height, width = shape
    made = []
    for number, (kind, outputs, kernel, options) in enumerate(layers):
        inputs = channels * height * width if kind == "fc" else channels
        made.append(Layer(kind, f"{kind}{number + 1}", inputs, outputs, kernel, **options))
        channels = outputs
        if kind == "fc":
            height = width = 1
        elif options.get("pool"):
            height, width = height // 2, width // 2
    return quantise(Network.random(made, shape, name=name, seed=len(name)))


NO_RELU = {"relu": False}
SHAPES = {
    "one_pixel": ((5, 1, 1), ("conv", 17, 1, {}), ("fc", 10, 1, NO_RELU)),
    "one_channel": ((1, 28, 28), ("conv", 5, 3, {"pool": True}), ("conv", 33, 3, {"bias": False}), ("fc", 10, 1, NO_RELU)),
    "odd_pool": ((3, 7, 7), ("conv", 33, 3, {"pool": True}), ("conv", 17, 1, NO_RELU), ("fc", 3, 1, NO_RELU)),
    "narrow": ((3, 33, 17), ("conv", 64, 3, {"pool": True}), ("conv", 5, 3, {"relu": False, "pool": True}), ("fc", 4, 1, {})),
    "wide": ((64, 7, 7), ("conv", 96, 3, {}), ("conv", 65, 1, {"pool": True}), ("fc", 20, 1, NO_RELU)),
    "tiled": ((3, 96, 96), ("conv", 16, 3, {"pool": True}), ("conv", 20, 3, {"pool": True}), ("conv", 1, 3, {})),
    "only_fc": ((3, 5, 5), ("fc", 600, 1, {}), ("fc", 33, 1, {"bias": False}), ("fc", 2, 1, NO_RELU)),
    "only_conv": ((1, 9, 12), ("conv", 3, 3, NO_RELU), ("conv", 4, 3, {}), ("conv", 8, 1, NO_RELU)),
    "kernel_5": ((3, 12, 10), ("conv", 8, 5, {}), ("conv", 6, 5, {"pool": True}), ("fc", 5, 1, NO_RELU)),
    "eight_layers": ((2, 16, 16), *[("conv", 8, 3, {"pool": n % 3 == 2}) for n in range(6)], ("fc", 12, 1, {}), ("fc", 6, 1, NO_RELU)),
}  # fmt: skip


EVERY_LAYER = (
    (3, 8, 8),
    ("conv", 8, 3, {"pool": True}),
    ("conv", 20, 1, {}),
    ("conv", 6, 3, NO_RELU),
    ("fc", 20, 1, {}),
    ("fc", 5, 1, NO_RELU),
)


def picture_for(network: QuantisedNetwork, seed: int) -> np.ndarray:
    channels, height, width = network.input_shape
    rng = np.random.default_rng(seed)
    return rng.integers(-2000, 2000, (height, width, channels))


def test_table_one(full: Session, table_one: QuantisedNetwork) -> None:
    """Three real pictures, three methods: logits, masks, indices, gradients, attribution; and the cycles."""
    pictures, _ = cut_pictures(3, table_one.input_shape)
    case = make_case(table_one, table_one.quantise_image(pictures[0]).astype(np.int64))
    last_forward = case.program.forward_layers[-1].identifier
    for pixels in pictures:
        case = replace(case, picture=table_one.quantise_image(pixels).astype(np.int64))
        for method in METHODS:
            result = full.run(case, Request(method))
            forward = result.stamps[last_forward]
            assert result.cycles - forward < forward, f"{method}: backward takes longer than forward"
            if method == "saliency":
                assert result.cycles <= SALIENCY_CYCLES


def test_seeds(full: Session, table_one: QuantisedNetwork) -> None:
    """A class that the caller names, a vector that the caller supplies, and no backward pass at all."""
    case = make_case(table_one, picture_for(table_one, 1))
    full.run(case, Request("saliency", target=7))
    full.run(case, Request("guided", seed=np.arange(-500, 500, 100).reshape(1, 1, -1)))
    full.run(case, Request("saliency", explain=False))


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(stalled: Session, name: str) -> None:
    """Shapes that break tiling, under a memory that stalls at random."""
    network = shaped(name, *SHAPES[name])
    case = make_case(network, picture_for(network, 2))
    for method in METHODS:
        stalled.run(case, Request(method))


def check_random(session: Session, preset: str, seeds: range) -> None:
    """Random networks, one method each."""
    for seed in seeds:
        session.run(generated_case(seed, preset, max_macs=1_000_000), Request(METHODS[seed % 3]))


def test_random_networks(stalled: Session) -> None:
    """Random networks from the session's seed, which pytest prints."""
    check_random(stalled, "full", range(FRESH_SEED, FRESH_SEED + FRESH_NETWORKS))


@pytest.mark.parametrize("preset", ["small", pytest.param("paper", marks=pytest.mark.regress)])
def test_other_presets(preset: str) -> None:
    """Fewer groups: other programs, the same bits."""
    simulator = Simulator("verilator", preset, stalls=0.25, seed=FRESH_SEED)
    simulator.build()
    with simulator:
        session = Session(simulator)
        check_random(session, preset, range(FRESH_SEED, FRESH_SEED + 3))
        network = shaped("wide", *SHAPES["wide"])
        session.run(make_case(network, picture_for(network, 3), preset))


@pytest.mark.regress
def test_icarus() -> None:
    """Every kind of layer in the simulator that knows X, all methods, with stalls."""
    network = shaped("icarus", *EVERY_LAYER)
    case = make_case(network, picture_for(network, 4), "paper")
    simulator = Simulator("icarus", "paper", stalls=0.25, seed=FRESH_SEED)
    simulator.build()
    with simulator:
        session = Session(simulator)
        for method in METHODS:
            session.run(case, Request(method))


@pytest.mark.parametrize("preset", ["full", "small", pytest.param("paper", marks=pytest.mark.regress)])
def test_both_backends_count_the_same_saturated_values(preset: str) -> None:
    """Every layer in both directions, all methods. The last packs of conv3 (two pixels) and conv4 (four) hold pixels outside
    the map that saturate and do not count."""
    layers = [
        Layer("conv", "conv1", 3, 8, 3, pool=True),
        Layer("conv", "conv2", 8, 20, 1),
        Layer("conv", "conv3", 20, 5, 3, relu=False),
        Layer("conv", "conv4", 5, 3, 3, relu=False),
        Layer("fc", "fc1", 3 * 4 * 5, 21),
        Layer("fc", "fc2", 21, 4, relu=False),
    ]
    network = Network.random(layers, (3, 9, 11), name="saturating", seed=9)
    formats = saturating(saturating(quantise(network).quantisation))
    network.metadata["quantisation"] = formats.to_metadata()
    rng = np.random.default_rng(3)
    pictures = [rng.choice([0, 255], (9, 11, 3)).astype(np.uint8), rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)]
    golden = open_backend("golden", network, headroom=0).run(pictures, METHODS)
    backend = open_backend("rtl", network, preset=preset, headroom=0)
    assert isinstance(backend, RtlBackend)
    simulated = backend.run(pictures, METHODS)
    for method in METHODS:
        for one, other in zip(golden[method], simulated[method], strict=True):
            assert other.saturation == one.saturation and len(one.saturation) == 12
    counts = [one.values for one in golden["saliency"][0].saturation]
    assert all(counts[:4]) and sum(count > 0 for count in counts[6:]) >= 2, counts
    inferred = backend.infer(pictures)
    assert [one.saturation for one in inferred] == [one.saturation[:6] for one in golden["saliency"]]


@pytest.mark.regress
def test_table_one_in_icarus(table_one: QuantisedNetwork) -> None:
    """The whole network of Table I in Icarus: a quarter of an hour."""
    simulator = Simulator("icarus", "full")
    simulator.build()
    with simulator:
        Session(simulator).run(make_case(table_one, picture_for(table_one, 5)))


@pytest.mark.regress
@pytest.mark.parametrize("preset", ["small", "paper", "full"])
def test_many_random_networks(preset: str) -> None:
    """Fifty random networks a preset."""
    simulator = Simulator("verilator", preset, stalls=0.25, seed=FRESH_SEED)
    simulator.build()
    with simulator:
        check_random(Session(simulator), preset, range(FRESH_SEED, FRESH_SEED + 50))

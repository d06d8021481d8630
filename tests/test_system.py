# SPDX-License-Identifier: Apache-2.0
"""The whole core, driven through its registers, against the golden network: every bit that it writes to memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from gradcore.backends import load_network
from gradcore.benchmark import cut_pictures
from gradcore.compilation import preset_hardware
from gradcore.compiler import compile_network
from gradcore.models import network as golden
from gradcore.models.arithmetic import METHODS
from gradcore.models.random_networks import random_quantised
from gradcore.network import Layer, Network
from gradcore.quantise import QuantisedNetwork, quantise
from gradcore.simulator import Simulator
from tb.support.seeds import FRESH_SEED
from tb.system.device import Device, check_counters, compare

SALIENCY_CYCLES = 400_000
FRESH_NETWORKS = 8


@pytest.fixture(scope="module")
def table_one() -> QuantisedNetwork:
    return quantise(load_network("cifar10"))


@pytest.fixture(scope="module")
def full() -> Iterator[Device]:
    """The full preset in Verilator, with the memory that speed is measured against."""
    simulator = Simulator("verilator", "full")
    simulator.build()
    with simulator:
        yield Device(simulator)


@pytest.fixture(scope="module")
def stalled() -> Iterator[Device]:
    """The same, with a memory that withholds one ready or valid in four."""
    simulator = Simulator("verilator", "full", stalls=0.25, seed=FRESH_SEED)
    simulator.build()
    with simulator:
        yield Device(simulator)


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


def test_table_one(full: Device, table_one: QuantisedNetwork) -> None:
    """Three real pictures, three methods: logits, masks, indices, gradients, attribution; and the cycles."""
    program = compile_network(table_one, preset_hardware("full"), base=0)
    full.load(program)
    pictures, _ = cut_pictures(3, table_one.input_shape)
    last_forward = program.forward_layers[-1].identifier
    for pixels in pictures:
        picture = table_one.quantise_image(pixels).astype(np.int64)
        for method in METHODS:
            outcome = full.check_run(table_one, program, picture, method)
            check_counters(full, 4, outcome.cycles)
            forward = full.layer_cycles(program)[last_forward]
            assert outcome.cycles - forward < forward, f"{method}: backward takes longer than forward"
            if method == "saliency":
                assert outcome.cycles <= SALIENCY_CYCLES


def test_seeds(full: Device, table_one: QuantisedNetwork) -> None:
    """A class that the caller names, a vector that the caller supplies, and no backward pass at all."""
    program = compile_network(table_one, preset_hardware("full"), base=0)
    full.load(program)
    picture = picture_for(table_one, 1)
    full.check_run(table_one, program, picture, "saliency", target=7)
    full.check_run(table_one, program, picture, "guided", vector=np.arange(-500, 500, 100))

    before = full.memory(program)
    full.simulator.load(*program.picture_bytes(picture))
    full.start("saliency", explain=False)
    outcome = full.finish()
    assert outcome.done and not outcome.error
    after = full.memory(program)
    compare(program, after, golden.forward(table_one, picture[None]), None)
    regions = [program.attribution, program.seed]
    for region in regions:
        start, end = region.address - program.base, region.address - program.base + region.size
        assert np.array_equal(before[start:end], after[start:end]), "inference alone wrote gradients"


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(stalled: Device, name: str) -> None:
    """Shapes that break tiling, under a memory that stalls at random."""
    shape, *layers = SHAPES[name]
    network = shaped(name, shape, *layers)
    program = compile_network(network, preset_hardware("full"), base=0)
    stalled.load(program)
    for method in METHODS:
        stalled.check_run(network, program, picture_for(network, 2), method)


def check_random(device: Device, preset: str, seeds: range) -> None:
    """Random networks, one method each."""
    for seed in seeds:
        network, picture = random_quantised(seed, max_macs=1_000_000)
        program = compile_network(network, preset_hardware(preset), base=0)
        device.load(program)
        device.check_run(network, program, picture, METHODS[seed % 3])


def test_random_networks(stalled: Device) -> None:
    """Random networks from the session's seed, which pytest prints."""
    check_random(stalled, "full", range(FRESH_SEED, FRESH_SEED + FRESH_NETWORKS))


@pytest.mark.parametrize("preset", ["small", "paper"])
def test_other_presets(preset: str) -> None:
    """Fewer groups: other programs, the same bits."""
    simulator = Simulator("verilator", preset, stalls=0.25, seed=FRESH_SEED)
    simulator.build()
    with simulator:
        device = Device(simulator)
        check_random(device, preset, range(FRESH_SEED, FRESH_SEED + 3))
        network = shaped("wide", *SHAPES["wide"])
        program = compile_network(network, preset_hardware(preset), base=0)
        device.load(program)
        device.check_run(network, program, picture_for(network, 3), "saliency")


def test_icarus() -> None:
    """Every kind of layer in the simulator that knows X, all methods, with stalls."""
    network = shaped("icarus", *EVERY_LAYER)
    program = compile_network(network, preset_hardware("paper"), base=0)
    simulator = Simulator("icarus", "paper", stalls=0.25, seed=FRESH_SEED)
    simulator.build()
    with simulator:
        device = Device(simulator)
        device.load(program)
        for method in METHODS:
            device.check_run(network, program, picture_for(network, 4), method)


@pytest.mark.regress
def test_table_one_in_icarus(table_one: QuantisedNetwork) -> None:
    """The whole network of Table I in Icarus: a quarter of an hour."""
    program = compile_network(table_one, preset_hardware("full"), base=0)
    simulator = Simulator("icarus", "full")
    simulator.build()
    with simulator:
        device = Device(simulator)
        device.load(program)
        device.check_run(table_one, program, picture_for(table_one, 5), "saliency")


@pytest.mark.regress
@pytest.mark.parametrize("preset", ["small", "paper", "full"])
def test_many_random_networks(preset: str) -> None:
    """Fifty random networks a preset."""
    simulator = Simulator("verilator", preset, stalls=0.25, seed=FRESH_SEED)
    simulator.build()
    with simulator:
        check_random(Device(simulator), preset, range(FRESH_SEED, FRESH_SEED + 50))

# SPDX-License-Identifier: Apache-2.0
"""The whole core, driven through its registers as software does, against ``models.network``: every byte of memory.

What a run must leave is made by ``tb.system.session.expectation``; see there. Counters are compared with the model of the program.
`make regress` adds the tests marked ``regress``: whole Table I networks in Icarus, and many generated networks for every preset.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gradcore.backends import open_backend
from gradcore.backends.rtl import RtlBackend
from gradcore.errors import GradCoreError
from gradcore.importer.opening import load_network
from gradcore.network.graph import INPUT, Add, Clip, Conv, FullyConnected, MaxPool
from gradcore.quantise import quantise
from gradcore.simulator import Simulator
from gradcore.speed.benchmark import cut_pictures
from gradcore.speed.cycle_model import predict, zeros_of
from tb.support.chunks import in_chunks
from tb.support.random_graphs import check_refusal, quantised_graph, random_quantised_graph, with_weights
from tb.support.random_networks import layered_network, saturating
from tb.support.seeds import FIXED_SEED, FRESH_SEED, SEEDS
from tb.system.session import GUARD, METHODS, Case, Request, Session, expectation, generated_case, layered_case, make_case

pytestmark = pytest.mark.hardware

SALIENCY_CYCLES = 400_000  # the project's target for Table I
PICTURES = 3
SMALL_MEMORY = {"MEMORY_BYTES": 1 << 20}  # Icarus is slow with 64 MiB
NETWORKS_A_SEED = 3
GRAPHS_A_SEED = 10
REGRESS_NETWORKS = 30  # for each preset
EVERY_KIND = ["conv3:5 relu pool bias", "conv1:17 relu", "conv3:8 bias", "fc:10 relu bias", "fc:5 bias"]
# Name: input shape, layers. Together: channels 1, 3, 5, 17, 33, 64, 65 and 96, all kernels, sizes and kinds of layers.
PICKED = {
    "one-pixel": ((3, 1, 1), ["conv3:5 relu bias", "conv1:4"]),
    "one-value": ((1, 1, 1), ["fc:1"]),
    "one-pixel-fc": ((5, 1, 1), ["conv1:17 relu bias", "fc:10 bias"]),
    "conv-only": ((1, 7, 7), ["conv3:17 relu bias", "conv3:3 relu", "conv1:1"]),
    "conv-only-wide": ((1, 9, 12), ["conv3:3 bias", "conv3:4 relu bias", "conv1:8 bias"]),
    "fc-only": ((5, 7, 7), ["fc:33 relu bias", "fc:600 relu", "fc:10 bias"]),
    "mnist-like": ((1, 28, 28), ["conv3:17 relu pool bias", "conv3:33 relu pool", "fc:64 relu bias", "fc:10"]),
    "odd-sizes": ((5, 33, 17), ["conv3:33 relu pool", "conv1:5 pool bias", "conv3:17 relu pool", "fc:7 bias"]),
    "odd-pool": ((3, 7, 7), ["conv3:33 relu pool bias", "conv1:17 bias", "fc:3 bias"]),
    "narrow": ((3, 33, 17), ["conv3:64 relu pool bias", "conv3:5 pool bias", "fc:4 relu bias"]),
    "wide-picture": ((3, 96, 96), ["conv3:5 relu pool bias", "conv3:4 relu pool", "conv1:3"]),
    "many-channels": ((64, 7, 7), ["conv3:64 relu bias", "conv1:33 relu pool", "fc:17"]),
    "more-channels": ((64, 7, 7), ["conv3:96 relu bias", "conv1:65 relu pool bias", "fc:20 bias"]),
    "kernel-5": ((17, 12, 9), ["conv5:5 relu bias", "conv5:33 pool", "conv3:3 relu"]),
    "eight-layers": (
        (3, 28, 28),
        [
            f"conv{kernel}:{out} {flags}"
            for kernel, out, flags in zip(
                (3, 1, 3, 5, 1, 3), (16, 3, 17, 4, 33, 8), ("relu pool", "bias", "relu bias", "relu", "pool", "relu pool bias"), strict=True
            )
        ]
        + ["fc:20 relu", "fc:2 bias"],
    ),
}


@cache
def table_one(preset: str = "full") -> tuple[Case, ...]:
    """The shipped network of Table I with pictures cut from scikit-image's photographs."""
    network = quantise(load_network("cifar10"))
    pictures, _ = cut_pictures(PICTURES, network.input_shape)
    first, *others = (network.quantise_image(picture).astype(np.int64) for picture in pictures)
    case = make_case(network, first, preset)
    return (case, *(replace(case, picture=picture) for picture in others))


@pytest.fixture(scope="module")
def full() -> Iterator[Session]:
    """One simulation of the full core in the memory that speed is measured against, for all tests of this module."""
    with Simulator("verilator", "full") as core:
        yield Session(core)


def requests(case: Case, rng: random.Random) -> list[Request]:
    """All methods, one with a class and one with a supplied seed, then inference alone."""
    logits = case.program.logits
    shape = (logits.height, logits.width, logits.channels)
    seed = np.random.default_rng(rng.getrandbits(32)).integers(-32768, 32768, shape)
    return [
        Request("saliency"),
        Request("guided", target=rng.randrange(int(np.prod(shape)))),
        Request("deconvnet", seed=seed),
        Request(rng.choice(METHODS), explain=False),
    ]


def check_case(case: Case, session: Session, rng: random.Random) -> None:
    """All requests, in one simulation without resets."""
    for request in requests(case, rng):
        session.run(case, request, model_counters=True)


def memory_settings(rng: random.Random) -> dict[str, object]:
    """A memory unlike the one that speed is measured against."""
    return {
        "stalls": rng.choice((0.0, 0.2, 0.5, 0.8)),
        "seed": rng.getrandbits(31),
        "clock_mhz": rng.choice((50.0, 100.0, 150.0)),
        "options": {
            "latency": rng.choice((1, 7, 32, 100)),
            "write_latency": rng.choice((1, 32, 90)),
            "outstanding": rng.choice((1, 3, 8, 16)),
        },
    }


def check_generated(number: int, preset: str) -> None:
    """A generated network, in a memory with random habits. All follows from ``number``."""
    rng = random.Random(number)
    case = generated_case(number, preset, max_macs=600_000)
    settings = memory_settings(rng)
    print(f"generated network {number}, {preset}, {settings}")
    with Simulator("verilator", preset, **settings) as core:
        check_case(case, Session(core), rng)


def graph_case(seed: int, preset: str = "full", *, most_jobs: float = math.inf, **options: object) -> Case:
    """A generated graph with an input; the next one where this one takes more jobs, or is refused, with the nodes and what to do."""
    while True:
        quantised, inputs = random_quantised_graph(seed, core=True, **options)
        try:
            case = make_case(quantised, inputs[seed % 2], preset)
            if len(case.program.jobs()) <= most_jobs:
                return case
        except GradCoreError as refusal:
            print(f"graph {seed}: {refusal}")
            check_refusal(refusal, quantised)
        seed += 1_000_003


# Table I -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("picture", range(PICTURES))
def test_table_one(full: Session, picture: int) -> None:
    """All methods on a picture: every byte, counters, and the cycles that the project promises."""
    case = table_one()[picture]
    backward_start = case.program.count  # position of the seed's time stamp
    for method in METHODS:
        result = full.run(case, Request(method), model_counters=picture == 0)
        forward = result.stamps[backward_start]
        assert result.cycles - forward < forward, f"{method}: backward {result.cycles - forward}, forward {forward}"
        if method == "saliency":
            assert result.cycles <= SALIENCY_CYCLES
        print(f"{method}: {result.cycles} cycles, {forward} of them forward")


def test_nothing_left_behind(full: Session) -> None:
    """The same run does the same work, whatever ran before, and also after a reset of the chip.

    A few cycles may differ: the memory's turns depend on its clock.
    """
    case = table_one()[0]
    names = ("CONV_ACTIVE", "VECTOR_ACTIVE", "MACS_ISSUED", "ZEROS_SKIPPED", "BYTES_READ", "BYTES_WRITTEN")
    first = full.run(case, Request("guided"))
    full.run(case, Request("deconvnet", explain=False))
    second = full.run(case, Request("guided"))
    full.core.reset()
    assert full.read("LAYER_CYCLES") == 0 and full.read("STATUS") == 0 and full.read("METHOD") == 0
    third = full.run(case, Request("guided"))
    for other in (second, third):
        assert [other.counters[name] for name in names] == [first.counters[name] for name in names]
        assert abs(other.cycles - first.cycles) < 0.01 * first.cycles


def test_inference_only(full: Session) -> None:
    """Without EXPLAIN the run ends at the seed; nothing behind the logits and tags is written (``expectation`` says so)."""
    case = table_one()[1]
    inference = full.run(case, Request(explain=False), model_counters=True)
    explained = full.run(case, Request())
    assert inference.cycles < 0.75 * explained.cycles
    want = expectation(case, Request(explain=False))
    start = case.program.attribution.address - case.program.window[0]
    attribution = want.after[start:][: case.program.attribution.size]
    assert len(attribution) == case.program.attribution.size


@pytest.mark.parametrize("method", METHODS)
def test_seed_modes(full: Session, method: str) -> None:
    """A given class, whose CLASS_INDEX stays that of the inference, and a vector that software supplies: on Table I, and on a network
    that ends in a map of several pixels."""
    for case in (table_one()[1], layered_case(*PICKED["conv-only"], seed=METHODS.index(method))):
        shape = case.network.shapes[-1]
        full.run(case, Request(method, target=int(np.prod(shape)) - 1))
        seed = np.random.default_rng(5).integers(-32768, 32768, shape)
        full.run(case, Request(method, seed=seed), model_counters=True)
    for target in (0, int(np.prod(shape)) // 2):
        full.run(case, Request(method, target=target))


# Other networks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PICKED)
def test_picked_network(name: str) -> None:
    """Corners of sizes, channels and layers, with stalls, in the full core."""
    shape, layers = PICKED[name]
    number = list(PICKED).index(name)
    case = layered_case(shape, layers, seed=number, saturate=number % 2 == 1)
    rng = random.Random(number)
    with Simulator("verilator", "full", stalls=rng.choice((0.1, 0.5)), seed=number + 1) as core:
        check_case(case, Session(core), rng)


@pytest.mark.parametrize("position", [0, *(pytest.param(number, marks=pytest.mark.regress) for number in range(1, NETWORKS_A_SEED))])
@pytest.mark.parametrize("seed", SEEDS)
def test_generated_network(seed: int, position: int) -> None:
    """Random networks in the full core: the same ones, and fresh ones (GRADCORE_SEED replays)."""
    check_generated(seed + position, "full")


@pytest.mark.parametrize("position", range(GRAPHS_A_SEED))
@pytest.mark.parametrize("seed", SEEDS)
def test_generated_graph(full: Session, seed: int, position: int) -> None:
    """Graphs of any sums: branches, adds, concats, strides, groups, chunks, up to 600 channels, 97 pixels a side; each request on some."""
    case = graph_case(seed + position, max_macs=150_000, most=6, largest=(12, 24, 36)[position % 3], wide=position % 2 == 1, most_jobs=1000)
    asked = requests(case, random.Random(seed + position))
    full.run(case, asked[position % len(asked)], model_counters=True)


def test_max_pools(full: Session) -> None:
    """Max-pools of either window and each stride, which overlap and have padding, of a clip's map too; and their predicted cycles."""
    nodes = (
        Conv("a", (INPUT,), (3, 3), padding=(1, 1, 1, 1), out_channels=36),
        MaxPool("p0", ("a",), (3, 3), (2, 2), (1, 1, 1, 1)),
        Clip("c", ("p0",), 1.0),
        MaxPool("p1", ("c",), (3, 3), (1, 1), (1, 1, 1, 1)),
        Conv("b", ("p1",), (3, 3), padding=(1, 1, 1, 1), out_channels=20),
        MaxPool("p2", ("b",), (3, 3), (3, 3), (0, 1, 1, 0)),
        MaxPool("p3", ("p1",), (2, 2), (1, 1), (0, 1, 0, 0)),
        FullyConnected("f0", ("p2",), 5),
        FullyConnected("f1", ("p3",), 5),
        Add("sum", ("f0", "f1")),
    )
    quantised, inputs = quantised_graph(with_weights(nodes, (3, 21, 18), np.random.default_rng(2)), 2)
    case = make_case(quantised, inputs[0], "full")
    (zeros,) = zeros_of(quantised, case.picture[None], METHODS)
    for method in METHODS:
        result = full.run(case, Request(method), model_counters=True)
        prediction = predict(case.program, zeros[method], method)
        assert abs(prediction.total - result.cycles) < 0.02 * result.cycles, (
            f"{prediction.total} cycles predicted, {result.cycles} measured"
        )


@pytest.mark.parametrize("name", ["one-value", "fc-only", "odd-sizes", "mnist-like", "more-channels"])
def test_small_preset(name: str) -> None:
    """One group."""
    shape, layers = PICKED[name]
    with Simulator("verilator", "small", stalls=0.3) as core:
        check_case(layered_case(shape, layers, "small", seed=3), Session(core), random.Random(name))


@pytest.mark.parametrize("name", ["narrow", "odd-sizes", "kernel-5", "eight-layers"])
def test_sums_in_chunks(full: Session, name: str) -> None:
    """Programs whose sums are cut in chunks at random leave the same memory, counts and time stamps in order; then the whole one again."""
    number = list(PICKED).index(name)
    case = layered_case(*PICKED[name], seed=number, saturate=number % 2 == 0)
    chunks = case.with_program(in_chunks(case.program, np.random.default_rng(FRESH_SEED + number)))
    assert sum(job.get("to_partial", 0) for job in chunks.program.jobs()) > 4
    check_case(chunks, full, random.Random(number))
    result = full.run(chunks)
    (zeros,) = zeros_of(case.network, case.picture[None], ["saliency"])
    prediction = predict(chunks.program, zeros["saliency"])
    assert abs(prediction.total - result.cycles) < 0.03 * result.cycles, f"{prediction.total} cycles predicted, {result.cycles} measured"
    full.run(case)


def test_sums_in_chunks_with_stalls() -> None:
    """The same in one group, in a memory that stalls."""
    case = layered_case((3, 12, 9), EVERY_KIND, "small", seed=8)
    with Simulator("verilator", "small", stalls=0.5, seed=8) as core:
        for seed in SEEDS:
            chunks = case.with_program(in_chunks(case.program, np.random.default_rng(seed)))
            check_case(chunks, Session(core), random.Random(seed))


@pytest.mark.parametrize("preset", ["small", pytest.param("paper", marks=pytest.mark.regress)])
def test_other_presets_generated(preset: str) -> None:
    """Fewer groups: other programs, the same bits; a fresh network."""
    check_generated(FRESH_SEED, preset)


@pytest.mark.parametrize("preset", ["full", "small", pytest.param("paper", marks=pytest.mark.regress)])
def test_both_backends_count_the_same_saturated_values(preset: str) -> None:
    """Every layer in both directions, all methods. The last packs of the third layer (two pixels) and the fourth (four) hold pixels outside
    the map that saturate and do not count."""
    layers = ["conv3:8 relu pool bias", "conv1:20 relu bias", "conv3:5 bias", "conv3:3 bias", "fc:21 relu bias", "fc:4 bias"]
    network = layered_network((3, 9, 11), layers, seed=9)
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


# Icarus: four states, so anything that was not set before it is used is found ----------------------------------------


@pytest.mark.parametrize(("preset", "stalls"), [("small", 0.0), ("small", 0.5), ("paper", 0.2)])
def test_icarus(preset: str, stalls: float) -> None:
    """A network with every kind of layer, all methods."""
    case = layered_case((3, 7, 6), EVERY_KIND, preset, saturate=stalls > 0)
    with Simulator("icarus", preset, stalls=stalls, parameters=SMALL_MEMORY) as core:
        session = Session(core)
        for method in METHODS if not stalls else METHODS[1:2]:
            session.run(case, Request(method), model_counters=True)
        if stalls > 0.3:
            session.run(case.with_program(in_chunks(case.program, np.random.default_rng(1))), model_counters=True)


@pytest.mark.parametrize("memory", [0x1EB0_0000, 0xFFF0_0000])
def test_trap_a_moved_program_runs_in_the_verilog(memory: int) -> None:
    """A program that was moved (``Program.at``): where Linux might put it, and as high as it fits."""
    case = layered_case((3, 7, 6), EVERY_KIND, "small")
    low, limit = case.program.window
    base = memory + GUARD if memory < 0x8000_0000 else (1 << 32) - GUARD - (limit - low)
    moved = case.with_program(case.program.at(base))
    with Simulator("icarus", "small", parameters={**SMALL_MEMORY, "MEMORY_BASE": memory}) as core:
        Session(core).run(moved, Request("guided"), model_counters=True)
    assert moved.program.window[1] == 0xFFFF_F000 or memory < 0x8000_0000


def test_simulators_agree() -> None:
    """The same cycles, counters and time stamps in both simulators."""
    case = layered_case((3, 7, 6), EVERY_KIND, "small")
    results = []
    for simulator in ("verilator", "icarus"):
        parameters = SMALL_MEMORY if simulator == "icarus" else {}
        with Simulator(simulator, "small", stalls=0.3, seed=FIXED_SEED, parameters=parameters) as core:
            results.append(Session(core).run(case, Request("guided")))
    assert results[0] == results[1]


# Regression ----------------------------------------------------------------------------------------------------------


@pytest.mark.regress
@pytest.mark.parametrize("position", range(REGRESS_NETWORKS))
@pytest.mark.parametrize("preset", ["small", "paper", "full"])
def test_many_generated_networks(preset: str, position: int) -> None:
    """Many random networks for every preset."""
    check_generated(random.Random(FRESH_SEED + position).getrandbits(30), preset)


@pytest.mark.regress
@pytest.mark.parametrize("position", range(REGRESS_NETWORKS // 3))
@pytest.mark.parametrize("preset", ["small", "paper", "full"])
def test_many_generated_graphs(preset: str, position: int) -> None:
    """Ten graphs in one simulation, in a memory with random habits."""
    rng = random.Random(FRESH_SEED + position)
    with Simulator("verilator", preset, **memory_settings(rng)) as core:
        session = Session(core)
        for number in range(10):
            case = graph_case(FRESH_SEED + 10 * position + number, preset, max_macs=300_000, largest=97, wide=number % 2 == 1)
            session.run(case, rng.choice(requests(case, rng)), model_counters=True)


@pytest.mark.regress
@pytest.mark.parametrize("preset", ["small", "paper"])
def test_table_one_in_smaller_cores(preset: str) -> None:
    """Table I with fewer groups."""
    with Simulator("verilator", preset) as core:
        session = Session(core)
        for method in METHODS:
            result = session.run(table_one(preset)[0], Request(method), model_counters=True)
            print(f"{preset} {method}: {result.cycles} cycles")


@pytest.mark.regress
@pytest.mark.parametrize("method", METHODS)
def test_table_one_in_icarus(method: str) -> None:
    """Table I in the full core, every bit with four states; the cycles are Verilator's."""
    case = table_one()[0]
    with Simulator("verilator", "full") as core:
        fast = Session(core).run(case, Request(method))
    with Simulator("icarus", "full", parameters={"MEMORY_BYTES": 1 << 22}) as core:
        assert Session(core).run(case, Request(method)) == fast

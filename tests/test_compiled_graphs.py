# SPDX-License-Identifier: Apache-2.0
"""Compiled graphs against their golden model, through the executor of programs: every map, every gradient, for every kind of sum.

Programs of chains are in test_compiler.py; that the Verilog does what the executor says, in test_system.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from gradcore.compiler import compile_network
from gradcore.compiler.sums import refused
from gradcore.errors import GradCoreError, Refusal
from gradcore.models import graph as golden
from gradcore.models.arithmetic import METHODS
from gradcore.network.graph import INPUT, Add, AveragePool, Clip, Concat, Conv, FullyConnected, MaxPool, Node, Relu
from tb.support.random_graphs import check_refusal, quantised_graph, random_quantised_graph, with_weights
from tb.support.seeds import SEEDS
from tests.fixed_point import compare


@dataclass(frozen=True)
class Case:
    """A graph, and what its program must have."""

    name: str
    shape: tuple[int, int, int]
    nodes: tuple[Node, ...]
    has: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def conv(name: str, reads: str, out: int, kernel: int | tuple[int, int] = 3, stride: int = 1, **options) -> Conv:
    """A convolution that keeps the size of the map but for its stride."""
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    options.setdefault("padding", tuple((one - 1) // 2 for one in kernel) + tuple(one // 2 for one in kernel))
    return Conv(name, (reads,), kernel, (stride, stride), out_channels=out, **options)


CASES = (
    Case(
        "clips: behind convolutions, an add, a fully connected layer, before a pool, and joined",
        (3, 10, 8),
        (
            conv("a", INPUT, 20),
            Clip("c0", ("a",), 1.0),
            MaxPool("pool", ("c0",), (2, 2), (2, 2)),
            conv("deep", "pool", 20, groups=20),
            Clip("c1", ("deep",), 0.25),
            conv("b", "c1", 20, 1),
            Add("sum", ("b", "pool")),
            Clip("c2", ("sum",), 0.25),
            conv("d", "pool", 5),
            Clip("c3", ("d",), 0.25),
            Concat("joined", ("c2", "c3")),
            FullyConnected("f1", ("joined",), 24),
            Clip("c4", ("f1",), 0.125),
            FullyConnected("f2", ("c4",), 24),
            Clip("c5", ("f2",), 0.0625),
            FullyConnected("f3", ("c5",), 4),
        ),
        ("clip", "diagonal"),
    ),
    Case(
        "a residual block, its shortcut a convolution of stride 2",
        (3, 10, 9),
        (
            conv("stem", INPUT, 17),
            Relu("r0", ("stem",)),
            conv("a", "r0", 20, stride=2),
            Relu("r1", ("a",)),
            conv("b", "r1", 20),
            conv("short", "r0", 20, 1, 2),
            Add("sum", ("b", "short")),
            Relu("r2", ("sum",)),
            FullyConnected("fc", ("r2",), 5),
        ),
        ("from_partial", "to_partial", "stride_x_log2", "by_pixel"),
    ),
    Case(
        "branches joined at odd channels",
        (3, 8, 8),
        (
            conv("a", INPUT, 5),
            Relu("ra", ("a",)),
            conv("b", INPUT, 18, 1),
            MaxPool("pool", ("b",), (2, 2), (2, 2)),
            conv("c", "ra", 3, 3, 2),
            conv("d", "ra", 2, 1, 2),
            Concat("joined", ("pool", "c", "d")),
            conv("e", "joined", 6),
            FullyConnected("fc", ("e",), 4),
        ),
        ("pool", "unpool"),
    ),
    Case(
        "max-pools of 3 x 3, each stride and padding",
        (3, 19, 17),
        (
            conv("a", INPUT, 20),
            MaxPool("p0", ("a",), (3, 3), (2, 2), (1, 1, 1, 1)),
            Relu("r0", ("p0",)),
            MaxPool("p1", ("r0",), (3, 3), (1, 1), (1, 1, 1, 1)),
            conv("b", "p1", 36),
            MaxPool("p2", ("b",), (3, 3), (3, 3), (0, 1, 1, 0)),
            FullyConnected("fc", ("p2",), 5),
        ),
        ("window", "index_channel"),
    ),
    Case(
        "branches of a convolution, a pool and the map itself",
        (3, 12, 11),
        (
            conv("a", INPUT, 12),
            Clip("c", ("a",), 0.5),
            MaxPool("p0", ("c",), (3, 3), (1, 1), (1, 1, 1, 1)),
            conv("b", "c", 18),
            conv("d", "p0", 7, 1),
            Concat("joined", ("b", "d")),
            Relu("r", ("joined",)),
            MaxPool("p1", ("r",), (2, 2), (2, 2), (1, 0, 1, 1)),
            MaxPool("p2", ("r",), (2, 2), (1, 1)),
            MaxPool("p3", ("p2",), (3, 3), (4, 2), (1, 1, 1, 1)),
            FullyConnected("f1", ("p1",), 6),
            FullyConnected("f2", ("p3",), 6),
            Add("sum", ("f1", "f2")),
        ),
        ("window", "index_channel", "from_partial"),
    ),
    Case(
        "means over different numbers of places, forward beside a convolution, backward beside other readers",
        (3, 13, 11),
        (
            conv("a", INPUT, 20),
            Relu("r", ("a",)),
            AveragePool("m0", ("r",), (3, 3), (1, 1), (1, 1, 1, 1)),
            conv("b", "r", 20),
            Add("sum", ("m0", "b")),
            Relu("r1", ("sum",)),
            AveragePool("m1", ("r1",), (3, 3), (2, 2), (1, 0, 0, 1), overhang=(1, 0)),
            AveragePool("m2", ("r1",), (5, 2), (3, 2), (2, 1, 2, 1)),
            conv("c", "r1", 4, 3, 2),
            MaxPool("p", ("m0",), (2, 2), (2, 2)),
            FullyConnected("f0", ("p",), 6),
            FullyConnected("f1", ("m1",), 6),
            FullyConnected("f2", ("m2",), 6),
            FullyConnected("f3", ("c",), 6),
            Add("out", ("f0", "f1", "f2", "f3")),
        ),
        ("from_partial", "by_pixel"),
    ),
    Case(
        "parts of joined maps that others read, and a joined output",
        (3, 9, 8),
        (
            conv("a", INPUT, 18),
            Relu("ra", ("a",)),
            conv("b", "ra", 7),
            Concat("i", ("b", "ra")),
            conv("c", "i", 5, 1),
            Concat("o", ("i", "c")),
            conv("d", "b", 6, stride=2),
            MaxPool("p", ("o",), (3, 3), (2, 2), (1, 1, 1, 1)),
            Add("s", ("c", "c")),
            conv("e", "s", 30, 3, 2),
            Concat("out", ("p", "d", "e")),
        ),
        ("by_pixel", "window"),
    ),
    Case(
        "depthwise, and 1 x 1",
        (3, 9, 11),
        (
            conv("stem", INPUT, 24, stride=2),
            Relu("r0", ("stem",)),
            conv("deep", "r0", 24, groups=24),
            Relu("r1", ("deep",)),
            conv("point", "r1", 40, 1),
            Relu("r2", ("point",)),
            AveragePool("mean", ("r2",), (5, 6), (5, 6)),
            FullyConnected("fc", ("mean",), 7),
        ),
        ("by_pixel", "tag_pixel_pitch"),
    ),
    Case(
        "groups of 40 channels, pooled",
        (3, 8, 10),
        (
            conv("stem", INPUT, 80),
            Relu("r0", ("stem",)),
            conv("grouped", "r0", 80, groups=2),
            Relu("r1", ("grouped",)),
            MaxPool("pool", ("r1",), (2, 2), (2, 2)),
            conv("deep", "pool", 160, groups=80),
            AveragePool("mean", ("deep",), (2, 2), (2, 2)),
            FullyConnected("fc", ("mean",), 7),
        ),
        ("by_pixel", "unpool"),
    ),
    Case(
        "1,100 channels",
        (1100, 3, 2),
        (conv("wide", INPUT, 4, 1), Relu("r0", ("wide",)), conv("b", "r0", 1100, 1), Relu("r1", ("b",)), FullyConnected("fc", ("r1",), 3)),
        ("from_partial", "by_pixel"),
    ),
    Case(
        "a kernel of 10 x 4 of stride 2, and a mean over 13 x 5",
        (1, 25, 10),
        (
            conv("stem", INPUT, 8, (10, 4), 2),
            Relu("r0", ("stem",)),
            AveragePool("mean", ("r0",), (13, 5), (13, 5)),
            FullyConnected("fc", ("mean",), 3),
        ),
        ("from_partial",),
    ),
    Case(
        "11 x 11 of stride 4",
        (3, 31, 27),
        (conv("stem", INPUT, 16, 11, 4, padding=(2, 2, 2, 2)), Relu("r0", ("stem",)), conv("a", "r0", 8), FullyConnected("fc", ("a",), 3)),
        ("from_partial", "stride_x_log2"),
    ),
    Case(
        "a stride of 3, a kernel of 9 x 9 and a dilation of 3",
        (2, 20, 17),
        (
            conv("a", INPUT, 6, 3, 3),
            Relu("r0", ("a",)),
            conv("b", INPUT, 6, 9, 3),
            Add("sum", ("b", "r0")),
            conv("c", "sum", 5, 3, padding=(3, 3, 3, 3), dilation=(3, 3)),
            FullyConnected("fc", ("c",), 3),
        ),
    ),
    Case(
        "a convolution that reads its padding alone",
        (3, 3, 2),
        (
            Conv("a", (INPUT,), (1, 1), (4, 3), (0, 1, 1, 1), out_channels=7),
            Relu("r0", ("a",)),
            conv("b", INPUT, 4),
            FullyConnected("f1", ("r0",), 3),
            FullyConnected("f2", ("b",), 3),
            Add("out", ("f1", "f2")),
        ),
    ),
    Case(
        "weights that are loaded for each group of tiles",
        (20, 12, 12),
        (conv("a", INPUT, 130), Relu("r0", ("a",)), conv("b", "r0", 20), Relu("r1", ("b",)), FullyConnected("fc", ("r1",), 3)),
        ("from_partial",),
    ),
    Case(
        "600 channels",
        (600, 5, 4),
        (conv("a", INPUT, 33), Relu("r0", ("a",)), conv("b", "r0", 600, 1), Relu("r1", ("b",)), FullyConnected("fc", ("r1",), 3)),
        ("from_partial",),
    ),
    Case(
        "a map that two convolutions of different strides and an add read",
        (4, 9, 9),
        (
            conv("a", INPUT, 12),
            Relu("r", ("a",)),
            conv("b", "r", 12),
            conv("c", "r", 12, 5, 2),
            Add("sum", ("r", "b")),
            FullyConnected("f1", ("sum",), 6),
            FullyConnected("f2", ("c",), 6),
            Add("out", ("f1", "f2")),
        ),
        ("from_partial",),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_compiled_graph_computes_what_the_golden_model_does(case: Case) -> None:
    rng = np.random.default_rng(3)
    quantised, inputs = quantised_graph(with_weights(case.nodes, case.shape, rng), 3)
    forward = golden.forward(quantised, inputs)
    for one in quantised.passes:
        assert one.limit is None or np.any(forward.passes[one.name].output == one.limit), f"{one.name} is not reached"
    for number, (method, groups) in enumerate(zip(METHODS, (4, 2, 1), strict=True)):
        program = compare(quantised, inputs[number % 2], method, groups)
        for field in case.has:
            assert any(job.get(field) for job in program.jobs()), f"no job has {field}"


@pytest.mark.parametrize("inputs", [4, 6000], ids=["few", "many"])
def test_weights_of_the_backward_pass_are_loaded_by_inference_only_where_they_take_no_time(inputs: int) -> None:
    """Beside a large matrix at the end they come early, beside a small one behind the seed."""
    nodes = (conv("a", INPUT, 8), conv("b", "a", inputs // 4, 2, 2, padding=(0, 0, 0, 0)), FullyConnected("fc", ("b",), 20))
    quantised, _ = quantised_graph(with_weights(nodes, (3, 4, 4), np.random.default_rng(1)), 1)
    jobs = compile_network(quantised).jobs()
    seed = [job["opcode"] for job in jobs].index("SEED")
    early = [job["layer"] > jobs[seed]["layer"] for job in jobs[:seed] if job["opcode"] == "WEIGHTS"]
    assert any(early) == (inputs == 6000) and not all(early)


@pytest.mark.parametrize("first", SEEDS)
def test_random_graphs_compute_what_the_golden_model_does(first: int) -> None:
    for seed in range(first, first + 12):
        quantised, inputs = random_quantised_graph(
            seed, core=True, most=7, largest=(16, 24, 40)[seed % 3], max_macs=400_000, wide=seed % 4 == 3
        )
        try:
            compare(quantised, inputs[seed % 2], METHODS[seed % 3], (4, 2, 1)[seed // 3 % 3])
        except Refusal as refusal:
            check_refusal(refusal, quantised)
            assert all("holds larger values beside what it clips" in reason for reason in refusal.reasons), f"seed {seed}: {refusal}"


@pytest.mark.parametrize("first", SEEDS)
def test_random_graphs_of_all_kinds_are_compiled_or_refused_with_reasons(first: int) -> None:
    """Nothing is compiled in part: what the compiler takes it has no reason to refuse, and the other way round."""
    for seed in range(first, first + 16):
        quantised, _ = random_quantised_graph(seed, most=7, max_macs=100_000, wide=seed % 2 == 1)
        try:
            compile_network(quantised)
        except GradCoreError as refusal:
            check_refusal(refusal, quantised)
            assert isinstance(refusal, Refusal) == bool(refused(quantised))
        else:
            assert not refused(quantised)


def test_everything_that_the_core_does_not_run_is_said_at_once() -> None:
    nodes = (
        conv("a", INPUT, 8),
        Clip("clip", ("a",), 0.1),
        conv("b", INPUT, 8),
        Concat("joined", ("clip", "b")),
        MaxPool("pool", ("joined",), (5, 5), (2, 2)),
        MaxPool("spread", ("pool",), (2, 2), (1, 1), dilation=(2, 2)),
        FullyConnected("fc", ("spread",), 3),
    )
    quantised, _ = quantised_graph(with_weights(nodes, (3, 9, 9), np.random.default_rng(1)), 1)
    with pytest.raises(Refusal, match="the core does not run 3 of its nodes") as caught:
        compile_network(quantised)
    told = "\n".join(caught.value.reasons)
    for reason in (
        "clip: joined holds larger values beside what it clips",
        "pool: kernel_shape = [5, 5]: max-pools are 2 x 2 and 3 x 3",
        "spread: kernel_shape = [2, 2], dilations = [2, 2]: max-pools are 2 x 2 and 3 x 3",
    ):
        assert reason in told

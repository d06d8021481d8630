# SPDX-License-Identifier: Apache-2.0
"""From graphs to passes: what is computed together, where maps lie, which formats they agree on, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from gradcore.errors import GradCoreError
from gradcore.models import graph as golden
from gradcore.models.passes import INPUT, Passes, Slice
from gradcore.models.quantised_graph import GraphQuantisation
from gradcore.network.graph import Add, Affine, AveragePool, Clip, Concat, Conv, Graph, MaxPool, Node, Relu
from gradcore.quantise import float_graph
from gradcore.quantise.calibration import fraction_for
from gradcore.quantise.graph_calibration import calibrate_passes, measure, most_bits, settle
from gradcore.quantise.graph_conversion import quantise_passes
from gradcore.quantise.lowering import lower
from tb.support.random_graphs import random_graph
from tb.support.seeds import SEEDS

pytestmark = pytest.mark.usefixtures("one_thread")


def graph(*nodes: Node, shape=(2, 8, 8), scale: dict[str, float] | None = None) -> Graph:
    """A graph whose last node is the output, with random weights, of some nodes times ``scale``."""
    rng = np.random.default_rng(1)
    shapes = {INPUT: shape}
    weights = {}
    for node in nodes:
        inputs = [shapes[name] for name in node.inputs]
        shapes[node.name] = node.shape(inputs)
        for name, size in node.tensors(inputs).items():
            weights[f"{node.name}.{name}"] = (rng.standard_normal(size) * (scale or {}).get(node.name, 1)).astype(np.float32)
    return Graph(nodes, weights, shape, nodes[-1].name)


def conv(name: str, source: str = INPUT, channels: int = 2, **attributes) -> Conv:
    return Conv(name, (source,), out_channels=channels, **attributes)


def told(passes: Passes) -> list[tuple]:
    """(nodes, [(kind, map)] of its sources, map) of each pass."""
    return [(one.nodes, [(source.kind, source.reads.map) for source in one.sources], one.makes.map) for one in passes.passes]


def test_a_residual_block_ends_in_one_pass():
    skip = lower(graph(conv("a"), Relu("r", ("a",)), conv("b", "r"), Add("s", ("b", "r")), Relu("out", ("s",))))
    assert told(skip) == [(("a", "r"), [("conv", INPUT)], "r"), (("b", "s", "out"), [("conv", "r"), ("identity", "r")], "out")]
    down = lower(graph(conv("a"), conv("b", "a"), conv("c", "a"), Add("s", ("c", "b")), MaxPool("out", ("s",), (2, 2), (2, 2))))
    assert told(down)[1] == (("c", "b", "s", "out"), [("conv", "a"), ("conv", "a")], "out")
    np.testing.assert_array_equal(down.passes[1].bias, sum(SAMPLE.weights[f"{name}.bias"].astype(float) for name in "bc"))


SAMPLE = graph(conv("a"), conv("b", "a"), conv("c", "a"), Add("s", ("c", "b")))


def test_what_others_read_too_is_not_folded():
    """The ReLU of a map that is also added stands alone; so does a pool of it, and one behind another pool."""
    made = lower(graph(conv("a"), Relu("r", ("a",)), conv("b", "r"), Add("s", ("b", "a"))))
    assert told(made) == [
        (("a",), [("conv", INPUT)], "a"),
        (("r",), [("identity", "a")], "r"),
        (("b", "s"), [("conv", "r"), ("identity", "a")], "s"),
    ]
    pool, relu = MaxPool("p", ("a",), (2, 2), (2, 2)), Relu("r", ("p",))
    made = lower(graph(conv("a"), pool, relu))
    assert told(made) == [(("a", "p"), [("conv", INPUT)], "p"), (("r",), [("identity", "p")], "r")]
    made = lower(graph(conv("a"), pool, MaxPool("q", ("p",), (2, 2), (2, 2))))
    assert [one[0] for one in told(made)] == [("a", "p"), ("q",)]
    for window in ({"kernel": (3, 3), "stride": (2, 2)}, {"kernel": (2, 2), "stride": (2, 2), "padding": (1, 1, 1, 1)}):
        made = lower(graph(conv("a"), Relu("r", ("a",)), MaxPool("p", ("r",), **window)))
        assert told(made)[1] == (("p",), [("identity", "r")], "p")


def test_a_concat_is_written_by_its_makers_and_read_where_it_lies():
    made = lower(graph(conv("a"), conv("b", "a", 3), Concat("i", ("a", "b")), conv("c", "i", 4), Concat("o", ("c", "i")), conv("d", "o")))
    assert set(made.maps) == {INPUT, "o", "d"} and made.maps["o"] == (8, 8, 9)
    assert [one.makes for one in made.passes] == [Slice("o", 4, 6), Slice("o", 6, 9), Slice("o", 0, 4), Slice("d", 0, 2)]
    assert [one.sources[0].reads for one in made.passes] == [Slice(INPUT, 0, 2), Slice("o", 4, 6), Slice("o", 4, 9), Slice("o", 0, 9)]


def test_what_cannot_lie_in_a_concat_is_copied():
    """The input, a map that is joined twice, and a joined output."""
    made = lower(graph(conv("a"), Concat("i", (INPUT, "a", "a")), conv("out", "i")))
    copies = [one for one in made.passes if not one.nodes]
    assert [(one.sources[0].kind, one.sources[0].reads.map, one.makes.start) for one in copies] == [
        ("identity", INPUT, 0),
        ("identity", "i", 4),
    ]
    made = lower(graph(conv("a"), conv("b", "a"), Concat("out", ("a", "b"))))
    assert [(one.name, one.sources[0].reads, one.makes) for one in made.passes] == [
        ("a", Slice(INPUT, 0, 2), Slice("out.joined", 0, 2)),
        ("b", Slice("out.joined", 0, 2), Slice("out.joined", 2, 4)),
        ("out", Slice("out.joined", 0, 4), Slice("out", 0, 4)),
    ]


def test_a_max_pool_of_one_place_is_an_identity_with_a_stride():
    made = lower(graph(conv("a"), MaxPool("p", ("a",), (1, 1), (3, 2)), Relu("r", ("p",))))
    assert told(made)[1] == (("p", "r"), [("identity", "a")], "r") and made.passes[1].sources[0].window.stride == (3, 2)
    assert made.maps["r"] == (3, 4, 2)


def test_a_pool_behind_means_over_different_numbers_of_places_stands_alone():
    """A 2 x 2 window may lie across two of them."""
    for padding, passes in (((0, 0, 0, 0), 2), ((1, 1, 1, 1), 3)):
        mean = AveragePool("m", ("a",), (3, 3), (1, 1), padding)
        assert len(lower(graph(conv("a"), mean, MaxPool("p", ("m",), (2, 2), (2, 2)))).passes) == passes


def test_a_clips_limit_is_the_largest_number_of_its_map():
    made = lower(graph(conv("a"), Clip("r", ("a",), 6.0), MaxPool("p", ("r",), (3, 3), (1, 1)), conv("b", "p")))
    assert 1 <= made.unit("r") < 2 and made.unit("p") == made.unit("r") and made.unit("b") == 1
    inputs = np.random.default_rng(1).standard_normal((4, 8, 8, 2)) * 3
    quantised = quantise_passes(made, calibrate_passes(made, inputs))
    assert quantised.passes[0].limit == 32767
    assert 32767 * 2.0 ** -quantised.maps["r"].fraction * quantised.maps["r"].unit == pytest.approx(6.0, rel=1e-12)
    result = golden.forward(quantised, np.round(inputs * 2.0**quantised.picture_fraction))
    first = result.passes["a"]
    assert (first.output == 32767).any() and not first.mask[first.output == 32767].any() and not first.saturated.any()
    (pooled,) = quantised.passes[1].sources
    assert set(pooled.weights.reshape(-1)) == {1 << pooled.weight_fraction}


@pytest.mark.parametrize("seed", SEEDS)
def test_passes_compute_what_their_graphs_compute(seed):
    """In float, whatever was folded: every map of the graph that is kept."""
    from gradcore.backends.pytorch_graph import GraphTrace

    for number in range(8):
        one = random_graph(seed + number, most=7, largest=12, max_macs=80_000)
        passes, inputs = lower(one), np.random.default_rng(number).standard_normal((2, *one.input_shape)).astype(np.float32)
        trace = GraphTrace(one)
        trace.forward(inputs)
        result = float_graph.forward(passes, inputs.transpose(0, 2, 3, 1))
        assert sorted(node for part in passes.passes for node in part.nodes) == sorted(
            node.name for node in one.nodes if not isinstance(node, Concat) or node.name == one.output
        )
        for name in passes.maps:
            expected = trace.map(name.removesuffix(".joined")).transpose(0, 2, 3, 1)
            np.testing.assert_allclose(
                result.maps[name] * passes.unit(name), expected, rtol=1e-3, atol=1e-4 * max(1, np.abs(expected).max())
            )


# ---- Formats -----------------------------------------------------------------------------------------------------


def test_all_that_meets_in_a_sum_shares_its_accumulator():
    """Two convolutions with unlike weights and a skip: each source's weights are rounded from float at F less its map's fraction."""
    made = lower(graph(conv("a"), conv("b", "a"), conv("c", "a"), Add("s", ("b", "c", "a")), conv("out", "s"), scale={"b": 0.02, "c": 3.0}))
    quantised = quantise_passes(made, calibrate_passes(made, np.random.default_rng(2).standard_normal((4, 8, 8, 2))))
    one, real = quantised.passes[1], made.passes[1]
    read = {source.node: quantised.maps[source.reads.map].fraction + source.weight_fraction for source in one.sources}
    assert set(read.values()) == {one.accumulator_fraction} and len(read) == 3
    assert one.accumulator_fraction == min(most_bits(source) + quantised.maps["a"].fraction for source in real.sources)
    for source, its in zip(one.sources, real.sources, strict=True):
        np.testing.assert_array_equal(source.weights, np.floor(its.weights * 2.0**source.weight_fraction + 0.5))
        made_gradient = quantised.maps[one.makes.map].gradient_fraction
        assert made_gradient + source.backward_weight_fraction == quantised.maps["a"].gradient_accumulator


def test_readers_whose_weights_ask_for_unlike_scales_share_what_that_costs():
    """Of two readers of a map one has weights 2**12 times the other's: neither loses them all."""
    made = lower(graph(conv("a"), conv("b", "a"), conv("c", "a"), Concat("out", ("b", "c")), scale={"b": 2.0**-12}))
    formats = calibrate_passes(made, np.random.default_rng(2).standard_normal((4, 8, 8, 2)))
    quantised = quantise_passes(made, formats)
    for one in quantised.passes:
        for source in one.sources:
            assert np.abs(source.weights).max() >= 2**13
    made = lower(
        graph(conv("a"), conv("b", "a"), conv("c", "a"), Relu("r", ("b",)), Relu("q", ("c",)), Add("s", ("r", "q")), scale={"b": 2.0**-12})
    )
    formats = calibrate_passes(made, np.random.default_rng(2).standard_normal((4, 8, 8, 2)))
    for one in quantise_passes(made, formats).passes:
        for source in one.sources:
            assert source.kind == "identity" or np.abs(source.backward_weights).max() >= 2**8


def test_a_quiet_map_that_is_added_to_a_loud_sum_is_no_finer_than_the_sum():
    """Its identity is a weight of 2**0 then; a network in which none would do is refused."""
    quiet, loud = (conv("a"), Relu("q", ("a",))), (conv("b"), Relu("r", ("b",)), conv("c", "r"))
    made = lower(graph(*quiet, *loud, Add("out", ("c", "q")), scale={"a": 2.0**-8, "b": 100.0, "c": 60.0}))
    inputs = np.random.default_rng(2).standard_normal((4, 8, 8, 2))
    values, _ = measure(made, inputs)
    formats = calibrate_passes(made, inputs)
    (identity,) = (source for source in quantise_passes(made, formats).passes[-1].sources if source.kind == "identity")
    assert identity.weight_fraction == 0 and np.all(identity.weights == 1)
    assert formats.activations["q"] < fraction_for(values["q"].max())
    made = lower(graph(conv("a"), Relu("q", ("a",)), conv("b", "q"), Add("out", ("b", "q")), scale={"b": 2.0**20}))
    with pytest.raises(GradCoreError, match="no number formats fit the network"):
        calibrate_passes(made, inputs)


def test_weights_that_keep_few_bits_are_told():
    """In formats that nobody settled: a finer map makes its reader's weights coarser where another reader sets the scale."""
    made = lower(graph(conv("a"), conv("b"), Add("out", ("a", "b")), scale={"a": 2.0**-9}))
    fine = quantise_passes(made, GraphQuantisation({INPUT: 8, "out": 8}, {INPUT: 8, "out": 8}))
    assert len(fine.notes) == 2 and all("largest weight of a keeps" in note for note in fine.notes)
    assert "forward" in fine.notes[0] and "backward" in fine.notes[1]
    even = lower(graph(conv("a"), conv("b"), Add("out", ("a", "b"))))
    assert not quantise_passes(even, GraphQuantisation({INPUT: 8, "out": 8}, {INPUT: 8, "out": 8})).notes


@pytest.mark.parametrize("seed", SEEDS)
def test_settled_formats_work_and_stay(seed):
    """Whatever is wanted: every sum works, nothing becomes finer, and settling again changes nothing."""
    for number in range(6):
        rng = np.random.default_rng((seed, number))
        made = lower(random_graph(seed + number, most=8, largest=9, max_macs=50_000))
        bits = [{name: int(rng.integers(4, 16)) for name in made.maps} for _ in range(2)]
        bits[1][made.output] = 14
        settled = settle(made, GraphQuantisation(*bits))
        for before, after in zip(bits, (settled.activations, settled.gradients), strict=True):
            assert all(after[name] <= before[name] for name in made.maps)
        quantised = quantise_passes(made, settled)
        assert not quantised.saturated


def test_formats_are_kept_as_metadata():
    made = lower(SAMPLE)
    formats = calibrate_passes(made, np.ones((1, 8, 8, 2)), source="ones")
    assert GraphQuantisation.from_metadata(formats.to_metadata(), made.maps) == formats
    for broken in (
        {},
        {**formats.to_metadata(), "gradients": {"s": 3}},
        {**formats.to_metadata(), "activations": {name: 999 for name in made.maps}},
    ):
        with pytest.raises(GradCoreError, match="does not fit its 3 maps"):
            GraphQuantisation.from_metadata(broken, made.maps)


def formats_of(made: Passes, bits: int = 8, **other: int) -> GraphQuantisation:
    return GraphQuantisation({name: other.get(name, bits) for name in made.maps}, dict.fromkeys(made.maps, bits))


def test_what_does_not_fit_is_refused():
    made = lower(SAMPLE)
    with pytest.raises(GradCoreError, match="pass s: the forward pass would shift by -"):
        quantise_passes(made, formats_of(made, s=40))
    with pytest.raises(GradCoreError, match="seed gradient has 20"):
        quantise_passes(made, formats_of(made, 20))
    made = lower(graph(conv("a"), Relu("r", ("a",)), conv("b", "r"), Add("out", ("b", "r")), scale={"b": 2.0**20}))
    with pytest.raises(GradCoreError, match="pass out: the format of r is finer than the sum"):
        quantise_passes(made, GraphQuantisation({INPUT: 8, "r": 20, "out": 2}, dict.fromkeys(made.maps, 2)))
    big = graph(conv("a"), scale={"a": 1.0})
    big.weights["a.bias"][:] = 1e9
    with pytest.raises(GradCoreError, match="pass a: a bias of 1e.09 does not fit the 48-bit accumulator"):
        quantise_passes(lower(big), formats_of(lower(big)))
    with pytest.raises(GradCoreError, match="there are none"):
        calibrate_passes(made, np.zeros((0, 8, 8, 2)))


def test_all_sources_of_a_sum_count_for_the_accumulator():
    """140,000 products of the largest numbers overflow 48 bits; half of them in each of two sources."""
    channels = 70_000
    nodes = (Conv("a", (INPUT,), out_channels=1), Conv("b", (INPUT,), out_channels=1), Add("out", ("a", "b")))
    weights = {f"{name}.weight": np.full((1, channels, 1, 1), 1.99, np.float32) for name in "ab"}
    weights |= {f"{name}.bias": np.zeros(1, np.float32) for name in "ab"}
    made = lower(Graph(nodes, weights, (channels, 1, 1), "out"))
    bits = GraphQuantisation({INPUT: 0, "out": 0}, {INPUT: 0, "out": 0})
    for name in "ab":
        alone = lower(
            Graph((nodes["ab".index(name)],), {key: one for key, one in weights.items() if key[0] == name}, (channels, 1, 1), name)
        )
        quantise_passes(alone, GraphQuantisation({INPUT: 0, name: 0}, {INPUT: 0, name: 0}))
    with pytest.raises(GradCoreError, match="pass out: its sums could overflow the 48-bit accumulator"):
        quantise_passes(made, bits)


def test_a_window_in_the_padding_alone_is_refused():
    for node in (MaxPool("p", (INPUT,), (2, 2), (2, 2), (2, 0, 0, 0)), AveragePool("p", (INPUT,), (2, 2), (2, 2), (2, 0, 0, 0))):
        with pytest.raises(GradCoreError, match="node p: a window of the pool lies in the padding alone"):
            lower(graph(node))


def test_an_affine_map_is_a_depthwise_source():
    made = lower(graph(conv("a"), Affine("s", ("a",)), Relu("r", ("s",)), conv("b", "r"), Add("out", ("b", "a"))))
    assert told(made)[1] == (("s", "r"), [("affine", "a")], "r") and made.passes[1].sources[0].groups == 2

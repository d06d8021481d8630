# SPDX-License-Identifier: Apache-2.0
"""Attribution methods on the board, simulated: equal to ``gradcore.explain`` on the golden model in every bit; what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_graph_methods import path as onnx_file  # noqa: F401 (a fixture)

import gradcore
from gradcore.attribution import METHODS, rules
from gradcore.compiler import compile_network
from gradcore.compiler.compilation import compile_to_file
from gradcore.deployment import make_bundle
from gradcore.errors import GradCoreError
from gradcore.network import Layer, Network
from gradcore.quantise import quantise
from gradcore.runtime.board import Board
from gradcore.runtime.program import Program
from gradcore.runtime.results import Explained
from gradcore.simulator.device import SimulatedDevice

LAYERS = [Layer("conv", "conv1", 3, 8, 3, pool=True), Layer("conv", "conv2", 8, 6, 3), Layer("fc", "fc1", 6 * 4 * 4, 5, relu=False)]
NETWORK = Network.random(LAYERS, (3, 8, 8), name="tiny", seed=3)
PICTURES = np.random.default_rng(4).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
GIVEN = {
    "integrated_gradients": {"n_steps": 4, "baselines": 0.3},
    "smoothgrad": {"nt_samples": 3},  # with the default noise, beyond what pixels reach
    "gradcam": {"layer": "conv1"},
    "occlusion": {"strides": 4},
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network's bundle for the small core."""
    folder = tmp_path_factory.mktemp("bundle")
    NETWORK.save(folder / "tiny.safetensors")
    make_bundle(folder / "tiny.safetensors", folder / "bundle", preset="small")
    return folder / "bundle"


def same(result: Explained, expected: Explained) -> None:
    """Results of both kinds, attribute by attribute."""
    assert isinstance(result, Explained) and isinstance(expected, Explained)
    for name in ("logits", "attribution"):
        assert np.array_equal(getattr(result, name), getattr(expected, name)), name
        assert getattr(result, name).dtype == getattr(expected, name).dtype
    for name in ("target", "predicted", "runs", "headroom", "against", "classes", "method"):
        assert getattr(result, name) == getattr(expected, name), name
    assert result.as_dict()["seed"] == expected.as_dict()["seed"] and result.as_dict()["parameters"] == expected.as_dict()["parameters"]
    assert result.saturated == tuple(one.values for one in expected.saturation)
    assert result.cycles.total == result.counters["cycles"] == sum(one.cycles for one in result.cycles.layers) > 500
    assert result.latency_ms == result.cycles.total / 1e5
    for name in result.activations:
        assert np.array_equal(result.activation(name), expected.activation(name)), name
    for name in result.gradients:
        assert np.array_equal(result.gradient(name), expected.gradient(name)), name


def test_every_method_gives_what_explain_gives(bundle: Path) -> None:
    """Nine methods; a class each, one against another, weights of classes; with maps and without; the program stays whole."""
    with Board.open(bundle, "simulated") as board:
        golden = gradcore.load_network(NETWORK)
        for method in METHODS:
            given = GIVEN.get(method, {})
            results = board.execute(PICTURES, method, [2, 0], keep=True, **given)
            for picture, target, result in zip(PICTURES, (2, 0), results, strict=True):
                (expected,) = gradcore.explain(picture, golden, method, target, "golden", keep=True, **given)
                same(result, expected)
                assert result.activations.keys() == expected.activations.keys() and result.gradients.keys() == expected.gradients.keys()
        classes = board.program.classes
        (result,) = board.execute(PICTURES[0], "integrated_gradients", classes[1], against=classes[3], n_steps=2)
        same(result, gradcore.explain(PICTURES[0], golden, "integrated_gradients", 1, "golden", against=3, n_steps=2)[0])
        weights = np.array([0.5, -1.0, 0.0, 0.25, 2.0])
        (result,) = board.execute(PICTURES[0], "guided", weights)
        same(result, gradcore.explain(PICTURES[0], golden, "guided", weights, "golden")[0])
        (result,) = board.execute(board.program.quantise_image(PICTURES[1]), "input_x_gradient")
        same(result, gradcore.explain(PICTURES[1], golden, "input_x_gradient", None, "golden")[0])
        told = []
        board.execute(PICTURES[0], "smoothgrad", progress=lambda text, done, total: told.append((done, total)), nt_samples=2)
        assert told[-1] == (3, 3)
        (result,) = board.execute(PICTURES[0], "saliency")
        same(result, gradcore.explain(PICTURES[0], golden, "saliency", None, "golden")[0])
        with pytest.raises(GradCoreError, match="no activation of conv1 was kept"):
            result.activation("conv1")
        assert board.throughput_test(1, "input_x_gradient")["DRAM_in_bandwidth[MB/s]"] > 10


def test_graphs_from_their_file(onnx_file: Path, tmp_path: Path) -> None:  # noqa: F811
    """An imported network with a residual block and a concat, compiled to a file, moved to where the board has memory."""
    compile_to_file(onnx_file, tmp_path / "block.gradcore", preset="small")
    network = gradcore.load_network(onnx_file)
    with Board(SimulatedDevice(preset="small"), tmp_path / "block.gradcore") as board:
        for method, given in (("smoothgrad", {"nt_samples": 2}), ("guided_gradcam", {"layer": "sum_relu"}), ("occlusion", {"strides": 4})):
            (result,) = board.execute(PICTURES[0], method, 1, keep=True, **given)
            same(result, gradcore.explain(PICTURES[0], network, method, 1, "golden", keep=True, **given)[0])


def test_values_that_saturate_run_again_with_headroom(tmp_path: Path) -> None:
    """As ``explain``, by one run and by many; and as ``explain`` without headroom, where that is asked for."""
    formats = quantise(NETWORK).quantisation
    narrow = replace(formats, gradients=(*(fraction + 3 for fraction in formats.gradients[:-1]), formats.gradients[-1]))
    network = replace(NETWORK, metadata={"quantisation": narrow.to_metadata()})
    network.save(tmp_path / "narrow.safetensors")
    make_bundle(tmp_path / "narrow.safetensors", tmp_path / "bundle", preset="small")
    with Board.open(tmp_path / "bundle", "simulated") as board:
        for method, given in (("saliency", {}), ("integrated_gradients", {"n_steps": 2})):
            (result,) = board.execute(PICTURES[0], method, 1, keep=True, **given)
            same(result, gradcore.explain(PICTURES[0], network, method, 1, "golden", keep=True, **given)[0])
            assert result.headroom in (2, 4) and result.as_dict()["headroom"] == result.headroom and not any(result.saturated)
            (result,) = board.execute(PICTURES[0], method, 1, headroom=False, **given)
            same(result, gradcore.explain(PICTURES[0], network, method, 1, "golden", headroom=0, **given)[0])
            assert any(result.saturated)
    make_bundle(tmp_path / "narrow.safetensors", tmp_path / "bundle", preset="small", headroom=4)
    assert sorted(Program.load(tmp_path / "bundle" / "program.gradcore").formats) == [(0, 1), (0, 2), (0, 3)], "formats were chosen"


def test_an_input_beyond_the_format(bundle: Path, tmp_path: Path) -> None:
    """The changes for wider inputs are few, fit a moved program, and end where they end."""
    program = Program.load(bundle / "program.gradcore")
    assert sorted(program.formats) == [(0, 1), (0, 2), (0, 3), *((room, bits) for room in (2, 4) for bits in range(4))]
    assert all(0 < one.places.size < 600 for one in program.formats.values())
    moved, wide = program.at(0x2000_0000).with_formats(2, 1), program.with_formats(2, 1).at(0x2000_0000)
    assert np.array_equal(moved.image, wide.image) and moved.maps == wide.maps and moved.maps[0].fraction == program.maps[0].fraction - 1
    plain = tmp_path / "plain.gradcore"
    compile_network(NETWORK, "small").save(plain)
    for source, bits, most in ((bundle, 4, 3), (plain, 1, 0)):
        with Board.open(source, "simulated", **({"preset": "small"} if source == plain else {})) as board:
            said = f"a format {bits} bits wider than a picture's, the program has {most} at most: use less noise"
            with pytest.raises(GradCoreError, match=said):
                board.execute(PICTURES[0], "integrated_gradients", n_steps=1, baselines=100.0 if bits == 4 else 7.0)
            assert board.execute(PICTURES[0])[0].cycles.total > 500


def test_bad_input(bundle: Path) -> None:
    """One line that names cause and remedy; afterwards the board runs."""
    with Board.open(bundle, "simulated") as board:
        for arguments, options, said in (
            (("lime",), {}, f"no method 'lime': use one of {', '.join(METHODS)}"),
            (("integrated_gradients",), {"n_steps": 0}, "n_steps cannot be 0: give a whole number from 1 to 1000"),
            (("smoothgrad",), {"stdevs": -1.0}, "stdevs cannot be -1.0: give a number from 0 to 1000"),
            (("smoothgrad",), {"n_steps": 3}, "unknown parameter of smoothgrad 'n_steps'"),
            (("gradcam",), {"layer": "conv9"}, "no layer 'conv9': use one of conv1, conv2, fc1"),
            (("guided", np.ones(4)), {}, "one finite number for each class, not 4 numbers: give 5 of them"),
            (("guided", 2), {"against": 2}, "target and the class against it are the same"),
            (("guided",), {"against": "yak"}, "no class 'yak'"),
            (("guided",), {"seed": np.ones((1, 1, 4), np.int16)}, "integers of 16 bits, 1 x 1 x 5 of them, not int16 1 x 1 x 4: give"),
            (("guided",), {"seed": np.full((1, 1, 5), 40000)}, "integers of 16 bits, 1 x 1 x 5 of them"),
            (("guided",), {"seed": np.ones((1, 1, 5))}, "integers of 16 bits, 1 x 1 x 5 of them, not float64"),
            (("occlusion",), {"seed": np.ones((1, 1, 5), np.int16)}, f"give it with one of {', '.join(rules())}"),
            (("occlusion",), {"explain": False}, "leave explain=False out"),
        ):
            with pytest.raises(GradCoreError, match=said) as caught:
                board.execute(PICTURES[0], *arguments, **options)
            assert "\n" not in str(caught.value)
        assert board.execute(PICTURES[0], "guided")[0].runs == 1

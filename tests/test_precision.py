# SPDX-License-Identifier: Apache-2.0
"""What fixed point costs is said: values that saturate, weights that vanish or dwarf others, networks that explode."""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import replace

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

import gradcore
from gradcore import GradCoreError, Layer, Network
from gradcore.backends import Backend, LayerSaturation, Setup, open_backend
from gradcore.explanation import explain
from gradcore.pictures.patterns import INKS, KINDS, patterns
from gradcore.quantise import calibrate, precision, quantise, standard_images
from gradcore.quantise.headroom import widen

LAYERS = [
    Layer("conv", "conv1", 3, 8, 3),
    Layer("conv", "conv2", 8, 8, 3, pool=True),
    Layer("fc", "fc1", 8 * 36, 16),
    Layer("fc", "fc2", 16, 5, relu=False),
]
SHAPE = (3, 12, 12)
STORED = "the network file holds no quantisation"


def made(seed: int = 7, **weights) -> Network:
    """A network without formats, with some tensors put through a function."""
    network = Network.random(LAYERS, SHAPE, seed=seed)
    changed = {name: np.asarray(tensor) for name, tensor in network.weights.items()}
    for name, change in weights.items():
        changed[name.replace("__", ".")] = change(changed[name.replace("__", ".")]).astype(np.float32)
    return replace(network, weights=changed)


def outlier(value: float, index: int = 5):
    def change(tensor: np.ndarray) -> np.ndarray:
        tensor = tensor.copy()
        tensor.reshape(-1)[index] = value
        return tensor

    return change


def notes_of(network: Network) -> list[str]:
    return [note for note in quantise(network).notes if not note.startswith(STORED)]


@pytest.fixture(scope="module")
def narrow() -> Network:
    """A network whose formats were chosen on grey pictures without contrast."""
    network = made()
    grey = np.full((4, 12, 12, 3), 128, np.uint8)
    network.metadata["quantisation"] = calibrate(network, grey, contrast=0).to_metadata()
    return network


# ---- Values that saturate


def test_f04_what_saturated_is_said(narrow, tmp_path):
    pictures = patterns(SHAPE, 1)["checkerboard", "black on white"]
    (result,) = explain(pictures[0], narrow, backend="golden", headroom=0)
    counts = {(one.layer, one.direction): one.values for one in result.saturation if one.values}
    assert counts
    (note,) = [note for note in result.notes if "saturated" in note]
    assert note.startswith(f"{sum(counts.values()):,} value") and "gradcore.calibrate" in note and "float" in note
    for (layer, direction), values in counts.items():
        assert f"{layer} {direction} {values:,} of " in note
    result.save(tmp_path / "r")
    told = json.loads((tmp_path / "r" / "result.json").read_text())
    assert note in told["notes"] and told["saturation"]["values"] == sum(counts.values())
    assert {(one["layer"], one["pass"]): one["values"] for one in told["saturation"]["layers"]} == counts
    (quiet,) = explain(np.full((12, 12, 3), 128, np.uint8), narrow, backend="golden")
    assert not any("saturated" in note for note in quiet.notes) and quiet.as_dict()["saturation"] == {"values": 0, "layers": []}


def test_f04_the_float_backend_counts_nothing(narrow):
    (result,) = explain(np.zeros((12, 12, 3), np.uint8), narrow, backend="float")
    assert result.as_dict()["saturation"] is None and not any("saturated" in note for note in result.notes)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_f04_pictures_that_saturate_are_run_again_with_headroom(narrow):
    drawn = patterns(SHAPE, 1)
    pictures = [np.full((12, 12, 3), 128, np.uint8), *(images[0] for images in drawn.values())]
    plain, results, floats = (
        explain(pictures, narrow, "guided", backend=backend, headroom=bits)
        for backend, bits in (("golden", 0), ("golden", None), ("float", None))
    )
    assert results[0].headroom == 0 and not any("saturated" in note for note in results[0].notes) and results[0].without_headroom == ()
    assert {one.headroom for one in results} >= {0} and any(one.headroom for one in results)
    for number, (first, one, other) in enumerate(zip(plain, results, floats, strict=True)):
        saturated = sum(count.values for count in first.saturation)
        assert (one.headroom > 0) == (saturated > 0)
        if not saturated:
            np.testing.assert_array_equal(one.attribution, first.attribution)
            continue
        assert one.without_headroom == first.saturation and not any(count.values for count in one.saturation)
        assert any(f"a second run, with {one.headroom} bits of headroom" in note for note in one.notes)
        assert one.as_dict()["headroom"] == one.headroom and one.as_dict()["without_headroom"]["values"] == saturated
        np.testing.assert_allclose(one.logits, other.logits, atol=0.05)
        assert correlation(one.attribution, other.attribution) > 0.98
        if number % 7 == 1:  # what was asked for at once, and alone, is the same
            for bits in (one.headroom, None):
                (alone,) = explain(pictures[number], narrow, "guided", backend="golden", headroom=bits)
                np.testing.assert_array_equal(alone.attribution, one.attribution)
                assert alone.headroom == one.headroom


def test_f04_the_verilog_runs_with_the_headroom_that_the_model_needed(narrow):
    pictures = [np.full((12, 12, 3), 128, np.uint8), patterns(SHAPE, 1)["grid", "white on black"][0]]
    calls = []
    results = explain(pictures, narrow, preset="small", ready=lambda number, result: calls.append((number, result.verilog)))
    assert results[0].headroom == 0 < results[1].headroom and [one.verilog for one in results] == ["equal"] * 2
    assert calls == [(0, "not run"), (1, "not run"), (0, "equal"), (1, "equal")]
    assert all(one.cycles is not None for one in results)
    with pytest.raises(GradCoreError, match="picture-1 needs headroom and others do not"):
        explain(pictures, narrow, preset="small", waves="w.fst")


def test_pictures_that_need_no_headroom_may_come_after_one_that_does(narrow, monkeypatch):
    """Each picture is run with its own formats, whatever came before; the model stands in for the Verilog."""
    opened = []

    def open_model(backend: str | Setup, network: Network, **options: object) -> Backend:
        setup = Setup.of(backend, **options)
        opened.append((setup.backend, setup.headroom))
        return open_backend(replace(setup, backend="golden"), network)

    monkeypatch.setattr("gradcore.explanation.explanation.open_backend", open_model)
    grey, grid = np.full((12, 12, 3), 128, np.uint8), patterns(SHAPE, 1)["grid", "white on black"][0]
    results = explain([grid, grey, grid], narrow)
    bits = results[0].headroom
    assert bits > 0 and [one.headroom for one in results] == [bits, 0, bits] and [one.verilog for one in results] == ["equal"] * 3
    assert opened == [("rtl", 0), ("golden", None), ("rtl", bits)]


@pytest.mark.parametrize("bits", [-1, 13, True, 1.5, "auto"])
def test_f04_headroom_that_cannot_be_given(narrow, bits):
    with pytest.raises(GradCoreError, match="bits of headroom cannot be given: use 0 to 12"):
        explain(np.zeros((12, 12, 3), np.uint8), narrow, backend="golden", headroom=bits)


def test_f04_headroom_moves_formats_alone(narrow):
    before, after = quantise(narrow), quantise(widen(narrow, 2))
    for one, other in zip(before.layers, after.layers, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)
        assert other.output_fraction == one.output_fraction - 2
    assert after.seed_value == before.seed_value and after.picture_fraction == before.picture_fraction
    assert widen(narrow, 0) is narrow
    bare = made()
    assert any(note.startswith(STORED) for note in quantise(widen(bare, 2)).notes)
    assert gradcore.compile_network(narrow, headroom=2).activations[1:] == [one - 2 for one in before.quantisation.activations[1:]]


@pytest.mark.parametrize("kind", KINDS)
def test_f04_formats_hold_pictures_of_high_contrast(kind):
    """Formats that are chosen on smooth pictures and on some patterns hold other patterns of every kind and ink."""
    network = made(3)
    drawn = patterns(SHAPE, 6)
    pictures = np.concatenate([drawn[kind, ink] for ink in INKS])
    network.metadata["quantisation"] = calibrate(network, standard_images(SHAPE, 16)).to_metadata()
    results = explain(list(pictures), network, backend="golden")
    assert [note for result in results for note in result.notes if "saturated" in note] == []
    for one, other in zip(results, explain(list(pictures), network, backend="float"), strict=True):
        np.testing.assert_allclose(one.logits, other.logits, atol=0.02)


def test_f04_the_report_of_many_pictures():
    def run(*values):
        names = (("a", "forward"), ("b", "forward"), ("a", "backward"))
        return tuple(LayerSaturation(*name, value, 100) for name, value in zip(names, values, strict=True))

    report = precision.saturation_report([[run(0, 0, 0), run(0, 0, 0)], [run(3, 1, 0), run(3, 1, 7)], [run(0, 2, 0), run(0, 2, 0)]])
    assert (report["pictures"], report["which"]) == (2, [1, 2])
    assert report["layers"] == [
        {"layer": "b", "pass": "forward", "pictures": 2, "values": 3},
        {"layer": "a", "pass": "backward", "pictures": 1, "values": 7},
        {"layer": "a", "pass": "forward", "pictures": 1, "values": 3},
    ]
    (note,) = precision.report_notes(report, 3)
    assert note.startswith("values saturated in 2 of 3 pictures: 3 in b forward (2 pictures), 7 in a backward (1 picture)")
    assert precision.report_notes(precision.saturation_report([[run(0, 0, 0)]]), 1) == []
    assert precision.saturation_report([[()]]) is None and precision.report_notes(None, 1) == []


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 5), (2, 40, 9), (4, 7, 7)])
def test_patterns_are_always_the_same_and_of_two_values(shape):
    first, again, other = patterns(shape, 2), patterns(shape, 2), patterns(shape, 2, seed=1)
    assert list(first) == [(kind, ink) for kind in KINDS for ink in INKS]
    for name, images in first.items():
        assert images.shape == (2, *shape[1:], shape[0]) and images.dtype == np.uint8
        assert set(np.unique(images)) <= {0, 255}
        np.testing.assert_array_equal(images, again[name])
    assert any(not np.array_equal(images, other[name]) for name, images in first.items())


# ---- Weights and biases that vanish, or dwarf the rest


@pytest.mark.parametrize("seed", range(5))
def test_f22_ordinary_networks_give_no_note(seed):
    assert notes_of(made(seed)) == []


def test_f22_the_shipped_network_gives_no_note():
    assert quantise(gradcore.load_network("cifar10")).notes == ()


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"conv2__weight": outlier(1e4)}, r"\d+ of 576 weights of conv2 vanish .* the largest, in channel 0, is 1e\+04: train"),
        ({"fc1__weight": outlier(-3e4)}, r"weights of fc1 vanish in 16 bits \(15 of 16 output channels altogether\).* is 3e\+04"),
        ({"conv1__weight": lambda tensor: tensor * 1e-12}, r"216 of 216 weights of conv1 vanish .*too small; multiply"),
        ({"fc2__weight": lambda tensor: tensor * 1e-30}, r"weights of fc2 vanish .*too small; multiply"),
        ({"conv1__bias": outlier(1e5)}, r"outputs of conv1 keep few bits: .* because channel 5 reaches 1e\+05 \(its bias is 1e\+05\)"),
        ({"fc1__bias": outlier(1e5)}, r"outputs of fc1 keep few bits: .*channel 5"),
        (
            {
                "conv1__weight": lambda tensor: np.concatenate([tensor[:4] * 1e-4, tensor[4:]]),
                "conv1__bias": lambda tensor: np.concatenate([tensor[:4] * 1e-4, tensor[4:]]),
                "conv2__weight": lambda tensor: np.concatenate([tensor[:, :4] * 1e4, tensor[:, 4:]], axis=1),
            },
            "weights of conv1 vanish",
        ),
    ],
)
def test_f22_weights_and_biases_that_vanish_or_dwarf_the_rest_are_told(changes, match):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notes = notes_of(made(**changes))
    assert any(gradcore_match(match, note) for note in notes), notes
    assert all("\n" not in note for note in notes)


def gradcore_match(pattern: str, text: str) -> bool:
    import re

    return re.search(pattern, text) is not None


def test_f22_a_channel_that_does_not_matter_gives_no_note():
    """Weight decay leaves such channels: nothing that the network does depends on them."""
    pruned = {
        "conv1__weight": lambda tensor: np.concatenate([tensor[:1] * 1e-20, tensor[1:]]),
        "conv1__bias": lambda tensor: np.concatenate([tensor[:1] * 1e-20, tensor[1:]]),
    }
    assert notes_of(made(**pruned)) == []


def test_f22_formats_that_are_too_coarse_are_told():
    network = made()
    formats = calibrate(network, standard_images(SHAPE, 16))
    weights = quantise(
        network,
        replace(
            formats, weights=(formats.weights[0] - 10, *formats.weights[1:]), gradients=(formats.gradients[0] - 10, *formats.gradients[1:])
        ),
    ).notes
    assert any("weights of conv1 vanish" in note and "number format is too coarse; calibrate" in note for note in weights)
    activations = (*formats.activations[:1], formats.activations[1] - 10, *formats.activations[2:])
    outputs = quantise(network, replace(formats, activations=activations)).notes
    assert any("outputs of conv1 keep few bits" in note and "number format is too coarse; calibrate" in note for note in outputs)


@pytest.mark.parametrize("mean, std", [((123.7, 116.3, 103.5), (58.4, 57.1, 57.4)), ((0.5, 0.5, 0.5), (0.25, 0.25, 1e4))])
def test_f22_pixels_that_become_equal_are_told(mean, std):
    notes = notes_of(replace(made(), mean=mean, std=std))
    assert any("of its 256 values" in note and "0..1" in note for note in notes)


# ---- Networks that explode


@pytest.mark.parametrize("factor", [1e12, 1e30])
@pytest.mark.parametrize("backend", ["golden", "float"])
def test_f24_an_exploding_network_is_one_line_that_names_the_layer(factor, backend):
    network = made(**{f"{layer.name}__weight": lambda tensor: tensor * factor for layer in LAYERS})
    with warnings.catch_warnings(), pytest.raises(GradCoreError, match=r"layer (conv2|fc1|fc2): its outputs are beyond float32") as told:
        warnings.simplefilter("error")
        explain(np.zeros((12, 12, 3), np.uint8), network, backend=backend)
    assert "\n" not in str(told.value) and "calibrate" not in str(told.value)


def test_f24_gradients_beyond_float32_are_refused():
    network = Network.random([Layer("fc", "a", 12, 4), Layer("fc", "b", 4, 3, relu=False)], (3, 2, 2), seed=1)
    weights = {
        name: tensor * np.float32(3e37 if name == "b.weight" else 1e-3 if name == "a.bias" else 1)
        for name, tensor in network.weights.items()
    }
    weights["a.weight"] = weights["a.weight"] * np.float32(100)
    network = replace(network, weights=weights, mean=(0.5,) * 3, std=(1e5,) * 3)
    for backend in ("golden", "float"):
        with warnings.catch_warnings(), pytest.raises(GradCoreError, match="beyond float32"):
            warnings.simplefilter("error")
            explain(np.full((2, 2, 3), 200, np.uint8), network, backend=backend)


def test_f24_large_finite_networks_run():
    """One layer that multiplies by 1e12 is unusual, but can be computed."""
    network = made(conv1__weight=lambda tensor: tensor * 1e12, conv1__bias=lambda tensor: tensor * 1e12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (result,) = explain(np.eye(12, dtype=np.uint8)[..., None].repeat(3, axis=2) * 255, network, backend="golden")
    assert np.all(np.isfinite(result.logits)) and np.all(np.isfinite(result.attribution)) and result.attribution.any()
    assert json.dumps(result.as_dict(), allow_nan=False)


def test_f24_calibrating_again_is_proposed_only_where_formats_were_stored():
    network = made(conv1__bias=outlier(1e30))
    with pytest.raises(GradCoreError, match=r"conv1: a bias of 1e\+30 beside weights of at most .* train with bounded") as told:
        quantise(network)
    assert "calibrate" not in str(told.value)
    network.metadata["quantisation"] = calibrate(made(), standard_images(SHAPE, 8)).to_metadata()
    with pytest.raises(GradCoreError, match="train with bounded"):  # other formats would not help
        quantise(network)
    network = made()
    formats = calibrate(network, standard_images(SHAPE, 8))
    network.metadata["quantisation"] = replace(formats, activations=(formats.activations[0], 60, *formats.activations[2:])).to_metadata()
    with pytest.raises(GradCoreError, match="conv1: the forward pass would shift by .*: calibrate the network again"):
        quantise(network)
    network.metadata["quantisation"]["weights"][0] = 5000
    with pytest.raises(GradCoreError, match="calibrate again"):
        quantise(network)


# ---- Every command tells


@pytest.fixture(scope="module")
def clipped() -> Network:
    """Weights that grew after the formats had been chosen."""
    network = made()
    network.metadata["quantisation"] = calibrate(network, standard_images(SHAPE, 8)).to_metadata()
    grown = {**network.weights, "conv2.weight": network.weights["conv2.weight"] * np.float32(3)}
    return replace(network, weights=grown)


def test_f21_eval_tells_what_explain_tells_of_a_network(clipped, tmp_path):
    from gradcore.explanation import evaluation

    stream = io.BytesIO()
    Image.fromarray(patterns(SHAPE, 1)["print", "white on black"][0]).save(stream, "PNG")
    pyarrow.parquet.write_table(pyarrow.table({"image": [stream.getvalue()] * 2, "label": [0, 1]}), tmp_path / "d.parquet")
    expected = list(quantise(clipped).notes)
    assert any("weights of conv2 saturated" in note for note in expected)
    report = evaluation.evaluate(tmp_path / "d.parquet", network=clipped)
    assert set(expected) <= set(report["notes"])
    assert report["saturation"]["pictures"] == 2 and any(note.startswith("values saturated in 2 of 2") for note in report["notes"])
    assert report["saturation"]["methods"]["saliency"]["pearson_min"] == report["methods"]["saliency"]["pearson_min"]
    report = evaluation.evaluate_patterns(1, network=clipped)
    assert report["images"] == 27 and [one["kind"] for one in report["kinds"]] == list(KINDS)
    assert set(expected) <= set(report["notes"]) and sum(one["saturation"]["pictures"] for one in report["kinds"]) > 0
    assert json.dumps(report, allow_nan=False) and evaluation.tables(report)


def test_f21_compile_tells_on_standard_error_and_in_json(clipped, tmp_path, capsys, monkeypatch):
    from gradcore.cli import app

    clipped.save(tmp_path / "net.safetensors")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as done:
        app(["compile", "net.safetensors", "--out", "net.bin", "--json"])
    told = capsys.readouterr()
    assert not done.value.code
    (note,) = [note for note in quantise(clipped).notes if "saturated" in note]
    assert f"net.safetensors: {note}" in told.err.replace("\n", " ") and note in json.loads(told.out)["notes"]


def test_f21_train_tells_of_the_network_that_it_made(clipped, tmp_path, capsys, monkeypatch):
    from gradcore import training
    from gradcore.cli import app

    trained = replace(clipped, metadata={**clipped.metadata, "training": {"pictures": 1, "validation_accuracy": 0.5}})
    monkeypatch.setattr(training, "train_file", lambda *arguments, **options: trained)
    with pytest.raises(SystemExit):
        app(["train", "--data", "d.parquet", "--out", str(tmp_path / "net.safetensors"), "--json"])
    told = capsys.readouterr()
    (note,) = [note for note in quantise(clipped).notes if "saturated" in note]
    assert note in told.err.replace("\n", " ") and note in json.loads(told.out)["notes"]


def test_f04_the_command_line_takes_headroom(narrow, tmp_path, capsys, monkeypatch):
    from PIL import Image

    from gradcore.cli import app

    monkeypatch.chdir(tmp_path)
    narrow.save("net.safetensors")
    Image.fromarray(patterns(SHAPE, 1)["grid", "white on black"][0]).save("a.png")
    for option, headroom in ((["--headroom", "0"], {0}), (["--headroom", "3"], {3}), ([], {2, 4, 6, 8})):
        with pytest.raises(SystemExit) as done:
            app(["explain", "--backend", "golden", "--network", "net.safetensors", "--json", *option, "a.png"])
        told = capsys.readouterr()
        (result,) = json.loads(told.out)
        assert not done.value.code and result["headroom"] in headroom and "saturated" in told.err
    for text in ("13", "x", "-1", ""):
        with pytest.raises(SystemExit) as done:
            app(["explain", "--backend", "golden", "--network", "net.safetensors", f"--headroom={text}", "a.png"])
        assert done.value.code == 2 and "headroom" in capsys.readouterr().err

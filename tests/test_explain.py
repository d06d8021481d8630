# SPDX-License-Identifier: Apache-2.0
"""The library function explain, on the bit-exact model: results, classes, folders, files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import gradcore
from gradcore import GradCoreError, Layer, Network
from gradcore.backends import open_backend
from gradcore.explanation import Explanation, explain, find_class
from gradcore.explanation.result_folders import result_folders
from gradcore.host.files import check_folder
from gradcore.models import network as golden
from gradcore.quantise import calibrate, quantise

LAYERS = [
    Layer("conv", "conv1", 3, 8, 3, pool=True),
    Layer("conv", "conv2", 8, 12, 3),
    Layer("fc", "fc1", 12 * 8 * 8, 5, relu=False),
]
METHODS = ("saliency", "deconvnet", "guided")


@pytest.fixture(scope="module")
def network() -> Network:
    made = Network.random(LAYERS, (3, 16, 16), name="tiny", seed=3)
    made.classes[:] = ["ant", "bee", "Cat", "7", "dog"]
    return made


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("method", METHODS)
def test_results_are_those_of_the_golden_model(network, picture, method):
    (result,) = explain(picture, network, method, backend="golden")
    quantised = quantise(network)
    forward = golden.forward(quantised, quantised.quantise_image(picture))
    backward = golden.backward(quantised, forward, method)
    np.testing.assert_array_equal(result.logits, quantised.dequantise_logits(forward.logits[0]))
    np.testing.assert_array_equal(result.attribution, quantised.dequantise_attribution(backward.attribution[0]))
    assert result.attribution.dtype == np.float32 and result.attribution.shape == (3, 16, 16)
    assert result.predicted == result.target == int(np.argmax(result.logits))
    assert result.cycles is None and result.latency_ms is None and result.clock_mhz is None
    assert (result.network, result.method, result.backend) == ("tiny", method, "golden")


@pytest.mark.parametrize("method", METHODS)
def test_the_golden_backend_counts_what_saturates(method):
    """High contrast, on formats chosen with generated pictures, in a network whose formats leave no room."""
    network = Network.random(LAYERS, (3, 16, 16), name="narrow", seed=3)
    formats = quantise(network).quantisation
    narrow = replace(
        formats,
        activations=(formats.activations[0], *(fraction + 3 for fraction in formats.activations[1:])),
        gradients=(*(fraction + 3 for fraction in formats.gradients[:-1]), formats.gradients[-1]),
    )
    network.metadata["quantisation"] = narrow.to_metadata()
    pictures = [np.zeros((16, 16, 3), np.uint8), np.kron(np.eye(2)[..., None], np.full((8, 8, 3), 255)).astype(np.uint8)]
    runs = open_backend("golden", network, headroom=0).run(pictures, [method])[method]
    passes = [(one.layer, one.direction, one.outputs) for one in runs[1].saturation]
    assert passes == [
        ("conv1", "forward", 16 * 16 * 8),
        ("conv2", "forward", 8 * 8 * 12),
        ("fc1", "forward", 5),
        ("fc1", "backward", 8 * 8 * 12),
        ("conv2", "backward", 8 * 8 * 8),
        ("conv1", "backward", 16 * 16 * 3),
    ]
    quantised = quantise(network)
    for picture, run in zip(pictures, runs, strict=True):
        forward = golden.forward(quantised, quantised.quantise_image(picture))
        counts = golden.saturations(quantised, forward, golden.backward(quantised, forward, method))
        assert [(one.layer, one.direction, one.values, one.outputs) for one in run.saturation] == counts
    assert any(one.values for one in runs[1].saturation[:3]) and any(one.values for one in runs[1].saturation[3:])
    assert runs[0].saturation != runs[1].saturation


def test_several_pictures_are_as_one_after_the_other(network):
    pictures = list(np.random.default_rng(5).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8))
    together = explain(pictures, network, backend="golden")
    assert len(together) == 20 and [one.image for one in together[:2]] == ["picture-0", "picture-1"]
    for index in (0, 7, 19):
        (alone,) = explain(pictures[index], network, backend="golden")
        np.testing.assert_array_equal(alone.logits, together[index].logits)
        np.testing.assert_array_equal(alone.attribution, together[index].attribution)


@pytest.mark.parametrize("target", ["bee", 1, "1", " BEE "])
def test_targets_by_name_and_by_index(network, picture, target):
    (result,) = explain(picture, network, target=target, backend="golden")
    (other,) = explain(picture, network, target="ant", backend="golden")
    assert result.target == 1 and not np.array_equal(result.attribution, other.attribution)
    np.testing.assert_array_equal(result.logits, other.logits)


def test_a_name_comes_before_an_index():
    assert find_class("7", ["ant", "bee", "Cat", "7"]) == 3


@pytest.mark.parametrize("backend", ["golden", "float"])
def test_f11_an_integer_is_an_index_and_a_text_a_name_first(network, picture, backend):
    numbered = replace(network, classes=["1", "2", "3", "7", "0"])
    for target, index in ((1, 1), (np.int64(2), 2), (np.uint8(3), 3), ("1", 0), ("0", 4), (np.str_("2"), 1), ("4", 4)):
        (result,) = explain(picture, numbered, target=target, backend=backend)
        assert (result.target, result.as_dict()["target"]) == (index, numbered.classes[index]), target


@pytest.mark.parametrize("target", [True, np.bool_(False), 5, -1, np.int64(-1), 1.0, np.float32(2), b"ant", "9" * 5000])
def test_f11_what_is_no_class_is_refused(network, picture, target):
    with pytest.raises(GradCoreError, match=r"unknown class .*0 to 4"):
        explain(picture, network, target=target, backend="golden")


def test_f11_names_that_differ_in_case_alone_are_told_apart():
    classes = ["Ant", "ant", "bee"]
    assert [find_class(name, classes) for name in ("Ant", "ant", " BEE")] == [0, 1, 2]
    with pytest.raises(GradCoreError, match=r"2 classes are called 'ANT'.*give the index"):
        find_class("ANT", classes)


MAP_LAYERS = [Layer("conv", "c1", 3, 8, 3, pool=True), Layer("conv", "c2", 8, 5, 1, relu=False)]


@pytest.mark.parametrize("backend", ["golden", "float"])
def test_f09_a_network_that_ends_with_a_convolution_numbers_its_classes_as_pytorch_does(backend):
    import torch

    from gradcore.backends.pytorch import build_module

    network = Network.random(MAP_LAYERS, (3, 8, 12), seed=2)
    pictures = list(np.random.default_rng(0).integers(0, 256, (6, 8, 12, 3), dtype=np.uint8))
    network.metadata["quantisation"] = calibrate(network, np.stack(pictures)).to_metadata()
    scores = build_module(network)(torch.from_numpy(network.normalise(np.stack(pictures)))).detach().numpy()
    results = explain(pictures, network, backend=backend)
    np.testing.assert_allclose(np.stack([one.logits for one in results]), scores, atol=0.005)
    assert [one.target for one in results] == list(scores.argmax(1)) == [one.predicted for one in results]
    (named,) = explain(pictures[0], network, target="class 57", backend=backend)
    values = torch.from_numpy(network.normalise(np.stack(pictures[:1]))).requires_grad_(True)
    build_module(network)(values)[0, 57].backward()
    np.testing.assert_allclose(named.attribution, values.grad[0].numpy(), atol=0.01)


@pytest.mark.parametrize("target", [None, 3])
def test_f09_the_verilog_numbers_its_classes_as_pytorch_does(target):
    """Equal maxima included: the core takes the first in memory (H, W, C), and the first class (C, H, W) is explained."""
    network = Network.random([Layer("conv", "c", 1, 3, 1, relu=False)], (1, 2, 2), seed=2)
    network.weights["c.weight"][:, 0, 0, 0], network.weights["c.bias"][:] = (1.0, -1.0, 0.0), 0
    network = replace(network, mean=(0.4,), std=(0.4,))
    picture = np.array([[0, 51], [204, 10]], np.uint8)[..., None]  # class 1 at pixel 0 is as high as class 0 at pixel 2
    results = [explain(picture, network, target=target, backend=name, preset="small")[0] for name in ("golden", "rtl")]
    for result in results:
        assert (result.target, result.predicted) == (2 if target is None else target, 2)
        assert result.logits[2] == result.logits[4] == result.logits.max()
    np.testing.assert_array_equal(results[0].logits, results[1].logits)
    np.testing.assert_array_equal(results[0].attribution, results[1].attribution)


@pytest.mark.parametrize("target", ["wasp", "5", "-1", 5, -1, "", "1.0", "²"])
def test_unknown_classes_are_refused_with_the_known_ones(network, picture, target):
    with pytest.raises(GradCoreError, match=r"unknown class .*ant, bee, Cat, 7, dog.*0 to 4"):
        explain(picture, network, target=target, backend="golden")


@pytest.mark.parametrize(
    "options",
    [{"method": "grad-cam"}, {"backend": "fpga"}, {"method": "Saliency"}, {"backend": "golden", "waves": "x.fst"}],
)
def test_unknown_options_are_refused(network, picture, options):
    with pytest.raises(GradCoreError):
        explain(picture, network, **options)


def test_pictures_of_other_sizes_are_resized(network):
    (result,) = explain(np.zeros((50, 40, 3), np.uint8), network, backend="golden")
    assert result.picture.resized and "resized" in result.notes[0] and result.attribution.shape == (3, 16, 16)


def test_a_network_file_and_its_name(network, picture, tmp_path):
    network.save(tmp_path / "net.safetensors")
    (from_file,) = explain([picture], tmp_path / "net.safetensors", backend="golden")
    (direct,) = explain([picture], network, backend="golden")
    np.testing.assert_array_equal(from_file.attribution, direct.attribution)
    assert from_file.network == str(tmp_path / "net.safetensors")


def test_no_pictures_no_work(network):
    assert explain([], network, backend="golden") == []


def test_a_gradient_of_zeros_is_said(picture):
    dead = Network.random(LAYERS, (3, 16, 16), seed=3)
    for name in dead.weights:
        dead.weights[name][:] = 0
    (result,) = explain(picture, dead, backend="golden")
    assert any("zero everywhere" in note for note in result.notes)


def test_the_files_of_a_result(network, picture, tmp_path):
    (result,) = explain(picture, network, "guided", "Cat", "golden")
    files = result.save(tmp_path / "a" / "b")
    assert set(files) == {"heatmap", "overlay", "attribution", "input", "result"}
    stored = json.loads((tmp_path / "a" / "b" / "result.json").read_text())
    assert stored == result.as_dict() and stored["files"] == files
    assert set(stored) >= {
        "image",
        "network",
        "method",
        "backend",
        "classes",
        "logits",
        "predicted",
        "target",
        "cycles",
        "latency_ms",
        "clock_mhz",
        "files",
    }
    assert stored["target"] == "Cat" and stored["predicted"] == stored["classes"][int(np.argmax(stored["logits"]))]
    np.testing.assert_array_equal(np.load(files["attribution"]), result.attribution)
    np.testing.assert_array_equal(np.load(files["input"]), result.picture.pixels)
    for name in ("heatmap", "overlay"):
        image = Image.open(files[name])
        assert image.format == "PNG" and min(image.size) >= 512


def test_equal_stems_do_not_share_a_folder(tmp_path):
    names = ["a/cat.png", "b/cat.jpg", "cat-2.png", "CAT.gif", "dog.png", "cat"]
    folders = result_folders(tmp_path, names)
    assert [folder.name for folder in folders] == ["cat", "cat-3", "cat-2", "CAT-4", "dog", "cat-5"]
    assert len({folder.name.casefold() for folder in folders}) == len(names)


def test_folders_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(GradCoreError, match="cannot be written"):
            check_folder(folder)
    assert (tmp_path / "file").read_text() == "x"
    check_folder(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()


def test_top_level_names_are_there():
    assert gradcore.explain is explain and gradcore.Explanation is Explanation
    for name in gradcore.__all__:
        assert getattr(gradcore, name) is not None, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = gradcore.nonsense


def test_f25_a_picture_made_for_another_network(network, picture):
    with pytest.raises(GradCoreError, match="takes uint8 pictures of 16 x 16 x 3"):
        explain(gradcore.load_picture(picture, height=8, width=16), network, backend="golden")


# What an answer is worth --------------------------------------------------------------------------------------------------


def with_logits(network, monkeypatch, *logits):
    """The explanation of a picture of the network's own size, whose scores are these."""
    from gradcore.backends import GoldenBackend

    right = GoldenBackend.run

    def run(self, pictures, methods, target=None, progress=lambda *_: None, keep=False):
        return {name: [replace(one, logits=np.array(logits)) for one in runs] for name, runs in right(self, pictures, methods).items()}

    monkeypatch.setattr(GoldenBackend, "run", run)
    (result,) = explain(np.full((16, 16, 3), 90, np.uint8), network, backend="golden")
    return result


def test_a_weak_answer_is_called_weak_and_the_classes_are_named(network, monkeypatch):
    sure = with_logits(network, monkeypatch, 5.0, 0.0, 0.0, 0.0, 0.0)
    assert not sure.weak and not any("weak" in note or "knows only" in note for note in sure.notes)
    monkeypatch.undo()
    unsure = with_logits(network, monkeypatch, 0.0, 1.0, 0.9, 0.0, 0.0)
    assert unsure.weak and unsure.as_dict()["weak"] is True and 0.3 < unsure.softmax[1] < 0.34
    assert any(note.startswith("the network knows only ant, bee, Cat, 7, dog: ") for note in unsure.notes)
    assert any("its answer is weak, bee has 33% of the softmax" in note for note in unsure.notes)
    monkeypatch.undo()
    half = with_logits(network, monkeypatch, 0.0, 0.0, -1e9, -1e9, -1e9)
    assert not half.weak and half.softmax[0] == 0.5


def test_a_picture_that_was_resized_may_show_anything(network):
    (result,) = explain(np.zeros((50, 40, 3), np.uint8), network, backend="golden")
    assert any("knows only ant, bee, Cat, 7, dog" in note for note in result.notes)
    many = replace(result, classes=tuple(f"c{number}" for number in range(1000)), logits=np.zeros(1000))
    assert any(", c19, ... (1000 in all): " in note for note in many.notes)


def test_the_caller_is_told_as_soon_as_there_is_an_answer(network, picture):
    seen = []
    results = explain([picture, picture], network, backend="golden", ready=lambda number, result: seen.append((number, result)))
    assert [number for number, _ in seen] == [0, 1] and all(one is other for (_, one), other in zip(seen, results, strict=True))
    assert all(result.verilog is None for result in results)


def test_a_failure_later_on_costs_the_answers_before_it_nothing(network, picture, monkeypatch):
    """They are handed out part by part, with the progress of all."""
    from gradcore.backends import GoldenBackend

    right, parts, told, seen = GoldenBackend.run, [], [], []

    def run(self, pictures, *rest):
        parts.append(len(pictures))
        if len(parts) == 3:
            raise GradCoreError("it failed")
        return right(self, pictures, *rest)

    monkeypatch.setattr(GoldenBackend, "run", run)
    with pytest.raises(GradCoreError, match="it failed"):
        explain([picture] * 40, network, backend="golden", progress=lambda *what: told.append(what), ready=lambda *_: seen.append(_))
    assert parts == [16, 16, 8] and len(seen) == 32
    assert [(done, total) for text, done, total in told if "golden" in text] == [(0, 40), (16, 40), (16, 40), (32, 40)]


def test_what_was_computed_is_written_before_it_is_drawn(network, picture, tmp_path, monkeypatch):
    from gradcore.drawing import heatmap

    monkeypatch.setattr(heatmap, "draw_overlay", lambda *_, **__: (_ for _ in ()).throw(GradCoreError("full: make room")))
    (result,) = explain(picture, network, backend="golden")
    with pytest.raises(GradCoreError, match="full"):
        result.save(tmp_path)
    assert set(result.files) == {"attribution", "input", "result", "heatmap"}
    assert set(json.loads((tmp_path / "result.json").read_text())["files"]) == {"attribution", "input", "result"}


def test_f28_names_of_folders():
    from gradcore.host.files import folder_name

    names = {"...png": "picture", ".png": "png", "..": "picture", "a/..": "picture", "": "picture", "a. .png": "a", " a .png": "a",
             "a/b.c.png": "b.c", "CON.png": "CON_", "con.x.png": "con_.x", "a\nb.png": "a_b", "a\\b.png": "a_b", "\udcff.png": "_",
             "x" * 300: "x" * 240, "猫" * 100: "猫" * 80}  # fmt: skip
    assert {name: folder_name(name) for name in names} == names


def test_a_setup_says_what_runs(picture, network):
    """One object, or attribute by attribute; attributes win. What a back end does not have is refused when it is opened."""
    setup = gradcore.Setup("golden", preset="small", headroom=0)
    (one,), (other,) = explain(picture, network, backend=setup), explain(picture, network, backend="golden", headroom=0)
    assert one.backend == "golden" and one.logits.tolist() == other.logits.tolist()
    assert gradcore.Setup.of(setup, headroom=2) == gradcore.Setup("golden", preset="small", headroom=2)
    with pytest.raises(TypeError, match="presets"):
        explain(picture, network, backend=setup, presets="small")
    with pytest.raises(GradCoreError, match="golden backend has no waveforms"):
        open_backend(setup, network, waves="w.fst")
    with pytest.raises(GradCoreError, match="golden backend has no timeline"):
        open_backend(setup, network, trace="t.json")


def test_a_network_is_loaded_once_and_called_as_it_was_named(picture, network, tmp_path):
    network.save(tmp_path / "net.safetensors")
    loaded = gradcore.load_network(tmp_path / "net.safetensors")
    assert gradcore.load_network(loaded) is loaded and loaded.label == str(tmp_path / "net.safetensors") and network.label == network.name
    (result,) = explain(picture, loaded, backend="golden")
    assert result.network == loaded.label
    with pytest.raises(GradCoreError, match="the waves would overwrite the network"):
        explain(picture, loaded, waves=tmp_path / "net.safetensors")

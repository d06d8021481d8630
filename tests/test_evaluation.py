# SPDX-License-Identifier: Apache-2.0
"""eval: accuracy, and agreement of attributions with float autograd."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gradcore import GradCoreError, Layer, Network
from gradcore.explanation import evaluation, explain
from gradcore.quantise import calibrate, standard_images

LAYERS = [
    Layer("conv", "conv1", 3, 8, 3, pool=True),
    Layer("conv", "conv2", 8, 12, 3),
    Layer("fc", "fc1", 12 * 4 * 4, 5, relu=False),
]


@pytest.fixture(scope="module")
def network() -> Network:
    made = Network.random(LAYERS, (3, 8, 8), name="tiny", seed=3)
    made.metadata["quantisation"] = calibrate(made, standard_images(made.input_shape)).to_metadata()
    return made


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return list(np.random.default_rng(4).integers(0, 256, (70, 8, 8, 3), dtype=np.uint8))


def write(path, pictures, labels, classes=None):
    encoded = []
    for picture in pictures:
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "PNG")
        encoded.append(stream.getvalue())
    table = pa.table({"image": encoded, "label": labels})
    pq.write_table(table if classes is None else table.replace_schema_metadata({"classes": ",".join(classes)}), path)
    return path


@pytest.fixture(scope="module")
def data(network, pictures, tmp_path_factory):
    """Labels that the network gets right but for every seventh."""
    labels = [one.predicted for one in explain(pictures, network, backend="golden")]
    labels = [(label + 1) % 5 if number % 7 == 0 else label for number, label in enumerate(labels)]
    return write(tmp_path_factory.mktemp("data") / "d.parquet", pictures, labels)


def test_golden(network, data):
    calls = []
    report = evaluation.evaluate(data, network=network, progress=lambda *call: calls.append(call))
    assert report["images"] == 70 and report["accuracy"] == pytest.approx(60 / 70)
    assert list(report["methods"]) == ["saliency", "deconvnet", "guided"]
    for values in report["methods"].values():
        assert 0.9 < values["pearson_min"] <= values["pearson_median"] <= 1
        assert values["pearson_median"] > 0.999
    assert ("evaluating", 64, 70) in calls
    assert evaluation.tables(report)


def test_weak_answers_are_counted_among_right_and_wrong_ones(network, pictures, data):
    report = evaluation.evaluate(data, network=network)
    weak = np.array([one.weak for one in explain(pictures, network, backend="golden")])
    wrong = np.arange(len(pictures)) % 7 == 0  # the fixture's labels
    assert 0 < weak.sum() < len(weak)
    assert report["weak"] == {
        "pictures": weak.sum(), "right": pytest.approx(weak[~wrong].mean()), "wrong": pytest.approx(weak[wrong].mean())
    }  # fmt: skip


def test_float_agrees_with_itself(network, data):
    report = evaluation.evaluate(data, network=network, backend="float", limit=10)
    assert report["images"] == 10
    for values in report["methods"].values():
        assert values["pearson_min"] == pytest.approx(1.0)


def test_pictures_of_another_size_are_resized(network, tmp_path):
    large = list(np.random.default_rng(4).integers(0, 256, (3, 20, 24, 3), dtype=np.uint8))
    assert evaluation.evaluate(write(tmp_path / "d.parquet", large, [0, 1, 2]), network=network)["images"] == 3


def test_labels_beyond_the_networks_classes(network, pictures, tmp_path):
    with pytest.raises(GradCoreError, match="row 1 has the label 5, but the network has 5 classes"):
        evaluation.evaluate(write(tmp_path / "d.parquet", pictures[:2], [0, 5]), network=network)


NAMES = ["maple tree", "Oak", "palm-tree", "pine", "willow"]


@pytest.fixture(scope="module")
def named(network) -> Network:
    return replace(network, classes=NAMES)


@pytest.fixture(scope="module")
def answers(network, pictures) -> list[int]:
    """What the network says of the first twelve pictures."""
    return [one.predicted for one in explain(pictures[:12], network, backend="golden")]


@pytest.mark.parametrize("write_name", [str, str.upper, lambda name: name.replace(" ", "_"), lambda name: f" {name.title()} "])
def test_f05_classes_are_matched_by_name(named, pictures, answers, tmp_path, write_name):
    order = [3, 0, 4, 1, 2]
    names = [write_name(NAMES[number]) for number in order]
    file = write(tmp_path / "d.parquet", pictures[:12], [order.index(answer) for answer in answers], names)
    report = evaluation.evaluate(file, network=named)
    assert report["accuracy"] == 1.0
    assert report["notes"] == [f"{file} and the network number their classes differently: they were matched by name"]


def test_f05_the_same_order_needs_no_words(named, pictures, answers, tmp_path):
    report = evaluation.evaluate(write(tmp_path / "d.parquet", pictures[:12], answers, NAMES), network=named)
    assert report["accuracy"] == 1.0 and report["notes"] == []


def test_f05_a_file_with_fewer_classes(named, pictures, answers, tmp_path):
    some = [(picture, answer) for picture, answer in zip(pictures, answers, strict=False) if answer == answers[0]]
    file = write(tmp_path / "d.parquet", [picture for picture, _ in some], [1] * len(some), ["elm", NAMES[answers[0]]])
    report = evaluation.evaluate(file, network=named)  # no picture is an elm
    assert report["accuracy"] == 1.0
    assert f"{file} has 2 of the 5 classes of the network" in report["notes"]


def test_f05_names_that_the_network_does_not_know(named, pictures, tmp_path):
    file = write(tmp_path / "d.parquet", pictures[:3], [0, 1, 2], ["pine", "elm", "birch"])
    with pytest.raises(GradCoreError, match="the network does not know elm, birch, .* it knows maple tree, Oak, palm-tree, pine, willow; "):
        evaluation.evaluate(file, network=named)


@pytest.mark.parametrize("numbers", [None, ["0", "1", "2", "3", "4"]])
def test_f05_a_file_with_numbers_only(named, pictures, answers, tmp_path, numbers):
    file = write(tmp_path / "d.parquet", pictures[:12], answers, numbers)
    report = evaluation.evaluate(file, network=named)
    assert report["accuracy"] == 1.0
    assert report["notes"] == [f"{file} has no class names: its labels were taken as the numbers of the network's classes"]


def test_f05_a_network_with_numbers_only(network, pictures, answers, tmp_path):
    file = write(tmp_path / "d.parquet", pictures[:12], answers, NAMES)
    report = evaluation.evaluate(file, network=network)
    assert report["accuracy"] == 1.0 and "the network has no class names" in report["notes"][0]
    digits = Network("tiny", network.layers, network.weights, list("01234"), network.input_shape, network.mean, network.std)
    file = write(tmp_path / "d.parquet", pictures[:12], [4 - answer for answer in answers], list("43210"))
    assert evaluation.evaluate(file, network=digits)["accuracy"] == 1.0  # these are names, too: both sides have them


def test_f05_names_that_differ_in_case_only_are_matched_exactly(network, pictures, answers, tmp_path):
    names = ["pine", "Pine", "oak", "Oak", "elm"]
    cased = Network("tiny", network.layers, network.weights, names, network.input_shape, network.mean, network.std)
    file = write(tmp_path / "d.parquet", pictures[:12], [4 - answer for answer in answers], names[::-1])
    assert evaluation.evaluate(file, network=cased)["accuracy"] == 1.0
    with pytest.raises(GradCoreError, match="does not know PINE"):
        evaluation.evaluate(write(tmp_path / "d.parquet", pictures[:1], [0], ["PINE"]), network=cased)


def test_f02_eval_sees_what_explain_sees(network, pictures, tmp_path):
    deep = [picture[..., 0].astype(np.uint16) * 257 for picture in pictures[:12]]
    seen = [one.predicted for one in explain([Image.fromarray(picture) for picture in deep], network, backend="golden")]
    assert len(set(seen)) > 1
    report = evaluation.evaluate(write(tmp_path / "d.parquet", deep, seen), network=network)
    assert report["accuracy"] == 1.0
    assert report["notes"] == ["12 of 12 pictures, the first of them in row 0: its grey values (0..65535) were brought to 8 bits"]


def test_unknown_backend(network, data):
    with pytest.raises(GradCoreError, match="golden, float"):
        evaluation.evaluate(data, network=network, backend="rtl")


def test_pearson():
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(2, 3, 8, 8))
    assert evaluation.pearson(one, other) == pytest.approx(np.corrcoef(one.ravel(), other.ravel())[0, 1])
    assert evaluation.pearson(one, 3 * one + 1) == pytest.approx(1)
    assert evaluation.pearson(one, -one) == pytest.approx(-1)
    zeros = np.zeros_like(one)
    assert evaluation.pearson(zeros, zeros) == 1 and evaluation.pearson(one, zeros) == 0

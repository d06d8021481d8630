# SPDX-License-Identifier: Apache-2.0
"""eval: accuracy, and agreement of attributions with float autograd."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gradcore import GradCoreError, Layer, Network, evaluation
from gradcore.explanation import explain

pytest.importorskip("torch")

LAYERS = [
    Layer("conv", "conv1", 3, 8, 3, pool=True),
    Layer("conv", "conv2", 8, 12, 3),
    Layer("fc", "fc1", 12 * 4 * 4, 5, relu=False),
]


@pytest.fixture(scope="module")
def network() -> Network:
    return Network.random(LAYERS, (3, 8, 8), name="tiny", seed=3)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return list(np.random.default_rng(4).integers(0, 256, (70, 8, 8, 3), dtype=np.uint8))


def write(path, pictures, labels):
    encoded = []
    for picture in pictures:
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "PNG")
        encoded.append(stream.getvalue())
    pq.write_table(pa.table({"image": encoded, "label": labels}), path)
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


def test_float_agrees_with_itself(network, data):
    report = evaluation.evaluate(data, network=network, backend="float", limit=10)
    assert report["images"] == 10
    for values in report["methods"].values():
        assert values["pearson_min"] == pytest.approx(1.0)


def test_pictures_of_another_size_are_resized(network, tmp_path):
    large = list(np.random.default_rng(4).integers(0, 256, (3, 20, 24, 3), dtype=np.uint8))
    assert evaluation.evaluate(write(tmp_path / "d.parquet", large, [0, 1, 2]), network=network)["images"] == 3


def test_labels_beyond_the_networks_classes(network, pictures, tmp_path):
    with pytest.raises(GradCoreError, match="label 5.*5 classes"):
        evaluation.evaluate(write(tmp_path / "d.parquet", pictures[:2], [0, 5]), network=network)


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

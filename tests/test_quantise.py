# SPDX-License-Identifier: Apache-2.0
"""Number formats: chosen as promised, stored and read back, refused where they cannot work."""

from __future__ import annotations

import numpy as np
import pytest

from gradcore.errors import GradCoreError
from gradcore.models import arithmetic
from gradcore.models import network as golden
from gradcore.network import Layer, Network
from gradcore.quantise import (
    Quantisation,
    calibrate,
    fraction_for,
    picture_table,
    quantise,
    quantise_image,
    standard_images,
)

LAYERS = [
    Layer("conv", "conv1", 3, 8, 3),
    Layer("conv", "conv2", 8, 8, 3, pool=True),
    Layer("fc", "fc1", 8 * 36, 16),
    Layer("fc", "fc2", 16, 5, relu=False),
]


@pytest.fixture(scope="module")
def network():
    return Network.random(LAYERS, (3, 12, 12), seed=7)


@pytest.fixture(scope="module")
def quantisation(network):
    return calibrate(network, standard_images((3, 12, 12), 16), source="generated")


@pytest.mark.parametrize("largest", [1e-6, 0.3, 0.5, 0.999, 1.0, 1.5, 2.0, 100.0, 32767.0, 32768.0, 1e6])
def test_most_bits_that_do_not_saturate(largest):
    fraction = fraction_for(largest)
    assert np.floor(largest * 2.0**fraction + 0.5) <= 32767
    assert fraction == 30 or np.floor(largest * 2.0 ** (fraction + 1) + 0.5) > 32767


def test_weights_use_the_range_and_do_not_saturate(network, quantisation):
    quantised = quantise(network, quantisation)
    assert not quantised.saturated
    for layer in quantised.layers:
        assert 16384 <= np.abs(layer.weights).max() <= 32767


def test_activations_use_the_range_and_gradients_keep_a_margin_bit(network, quantisation):
    quantised = quantise(network, quantisation)
    pictures = quantised.quantise_image(standard_images((3, 12, 12), 16))
    forward = golden.forward(quantised, pictures)
    for trace in forward.layers[:-1]:
        assert 8192 <= np.abs(trace.full).max() <= 32767
    assert 4096 <= np.abs(forward.logits).max() <= 16400
    backwards = {method: golden.backward(quantised, forward, method) for method in arithmetic.METHODS}
    for position in range(len(LAYERS)):
        assert 4096 <= max(np.abs(backward.gradients[position]).max() for backward in backwards.values()) <= 16400
    assert not any(counts.any() for backward in backwards.values() for counts in backward.saturated)
    assert not forward.layers[-1].saturated.any()  # logits have a margin, too


def test_formats_that_are_too_narrow_saturate(network, quantisation):
    narrow = Quantisation(
        tuple(fraction + 1 for fraction in quantisation.weights),
        (quantisation.activations[0], *(fraction + 3 for fraction in quantisation.activations[1:])),
        quantisation.gradients,
    )
    quantised = quantise(network, narrow)
    assert quantised.saturated and any("saturated" in note for note in quantised.notes)
    forward = golden.forward(quantised, np.full((1, 12, 12, 3), 32767))
    assert any(trace.saturated.any() for trace in forward.layers)


def test_agrees_with_float(network, quantisation):
    """Attributions of the integers and of the float network point the same way, for every method."""
    from gradcore.quantise import float_numpy

    quantised = quantise(network, quantisation)
    images = standard_images((3, 12, 12), 40)[16:]
    pictures = quantised.quantise_image(images)
    forward = golden.forward(quantised, pictures)
    real = (images / 255.0 - np.asarray(network.mean)) / np.asarray(network.std)
    traces = float_numpy.forward(network, real.astype(np.float32))
    np.testing.assert_allclose(quantised.dequantise_logits(forward.logits), traces[-1].output.reshape(len(images), -1), atol=0.01)
    for method in arithmetic.METHODS:
        attribution = golden.backward(quantised, forward, method).attribution
        expected = float_numpy.backward(network, real.shape, traces, method)[0].transpose(0, 3, 1, 2)
        correlations = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(attribution, expected, strict=True)]
        assert np.median(correlations) >= 0.999 and min(correlations) >= 0.98, (method, min(correlations))
        scale = np.abs(expected).max()
        assert np.median(np.abs(quantised.dequantise_attribution(attribution) - expected)) < 0.001 * scale


def test_the_file_keeps_the_formats(network, quantisation, tmp_path):
    network.metadata["quantisation"] = quantisation.to_metadata()
    try:
        network.save(tmp_path / "network.safetensors")
    finally:
        del network.metadata["quantisation"]
    loaded = Network.load(tmp_path / "network.safetensors")
    quantised = quantise(loaded)
    assert quantised.quantisation == quantisation and not quantised.notes


def test_a_network_without_formats_is_calibrated_with_a_note(network):
    quantised = quantise(network)
    assert any("generated pictures" in note for note in quantised.notes)


def test_picture_formula():
    mean, std = (0.5, 0.25, 0.4), (0.25, 0.5, 0.3)
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)
    expected = np.floor((pixels / 255.0 - mean) / std * 2.0**12 + 0.5)
    np.testing.assert_array_equal(quantise_image(pixels, mean, std, 12), np.clip(expected, -32768, 32767))
    assert picture_table(mean, std, 12).dtype == np.int16
    with pytest.raises(GradCoreError, match="uint8"):
        quantise_image(pixels.astype(float), mean, std, 12)


def test_pictures_never_saturate(network, quantisation):
    table = picture_table(network.mean, network.std, quantisation.activations[0])
    assert np.abs(table.astype(int)).max() < 32767


@pytest.mark.parametrize("change", [{"weights": [1]}, {"activations": []}, {"gradients": None}, {"weights": ["a", 1, 1, 1]}])
def test_formats_that_do_not_fit_are_refused(network, quantisation, change):
    with pytest.raises(GradCoreError, match="calibrate"):
        Quantisation.from_metadata({**quantisation.to_metadata(), **change}, len(LAYERS))


def test_impossible_shifts_are_refused(network, quantisation):
    for activations in ((0, 40, 40, 40, 40), (30, -40, 0, 0, 0)):
        with pytest.raises(GradCoreError, match="shift"):
            quantise(network, Quantisation(quantisation.weights, activations, quantisation.gradients))
    with pytest.raises(GradCoreError, match="seed"):
        quantise(network, Quantisation(quantisation.weights, quantisation.activations, (*quantisation.gradients[:-1], 15)))


def test_a_bias_beyond_the_accumulator_is_refused(network, quantisation):
    weights = {**network.weights, "conv1.bias": np.full(8, 1e9, dtype=np.float32)}
    large = Network(network.name, network.layers, weights, network.classes, network.input_shape, network.mean, network.std)
    with pytest.raises(GradCoreError, match="conv1.*accumulator"):
        quantise(large, quantisation)


PICTURES = np.zeros((2, 12, 12, 3), np.uint8)


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (PICTURES.transpose(0, 3, 1, 2), r"uint8 of 3 x 12 x 12: give images.transpose\(0, 2, 3, 1\)"),
        (PICTURES / 255, "float64 of 12 x 12 x 3: resize or convert"),
        (PICTURES.astype(np.int64), "int64 of 12 x 12 x 3: resize or convert"),
        (PICTURES[:, :8], "uint8 of 8 x 12 x 3: resize or convert"),
        (PICTURES[..., :1], "uint8 of 12 x 12 x 1: resize or convert"),
        (PICTURES[..., 0], "uint8 of 2 x 12 x 12: resize or convert"),
        (PICTURES[0], r"uint8 of 12 x 12 x 3: give images\[None\]"),
        ([PICTURES[0], PICTURES[0, :8]], "several sizes"),
        (None, "object of"),
        ("cat.png", "<U7 of"),
    ],
)
def test_f25_pictures_that_the_network_does_not_take(network, pictures, words):
    with pytest.raises(GradCoreError, match=rf"takes uint8 pictures of 12 x 12 x 3 \(height, width, channels\).*{words}"):
        calibrate(network, pictures)


def test_calibration_needs_pictures(network):
    with pytest.raises(GradCoreError, match="at least one"):
        calibrate(network, np.zeros((0, 12, 12, 3), np.uint8))


def test_a_network_of_zeros_can_be_quantised():
    network = Network.random([Layer("conv", "a", 1, 2, 3), Layer("fc", "b", 32, 3)], (1, 4, 4))
    for tensor in network.weights.values():
        tensor[...] = 0
    quantised = quantise(network)
    assert not golden.forward(quantised, np.ones((1, 4, 4, 1), int)).logits.any()

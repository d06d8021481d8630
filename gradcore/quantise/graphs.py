# SPDX-License-Identifier: Apache-2.0
"""Networks that are graphs: calibrated on pictures, and in integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.models.arithmetic import METHODS
from gradcore.models.passes import Passes
from gradcore.models.quantised import QuantisedNetwork, quantise_image
from gradcore.models.quantised_graph import GraphQuantisation, QuantisedGraph
from gradcore.network import GraphNetwork, Network, check_pictures
from gradcore.pictures.patterns import CALIBRATION_SEED, patterns
from gradcore.quantise import precision
from gradcore.quantise.calibration import CALIBRATION_IMAGES, PATTERNS, picture_fraction, standard_images
from gradcore.quantise.conversion import GENERATED, quantise
from gradcore.quantise.graph_calibration import calibrate_passes
from gradcore.quantise.graph_conversion import quantise_passes
from gradcore.quantise.lowering import lower

_MACS = 8_000_000_000  # forward, that calibration on generated pictures may take: fewer pictures if these take more
_FEWEST = 4


def calibrate_graph(
    network: GraphNetwork,
    images: np.ndarray,
    *,
    source: str = "",
    contrast: int = PATTERNS,
    methods: Sequence[str] = METHODS,
    equal: bool = True,
) -> GraphQuantisation:
    """Choose the fraction bits of every map of a network.

    Args:
        network: the float network.
        images: uint8 (N, H, W, C): calibration pictures; some tens are enough.
        source: what the pictures are, kept for people.
        contrast: as for ``gradcore.quantise.calibrate``: so many pictures of each kind of high contrast are looked at, too. Their
            gradients are larger than others', so that none get a margin where they are looked at.
        methods: whose gradients the formats shall hold: see ``gradcore.quantise.graph_calibration.calibrate_passes``.
        equal: whether channels get units of their own: see ``gradcore.quantise.equalisation``.

    Raises:
        GradCoreError: the pictures are not what the network takes, or a value is beyond float32.
    """
    if hasattr(images, "__len__") and not len(images):
        raise GradCoreError("calibration needs pictures, uint8 N x H x W x C, and there are none: give at least one")
    images = check_pictures(images, network.input_shape)
    if contrast:
        images = np.concatenate([images, *patterns(network.input_shape, contrast, seed=CALIBRATION_SEED).values()])
    return _calibrate(network, lower(network.graph), images, source, bool(contrast), methods, equal)


def quantise_graph(network: GraphNetwork, quantisation: GraphQuantisation | None = None) -> QuantisedGraph:
    """The network in integers.

    Without ``quantisation`` the one stored in the network's file is taken; if there is none, it is calibrated here on generated pictures,
    and a note says so.

    Raises:
        GradCoreError: a number format does not fit (shift or accumulator out of range).
    """
    passes = lower(network.graph)
    stored = network.metadata.get("quantisation")
    if quantisation is None:
        if stored:
            quantisation = GraphQuantisation.from_metadata(stored, passes.maps)
        else:
            quantisation = _calibrate(network, passes, *_generated(network))
    notes = []
    if quantisation.source.startswith(GENERATED):
        notes.append(f"the network file holds no quantisation: number formats were chosen on {GENERATED}")
    notes += precision.picture_notes(network, quantisation.activations["input"])
    return quantise_passes(
        passes, quantisation, name=network.name, classes=network.classes, mean=network.mean, std=network.std, notes=notes
    )


def in_integers(network: Network | GraphNetwork) -> QuantisedNetwork | QuantisedGraph:
    """A chain or a graph in integers: see ``quantise`` and ``quantise_graph``."""
    return quantise_graph(network) if isinstance(network, GraphNetwork) else quantise(network)


def _generated(network: GraphNetwork) -> tuple[np.ndarray, str, bool]:
    """Generated pictures, of which as many as the network has time for: smooth ones and, where there are enough, ones of high contrast;
    what they are; and whether such are among them."""
    count = int(np.clip(_MACS // max(1, network.graph.macs), _FEWEST, CALIBRATION_IMAGES))
    images = standard_images(network.input_shape, count)
    if count < CALIBRATION_IMAGES:
        return images, GENERATED, False
    return np.concatenate([images, *patterns(network.input_shape, PATTERNS, seed=CALIBRATION_SEED).values()]), GENERATED, True


def _calibrate(
    network: GraphNetwork,
    passes: Passes,
    images: np.ndarray,
    source: str,
    contrast: bool,
    methods: Sequence[str] = METHODS,
    equal: bool = True,
) -> GraphQuantisation:
    fraction = picture_fraction(network)
    inputs = quantise_image(images, network.mean, network.std, fraction) * np.float32(2.0**-fraction)
    return calibrate_passes(passes, inputs, input_fraction=fraction, source=source, methods=methods, contrast=contrast, equal=equal)

# SPDX-License-Identifier: Apache-2.0
"""Headroom: number formats that hold larger values.

Formats that just hold photographs keep most bits for them. Print, line art and patterns make larger activations, which saturate
then, and the attribution with them goes astray. With some bits of headroom they fit; each bit halves the precision of the rest.
Weights stay as they are: only shifts and biases of the compiled network change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from gradcore.errors import GradCoreError
from gradcore.models.passes import INPUT
from gradcore.models.quantised import QuantisedNetwork
from gradcore.models.quantised_graph import QuantisedGraph
from gradcore.network import GraphNetwork, Network
from gradcore.quantise.conversion import quantise
from gradcore.quantise.graph_calibration import settle
from gradcore.quantise.graphs import in_integers, quantise_graph
from gradcore.quantise.lowering import lower

MOST = 12
Widened = TypeVar("Widened", Network, GraphNetwork)


def widen(network: Widened, bits: int) -> Widened:
    """The network with number formats for activations, logits and gradients 2**bits times as large.

    Args:
        network: the network, with stored formats or without.
        bits: of headroom; 0 returns the network itself.

    Raises:
        GradCoreError: bits is not in 0..12.
    """
    if isinstance(bits, bool) or not isinstance(bits, int | np.integer) or not 0 <= bits <= MOST:
        raise GradCoreError(f"{bits!r} bits of headroom cannot be given: use 0 to {MOST}")
    if not bits:
        return network
    if isinstance(network, GraphNetwork):
        return _widen_graph(network, int(bits))
    formats = quantise(network).quantisation
    activations = (formats.activations[0], *(fraction - int(bits) for fraction in formats.activations[1:]))
    gradients = (*(fraction - int(bits) for fraction in formats.gradients[:-1]), formats.gradients[-1])
    source = f"{formats.source or 'as stored'}, {bits} bits of headroom"
    widened = replace(formats, activations=activations, gradients=gradients, source=source)
    return replace(network, metadata={**network.metadata, "quantisation": widened.to_metadata()})


def widen_graph_input(network: GraphNetwork, bits: int) -> GraphNetwork:
    """``widen_input`` of a graph, before it is quantised."""
    if not bits:
        return network
    formats = quantise_graph(network).quantisation
    activations = {**formats.activations, INPUT: formats.activations[INPUT] - bits}
    settled = settle(lower(network.graph), replace(formats, activations=activations, source=formats.source or "as stored"))
    return replace(network, metadata={**network.metadata, "quantisation": settled.to_metadata()})


def _widen_graph(network: GraphNetwork, bits: int) -> GraphNetwork:
    """The same for a graph. A map that clips alone make stays: its format is the clip."""
    formats, passes = quantise_graph(network).quantisation, lower(network.graph)
    kept = {INPUT} | passes.clips
    activations = {name: fraction - (0 if name in kept else bits) for name, fraction in formats.activations.items()}
    gradients = {name: fraction - (0 if name == passes.output else bits) for name, fraction in formats.gradients.items()}
    source = f"{formats.source or 'as stored'}, {bits} bits of headroom"
    widened = settle(passes, replace(formats, activations=activations, gradients=gradients, source=source))
    return replace(network, metadata={**network.metadata, "quantisation": widened.to_metadata()})


def widen_input(network: QuantisedNetwork, bits: int) -> QuantisedNetwork:
    """A quantised chain whose input has ``bits`` fewer fraction bits, so that it holds values 2**bits times as large.

    The first layer's bias, at the scale of its sums, is rounded half up to the new one.

    Raises:
        GradCoreError: the first layer's sums would keep too few bits.
    """
    if not bits:
        return network
    first = network.layers[0]
    bias = (first.bias + ((1 << bits) >> 1)) >> bits
    widened = replace(first, bias=bias, input_fraction=first.input_fraction - bits)
    if widened.shift < 0:
        raise GradCoreError(
            f"layer {first.name}: with inputs {1 << bits} times as large as a picture's its sums keep too few bits: use less noise, or "
            "calibrate the network again (gradcore.calibrate)"
        )
    formats = network.quantisation
    formats = replace(formats, activations=(formats.activations[0] - bits, *formats.activations[1:]))
    return replace(network, layers=(widened, *network.layers[1:]), quantisation=formats)


def with_wider_input(
    network: Network | GraphNetwork, quantised: QuantisedNetwork | QuantisedGraph, bits: int
) -> QuantisedNetwork | QuantisedGraph:
    """The network in integers, with an input whose format holds values 2**bits times as large.

    Args:
        network: in real numbers. quantised: the same in integers, which ``bits`` 0 gives back.
    """
    if not bits:
        return quantised
    return in_integers(widen_graph_input(network, bits)) if isinstance(network, GraphNetwork) else widen_input(quantised, bits)


def read_headroom(text: str) -> int | None:
    """What the command line takes: a number of bits, or ``auto``, which is None.

    Raises:
        GradCoreError: it is neither.
    """
    if text == "auto":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        raise GradCoreError(f"--headroom {text!r} is no number of bits: give auto, or 0 to {MOST}")
    return int(text)

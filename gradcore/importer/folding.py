# SPDX-License-Identifier: Apache-2.0
"""Folds what is linear together: a batch norm or constant into the convolution or fully connected layer before or behind it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradcore.importer.builder import Builder
from gradcore.network.graph import Affine, Conv, FullyConnected, Node


def fold(builder: Builder, output: str) -> str:
    """Fold all affine nodes of a graph that can be; returns the name of the output's map, which may be another."""
    while True:
        for node in builder.nodes:
            if isinstance(node, Affine) and (done := _fold_one(builder, node, output)):
                output = done
                break
        else:
            return output


def prune(builder: Builder, output: str) -> None:
    """Leave out the nodes that the output does not need."""
    needed = {output}
    for node in reversed(builder.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    for node in builder.nodes:
        if node.name not in needed:
            _drop_weights(builder, node.name)
    builder.nodes = [node for node in builder.nodes if node.name in needed]


def _fold_one(builder: Builder, affine: Affine, output: str) -> str:
    """Fold one affine node where that is exact; returns the output's name then, else ''."""
    scale, shift = builder.weights[f"{affine.name}.scale"], builder.weights[f"{affine.name}.shift"]
    (source,) = affine.inputs
    before = next((node for node in builder.nodes if node.name == source), None)
    readers = [node for node in builder.nodes if affine.name in node.inputs]
    tell = builder.notes.folded.append
    if np.all(scale == 1) and not np.any(shift):
        tell(f"{affine.name}: changes nothing")
    elif _is_linear(before) and len([node for node in builder.nodes if source in node.inputs]) == 1 and source != output:
        weight = builder.weights[f"{source}.weight"]
        builder.weights[f"{source}.weight"] = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        bias = builder.weights.get(f"{source}.bias", np.zeros(len(weight)))
        builder.weights[f"{source}.bias"] = bias * scale + shift
        _replace(builder, replace(before, bias=True))
        tell(f"{affine.name}: part of {source}, the layer before it")
    elif isinstance(before, Affine) and len([node for node in builder.nodes if source in node.inputs]) == 1 and source != output:
        builder.weights[f"{source}.shift"] = builder.weights[f"{source}.shift"] * scale + shift
        builder.weights[f"{source}.scale"] = builder.weights[f"{source}.scale"] * scale
        tell(f"{affine.name}: part of {source}, which is affine, too")
    elif affine.name != output and readers and all(_is_linear(node) and (not _pads(node) or not np.any(shift)) for node in readers):
        for node in readers:
            _fold_behind(builder, node, builder.shapes[affine.name], scale, shift)
            tell(f"{affine.name}: part of {node.name}, the layer behind it")
    else:
        return ""
    builder.nodes = [
        replace(node, inputs=tuple(source if name == affine.name else name for name in node.inputs))
        for node in builder.nodes
        if node is not affine
    ]
    _drop_weights(builder, affine.name)
    return source if output == affine.name else output


def _fold_behind(builder: Builder, node: Conv | FullyConnected, shape: tuple[int, int, int], scale: np.ndarray, shift: np.ndarray) -> None:
    weight = builder.weights[f"{node.name}.weight"]
    if isinstance(node, FullyConnected):
        pixels = shape[1] * shape[2]
        scale, shift = np.repeat(scale, pixels), np.repeat(shift, pixels)
        added, scaled = weight @ shift, weight * scale
    else:
        channels = np.arange(shape[0]).reshape(node.groups, 1, -1)
        of_output = np.broadcast_to(channels, (node.groups, node.out_channels // node.groups, channels.shape[2])).reshape(len(weight), -1)
        added = np.einsum("oihw,oi->o", weight, shift[of_output])
        scaled = weight * scale[of_output][:, :, None, None]
    builder.weights[f"{node.name}.weight"] = scaled
    if node.bias or np.any(added):
        builder.weights[f"{node.name}.bias"] = builder.weights.get(f"{node.name}.bias", np.zeros(len(weight))) + added
        _replace(builder, replace(node, bias=True))


def _is_linear(node: Node | None) -> bool:
    return isinstance(node, Conv | FullyConnected)


def _pads(node: Node) -> bool:
    return isinstance(node, Conv) and any(node.padding)


def _replace(builder: Builder, node: Node) -> None:
    builder.nodes = [node if one.name == node.name else one for one in builder.nodes]


def _drop_weights(builder: Builder, name: str) -> None:
    for tensor in [key for key in builder.weights if key.rpartition(".")[0] == name]:
        del builder.weights[tensor]

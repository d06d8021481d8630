# SPDX-License-Identifier: Apache-2.0
"""Networks: a chain of layers with its weights, and the file that holds one.

The file is a safetensors file: float32 tensors ``<layer>.weight`` and ``<layer>.bias``, and string metadata that ``Network.save``
describes. Nothing in it is executed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from gradcore.errors import GradCoreError, Refusal
from gradcore.network.chains import chain_of, graph_of
from gradcore.network.graph import Graph
from gradcore.network.graph_network import GraphNetwork
from gradcore.network.layers import Layer, LayerShape, Shape, chain_shapes
from gradcore.network.network_file import CHAIN, GRAPH, damaged, network_path, read_network_file, write_network_file
from gradcore.network.surroundings import check_input, check_outputs, normalise, numbers


@dataclass
class Network:
    """A network with its weights. Checked when it is made.

    Attributes:
        name: what reports call it.
        layers: convolutions first, then fully connected layers.
        weights: float32 arrays by tensor name: ``<layer>.weight`` (O, I, K, K) or (O, I), ``<layer>.bias`` (O,).
        classes: one name for each output.
        input_shape: channels, height, width.
        mean, std: for each channel, of pixel values in 0..1: the network's input is (pixel - mean) / std.
        metadata: what else the file says, by key; values are what JSON can hold. ``training``: how it was made and what it
            reached; ``quantisation``: number formats, where they were chosen.
        origin: what ``load`` was given, a path or ``cifar10``; None for a network that was made otherwise.

    Raises:
        GradCoreError: the description contradicts itself or what GradCore can run, or a tensor is missing, has another shape, or
            holds a value that is not finite.
    """

    name: str
    layers: list[Layer]
    weights: dict[str, np.ndarray]
    classes: list[str]
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    origin: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        self.layers, self.classes = list(self.layers), [str(name) for name in self.classes]
        self.input_shape = tuple(self.input_shape)
        self.mean, self.std = numbers(self.mean, self.std)
        check_input(self.input_shape, self.mean, self.std)
        self._shapes = chain_shapes(self.layers, self.input_shape)
        check_outputs(math.prod(self._shapes[-1].output), self.classes)
        self._check_weights()

    @property
    def label(self) -> str:
        """What people call it: as they named it when it was loaded, else its name."""
        return self.origin or self.name

    @property
    def shapes(self) -> list[LayerShape]:
        """The shapes and MACs of every layer, in order."""
        return list(self._shapes)

    @property
    def macs(self) -> int:
        """MACs of one forward pass."""
        return sum(shape.macs for shape in self._shapes)

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(tensor.size for tensor in self.weights.values())

    @property
    def graph(self) -> Graph:
        """The network as a graph."""
        return graph_of(self.layers, self.weights, self.input_shape)

    def normalise(self, images: np.ndarray) -> np.ndarray:
        """The network's input, float32 (N, C, H, W), from uint8 pictures (N, H, W, C)."""
        return normalise(images, self.input_shape, self.mean, self.std)

    @classmethod
    def random(cls, layers: Sequence[Layer], input_shape: tuple[int, int, int], *, name: str = "random", seed: int = 0) -> Network:
        """A network with random weights (He's scale) and small biases, for tests and measurements; mean 0.5, std 0.25."""
        generator = np.random.default_rng(seed)
        weights: dict[str, np.ndarray] = {}
        for layer in layers:
            scale = math.sqrt(2 / math.prod(layer.weight_shape[1:]))
            weights[f"{layer.name}.weight"] = (generator.standard_normal(layer.weight_shape) * scale).astype(np.float32)
            if layer.bias:
                weights[f"{layer.name}.bias"] = (generator.standard_normal(layer.out_channels) * 0.1).astype(np.float32)
        outputs = math.prod(chain_shapes(list(layers), input_shape)[-1].output)
        channels = input_shape[0]
        return cls(
            name, list(layers), weights, [f"class {index}" for index in range(outputs)], input_shape, (0.5,) * channels, (0.25,) * channels
        )

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Read a network file; ``path`` may also be the name of a network that comes with GradCore, such as ``cifar10``.

        Raises:
            GradCoreError: no such file, not a network file, a damaged one, or one that GradCore cannot run.
        """
        file = network_path(path)
        try:
            return replace(_read(file), origin=str(path))
        except Refusal:
            raise
        except GradCoreError as error:
            raise GradCoreError(f"{path}: {error}") from None

    @classmethod
    def of_graph(cls, network: GraphNetwork) -> Network:
        """The chain that a graph is, or that it can be rewritten into exactly.

        Raises:
            Refusal: it is none; every node that is a reason is named.
        """
        layers, weights = chain_of(network.graph, network.label)
        return cls(
            network.name, layers, weights, network.classes, network.input_shape, network.mean, network.std, network.metadata, network.origin
        )

    def save(self, path: str | Path) -> None:
        """Write the network as a safetensors file, version 1.

        Its ``layers`` are a list of objects with ``Layer``'s attributes; the rest is as ``gradcore.network.network_file`` says.

        Raises:
            GradCoreError: the file cannot be written, or ``metadata`` holds what JSON cannot.
        """
        described: dict[str, Any] = {
            **self.metadata,
            "layers": [asdict(layer) for layer in self.layers],
            "classes": self.classes,
            "input": {"shape": self.input_shape, "mean": self.mean, "std": self.std},
        }
        write_network_file(path, CHAIN, self.name, self.weights, described)

    def _check_weights(self) -> None:
        expected: dict[str, Shape] = {}
        for layer in self.layers:
            expected[f"{layer.name}.weight"] = layer.weight_shape
            if layer.bias:
                expected[f"{layer.name}.bias"] = (layer.out_channels,)
        for name in self.weights:
            if name not in expected:
                raise GradCoreError(f"tensor {name} belongs to no layer: remove it, or describe its layer")
        for name, shape in expected.items():
            if name not in self.weights:
                raise GradCoreError(f"tensor {name} is missing: train or export the network again")
            tensor = np.asarray(self.weights[name])
            if tensor.shape != shape:
                raise GradCoreError(f"tensor {name} has the shape {tensor.shape}, its layer needs {shape}: export the network again")
            if tensor.dtype != np.float32:
                raise GradCoreError(f"tensor {name} holds {tensor.dtype}, not float32: convert it")
            if not np.all(np.isfinite(tensor)):
                raise GradCoreError(f"tensor {name} holds values that are not finite: train the network again")
            self.weights[name] = tensor


def beyond_float(network: Network, position: int, what: str) -> GradCoreError:
    """The error for a layer whose ``outputs`` or ``gradients`` are beyond float32; it names the layer with the largest weights."""
    largest = {layer.name: float(np.abs(network.weights[f"{layer.name}.weight"]).max(initial=0)) for layer in network.layers}
    name = max(largest, key=largest.__getitem__)
    return GradCoreError(
        f"layer {network.layers[position].name}: its {what} are beyond float32; the largest weights, those of {name}, reach "
        f"{largest[name]:.3g}: train the network again at a lower rate, or divide weights and biases by a common factor"
    )


def _read(file: Path) -> Network:
    version, name, described, weights = read_network_file(file)
    if version == GRAPH:
        return Network.of_graph(replace(GraphNetwork.from_description(name, described, weights), origin=str(file)))
    return _from_description(name, described, weights)


def _from_description(name: str, described: Mapping[str, Any], weights: dict[str, np.ndarray]) -> Network:
    """A network from what its file of version 1 says, and its tensors."""
    described = dict(described)
    try:
        known = {one.name for one in fields(Layer)}
        layers = [Layer(**{key: value for key, value in layer.items() if key in known}) for layer in described.pop("layers")]
        given = described.pop("input")
        mean, std = tuple(given["mean"]), tuple(given["std"])
        return Network(name, layers, weights, described.pop("classes"), tuple(given["shape"]), mean, std, described)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(error) from None

# SPDX-License-Identifier: Apache-2.0
"""Networks: a chain of layers with its weights, and the file that holds one.

The file is a safetensors file: float32 tensors ``<layer>.weight`` and ``<layer>.bias``, and string metadata that ``Network.save``
describes. Nothing in it is executed.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gradcore.errors import GradCoreError
from gradcore.host.files import write_atomically
from gradcore.host.inputs import input_path
from gradcore.network.layers import Layer, LayerShape, Shape, chain_shapes

FORMAT = "gradcore-network"
VERSION = "1"
_REMEDY = "give a network that gradcore train wrote"
SHIPPED = Path(__file__).with_name("trained")


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
        try:
            self.mean, self.std = tuple(map(float, self.mean)), tuple(map(float, self.std))
        except (TypeError, ValueError) as error:
            raise GradCoreError(f"the means or standard deviations are not numbers ({error}): give one of each for each channel") from None
        check_classes(self.classes)
        self._check_input()
        self._shapes = chain_shapes(self.layers, self.input_shape)
        outputs = math.prod(self._shapes[-1].output)
        if len(self.classes) != outputs:
            raise GradCoreError(f"the network has {outputs} outputs but {len(self.classes)} class names: give one name for each output")
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

    def normalise(self, images: np.ndarray) -> np.ndarray:
        """The network's input, float32 (N, C, H, W), from uint8 pictures (N, H, W, C)."""
        images = check_pictures(images, self.input_shape)
        # In float64: a sum that is exactly zero in fixed point is then exactly zero here, too.
        scaled = (images / 255.0 - np.asarray(self.mean)) / np.asarray(self.std)
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)

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
        file = SHIPPED / f"{path}.safetensors"
        if os.path.isfile(path) or not os.path.isfile(file):  # a folder of that name does not hide the network that comes with GradCore
            file = input_path(
                path, what="a network file", folder=_REMEDY, missing="check the path, or use cifar10, the network that comes with GradCore"
            )
        try:
            return replace(_read(file), origin=str(path))
        except GradCoreError as error:
            raise GradCoreError(f"{path}: {error}") from None

    def save(self, path: str | Path) -> None:
        """Write the network as a safetensors file.

        Its metadata: ``format`` (``gradcore-network``), ``version`` (``1``), ``name``, and as JSON ``layers`` (a list of objects
        with ``Layer``'s attributes), ``classes``, ``input`` (``shape``, ``mean``, ``std``) and each entry of ``metadata``.

        Raises:
            GradCoreError: the file cannot be written, or ``metadata`` holds what JSON cannot.
        """
        described: dict[str, Any] = {
            **self.metadata,
            "layers": [asdict(layer) for layer in self.layers],
            "classes": self.classes,
            "input": {"shape": self.input_shape, "mean": self.mean, "std": self.std},
        }
        try:
            metadata = {key: json.dumps(value, allow_nan=False) for key, value in described.items()}
        except (TypeError, ValueError) as error:
            raise GradCoreError(
                f"the network's metadata cannot be written as JSON ({error}): give strings, numbers, lists, dictionaries"
            ) from None
        metadata |= {"format": FORMAT, "version": VERSION, "name": self.name}
        try:
            data = save({name: np.ascontiguousarray(tensor) for name, tensor in self.weights.items()}, metadata)
        except SafetensorError as error:
            raise GradCoreError(f"the network cannot be written as safetensors ({error}): check its weights and names") from None
        write_atomically(path, data)

    def _check_input(self) -> None:
        if len(self.input_shape) != 3 or not all(isinstance(size, int) and size > 0 for size in self.input_shape):
            raise GradCoreError(f"the input shape {self.input_shape} is not (channels, height, width): give three positive integers")
        channels = self.input_shape[0]
        if len(self.mean) != channels or len(self.std) != channels:
            raise GradCoreError(
                f"the input has {channels} channels but {len(self.mean)} means and {len(self.std)} standard deviations: "
                "give one of each for each channel"
            )
        if not np.all(np.isfinite([*self.mean, *self.std])) or min(self.std) <= 0:
            raise GradCoreError("a mean or a standard deviation is not finite, or a standard deviation is not positive: correct them")
        largest = [max(abs(mean), abs(1 - mean)) for mean in self.mean]
        if any(one > std * float(np.finfo(np.float32).max) for one, std in zip(largest, self.std, strict=True)):
            raise GradCoreError(f"with the standard deviations {self.std} a normalised pixel is beyond float32: correct them")

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


def load_network(network: str | Path | Network) -> Network:
    """The network itself, or the one in a file, or the one of that name that comes with GradCore.

    Raises:
        GradCoreError: see ``Network.load``.
    """
    return network if isinstance(network, Network) else Network.load(network)


def check_pictures(images: Sequence[np.ndarray] | np.ndarray, input_shape: tuple[int, int, int]) -> np.ndarray:
    """Pictures as an array, uint8 (N, H, W, C), of the size (channels, height, width) that a network takes.

    Raises:
        GradCoreError: they are of another size, order or type; it names what is wanted and what was given.
    """
    channels, height, width = input_shape
    wanted = f"the network takes uint8 pictures of {height} x {width} x {channels} (height, width, channels)"
    try:
        images = np.asarray(images)
    except (ValueError, TypeError):
        raise GradCoreError(f"{wanted}, not of several sizes: bring all to this one") from None
    if images.dtype == np.uint8 and images.shape[1:] == (height, width, channels):
        return images
    given = f"{images.dtype} of {' x '.join(map(str, images.shape[1:] if images.ndim == 4 else images.shape))}"
    if images.ndim == 4 and images.shape[1:] == (channels, height, width):
        raise GradCoreError(f"{wanted}, not {given}: give images.transpose(0, 2, 3, 1), and values from 0 to 255")
    if images.ndim == 3 and images.shape == (height, width, channels):
        raise GradCoreError(f"{wanted}, several in one array, not {given}: give images[None]")
    raise GradCoreError(f"{wanted}, not {given}: resize or convert them")


def beyond_float(network: Network, position: int, what: str) -> GradCoreError:
    """The error for a layer whose ``outputs`` or ``gradients`` are beyond float32; it names the layer with the largest weights."""
    largest = {layer.name: float(np.abs(network.weights[f"{layer.name}.weight"]).max(initial=0)) for layer in network.layers}
    name = max(largest, key=largest.__getitem__)
    return GradCoreError(
        f"layer {network.layers[position].name}: its {what} are beyond float32; the largest weights, those of {name}, reach "
        f"{largest[name]:.3g}: train the network again at a lower rate, or divide weights and biases by a common factor"
    )


def check_classes(classes: Sequence[str]) -> None:
    """Refuse names of classes by which nobody could tell them apart.

    Raises:
        GradCoreError: a name is empty, or two are equal.
    """
    first: dict[str, int] = {}
    for index, name in enumerate(classes):
        if not name.strip():
            raise GradCoreError(f"class {index} has no name: give every class a name of its own")
        if name in first:
            raise GradCoreError(f"the classes {first[name]} and {index} are both called {name!r}: give every class a name of its own")
        first[name] = index


def _read(file: Path) -> Network:
    try:
        with safe_open(file, framework="numpy") as opened:
            metadata = opened.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise GradCoreError(f"a safetensors file, but not of a GradCore network: {_REMEDY}")
            if metadata.get("version") != VERSION:
                raise GradCoreError(
                    f"version {metadata.get('version')} of the format is unknown, this GradCore reads {VERSION}: "
                    "update GradCore, or train the network again"
                )
            weights = {name: _tensor(opened, name) for name in opened.keys()}  # noqa: SIM118 (not a dictionary)
    except OSError as error:
        raise GradCoreError(f"the file cannot be read ({error.strerror or error}): check its permissions") from None
    except (SafetensorError, TypeError) as error:
        raise GradCoreError(f"not a safetensors file, or a damaged one ({error}): {_REMEDY}") from None
    return _from_metadata(metadata, weights)


def _tensor(opened: Any, name: str) -> np.ndarray:
    try:
        return opened.get_tensor(name)
    except (TypeError, AttributeError):  # a type that NumPy does not have
        raise GradCoreError(f"tensor {name} holds {opened.get_slice(name).get_dtype()}, not float32: convert it") from None


def _from_metadata(metadata: dict[str, str], weights: dict[str, np.ndarray]) -> Network:
    """A network from its file's string metadata and tensors."""
    try:
        described = {key: json.loads(value) for key, value in metadata.items() if key not in ("format", "version", "name")}
        known = {one.name for one in fields(Layer)}
        layers = [Layer(**{key: value for key, value in layer.items() if key in known}) for layer in described.pop("layers")]
        given = described.pop("input")
        return Network(
            metadata.get("name", "network"),
            layers,
            weights,
            described.pop("classes"),
            tuple(given["shape"]),
            tuple(given["mean"]),
            tuple(given["std"]),
            described,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GradCoreError(f"the description in the file is damaged ({type(error).__name__}: {error}): train the network again") from None

# SPDX-License-Identifier: Apache-2.0
"""What stands round the layers of a network: the input that it takes, how pictures are normalised, the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcore.errors import GradCoreError


def numbers(mean: Sequence[float], std: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Means and standard deviations as floats.

    Raises:
        GradCoreError: they are none.
    """
    try:
        return tuple(map(float, mean)), tuple(map(float, std))
    except (TypeError, ValueError) as error:
        raise GradCoreError(f"the means or standard deviations are not numbers ({error}): give one of each for each channel") from None


def check_input(input_shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> None:
    """Refuse an input that contradicts itself.

    Raises:
        GradCoreError: the shape is none, or there is not one finite mean and one positive standard deviation for each channel.
    """
    if len(input_shape) != 3 or not all(isinstance(size, int) and size > 0 for size in input_shape):
        raise GradCoreError(f"the input shape {input_shape} is not (channels, height, width): give three positive integers")
    channels = input_shape[0]
    if len(mean) != channels or len(std) != channels:
        raise GradCoreError(
            f"the input has {channels} channels but {len(mean)} means and {len(std)} standard deviations: give one of each for each channel"
        )
    if not np.all(np.isfinite([*mean, *std])) or min(std) <= 0:
        raise GradCoreError("a mean or a standard deviation is not finite, or a standard deviation is not positive: correct them")
    largest = [max(abs(one), abs(1 - one)) for one in mean]
    if any(one > deviation * float(np.finfo(np.float32).max) for one, deviation in zip(largest, std, strict=True)):
        raise GradCoreError(f"with the standard deviations {tuple(std)} a normalised pixel is beyond float32: correct them")


def check_outputs(outputs: int, classes: Sequence[str]) -> None:
    """Refuse names of classes of which there is not one for each output, or by which nobody could tell them apart.

    Raises:
        GradCoreError: there are more or fewer, a name is empty, or two are equal.
    """
    check_classes(classes)
    if len(classes) != outputs:
        raise GradCoreError(f"the network has {outputs} outputs but {len(classes)} class names: give one name for each output")


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


def normalise(images: np.ndarray, input_shape: tuple[int, int, int], mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """A network's input, float32 (N, C, H, W), from uint8 pictures (N, H, W, C).

    Raises:
        GradCoreError: as ``check_pictures``.
    """
    images = check_pictures(images, input_shape)
    # In float64: a sum that is exactly zero in fixed point is then exactly zero here, too.
    scaled = (images / 255.0 - np.asarray(mean)) / np.asarray(std)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)


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

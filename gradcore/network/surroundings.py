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

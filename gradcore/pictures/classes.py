# SPDX-License-Identifier: Apache-2.0
"""Classes of labelled pictures and classes of a network: the same by their names, where both have names."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gradcore.errors import GradCoreError

if TYPE_CHECKING:
    from gradcore.pictures.data import DataSet

_SHOWN = 20  # names in a message
_SPACES = re.compile(r"[\s_-]+")


def match_classes(pictures: DataSet, classes: Sequence[str], *, data: str, other: str) -> tuple[DataSet, list[str]]:
    """Number the labels as somebody else numbers the classes.

    By name where both have names: upper and lower case, spaces, hyphens and underscores make no difference, unless two classes
    differ in nothing else. By number where the pictures or the others have none ('0', '1' ... and 'class 0', 'class 1' ... are
    none, unless they are the others' too). Classes without a picture need no counterpart.

    Args:
        pictures: the labelled pictures.
        classes: the others' class names, in the order of their numbers.
        data: what to call the pictures, as in 'test.parquet'.
        other: what to call the others, as in 'the network'.

    Returns:
        The pictures with the others' labels and classes, and notes on how they were matched, one sentence each.

    Raises:
        GradCoreError: pictures have a class that the others do not know.
    """
    used = np.unique(pictures.labels)
    places = _places(pictures.classes, classes) if pictures.named else {}
    unknown = [pictures.classes[label] for label in used if pictures.classes[label] not in places]
    if unknown and not (_numbers(pictures.classes) or _numbers(classes)):
        raise GradCoreError(
            f"{other} does not know {listed(unknown)}, which {data} has pictures of: it knows {listed(classes)}; "
            "drop these pictures, or call the classes in the file as they are called there"
        )
    notes = []
    if unknown:
        _check_numbers(pictures, classes, data, other)
        labels = pictures.labels
        if not _numbers(classes):
            notes.append(f"{data} has no class names: its labels were taken as the numbers of {other}'s classes")
        elif not _numbers(pictures.classes):
            notes.append(f"{other} has no class names: the labels of {data} were taken as the numbers of its classes")
    else:
        table = np.zeros(len(pictures.classes), np.int64)
        for label in used:
            table[label] = places[pictures.classes[label]]
        labels = table[pictures.labels]
        if np.any(labels != pictures.labels):
            notes.append(f"{data} and {other} number their classes differently: they were matched by name")
        if len(pictures.classes) < len(classes):
            notes.append(f"{data} has {len(pictures.classes)} of the {len(classes)} classes of {other}")
    return replace(pictures, labels=labels, classes=list(classes)), notes


def listed(names: Sequence[str]) -> str:
    """Names for a message: the first of them, and how many there are."""
    return ", ".join(names[:_SHOWN]) + (f", ... ({len(names)} in all)" if len(names) > _SHOWN else "")


def _places(names: Sequence[str], classes: Sequence[str]) -> dict[str, int]:
    """The number in ``classes`` of each name that is there, once."""
    often = Counter(classes)
    exact = {name: number for number, name in enumerate(classes) if often[name] == 1}
    found = {name: exact[name] for name in names if name in exact}
    plain = {_plainly(name): number for number, name in enumerate(classes)}
    if len(found) < len(names) and len(plain) == len(classes) and len(set(map(_plainly, names))) == len(names):
        return {name: plain[_plainly(name)] for name in names if _plainly(name) in plain}
    return found


def _plainly(name: str) -> str:
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", name).casefold()).strip()


def _numbers(classes: Sequence[str]) -> bool:
    """Whether classes are called by their numbers: '0', '1' ... or 'class 0', 'class 1' ..."""
    return all(name in (str(number), f"class {number}") for number, name in enumerate(classes))


def _check_numbers(pictures: DataSet, classes: Sequence[str], data: str, other: str) -> None:
    beyond = np.flatnonzero(pictures.labels >= len(classes))
    if len(beyond):
        raise GradCoreError(
            f"{data}: row {beyond[0]} has the label {pictures.labels[beyond[0]]}, but {other} has {len(classes)} classes: "
            "take pictures of the kind that it was trained on"
        )

# SPDX-License-Identifier: Apache-2.0
"""One operator of a source, while it is translated: its inputs and attributes, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradcore.importer.builder import Builder
from gradcore.importer.problems import Refused
from gradcore.importer.views import View


class Unknown:
    """A tensor of which nothing is known, for what makes it is refused; what reads it is still looked at, as far as can be."""


Value = View | np.ndarray | Unknown | None


class Skipped(Exception):
    """An operator cannot be looked at, for an input of it is unknown."""


@dataclass
class Operator:
    """An operator and what it reads.

    Attributes:
        name: of the node in the source.
        kind: the operator's own name.
        inputs: its tensors; None for one that is left out.
        attributes: by name.
        builder: what it is added to.
        outputs: how many of its outputs are used, counted up to the last one that is.
        output: the name of its first output in the source.
    """

    name: str
    kind: str
    inputs: Sequence[Value]
    attributes: Mapping[str, Any]
    builder: Builder
    outputs: int = 1
    output: str = ""

    def get(self, attribute: str, default: Any = None) -> Any:
        """An attribute's value, or its default."""
        return self.attributes.get(attribute, default)

    def view(self, position: int = 0, *, after_softmax: bool = False) -> View:
        """An input that must come from the network's own input; one behind a softmax only where that is allowed."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if isinstance(value, Unknown):
            raise Skipped
        if not isinstance(value, View):
            raise Refused(f"input {position} is {'missing' if value is None else 'a constant'}", "give it a map")
        if value.softmax and not after_softmax:
            raise Refused(f"it reads what the softmax {value.softmax} makes", "choose an output before that softmax with --output")
        return value

    def constant(self, position: int, what: str, default: np.ndarray | None = None) -> np.ndarray | None:
        """An input that must be constant; the default where it is left out."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if isinstance(value, Unknown):
            raise Skipped
        if isinstance(value, View):
            raise Refused(f"its {what} is computed from the input", "use constants")
        return default if value is None else value

    def weights(self, position: int, what: str) -> np.ndarray | None:
        """A constant of real numbers, float64, all finite; None where it is left out."""
        value = self.constant(position, what)
        if value is None:
            return None
        if not np.issubdtype(value.dtype, np.floating):
            raise Refused(f"its {what} holds {value.dtype}", "export the network in float32")
        if not np.all(np.isfinite(value)):
            raise Refused(f"its {what} holds values that are not finite", "train the network again")
        return value.astype(np.float64)

    def map(self, position: int = 0) -> View:
        """A tensor (1, C, H, W)."""
        view = self.view(position)
        if view.index.ndim != 4:
            shape = " x ".join(map(str, view.index.shape)) or "no axis"
            raise Refused(f"its input has the shape {shape}", "give pictures: 1 x channels x height x width")
        if view.index.shape[0] != 1:
            raise Refused(f"its input holds {view.index.shape[0]} pictures", "export the network with a batch of 1")
        return view


@dataclass(frozen=True)
class Rule:
    """How an operator is translated.

    Attributes:
        translate: gives the operator's outputs.
        attributes: what is understood of each attribute, in words; any other attribute is refused.
        becomes: what it is in the graph, in words.
    """

    translate: Callable[[Operator], Sequence[Value]]
    attributes: Mapping[str, str] = field(default_factory=dict)
    becomes: str = ""

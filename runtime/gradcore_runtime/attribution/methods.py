# SPDX-License-Identifier: Apache-2.0
"""The table of attribution methods: command line, library, pages and tests read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import GradCoreError
from ..inputs import check_choice
from . import gradients, perturbation
from .case import Case
from .parameters import Parameter, baselines, choice, flag, integer, layer, real, sizes

MOST_RUNS = 100_000

_BASELINES = Parameter("baselines", None, "what stands for nothing, in the normalised input: a number, or an array", **baselines())
_LAYER = Parameter("layer", None, "whose stored output is looked at, behind its ReLU and pool; the last map", **layer())


@dataclass(frozen=True)
class Method:
    """An attribution method.

    Attributes:
        name: what the command line and ``explain`` call it.
        captum: Captum's class, with the options that it needs to give the same.
        meaning: for people, one line.
        compute: the attribution of a case.
        runs: how many runs of the core it takes for an input of a shape (C, H, W), with parameters.
        cost: the same for people.
        parameters: besides the input and the target.
        rule: whether it is one backward pass with a rule at the ReLUs, which every back end runs by that name.
        sign: what of the attribution a heatmap shows: see ``gradcore.drawing.heatmap``. Where values are shares of a score, what speaks
            against the class is left out.
    """

    name: str
    captum: str
    meaning: str
    compute: Callable[[Case], np.ndarray]
    runs: Callable[[Mapping[str, Any], tuple[int, int, int]], int] = lambda parameters, shape: 1
    cost: str = "1"
    parameters: tuple[Parameter, ...] = ()
    rule: bool = False
    sign: str = "absolute"

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters, those that are not given with their defaults.

        Raises:
            GradCoreError: there is no such parameter, or it cannot have that value.
        """
        known = {one.name: one for one in self.parameters}
        for name in given:
            if not known:
                raise GradCoreError(f"the method {self.name} has no parameters, and {name} was given: leave it out (see gradcore methods)")
            check_choice(f"parameter of {self.name}", name, tuple(known))
        return {name: one.check(name, given.get(name, one.default)) for name, one in known.items()}

    def read(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Parameters from texts of the command line. Raises GradCoreError as ``checked``."""
        known = {one.name: one for one in self.parameters}
        return {name: known[name].read(name, text) if name in known else text for name, text in texts.items()}


def _windows(parameters: Mapping[str, Any], shape: tuple[int, int, int]) -> int:
    return 1 + sum(1 for _ in perturbation.windows(shape, parameters))


_TABLE = (
    Method("saliency", "Saliency(abs=False)", "the gradient", gradients.gradient("saliency"), rule=True),
    Method("deconvnet", "Deconvolution", "the gradient, at ReLUs its positive part", gradients.gradient("deconvnet"), rule=True),
    Method("guided", "GuidedBackprop", "as deconvnet, and only where the ReLU was active", gradients.gradient("guided"), rule=True),
    Method("input_x_gradient", "InputXGradient", "input times gradient", gradients.input_x_gradient),
    Method(
        "integrated_gradients",
        "IntegratedGradients",
        "input minus baseline, times the mean gradient between them",
        gradients.integrated_gradients,
        lambda parameters, shape: 1 + parameters["n_steps"],
        "1 + n_steps",
        (
            _BASELINES,
            Parameter("n_steps", 50, "gradients on the way from the baseline to the input", **integer(1, 1000)),
            Parameter("approximation", "gausslegendre", "of the integral (Captum's parameter method)", **choice(*gradients.SUMS)),
            Parameter("multiply_by_inputs", True, "False leaves the mean gradient", **flag()),
        ),
    ),
    Method(
        "smoothgrad",
        "NoiseTunnel(Saliency), abs=False",
        "the mean gradient of noisy inputs",
        gradients.smoothgrad,
        lambda parameters, shape: 1 + parameters["nt_samples"],
        "1 + nt_samples",
        (
            Parameter("nt_type", "smoothgrad", "smoothgrad_sq: the mean square, vargrad: the variance", **choice(*gradients.NOISE)),
            Parameter("nt_samples", 5, "noisy inputs", **integer(1, MOST_RUNS)),
            Parameter("stdevs", 1.0, "standard deviation of the noise, in the normalised input", **real(0, 1000)),
            Parameter("random_seed", 0, "of the noise (Captum draws with PyTorch's generator)", **integer(0, 2**32 - 1)),
        ),
    ),
    Method(
        "gradcam",
        "LayerGradCam",
        "what a layer stores, its channels weighted by their mean gradient",
        gradients.gradcam,
        parameters=(_LAYER, Parameter("relu_attributions", False, "only the positive part", **flag())),
        sign="positive",
    ),
    Method(
        "guided_gradcam",
        "GuidedGradCam",
        "guided times the positive part of gradcam",
        gradients.guided_gradcam,
        lambda parameters, shape: 2,
        "2, the second backward only",
        (_LAYER,),
    ),
    Method(
        "occlusion",
        "Occlusion",
        "the score that is lost when a window is covered",
        perturbation.occlusion,
        _windows,
        "1 + windows, forward only",
        (
            Parameter("sliding_window_shapes", None, "channels,rows,columns; by default all channels of 4 x 4", **sizes(alone=False)),
            Parameter("strides", None, "from window to window, one or channels,rows,columns; by default 1", **sizes(alone=True)),
            _BASELINES,
        ),
        sign="positive",
    ),
)
METHODS: dict[str, Method] = {one.name: one for one in _TABLE}


def rules() -> tuple[str, ...]:
    """The methods that are one backward pass with a rule at the ReLUs."""
    return tuple(name for name, one in METHODS.items() if one.rule)


def check_method(name: str) -> Method:
    """The method of that name. Raises GradCoreError when there is none."""
    check_choice("method", name, tuple(METHODS))
    return METHODS[name]

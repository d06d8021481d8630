# SPDX-License-Identifier: Apache-2.0
"""Measure whether attributions are any good, method by method, in fixed point beside float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.attribution import METHODS, Aim, Method, attribute, check_method, metrics
from gradcore.backends import Backend, Request, open_backend, softmax
from gradcore.errors import GradCoreError
from gradcore.host.progress import Progress, silent
from gradcore.importer.opening import Given, load_network
from gradcore.network import Network

if TYPE_CHECKING:
    from rich.table import Table

PICTURES = 4
BACKENDS = ("golden", "float")
MEASURES = ("deletion", "insertion", "max_sensitivity", "sparseness")
# Fewer runs than the defaults: sensitivity alone asks for eleven attributions.
_PARAMETERS = {"integrated_gradients": {"n_steps": 20}, "occlusion": {"strides": 4}}


def evaluate_metrics(
    data: str | Path,
    *,
    network: Given = "cifar10",
    methods: Sequence[str] = tuple(METHODS),
    limit: int = PICTURES,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure attributions of labelled pictures, each of the class that the float network predicts.

    Args:
        data: Parquet file with the columns ``image`` and ``label``.
        network: 'cifar10', the path of a network file, or a ``Network``.
        methods: keys of ``gradcore.attribution.METHODS``.
        limit: take only so many of the first pictures.
        progress: see ``gradcore.host.progress``.

    Returns:
        A dictionary with ``network``, ``images``, ``parameters`` (by method, where they are not the defaults) and ``metrics``: by method
        and back end, 'golden' and 'float', means over the pictures of ``deletion`` and ``insertion`` (area under the curve of the class's
        softmax: low and high are good), ``max_sensitivity`` (low), ``sparseness``, and ``randomised``: by layer, the last layer first,
        Spearman's rank correlation of |attribution| with that of a network in which the weights of this layer and of all behind it are
        shuffled (a map that shows what the network learned has a low one). Where a method's map does not vary it counts as 0.

    Raises:
        GradCoreError: anything that a user can put right.
    """
    chosen = [check_method(name) for name in methods]
    if limit < 1:
        raise GradCoreError(f"{limit} pictures cannot be measured: give 1 or more")
    loaded = load_network(network)
    if not isinstance(loaded, Network):
        loaded = Network.of_graph(loaded)
    from gradcore.pictures.data import read_parquet

    report = progress or silent
    report("reading the pictures", 0, 0)
    images = list(read_parquet(data, limit, shape=loaded.input_shape).images)
    cascade = shuffled(loaded)
    engines = {backend: [open_backend(backend, one) for one in (loaded, *cascade.values())] for backend in BACKENDS}
    targets = [run.target for run in engines["float"][0].run(images, ["saliency"])["saliency"]]
    measured: dict[str, Any] = {}
    done, total = 0, len(chosen) * len(BACKENDS) * len(images)
    for method in chosen:
        parameters = method.checked(_PARAMETERS.get(method.name, {}))
        measured[method.name] = {}
        for backend in BACKENDS:
            found = []
            for image, target in zip(images, targets, strict=True):
                report("measuring attributions", done, total)
                found.append(_measure(engines[backend], method, parameters, image, target))
                done += 1
            means = {name: float(np.mean([one[name] for one, _ in found])) for name in MEASURES}
            likeness = np.mean([one for _, one in found], axis=0).tolist()
            measured[method.name][backend] = {**means, "randomised": dict(zip(cascade, likeness, strict=True))}
    report("measuring attributions", total, total)
    used = {method.name: _PARAMETERS[method.name] for method in chosen if method.name in _PARAMETERS}
    return {"network": loaded.label, "images": len(images), "parameters": used, "metrics": measured}


def _measure(
    engines: Sequence[Backend], method: Method, parameters: dict[str, Any], image: np.ndarray, target: int
) -> tuple[dict[str, float], list[float]]:
    """All measures of one picture, and its map's likeness to those of networks with shuffled weights, whose engines follow the first."""
    whole = engines[0]
    inputs = whole.real_inputs([image])[0]

    def explain(engine: Backend, values: np.ndarray) -> np.ndarray:
        (run,) = attribute(engine, [values], method, Aim(target), parameters, keep=False)
        return run.attribution.astype(np.float64)

    attribution = explain(whole, inputs)
    areas = {}
    for name, insert in (("deletion", False), ("insertion", True)):
        replies = whole.execute([Request(one) for one in metrics.flipped(inputs, attribution, insert=insert)])
        areas[name] = metrics.area([softmax(reply.output)[target] for reply in replies])
    found = {
        **areas,
        "max_sensitivity": metrics.max_sensitivity(lambda values: explain(whole, values), inputs),
        "sparseness": metrics.sparseness(attribution),
    }
    return found, [metrics.rank_correlation(attribution, explain(engine, inputs)) for engine in engines[1:]]


def shuffled(network: Network) -> dict[str, Network]:
    """The cascade of Adebayo et al. (2018): by each layer's name, from the last to the first, the network with the weights of this layer
    and of all behind it shuffled, their formats chosen anew."""
    generator, weights, made = np.random.default_rng(0), dict(network.weights), {}
    metadata = {name: value for name, value in network.metadata.items() if name != "quantisation"}
    for layer in reversed(network.layers):
        name = f"{layer.name}.weight"
        weights[name] = generator.permutation(weights[name].reshape(-1)).reshape(weights[name].shape)
        made[layer.name] = replace(network, weights=dict(weights), metadata=metadata)
    return made


def tables(report: dict[str, Any]) -> list[Table]:
    """The report for people: of each measure fixed point, then float; and the cascade, layer by layer."""
    measures = {method: {backend: values[backend] for backend in BACKENDS} for method, values in report["metrics"].items()}
    cascade = {method: {backend: values[backend]["randomised"] for backend in BACKENDS} for method, values in report["metrics"].items()}
    layers = list(next(iter(cascade.values()))[BACKENDS[0]])
    title = f"{report['network']}, {report['images']} pictures: golden / float"
    down = "likeness to the map of a network that is shuffled from its last layer down to"
    return [_table(title, MEASURES, measures), _table(f"{down}, golden / float", layers, cascade)]


def _table(title: str, names: Sequence[str], rows: dict[str, dict[str, dict[str, float]]]) -> Table:
    from rich.table import Table

    made = Table(title=title, title_justify="left")
    for heading in ("method", *(name.replace("_", " ") for name in names)):
        made.add_column(heading, justify="left" if heading == "method" else "right")
    for method, values in rows.items():
        made.add_row(method, *(" / ".join(f"{values[backend][name]:.3f}" for backend in BACKENDS) for name in names))
    return made

# SPDX-License-Identifier: Apache-2.0
"""What a report adds to a result by running the network again: other methods, float scores, agreement, deletion curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradcore.attribution import METHODS, Aim, Method, attribute, metrics
from gradcore.backends import Backend, Request, Run, open_backend, softmax
from gradcore.errors import GradCoreError
from gradcore.explanation.evaluation import pearson
from gradcore.host.progress import Progress, silent
from gradcore.network import GraphNetwork, Network
from gradcore.report.stored import Stored

# The methods that a single picture is shown with, besides its own; and how much work one of them may be.
BESIDE: Mapping[str, Mapping[str, Any]] = {
    "saliency": {},
    "guided": {},
    "gradcam": {},
    "integrated_gradients": {"n_steps": 16},
}
MOST_MACS = 2_000_000_000  # of one method beside, by the model
LIKENESS = 0.01  # by which float scores of a result may differ from those of PyTorch now


@dataclass(frozen=True)
class MethodResult:
    """One method's map of a picture.

    Attributes:
        method, parameters, runs: what made it.
        stored: it is a result's own; else the golden model made it for the report.
        backend: what made it.
        attribution: float32 (C, H, W).
        likeness: Pearson's r with PyTorch's map by the same method; None where there is no PyTorch or no network.
        deletion, insertion: the class's share of the softmax while pixels go or come, the most important first; empty without the network.
        sparseness: Gini's index.
    """

    method: str
    parameters: Mapping[str, Any]
    runs: int
    stored: bool
    backend: str
    attribution: np.ndarray
    likeness: float | None = None
    deletion: tuple[float, ...] = ()
    insertion: tuple[float, ...] = ()
    sparseness: float = 0.0


@dataclass(frozen=True)
class Measured:
    """What is known of a picture.

    Attributes:
        methods: the results' own first.
        exact_logits: the fixed-point model's; None without the network. float_logits: PyTorch's; None without it.
        versus: the map of the target against the runner-up, and the runner-up's index; None without the network.
        random: deletion in a random order, mean of ``RANDOM_ORDERS``, to compare with.
        network: as it was loaded; None where it is gone, or another.
        notes: what is not shown, and why, one sentence each.
    """

    methods: tuple[MethodResult, ...]
    exact_logits: np.ndarray | None = None
    float_logits: np.ndarray | None = None
    versus: tuple[np.ndarray, int] | None = None
    random: tuple[float, ...] = ()
    network: Network | GraphNetwork | None = None
    notes: tuple[str, ...] = field(default=())


RANDOM_ORDERS = 4


def measure(
    results: Sequence[Stored],
    network: Network | GraphNetwork | str,
    *,
    beside: bool,
    compare: bool = True,
    progress: Progress | None = None,
) -> Measured:
    """Measure results of one picture, by different methods.

    Args:
        results: see ``Stored.picture_key``: all the same.
        network: the results' network, or why there is none.
        beside: add the methods of ``BESIDE``.
        compare: with PyTorch.
        progress: see ``gradcore.host.progress``.
    """
    one, report = results[0], progress or silent
    nothing = "float scores, agreement and curves are not shown"
    own = [_own(result) for result in results]
    if isinstance(network, str):
        return Measured(tuple(own), notes=(f"{nothing}: {network}",))
    if one.pixels is None:
        return Measured(tuple(own), network=network, notes=(f"{nothing}: they need the picture",))
    report("running the model for the report", 0, 0)
    real, notes = _float(network) if compare else (None, [])
    try:
        float_logits = None if real is None else real.execute([Request(one.pixels)])[0].output
        engines = {bits: open_backend("golden", network, headroom=bits) for bits in {_headroom(result) for result in results}}
        exact_logits = {bits: engine.execute([Request(one.pixels)])[0].output for bits, engine in engines.items()}
    except GradCoreError as error:
        return Measured(tuple(own), notes=(f"{nothing}: {error}",))
    fits = [_fits(result, exact_logits[_headroom(result)], float_logits) for result in results]
    if not fits[0]:
        told = f"{one.about['network']} gives other scores now than the result has: it is another network, or another GradCore"
        return Measured(tuple(own), notes=(f"{nothing}: {told}",))
    aim, exact = _aim(one), engines[_headroom(one)]
    engine = real if one.about["backend"] == "float" and real is not None else exact
    methods = [*own, *(_beside(one, network, engine, aim, {result.method for result in results}, notes, report) if beside else ())]
    fits += [True] * (len(methods) - len(own))
    inputs = exact.real_inputs([one.pixels])[0]
    for number, fit in enumerate(fits):
        report("measuring the maps", number, len(methods))
        if fit:
            methods[number] = _measured(methods[number], engine, real, one, aim, inputs, notes)
        else:
            notes.append(f"r and curves of {results[number].folder} are not shown: its scores are those of another network")
    report("measuring the maps", len(methods), len(methods))
    return Measured(
        tuple(methods),
        exact_logits[_headroom(one)],
        float_logits,
        _versus(one, engine, notes),
        _random_deletion(engine, inputs, one.target),
        network,
        tuple(dict.fromkeys(notes)),
    )


def _headroom(result: Stored) -> int:
    return int(result.about.get("headroom", 0))


def _fits(result: Stored, exact: np.ndarray, real: np.ndarray | None) -> bool:
    """Whether a result has the scores that its network gives now; of PyTorch's it is not known without it."""
    if result.about["backend"] != "float":
        return _equal(exact, result.logits, exact=True)
    return real is None or _equal(real, result.logits, exact=False)


def _own(result: Stored) -> MethodResult:
    about = result.about
    values = np.nan_to_num(result.attribution.astype(np.float64), posinf=0.0, neginf=0.0)
    return MethodResult(
        result.method, about.get("parameters", {}), int(about.get("runs", 1)), True, about["backend"], result.attribution,
        sparseness=metrics.sparseness(values),
    )  # fmt: skip


def _equal(now: np.ndarray, then: np.ndarray, *, exact: bool) -> bool:
    if now.shape != then.shape:
        return False
    return np.array_equal(now, then, equal_nan=True) if exact else bool(np.allclose(now, then, atol=LIKENESS, equal_nan=True))


def _float(network: Network | GraphNetwork) -> tuple[Backend | None, list[str]]:
    """PyTorch, or why there is none."""
    try:
        return open_backend("float", network), []
    except GradCoreError as error:
        return None, [f"float scores, and r against them, are not shown: {error}"]


def _aim(result: Stored) -> Aim:
    """What was explained."""
    if result.against is not None:
        return Aim(result.target, result.against)
    seed = result.about.get("seed")
    return Aim(result.target if seed is None else np.asarray(seed, dtype=np.float64))


def _run(engine: Backend, result: Stored, method: Method, parameters: Mapping[str, Any], aim: Aim) -> Run:
    (run,) = attribute(engine, [result.pixels], method, aim, parameters, keep=False)
    return run


def _beside(
    result: Stored, network: Network | GraphNetwork, engine: Backend, aim: Aim, have: set[str], notes: list[str], report: Progress
) -> list[MethodResult]:
    made, cost = [], 2 * network.graph.macs
    for name, given in BESIDE.items():
        if name in have:
            continue
        method = METHODS[name]
        parameters = method.checked(given)
        runs = method.runs(parameters, network.input_shape)
        if runs * cost > MOST_MACS and runs > 1:
            notes.append(f"{name} is not shown beside: {runs} runs of this network take long; explain by it, and give both results")
            continue
        report(f"running the model for {name}", 0, 0)
        try:
            run = _run(engine, result, method, parameters, aim)
        except GradCoreError as error:
            notes.append(f"{name} is not shown beside: {error}")
            continue
        values = run.attribution.astype(np.float64)
        backend = "float" if result.about["backend"] == "float" else "golden"
        made.append(MethodResult(name, parameters, run.runs, False, backend, run.attribution, sparseness=metrics.sparseness(values)))
    return made


def _measured(
    made: MethodResult, engine: Backend, real: Backend | None, result: Stored, aim: Aim, inputs: np.ndarray, notes: list[str]
) -> MethodResult:
    """The same with its agreement and its curves."""
    likeness = None
    values = np.nan_to_num(made.attribution.astype(np.float64), posinf=0.0, neginf=0.0)
    if real is not None and made.backend != "float":
        method = METHODS[made.method]
        try:
            parameters = method.checked({name: _value(value) for name, value in made.parameters.items()})
            other = _run(real, result, method, parameters, aim).attribution
            likeness = pearson(values, other) if other.shape == values.shape else None
        except GradCoreError as error:
            notes.append(f"r of {made.method} is not shown: {error}")
    curves = []
    for insert in (False, True):
        replies = engine.execute([Request(one) for one in metrics.flipped(inputs, values, insert=insert)])
        curves.append(tuple(float(softmax(reply.output)[result.target]) for reply in replies))
    return MethodResult(
        made.method, made.parameters, made.runs, made.stored, made.backend, made.attribution, likeness, *curves, made.sparseness
    )  # fmt: skip


def _value(value: Any) -> Any:
    """A parameter as ``Method.checked`` takes it: arrays were stored as lists."""
    return np.asarray(value, dtype=np.float64) if isinstance(value, list) and value and isinstance(value[0], list) else value


def _random_deletion(engine: Backend, inputs: np.ndarray, target: int) -> tuple[float, ...]:
    """The mean deletion curve of random orders, seed 0."""
    generator, curves = np.random.default_rng(0), []
    for _ in range(RANDOM_ORDERS):
        order = generator.random((1, *inputs.shape[1:]))
        replies = engine.execute([Request(one) for one in metrics.flipped(inputs, order)])
        curves.append([softmax(reply.output)[target] for reply in replies])
    return tuple(np.mean(curves, axis=0).tolist())


def _versus(result: Stored, engine: Backend, notes: list[str]) -> tuple[np.ndarray, int] | None:
    """The map of the target against the class that comes next."""
    order = [int(index) for index in np.argsort(-np.nan_to_num(result.logits), kind="stable") if index != result.target]
    if not order or result.against is not None or result.about.get("seed") is not None:
        return None
    try:
        run = _run(engine, result, METHODS["saliency"], {}, Aim(result.target, order[0]))
    except GradCoreError as error:
        notes.append(f"target against runner-up is not shown: {error}")
        return None
    return run.attribution, order[0]

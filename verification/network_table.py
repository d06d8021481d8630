# SPDX-License-Identifier: Apache-2.0
"""The table of networks in docs/networks.md: accuracy, agreement and cycles of each network of ``verification.networks``, measured.

``python -m verification.network_table`` measures all of them, on the golden model, PyTorch and the Verilog, which takes an hour or two;
``python -m verification.network_table resnet-8 fer`` some of them; ``... --cycles`` their cycles alone; ``... --draw`` nothing. What was
measured is kept in docs/networks.json, from which the table is drawn.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradcore.backends import METHODS, open_backend
from gradcore.errors import GradCoreError
from gradcore.explanation.evaluation import pearson
from gradcore.host.files import write_atomically
from gradcore.importer.opening import load_network
from gradcore.network import GraphNetwork, Network
from gradcore.speed.benchmark import INFERENCE, bench
from tb.support.places import ROOT
from verification.networks import KNOWN, inputs_of, is_there, known_network

PAGE, KEPT = ROOT / "docs" / "networks.md", ROOT / "docs" / "networks.json"
BEGIN, END = "<!-- networks: begin (python -m verification.network_table) -->", "<!-- networks: end -->"
COUNTS = {"ds-cnn": (1000, 200), "resnet-8": (500, 200), "resnet-20": (500, 200), "fer": (100, 100)}  # inputs for the class, for r
GENERATED, RUNS = 40, 4  # generated pictures for r; inputs that the Verilog explains
LARGE, FEW = 100_000_000, 4  # MACs, from which on so many pictures are enough for r, and for the Verilog one, with Saliency alone
# Milliseconds of an inference that others publish, with how.
RIVALS = {"resnet-8": "fpgaConvNet 0.411 ms (8 bits, 387 multipliers, 143 MHz); hls4ml 7.64 ms; both without a backward pass"}


def agreement(name: str, network: Network | GraphNetwork, count: int, attributed: int) -> dict[str, Any]:
    """How well fixed point agrees with float on ``count`` inputs, attributions on ``attributed`` of them.

    Returns:
        ``equal``, the share of equal classes; ``golden`` and ``float``, the accuracy in per cent, where there are labels; a list of r for
        each method.
    """
    images, labels = inputs_of(name, count, network)
    fixed, exact = open_backend("golden", network, headroom=0), open_backend("float", network)
    answers = {}
    for what, engine in (("golden", fixed), ("float", exact)):
        runs = engine.run(list(images), ["guided"])["guided"]
        answers[what] = np.array([np.argmax(run.logits) for run in runs])
    found: dict[str, Any] = {"equal": float(np.mean(answers["golden"] == answers["float"]))}
    if labels is not None:
        places = [network.classes.index(f"class {label}") for label in labels]  # the graph's order of outputs may be another
        found |= {what: 100 * float(np.mean(answer == places)) for what, answer in answers.items()}
    some = list(images[:attributed])
    here = fixed.run(some, METHODS)
    there = exact.run(some, METHODS, [run.target for run in here[METHODS[0]]])
    for method in METHODS:
        found[method] = [pearson(a.attribution, b.attribution) for a, b in zip(here[method], there[method], strict=True)]
        print(f"{name} {method}: {_correlations(found[method])} of {attributed}")
    print(f"{name}: {found['equal']:.1%} of {count} classes equal" + (f", {found['golden']:.2f} % right" if labels is not None else ""))
    return found


def measure(name: str, kept: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the table says of a network; with what was ``kept`` of it only its cycles are measured."""
    network = load_network(known_network(name))
    if kept:
        agreed = {what: value for what, value in kept.items() if what not in ("runs", "cycles", "sparse_bound")}
        return agreed | cycles(name, network)
    count, attributed = COUNTS.get(name, (FEW if network.graph.macs > LARGE else GENERATED,) * 2)
    found: dict[str, Any] = {"macs": network.graph.macs, "count": count, "attributed": attributed}
    agreed = agreement(name, network, count, attributed)
    found |= {what: round(agreed[what], 4) for what in ("equal", "golden", "float") if what in agreed}
    found["r"] = {method: _correlations(agreed[method]) for method in METHODS}
    return found | cycles(name, network)


def cycles(name: str, network: Network | GraphNetwork) -> dict[str, Any]:
    """The cycles of the Verilog, and what is predicted of them; none where the core does not run the network."""
    large = network.graph.macs > LARGE
    runs = 1 if large else RUNS
    try:
        report = bench(list(inputs_of(name, runs, network)[0]), METHODS[:1] if large else METHODS, network=network)
    except GradCoreError as refusal:
        print(f"{name}: {refusal}")
        return {}
    columns = {INFERENCE: report[INFERENCE], **report["methods"]}
    found = {what: {key: round(one[key]) for key in ("cycles_total", "predicted_cycles")} for what, one in columns.items()}
    return {"runs": runs, "cycles": found, "sparse_bound": round(report["methods"]["saliency"]["sparse_bound"])}


def _correlations(r: Sequence[float]) -> str:
    """Median, least, share below 0.99."""
    below = float(np.mean(np.array(r) < 0.99))
    return f"{np.median(r):.5f}, {min(r):.4f}, {f'{100 * below:.1f} %' if below else '0'}"


def table(kept: Mapping[str, Any]) -> str:
    """Markdown, of what was measured."""
    heading = "network, inputs", "accuracy: float, fixed point", *(f"r: {method}" for method in METHODS)
    lines = [f"| {' | '.join(heading)} |", "|---" * len(heading) + "|"]
    for name in (name for name in KNOWN if "r" in kept.get(name, {})):
        one, known = kept[name], KNOWN[name]
        right = f"{one['float']:.2f} %, {one['golden']:.2f} %" if "float" in one else f"{one['equal']:.0%} of the classes equal"
        inputs = f"{one['count']} {known.inputs}" + (f", r of {one['attributed']}" if one["attributed"] != one["count"] else "")
        lines.append(f"| {known.title}: {inputs} | {right} | {' | '.join(one['r'][method] for method in METHODS)} |")
    columns = (INFERENCE, *METHODS)
    heading = "network", "MACs", *columns, "ms at 100 MHz: inference, with Saliency", "sparse bound of Saliency", "others, inference"
    lines += ["", f"| {' | '.join(heading)} |", "|---" * len(heading) + "|"]
    for name in (name for name in KNOWN if "cycles" in kept.get(name, {})):
        one = kept[name]
        totals = [one["cycles"].get(what, {}).get("cycles_total") for what in columns]
        ms = ", ".join(f"{total / 1e5:.3f}" for total in totals[:2])
        numbers = [one["macs"], *totals, one["sparse_bound"]]
        macs, *measured, bound = ("" if number is None else f"{number:,}" for number in numbers)
        cells = [macs, *measured, ms, bound, RIVALS.get(name, "")]
        lines.append(f"| {KNOWN[name].title} | {' | '.join(cells)} |")
    parts = [part for one in kept.values() for part in one.get("cycles", {}).values() if "predicted_cycles" in part]
    apart = [abs(part["predicted_cycles"] / part["cycles_total"] - 1) for part in parts]
    if apart:
        lines += ["", f"The cycle model's totals are within {max(apart):.1%} of these."]
    return "\n".join(lines)


def page(text: str, kept: Mapping[str, Any]) -> str:
    """The page with its table drawn anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table(kept)}\n{END}{rest.partition(END)[2]}"


def main(arguments: Sequence[str]) -> None:
    """Measure networks and draw the table."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    options = {one for one in arguments if one.startswith("--")}
    names = [] if "--draw" in options else [one for one in arguments if one not in options] or list(KNOWN)
    for name in names:
        if not is_there(name):
            print(f"{name}: it is not on this machine ({KNOWN[name].file})")
            continue
        kept[name] = measure(name, kept.get(name) if "--cycles" in options else None)
        write_atomically(KEPT, json.dumps(kept, indent=1) + "\n")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), kept), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

# SPDX-License-Identifier: Apache-2.0
"""How well the cycle model does on Table I: ``python -m verification.cycle_accuracy`` prints the table of docs/cycle_model.md (minutes)."""

from __future__ import annotations

from gradcore.speed.benchmark import bench

RUNS = (("full", 100.0, 3), ("full", 150.0, 1), ("paper", 100.0, 1), ("small", 100.0, 1))  # preset, MHz, pictures
SHORT = 1000  # a layer of fewer cycles is left out


def worst(shares: dict[str, float]) -> str:
    """The entry that is furthest from 0."""
    what = max(shares, key=lambda one: abs(shares[one]))
    return f"{shares[what]:+.2%} ({what})"


def row(preset: str, clock_mhz: float, pictures: int) -> str:
    """A line of the table: predicted less measured cycles, means over the pictures, as shares of the measured ones."""
    methods = bench(pictures, preset=preset, clock_mhz=clock_mhz)["methods"]
    totals = {name: one["predicted_cycles"] / one["cycles_total"] - 1 for name, one in methods.items()}
    layers = {
        f"{layer['layer']} {layer['pass']}, {name}": layer["predicted_cycles"] / layer["cycles"] - 1
        for name, one in methods.items()
        for layer in one["layers"]
        if layer["cycles"] >= SHORT
    }
    return f"| {preset}, {clock_mhz:.0f} MHz | {pictures} | {worst(totals)} | {worst(layers)} |"


if __name__ == "__main__":
    print("| preset, clock | pictures | total, worst method | worst layer |\n|---|---|---|---|")
    for run in RUNS:
        print(row(*run), flush=True)

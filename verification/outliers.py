# SPDX-License-Identifier: Apache-2.0
"""What one large value does to a network in fixed point, and whether a note says so: the table of docs/fixed_point.md.

``python -m verification.outliers cifar10-test.parquet`` prints it: how well attributions agree with float autograd when one value of the
network that comes with GradCore is replaced, and its formats are chosen again. A minute or two.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from gradcore.backends import METHODS, open_backend
from gradcore.explanation.evaluation import pearson
from gradcore.importer.opening import load_network
from gradcore.network import Network
from gradcore.pictures.data import read_parquet
from gradcore.quantise import calibrate

COMPARED, CALIBRATED = 40, 64  # pictures: for r; others, for the formats
PLACE = 5  # of the value that is replaced, counted through its tensor
REPLACED = (("conv1.bias", 10), ("conv1.bias", 100), ("conv2.weight", 3), ("conv2.weight", 30), ("conv2.weight", 1000), ("fc1.bias", 1000))


def rows(data: Path) -> Iterator[str]:
    """What is replaced, the least r of each method, the layers that notes name."""
    shipped = load_network("cifar10")
    images = read_parquet(data, COMPARED + CALIBRATED, shape=shipped.input_shape).images
    yield "| replaced | least r: saliency | DeconvNet | guided | a note names |\n|---|---|---|---|---|"
    for tensor, value in (("", 0), *REPLACED):
        network = replaced(shipped, tensor, value)
        network.metadata["quantisation"] = calibrate(network, images[COMPARED:], contrast=0).to_metadata()
        fixed, exact = open_backend("golden", network, headroom=0), open_backend("float", network)
        here = fixed.run(list(images[:COMPARED]), METHODS)
        there = exact.run(list(images[:COMPARED]), METHODS, [run.target for run in here[METHODS[0]]])
        least = (min(pearson(a.attribution, b.attribution) for a, b in zip(here[one], there[one], strict=True)) for one in METHODS)
        what = f"`{tensor}[{PLACE}]` by {value}" if tensor else "nothing"
        named = re.findall(r"(?:weights|outputs) of (\w+) (?:vanish|keep)", "\n".join(fixed.notes))
        yield f"| {what} | {' | '.join(f'{r:.3f}' for r in least)} | {', '.join(named)} |"


def replaced(network: Network, tensor: str, value: float) -> Network:
    """The network with a value in one place of a tensor ('': none), and metadata of its own."""
    weights = {name: np.array(values) for name, values in network.weights.items()}
    if tensor:
        weights[tensor].reshape(-1)[PLACE] = value
    return replace(network, weights=weights, metadata=dict(network.metadata))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m verification.outliers cifar10-test.parquet")
    for row in rows(Path(sys.argv[1])):
        print(row, flush=True)

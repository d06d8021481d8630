# SPDX-License-Identifier: Apache-2.0
"""The pictures in docs/images/ that show results: made by the code that draws reports, so that they are what users get; and the diagrams of
``verification.diagrams``.

``python -m verification.pictures`` makes them anew (`make pictures`): it runs the Verilog once. What that gave is kept in timeline.json,
from which a test draws the picture again.
"""

from __future__ import annotations

import json
from pathlib import Path

import gradcore
from gradcore.host.files import write_atomically
from gradcore.host.progress import Progress, ProgressDisplay
from gradcore.host.scratch import scratch_folder
from gradcore.network import Network
from gradcore.pictures.picture import sample_picture
from gradcore.report.measured import measure
from gradcore.report.poster import poster
from gradcore.report.stored import read_result
from gradcore.timeline import Overview
from gradcore.timeline.drawing import draw_overview
from verification import diagrams
from verification.diagrams import IMAGES

SHOWN = {"guided": {}, "gradcam": {}, "integrated_gradients": {"n_steps": 20}}
NETWORK, METHOD = "cifar10", "saliency"


def explanation(work: Path) -> str:
    """SVG: the sample picture by three methods, with their deletion curves; by the model. ``work`` is a folder for its results."""
    network = Network.load(NETWORK)
    channels, height, width = network.input_shape
    picture = sample_picture(height=height, width=width, channels=channels)
    results = []
    for method, parameters in SHOWN.items():
        (result,) = gradcore.explain(picture, network, method, backend="golden", **parameters)
        result.save(work / method)
        results.append(read_result(work / method))
    return poster(results[0], measure(results, network, beside=False, compare=False))


def run(progress: Progress) -> Overview:
    """What the engines do while the sample picture is explained in the full preset: the Verilog runs."""
    network = Network.load(NETWORK)
    channels, height, width = network.input_shape
    picture = sample_picture(height=height, width=width, channels=channels)
    (result,) = gradcore.explain(picture, network, METHOD, backend=gradcore.Setup("rtl", observe=True), progress=progress)
    assert result.overview is not None
    return result.overview


def timeline(stored: str) -> str:
    """SVG of a run from the text of timeline.json."""
    return draw_overview(Overview.from_dict(json.loads(stored)), f"{NETWORK}, {METHOD}", alone=True)


def main() -> None:
    """Make all pictures."""
    diagrams.main()
    with ProgressDisplay() as progress, scratch_folder() as work:
        write_atomically(IMAGES / "explanation.svg", explanation(work))
        stored = json.dumps(run(progress).as_dict(), separators=(",", ":")) + "\n"
        write_atomically(IMAGES / "timeline.json", stored)
        write_atomically(IMAGES / "timeline.svg", timeline(stored))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""The pictures of results, and the diagrams of the compiler's sums, in docs/images/ are what the code draws now: none was forgotten."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcore.compiler import compile_network
from gradcore.network import Network
from gradcore.pictures.picture import sample_picture
from gradcore.quantise import in_integers
from gradcore.speed.cycle_model import predict, zeros_of
from gradcore.timeline import Overview
from verification import diagrams, pictures

ROOT = Path(__file__).resolve().parents[1]
ANEW = "run make pictures, look at them, and commit them"
_NUMBER = re.compile(r"-?\d+\.?\d*")


def parts(drawing: str) -> tuple[str, list[float], list[np.ndarray]]:
    """A drawing without its numbers; the numbers; the pixels of its pictures."""
    found = re.findall(r"data:image/\w+;base64,([\w+/=]+)", drawing)
    bare = re.sub(r"data:image/\w+;base64,[\w+/=]+", "", drawing)
    pixels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB")) for one in found]
    return _NUMBER.sub("#", bare), [float(one) for one in _NUMBER.findall(bare)], pixels


def differs(one: str, other: str) -> str:
    """How two drawings differ, '' where they are the same; the last digit of a coordinate may be another on another machine."""
    (words, numbers, pixels), (words_, numbers_, pixels_) = parts(one), parts(other)
    if words != words_ or len(pixels) != len(pixels_):
        return "in what is drawn"
    if np.abs(np.subtract(numbers, numbers_)).max() > 0.011:
        return "in its numbers"
    same = all(a.shape == b.shape and np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(pixels, pixels_, strict=True))
    return "" if same else "in its pixels"


def test_the_explanation(tmp_path: Path) -> None:
    kept = (pictures.IMAGES / "explanation.svg").read_text()
    how = differs(pictures.explanation(tmp_path), kept)
    assert not how, f"docs/images/explanation.svg differs {how}: {ANEW}"


def test_the_timeline() -> None:
    """Drawn from the run that is kept; that is of this hardware: its cycles are those that the cycle model predicts, to a hundredth."""
    stored = (pictures.IMAGES / "timeline.json").read_text()
    assert pictures.timeline(stored) == (pictures.IMAGES / "timeline.svg").read_text(), f"docs/images/timeline.svg is another: {ANEW}"
    kept = Overview.from_dict(json.loads(stored))
    network = Network.load(pictures.NETWORK)
    channels, height, width = network.input_shape
    quantised = in_integers(network)
    pixels = quantised.quantise_image(sample_picture(height=height, width=width, channels=channels).pixels)
    (zeros,) = zeros_of(quantised, pixels[None], [pictures.METHOD])
    prediction = predict(compile_network(quantised, "full"), zeros[pictures.METHOD], pictures.METHOD)
    assert kept.cycles == pytest.approx(prediction.total, rel=0.01), f"docs/images/timeline.json is of other hardware: {ANEW}"
    names = [f"{one.layer} {one.direction}" if one.layer != "seed" else "seed" for one in prediction.layers]
    assert [name for name, _ in kept.layers] == names


@pytest.mark.parametrize("name", diagrams.DIAGRAMS)
def test_the_diagrams_of_what_the_compiler_makes(name: str) -> None:
    kept = (pictures.IMAGES / name).read_text()
    assert diagrams.DIAGRAMS[name]() == kept, f"docs/images/{name} is another: run python -m verification.diagrams, look at it, commit it"


def test_pages_show_them() -> None:
    networks = (ROOT / "docs" / "networks.md").read_text()
    assert all(f"(images/{name})" in networks for name in ("passes.svg", *diagrams.DIAGRAMS))
    assert "(docs/images/explanation.svg)" in (ROOT / "README.md").read_text()
    assert "(images/timeline.svg)" in (ROOT / "docs" / "timeline.md").read_text()


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (lambda drawing: drawing.replace(">guided<", ">saliency<"), "in what is drawn"),
        (lambda drawing: re.sub(r'points="48,', 'points="49,', drawing), "in its numbers"),
        (lambda drawing: re.sub(r"data:image/png;base64,[\w+/=]+", lambda _: dot((9, 9, 9)), drawing), "in its pixels"),
        (lambda drawing: drawing, ""),
    ],
)
def test_a_change_is_seen(change, how: str) -> None:
    drawing = f'<svg><text>guided</text><polyline points="48,3 1,2"/><image href="{dot((1, 2, 3))}"/></svg>'
    assert differs(change(drawing), drawing) == how


def dot(colour: tuple[int, int, int]) -> str:
    stream = io.BytesIO()
    Image.new("RGB", (2, 2), colour).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()

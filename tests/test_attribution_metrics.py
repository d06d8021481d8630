# SPDX-License-Identifier: Apache-2.0
"""Measures of attributions: against Captum's and against their definitions written out; the report of ``gradcore eval --metrics``."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats
import torch
from captum import attr as captum
from captum.metrics import sensitivity_max
from PIL import Image
from test_cli import gradcore, one_line

from gradcore import GradCoreError, Layer, Network
from gradcore.attribution import METHODS, metrics
from gradcore.backends import Request, open_backend, softmax
from gradcore.backends.pytorch import build_module
from gradcore.explanation import quality

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require")]

LAYERS = [Layer("conv", "conv1", 3, 8, 3, pool=True), Layer("conv", "conv2", 8, 6, 3), Layer("fc", "fc1", 96, 5, relu=False)]
NETWORK = Network.random(LAYERS, (3, 8, 8), name="tiny", seed=3)
RNG = np.random.default_rng(4)
PICTURES = RNG.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)


def test_sparseness_is_ginis_index():
    """By its definition: the mean absolute difference of all pairs, over twice the mean."""
    values = RNG.normal(size=(3, 4, 5))
    flat = np.abs(values).reshape(-1)
    expected = np.abs(flat[:, None] - flat[None]).mean() / (2 * flat.mean())
    assert metrics.sparseness(values) == pytest.approx(expected, rel=1e-9)
    assert metrics.sparseness(np.ones((1, 8, 8))) == pytest.approx(0) and metrics.sparseness(np.zeros((1, 8, 8))) == 0
    assert metrics.sparseness(np.eye(1, 100)) == pytest.approx(0.99)


def test_sensitivity_is_captums():
    """Captum's ``sensitivity_max`` with the noise that we draw."""
    module = build_module(NETWORK)
    values = torch.from_numpy(NETWORK.normalise(PICTURES[:1])).double()
    module.double()
    noise = torch.from_numpy(np.random.default_rng(0).uniform(-0.02, 0.02, (10, 3, 8, 8)))

    def explained(inputs):
        return captum.Saliency(module).attribute(inputs, target=1, abs=False)

    expected = sensitivity_max(explained, values.requires_grad_(), lambda inputs: inputs + noise)

    def explain(inputs):
        return explained(torch.from_numpy(inputs)[None].requires_grad_()).numpy()[0]

    assert metrics.max_sensitivity(explain, values.detach().numpy()[0]) == pytest.approx(expected.item(), rel=1e-4)
    assert metrics.max_sensitivity(lambda inputs: np.zeros(3), values.detach().numpy()[0]) == 0


def test_flipping_takes_the_most_important_pixels_first():
    """Pixel by pixel, written out; a map of a layer is stretched."""
    inputs, attribution = RNG.normal(size=(3, 4, 6)), RNG.normal(size=(3, 4, 6))
    for heat in (attribution, attribution[:1, :2, :3]):
        whole = heat if heat.shape[1] == 4 else np.kron(heat, np.ones((1, 2, 2)))
        places = sorted(np.ndindex(4, 6), key=lambda place: -whole[:, place[0], place[1]].sum())
        for insert in (False, True):
            made = metrics.flipped(inputs, heat, baseline=0.5, steps=24, insert=insert)
            expected = np.full_like(inputs, 0.5) if insert else inputs.copy()
            if heat is attribution:
                for step, (row, column) in enumerate(places):
                    np.testing.assert_array_equal(made[step], expected)
                    expected[:, row, column] = inputs[:, row, column] if insert else 0.5
            ends = (np.full_like(inputs, 0.5), inputs)
            np.testing.assert_array_equal(made[0], ends[0 if insert else 1])
            np.testing.assert_array_equal(made[-1], ends[1 if insert else 0])
    assert metrics.area([1, 0]) == 0.5 and metrics.area([0, 1, 1]) == 0.75
    assert metrics.area(np.linspace(1, 3, 9) ** 2) == pytest.approx(np.trapezoid(np.linspace(1, 3, 9) ** 2, dx=1 / 8))


def test_a_map_that_is_right_has_better_curves_than_its_opposite():
    engine = open_backend("golden", NETWORK)
    inputs = engine.real_inputs(PICTURES[:1])[0]
    (reply,) = engine.execute([Request(inputs, "saliency", 2)])
    right = inputs * reply.gradient

    def curve(attribution, insert):
        replies = engine.execute([Request(one) for one in metrics.flipped(inputs, attribution, insert=insert)])
        return metrics.area([softmax(one.output)[2] for one in replies])

    assert curve(right, False) < curve(-right, False) and curve(right, True) > curve(-right, True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "pictures.parquet"
    encoded = []
    for picture in PICTURES:
        Image.fromarray(picture).save(stream := io.BytesIO(), "PNG")
        encoded.append({"bytes": stream.getvalue(), "path": None})
    pq.write_table(pa.table({"image": encoded, "label": [0, 1]}), path)
    return path


def test_the_report(data):
    """Every method, in fixed point near float."""
    names = ("saliency", "guided", "gradcam", "occlusion", "smoothgrad")
    report = quality.evaluate_metrics(data, network=NETWORK, methods=names)
    assert report["images"] == 2 and list(report["metrics"]) == list(names) and report["parameters"] == {"occlusion": {"strides": 4}}
    for method, values in report["metrics"].items():
        for measure in quality.MEASURES:
            fixed, real = (values[backend][measure] for backend in quality.BACKENDS)
            assert np.isfinite(fixed) and fixed == pytest.approx(real, abs=0.05), (method, measure)
        for layer, fixed in values["golden"]["randomised"].items():
            assert fixed == pytest.approx(values["float"]["randomised"][layer], abs=0.05), (method, layer)
    cascade = report["metrics"]["saliency"]["golden"]["randomised"]
    assert list(cascade) == ["fc1", "conv2", "conv1"] and max(cascade.values()) < 0.6
    shown, layers = quality.tables(report)
    assert (
        len(shown.columns) == 1 + len(quality.MEASURES) and shown.row_count == layers.row_count == len(names) and len(layers.columns) == 4
    )


def test_likeness_is_spearmans():
    """Of absolute values; equal ones have their mean rank."""
    one, other = np.round(RNG.normal(size=(2, 3, 8, 8)), 1)
    expected = scipy.stats.spearmanr(np.abs(one).reshape(-1), np.abs(other).reshape(-1)).statistic
    assert metrics.rank_correlation(one, other) == pytest.approx(expected, abs=1e-12) and abs(expected) < 0.3
    assert metrics.rank_correlation(one, -one) == pytest.approx(1) and metrics.rank_correlation(one, np.ones_like(one)) == 0


def test_the_cascade_shuffles_layer_by_layer():
    """From the last on: what lies before stays, what was shuffled stays shuffled, and no value is lost."""
    cascade = quality.shuffled(NETWORK)
    names = [layer.name for layer in NETWORK.layers]
    assert list(cascade) == names[::-1]
    before = NETWORK
    for name, network in cascade.items():
        for other in names:
            weight, earlier, trained = (one.weights[f"{other}.weight"] for one in (network, before, NETWORK))
            assert np.array_equal(weight, earlier) == (other != name) and np.array_equal(np.sort(weight, None), np.sort(trained, None))
        before = network


def test_the_page_has_every_method_in_fixed_point_beside_float():
    """Both tables, and their figures as the page says: what fixed point costs."""
    page = (Path(__file__).resolve().parents[1] / "docs" / "attribution.md").read_text().partition("## Is the map any good?")[2]
    tables = [[], []]
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0].strip("`") in METHODS and " / " in line:
            tables[len(cells) == 7].append(cells)
    for table, columns in zip(tables, (len(quality.MEASURES), 6), strict=True):
        assert [cells[0].strip("`") for cells in table] == list(METHODS)
        for cells in table:
            pairs = [tuple(map(float, cell.split(" / "))) for cell in cells[1:]]
            assert len(pairs) == columns and all(abs(fixed - real) < 0.0045 for fixed, real in pairs), cells


def test_what_cannot_be_measured_is_refused(data):
    for arguments, words in (
        ({"limit": 0}, "0 pictures cannot be measured: give 1 or more"),
        ({"methods": ["gradcam", "lime"]}, "unknown method 'lime'"),
    ):
        with pytest.raises(GradCoreError, match=words):
            quality.evaluate_metrics(data, network=NETWORK, **arguments)


def test_the_command_wants_pictures(tmp_path):
    one_line(gradcore("eval", "--patterns", "--metrics", cwd=tmp_path), "--metrics", "give --data FILE.parquet")

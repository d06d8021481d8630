# SPDX-License-Identifier: Apache-2.0
"""Heatmaps follow Captum's conventions and are drawn large enough to look at."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from gradcore import heatmap


@pytest.fixture
def attribution() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(3, 32, 32)).astype(np.float32)


def captum_threshold(values: np.ndarray, percentile: float) -> float:
    """As captum.attr._utils.visualization._cumulative_sum_threshold does it."""
    ordered = np.sort(values.flatten())
    sums = np.cumsum(ordered)
    return float(ordered[np.where(sums >= sums[-1] * 0.01 * percentile)[0][0]])


def test_absolute_is_the_largest_magnitude_of_the_channels():
    gradient = np.array([[[1.0, -5.0]], [[-3.0, 2.0]]])
    np.testing.assert_array_equal(heatmap.reduce_channels(gradient), [[3.0, 5.0]])


def test_positive_ignores_what_speaks_against_the_class():
    gradient = np.array([[[1.0, -5.0]], [[-3.0, -2.0]]])
    np.testing.assert_array_equal(heatmap.reduce_channels(gradient, "positive"), [[1.0, 0.0]])


@pytest.mark.parametrize("outlier", [0.0, 2.0, 10.0, 50.0])
def test_outliers_are_cut_where_captum_cuts_them(attribution, outlier):
    heat = heatmap.reduce_channels(attribution)
    threshold = captum_threshold(heat, 100.0 - outlier)
    assert heatmap.outlier_threshold(heat, outlier) == threshold
    np.testing.assert_allclose(heatmap.normalise(attribution, outlier=outlier), np.clip(heat / threshold, 0, 1))


def test_an_extreme_pixel_does_not_blacken_the_rest():
    gradient = np.full((1, 32, 32), 0.5)
    gradient[0, 0, 0] = 5.0
    assert heatmap.normalise(gradient)[1, 1] == 1.0


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_only_the_shape_counts_not_the_scale(attribution, scale):
    np.testing.assert_allclose(
        heatmap.normalise(attribution.astype(np.float64) * scale), heatmap.normalise(attribution), rtol=1e-9
    )


def test_a_gradient_of_zeros_is_black():
    assert not heatmap.normalise(np.zeros((3, 8, 8))).any()


def test_a_single_pixel_that_is_not_zero():
    gradient = np.zeros((3, 8, 8))
    gradient[1, 2, 3] = -1e-4
    heat = heatmap.normalise(gradient)
    assert heat[2, 3] == 1.0 and heat.sum() == 1.0


def test_bad_arguments():
    with pytest.raises(ValueError, match="channels x height x width"):
        heatmap.normalise(np.zeros((8, 8)))
    with pytest.raises(ValueError, match="unknown sign"):
        heatmap.normalise(np.zeros((1, 8, 8)), sign="both")
    with pytest.raises(ValueError, match="pixels"):
        heatmap.draw_overlay(np.zeros((8, 9, 3), np.uint8), np.zeros((3, 8, 8)), "never-written.png")


def test_each_pixel_is_a_square_of_the_colour_map(attribution, tmp_path):
    from matplotlib import colormaps

    heatmap.draw_heatmap(attribution, tmp_path / "h.png", title="why cat: saliency")
    drawn = np.asarray(Image.open(tmp_path / "h.png").convert("RGB")).astype(int)
    colours = np.round(colormaps[heatmap.COLOUR_MAP](heatmap.normalise(attribution))[..., :3] * 255).astype(int)
    left, top = 12, 44
    squares = drawn[top : top + 512, left : left + 512].reshape(32, 16, 32, 16, 3)
    assert np.abs(squares[:, 2:-2, :, 2:-2] - colours[:, None, :, None]).max() <= 2


@pytest.mark.parametrize(
    ("shape", "panel"),
    [
        ((32, 32), (512, 512)),
        ((8, 8), (512, 512)),
        ((24, 48), (264, 528)),
        ((1, 1), (512, 512)),
        ((600, 300), (600, 300)),
    ],
)
def test_pictures_of_any_size_are_drawn_large(tmp_path, shape, panel):
    gradient = np.random.default_rng(1).normal(size=(3, *shape))
    heatmap.draw_overlay(np.zeros((*shape, 3), np.uint8), gradient, tmp_path / "o.png", title="t")
    width, height = Image.open(tmp_path / "o.png").size
    assert abs(height - (44 + panel[0] + 12)) <= 1 and abs(width - (12 + 2 * panel[1] + 12 + 84)) <= 1


def test_overlay_of_a_grey_network(tmp_path):
    heatmap.draw_overlay(np.zeros((16, 16, 1), np.uint8), np.ones((1, 16, 16)), tmp_path / "o.png")
    assert (tmp_path / "o.png").stat().st_size > 1000


def test_the_overlay_shows_picture_and_heat(tmp_path):
    gradient = np.zeros((3, 32, 32))
    gradient[:, 16:, :] = 1.0
    picture = np.full((32, 32, 3), (255, 0, 0), np.uint8)
    heatmap.draw_overlay(picture, gradient, tmp_path / "o.png")
    drawn = np.asarray(Image.open(tmp_path / "o.png").convert("RGB")).astype(int)
    assert tuple(drawn[44 + 100, 12 + 100]) == (255, 0, 0)
    cold, hot = drawn[44 + 100, 536 + 100], drawn[44 + 400, 536 + 100]
    assert hot.sum() > cold.sum() + 200


def test_titles_are_taken_literally(attribution, tmp_path):
    heatmap.draw_heatmap(attribution, tmp_path / "h.png", title=r"why $\frac{: $ & _x_ <b>")


def test_no_global_state_of_pyplot(attribution, tmp_path):
    before = "matplotlib.pyplot" in sys.modules
    heatmap.draw_heatmap(attribution, tmp_path / "h.png")
    assert ("matplotlib.pyplot" in sys.modules) == before

# SPDX-License-Identifier: Apache-2.0
"""Heatmaps follow Captum's conventions and are drawn large enough to look at."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcore import GradCoreError
from gradcore.drawing import figures as drawing
from gradcore.drawing import heatmap
from gradcore.drawing.heatmap import draw_heatmap, draw_overlay
from gradcore.speed import performance_plot
from gradcore.timeline import Counter, Slice, Timeline, Track
from gradcore.timeline.picture import draw_timeline

ROOT = Path(__file__).resolve().parent.parent


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
    np.testing.assert_allclose(heatmap.normalise(attribution.astype(np.float64) * scale), heatmap.normalise(attribution), rtol=1e-9)


def test_a_gradient_of_zeros_is_black():
    assert not heatmap.normalise(np.zeros((3, 8, 8))).any()


def test_a_single_pixel_that_is_not_zero():
    gradient = np.zeros((3, 8, 8))
    gradient[1, 2, 3] = -1e-4
    heat = heatmap.normalise(gradient)
    assert heat[2, 3] == 1.0 and heat.sum() == 1.0


def test_bad_arguments():
    with pytest.raises(GradCoreError, match="channels x height x width"):
        heatmap.normalise(np.zeros((8, 8)))
    with pytest.raises(GradCoreError, match="unknown sign"):
        heatmap.normalise(np.zeros((1, 8, 8)), sign="both")
    with pytest.raises(GradCoreError, match="pixels"):
        heatmap.draw_overlay(np.zeros((8, 9, 3), np.uint8), np.zeros((3, 8, 8)), "never-written.png")


def test_f31_what_cannot_be_drawn_is_a_gradcore_error(attribution, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    Path("folder.png").mkdir()
    good = np.zeros((32, 32, 3), np.uint8)
    cases = [
        ("channels x height x width", lambda: draw_heatmap(np.zeros((3, 0, 4)), "x.png")),
        ("channels x height x width", lambda: draw_heatmap(np.zeros((1, 3, 8, 8)), "x.png")),
        ("no attribution", lambda: draw_heatmap([["a"]], "x.png")),
        ("no attribution", lambda: draw_heatmap(None, "x.png")),
        ("no attribution", lambda: draw_heatmap(attribution * 1j, "x.png")),
        ("no attribution", lambda: draw_heatmap([[[1], [2, 3]]], "x.png")),
        ("outlier is -1", lambda: draw_heatmap(attribution, "x.png", outlier=-1)),
        ("outlier is 101", lambda: draw_overlay(good, attribution, "x.png", outlier=101)),
        ("suffix '.docx'.*png", lambda: draw_heatmap(attribution, "x.docx")),
        ("suffix ''.*png", lambda: draw_heatmap(attribution, "x")),
        ("suffix '.pgf'.*png", lambda: draw_overlay(good, attribution, "x.pgf")),
        ("Is a directory", lambda: draw_heatmap(attribution, "folder.png")),
        ("Not a directory", lambda: draw_overlay(good, attribution, "file/x.png")),
        ("same ones", lambda: draw_overlay(good[0, 0], attribution, "x.png")),
        ("the picture", lambda: draw_overlay(np.zeros((32, 32, 2), np.uint8), attribution, "x.png")),
        ("the picture.*0..1", lambda: draw_overlay(np.full((32, 32, 3), 7.0), attribution, "x.png")),
    ]
    for message, draw in cases:
        with pytest.raises(GradCoreError, match=message):
            draw()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


@pytest.mark.parametrize(("suffix", "kind"), [("jpg", "JPEG"), ("PNG", "PNG"), ("webp", "WEBP"), ("tiff", "TIFF"), ("svg", None)])
def test_f31_the_suffix_says_the_format(attribution, tmp_path, suffix, kind):
    path = tmp_path / "new" / f"h.{suffix}"
    heatmap.draw_heatmap(attribution, path)
    assert Image.open(path).format == kind if kind else path.read_text().startswith("<?xml")
    before = path.read_bytes()
    heatmap.draw_heatmap(attribution, path)
    assert path.read_bytes() == before


def test_f31_grey_pictures_of_any_shape(attribution, tmp_path):
    grey = np.random.default_rng(2).integers(0, 256, (32, 32), dtype=np.uint8)
    for number, picture in enumerate((grey, grey[..., None], np.stack([grey] * 3, axis=-1), grey / 255.0)):
        heatmap.draw_overlay(picture, attribution, tmp_path / f"{number}.png")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


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


# The machine ----------------------------------------------------------------------------------------------------------


COUNTERS = (
    "multipliers, convolution",
    "multipliers, vector engine",
    *(f"port {number}, {way}" for number in (0, 1) for way in ("read", "write")),
)


def draw_all(folder: Path) -> dict[str, bytes]:
    """One drawing of each kind, into a new folder; what the files hold."""
    gradient = np.random.default_rng(1).normal(size=(3, 8, 12))
    gradient[:, :2] *= 0.1  # no symmetry: upside down is seen
    draw_heatmap(gradient, folder / "heatmap.png", title="why cat: saliency")
    draw_overlay(np.arange(288, dtype=np.uint16).reshape(8, 12, 3).astype(np.uint8), gradient, folder / "overlay.png", title="why cat")
    layers = Track("layers", "layers", (Slice("conv1 forward", 0, 300), Slice("conv1 backward", 300, 600)))
    counters = tuple(Counter("group", name, "unit", np.arange(5.0)) for name in COUNTERS)
    draw_timeline(Timeline(600, (layers,), counters, {}), 100.0, "net, guided", folder / "timeline.png")
    layer = {"layer": "conv1", "cycles": 300.0, "sparse_bound": 200.0, "macs": 900.0, "bytes": 90.0, "span_cycles": 310.0}
    method = {"layers": [layer | {"pass": "forward"}, layer | {"pass": "backward"}], "cycles_forward": 300.0, "cycles_backward": 300.0,
              "cycles_total": 600.0, "latency_ms": 0.006}  # fmt: skip
    report = {"methods": {"guided": method}, "network": "n", "images": 1, "preset": "small", "clock_mhz": 100.0, "memory_bytes": 16.0,
              "macs": 40}  # fmt: skip
    performance_plot.draw(report, folder / "bench.png")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


HOSTILE = """
image.origin: lower
image.cmap: gray
image.interpolation: bilinear
font.size: 30
font.family: monospace
text.usetex: True
text.color: red
axes.grid: True
axes.facecolor: yellow
figure.facecolor: green
figure.dpi: 40
figure.autolayout: True
savefig.bbox: tight
savefig.dpi: 33
savefig.transparent: True
path.sketch: 1, 100, 2
legend.fontsize: 3
nonsense: 3
lines.linewidth: not a number
"""


@pytest.mark.parametrize("settings", [HOSTILE.encode(), b"\xff\xfe\x00garbage\n", None])
def test_f07_f10_drawings_are_the_same_on_every_machine(tmp_path, settings):
    """Whatever settings files and environment say; and nothing is said on standard error."""
    (tmp_path / "here").mkdir()
    expected = draw_all(tmp_path / "here")
    there = tmp_path / "there"
    there.mkdir()
    (there / "file").write_text("x")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    if settings is None:  # a cache that cannot be made, and a user whom nobody knows
        environment |= {"MPLCONFIGDIR": str(there / "file" / "below"), "MPLBACKEND": "qtagg"}
    else:
        (there / "matplotlibrc").write_bytes(settings)
    code = "from pathlib import Path; from tests.test_heatmap import draw_all; draw_all(Path('out'))"
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], cwd=there, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {path.name: path.read_bytes() for path in (there / "out").iterdir()} == expected


def test_f10_settings_of_the_caller_count_for_nothing_and_stay(attribution, tmp_path):
    import matplotlib

    draw_heatmap(attribution, tmp_path / "a.png", title="t")
    with matplotlib.rc_context({"image.origin": "lower", "font.size": 40, "savefig.bbox": "tight", "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        draw_heatmap(attribution, tmp_path / "b.png", title="t")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


# Names ------------------------------------------------------------------------------------------------------------------


def drawn_text(text: str, monkeypatch) -> str:
    """What is drawn as the title; no warning is given, and each of its characters is in a font that is used."""
    written = []
    monkeypatch.setattr(heatmap, "save", lambda figure, path: written.append(figure))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_heatmap(np.ones((1, 32, 32)), "h.png", title=text)
    (figure,) = written
    (title,) = figure.texts
    figure.canvas.draw()
    box = title.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height, "the title is cut"
    families = title.get_fontfamily()
    for character in title.get_text():
        assert any(drawing._has(family, character) for family in families), character
    return title.get_text()


def test_f23_a_name_that_no_font_has_is_written_as_code_points(monkeypatch, recwarn):
    """Never boxes. Fonts other than matplotlib's own are set aside, so that it is the same everywhere."""
    monkeypatch.setattr(drawing, "_families_with", lambda missing: ())
    assert drawn_text("why чёрный Käse: guided", monkeypatch) == "why чёрный Käse: guided"
    assert drawn_text("why 猫犬: guided", monkeypatch) == "why \\u732b\\u72ac: guided"
    assert drawn_text("𠀀 ｃａｔ \ufe0f", monkeypatch) == "\\U00020000 cat "
    assert not recwarn.list


def test_f23_a_font_of_this_machine_is_used_where_it_has_the_name(monkeypatch):
    """Each script is written as it is, or as code points: a font that has the character is found if there is one."""
    from matplotlib.font_manager import fontManager, get_font

    with drawing.drawing():
        assert drawn_text("𝔘𝔠", monkeypatch) == "𝔘𝔠"  # STIX, which comes with matplotlib, has them, DejaVu Sans does not
        for text in ("猫", "नमस्ते", "日本語", "\U0001f600", "ᚠ", "𓀀"):
            drawn = drawn_text(text, monkeypatch)
            if drawn == text:
                continue
            fonts = [get_font(entry.fname) for entry in fontManager.ttflist if "Last Resort" not in entry.name]
            assert not all(any(font.get_char_index(ord(one)) for font in fonts) for one in text), "a font has all of it"
            assert drawn.isascii()


def test_f23_long_names_and_control_characters(monkeypatch):
    long = drawn_text("why " + "very long name " * 30 + ": deconvnet", monkeypatch)
    assert "…" in long and long.startswith("why very long") and long.endswith(": deconvnet") and len(long) > 40
    assert drawn_text("a\nb\t\x1b[31m $x_1$ \udcff\u202e", monkeypatch) == r"a\nb\t\x1b[31m $x_1$ � \u202e".replace("� ", "�")
    assert drawing.shortened("abcdefgh", 8) == "abcdefgh" and drawing.shortened("abcdefghi", 8) == "abcd…ghi"


def test_f23_a_timeline_of_layers_with_any_names(tmp_path):
    """Names with commas and blanks, one the beginning of another: each layer keeps its colours."""
    from gradcore.timeline.overview import layer_colours, layer_of

    names = ["a, b forward", "a forward", "a $x^$ 猫 forward", "a $x^$ 猫 backward", "a backward", "a, b backward"]
    layers = tuple(Slice(name, 100 * number, 100 * number + 100) for number, name in enumerate(names))
    jobs = tuple(Slice(f"{one.name}, tile 0", one.start, one.end) for one in layers)
    counters = tuple(Counter("group", name, "unit", np.arange(5.0)) for name in COUNTERS)
    timeline = Timeline(600, (Track("layers", "layers", layers), Track("group", "tile loader", jobs)), counters, {})
    draw_timeline(timeline, 100.0, "a title " * 100, tmp_path / "t.png")
    assert len(set(layer_colours(names).values())) == 6
    assert [names[layer_of(job.name, names)] for job in jobs] == names


# Numbers that are none -------------------------------------------------------------------------------------------------


def test_f24_what_is_no_number_is_marked_and_said(monkeypatch, tmp_path):
    gradient = np.ones((3, 32, 32))
    gradient[0, 3, 4:7] = np.nan, np.inf, -np.inf
    heat = heatmap.normalise(gradient)
    assert np.isnan(heat).sum() == heatmap.not_numbers(gradient) == 3 and np.nanmin(heat) == 1.0
    for sign in heatmap.SIGNS:
        assert np.isnan(heatmap.normalise(gradient, sign=sign)).sum() == 3
    assert drawn_text("t", monkeypatch) == "t"
    monkeypatch.undo()
    draw_overlay(np.zeros((32, 32), np.uint8), gradient, tmp_path / "o.png")
    draw_heatmap(gradient, tmp_path / "h.png")
    for name, left in (("h", 12), ("o", 536)):
        drawn = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))[44:556, left : left + 512]
        marked = (drawn == (0, 255, 255)).all(axis=-1)
        assert marked[48:64, 64:112].all() and marked.sum() == 16 * 48
    monkeypatch.setattr(heatmap, "save", lambda figure, path: written.append(figure.texts[0].get_text()))
    written = []
    draw_heatmap(gradient, "h.png", title="why cat")
    draw_heatmap(np.full((1, 4, 4), np.nan), "h.png")
    assert written == ["why cat (3 pixels are no numbers: cyan)", "(16 pixels are no numbers: cyan)"]


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1e300, 1.7e308])
def test_f24_no_scale_is_too_large_or_too_small(attribution, scale):
    with np.errstate(all="raise", under="ignore"):
        heat = heatmap.normalise(np.sign(attribution).astype(np.float64) * scale)
    assert (heat == 1).all()


# Shapes -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(200, 4), (4, 200), (1, 1), (1, 1000), (1000, 1), (32, 32), (2, 3)])
def test_f32_no_text_lies_on_another(shape, monkeypatch):
    """Titles and the colour bar's labels: apart, inside the figure; the panels stay where the heat is."""
    written = []
    monkeypatch.setattr(heatmap, "save", lambda figure, path: written.append(figure))
    gradient = np.random.default_rng(1).normal(size=(3, *shape))
    draw_heatmap(gradient, "h.png", title="why automobile: deconvnet")
    draw_overlay(np.zeros(shape, np.uint8), gradient, "o.png", title="why automobile: deconvnet")
    for figure in written:
        figure.canvas.draw()
        bar = figure.axes[-1]
        boxes = [text.get_window_extent() for text in [*figure.texts, *bar.get_yticklabels()]]
        for number, one in enumerate(boxes):
            assert one.x0 >= 0 and one.y0 >= -1 and one.x1 <= figure.bbox.width and one.y1 <= figure.bbox.height + 1
            assert not any(one.overlaps(other) for other in boxes[number + 1 :])
            assert not any(one.overlaps(panel.get_window_extent()) for panel in figure.axes[:-1])
        for text in figure.texts:
            assert unicodedata.lookup("HORIZONTAL ELLIPSIS") not in text.get_text()
        for panel in figure.axes[:-1]:
            box = panel.get_window_extent()
            assert box.height / shape[0] == pytest.approx(box.width / shape[1]) and min(box.height, box.width) >= 3.99


def test_pictures_are_whole_or_not_there(attribution, tmp_path):
    (tmp_path / "h.png").write_bytes(b"old")
    (tmp_path / "h.png").chmod(0o640)
    draw_heatmap(attribution, tmp_path / "h.png")
    assert stat.S_IMODE((tmp_path / "h.png").stat().st_mode) == 0o640 and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(GradCoreError, match="/dev/full cannot be written .No space left"):
        draw_heatmap(attribution, "/dev/full")

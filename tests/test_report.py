# SPDX-License-Identifier: Apache-2.0
"""Reports: what they say is what was measured, what cannot be shown is said, bad input is one line; and in Chromium, with scripts off and
on, wide and narrow, light and dark, nothing is fetched, nothing said, and nothing overflows."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from gradcore import GradCoreError, Layer, Network, Setup, explain
from gradcore.attribution import metrics
from gradcore.backends import Request, open_backend, softmax
from gradcore.cli import app
from gradcore.explanation.evaluation import pearson
from gradcore.network import GraphNetwork
from gradcore.network.graph import INPUT, Add, Conv, FullyConnected, Graph, Relu
from gradcore.quantise import calibrate, calibrate_graph, standard_images
from gradcore.report import maps, write_report
from gradcore.report.gather import command, gather
from gradcore.report.stored import read_result
from gradcore.report.words import count, likeness

pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS = [
    Layer("conv", "conv1", 3, 8, 3, pool=True),
    Layer("conv", "conv2", 8, 20, 3, pool=True),
    Layer("fc", "fc1", 20 * 4 * 4, 5, relu=False),
]
CLASSES = ["<script>alert(1)</script>", "bee", "a class with a long name, as data sets of birds have them", "cow & calf", "dog"]


def chain(channels: int = 3, seed: int = 3) -> Network:
    """A chain of layers."""
    layers = [Layer("conv", "conv1", channels, 8, 3, pool=True), *LAYERS[1:]]
    made = Network.random(layers, (channels, 16, 16), name="tiny", seed=seed)
    made.classes = list(CLASSES)
    made.metadata["quantisation"] = calibrate(made, standard_images(made.input_shape, 8), contrast=0).to_metadata()  # once
    return made


def graph(shape: tuple[int, int, int] = (1, 12, 10)) -> GraphNetwork:
    """A residual block."""
    size = shape[1] * shape[2]
    nodes = (
        Conv("stem", (INPUT,), (3, 3), padding=(1, 1, 1, 1), out_channels=8),
        Relu("stem_relu", ("stem",)),
        Conv("branch", ("stem_relu",), (3, 3), padding=(1, 1, 1, 1), out_channels=8),
        Add("sum", ("branch", "stem_relu")),
        Relu("sum_relu", ("sum",)),
        FullyConnected("fc", ("sum_relu",), 4),
    )
    rng, tensors = np.random.default_rng(5), {}
    for name, sizes in (("stem", (8, shape[0], 3, 3)), ("branch", (8, 8, 3, 3)), ("fc", (4, 8 * size))):
        tensors[f"{name}.weight"] = (rng.standard_normal(sizes) / np.sqrt(np.prod(sizes[1:]))).astype(np.float32)
        tensors[f"{name}.bias"] = np.zeros(sizes[0], np.float32)
    made = GraphNetwork("graph", Graph(nodes, tensors, shape, "fc"), list("wxyz"), (0.5,) * shape[0], (0.25,) * shape[0])
    formats = calibrate_graph(made, standard_images(shape, 8), contrast=0)
    return replace(made, metadata={"quantisation": formats.to_metadata()})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks and inputs; results: `run` of the Verilog with its report, `golden`, `float`, `graph`, `values`."""
    place = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(4)
    chain().save(place / "net.safetensors")
    graph().save(place / "graph.safetensors")
    graph((4, 12, 10)).save(place / "values.safetensors")
    Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(place / "cat & <b>.png")
    Image.fromarray(rng.integers(0, 256, (30, 24, 3), dtype=np.uint8)).save(place / "grey.png")
    np.save(place / "values.npy", rng.integers(0, 256, (12, 10, 4), dtype=np.uint8))
    run = ["--preset", "paper", "--clock", "50", "--report", "run.html", "--out", "run", "--method", "guided"]
    for options in (
        ["cat & <b>.png", "--network", "net.safetensors", *run],
        ["cat & <b>.png", "--network", "net.safetensors", "--backend", "golden", "--method", "smoothgrad", "--out", "golden"],
        ["cat & <b>.png", "--network", "net.safetensors", "--backend", "float", "--out", "float"],
        ["grey.png", "--network", "graph.safetensors", "--backend", "golden", "--out", "graph", "--report", "graph.html"],
        ["values.npy", "--network", "values.safetensors", "--backend", "golden", "--out", "values", "--report", "values.html"],
    ):
        invoke(place, "explain", *options)
    return place


def invoke(place: Path, *arguments: object, status: int = 0) -> str:
    """Run the command line in a folder; returns what it prints on standard output, or, after an error, its line."""
    here = Path.cwd()
    os.chdir(place)
    try:
        result = CliRunner().invoke(app, [str(one) for one in arguments])
    finally:
        os.chdir(here)
    assert result.exit_code == status, (result.stdout, result.stderr, result.exception)
    return result.stdout if not status else result.stderr.strip().splitlines()[-1]


class _Text(HTMLParser):
    """The text of a page, and its elements."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._style = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self._style = tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.words.append(data)


def text_of(path: Path) -> str:
    """What people read, white space as one space."""
    page = _Text()
    page.feed(path.read_text(encoding="utf-8"))
    return re.sub(r"\s+", " ", " ".join(page.words)).replace("\u00a0", " ")


# What it says ----------------------------------------------------------------------------------------------------------


def test_figures_are_those_of_the_run(folder: Path) -> None:
    """Cycles, counters with their sums, scores, r, deletion: each computed here from the network, by another way."""
    text = text_of(folder / "run.html")
    about = json.loads((folder / "run" / "cat & <b>" / "result.json").read_text())
    cycles, counters = about["cycles"], about["counters"]
    assert about["verilog"] == "equal" and about["files"]["report"] == "run.html" and about["preset"] == "paper"
    assert f"{cycles['total']:,} cycles" in text and "at 50 MHz" in text
    for layer in cycles["layers"]:
        assert f" {layer['layer']} {layer['pass']} {layer['cycles']:,} " in text, layer
    for name, units in (("loader", 2), ("conv", 4), ("vector", 2), ("store", 2)):
        parts = [counters[f"{name}_{what}"] for what in ("active", "wait_input", "wait_output")]
        assert sum(parts) == units * cycles["total"] and " ".join(f"{part:,}" for part in [*parts, sum(parts)]) in text
    assert f"{counters['zeros_skipped']:,}" in text and f"{counters['bytes_read']:,} bytes" in text
    network = Network.load(folder / "net.safetensors")
    pixels = np.load(folder / "run" / "cat & <b>" / "input.npy")
    exact, real = open_backend("golden", network, headroom=about["headroom"]), open_backend("float", network)
    target = about["classes"].index(about["target"])
    (fixed,), (float_,) = (engine.run([pixels], ["guided"], target)["guided"] for engine in (exact, real))
    assert f"{fixed.logits[target]:.3f} {float_.logits[target]:.3f}" in text
    r = pearson(np.load(folder / "run" / "cat & <b>" / "attribution.npy"), float_.attribution)
    inputs = exact.real_inputs([pixels])[0]
    areas = []
    for insert in (False, True):
        replies = exact.execute([Request(one) for one in metrics.flipped(inputs, fixed.attribution.astype(float), insert=insert)])
        areas.append(metrics.area([softmax(reply.output)[target] for reply in replies]))
    sparse = metrics.sparseness(fixed.attribution)
    assert f"guided 1 {likeness(r)} {areas[0]:.3f} {areas[1]:.3f} {sparse:.3f}" in text
    order = np.argsort(-fixed.logits)
    assert f"{about['target']}, not {about['classes'][order[1]]}" in text and "runner-up" in text
    for method in ("saliency", "gradcam", "integrated_gradients"):
        assert method in text
    assert about["predicted"] == CLASSES[int(order[0])]


def test_the_core_is_described(folder: Path) -> None:
    """Preset, registers, resources, bandwidth of each port, memory: from their sources."""
    text = text_of(folder / "run.html")
    known = json.loads((Path(__file__).parent / "expected" / "resources.json").read_text())["presets"]["paper"]
    for kind, label in (("lut", "LUT"), ("ff", "FF"), ("bram36", "BRAM36"), ("dsp", "DSP")):
        assert f" {label} {known[kind]:,g} " in text
    assert "Not run in the tool" in text and "groups 2, streams 2, lanes 16" in text and "CONFIGURATION_TILE" in text
    assert all(f"port {port}, {way}" in text for port in (0, 1) for way in ("read", "write"))
    assert "gradcore bundle net.safetensors --out bundle --preset paper" in text and "from gradcore_runtime import Board" in text
    from gradcore.compiler import compile_network

    assert f"{compile_network(Network.load(folder / 'net.safetensors'), 'paper').memory_size:,} bytes" in text


def test_a_build_of_vivado_is_shown(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The summary of the fastest build of the preset, where it is."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "build" / "vivado" / "paper-150"
    place.mkdir(parents=True)
    summary = {"preset": "paper", "clock_mhz": 150, "tool": "Vivado 2024.1", "timing_met": True, "timing_ns": {"setup": 0.123}}
    (place / "summary.json").write_text(json.dumps({**summary, "utilisation": {"lut": {"used": 17000, "total": 53200}}}))
    shutil.copy(folder / "net.safetensors", tmp_path)
    write_report([folder / "run" / "cat & <b>"], "r.html")
    assert "Vivado 2024.1, 150 MHz: timing met; setup 0.123 ns" in text_of(tmp_path / "r.html")
    (place / "summary.json").write_text("{")
    write_report([folder / "run" / "cat & <b>"], "r.html")
    assert "Not run in the tool" in text_of(tmp_path / "r.html")


def test_without_the_verilog_that_is_said(folder: Path) -> None:
    """The model has no cycles: those that are shown are predicted; a graph, and inputs that are no pictures."""
    text = text_of(folder / "graph.html")
    assert "the back end golden has no clock" in text and "Counters of the hardware" not in text
    assert " stem forward – " in text and "12 x 1" in text and "grey" in text
    assert "The run: where the cycles went" in text and "measured): " not in text and "(predicted, saliency)" in text
    text = text_of(folder / "values.html")
    assert "the input is no picture for people" in text and "10 x 12 x 4" in text


def test_results_of_one_picture_stand_side_by_side(folder: Path) -> None:
    """Methods and back ends of the same picture and network are one part; other pictures are others, with a table of contents."""
    names = [folder / one / "cat & <b>" for one in ("run", "golden", "float")]
    out = invoke(folder, "report", *names, folder / "graph" / "grey", names[0], "--out", "many.html", "--json")
    told = json.loads(out)
    assert (told["pictures"], told["results"], told["files"]) == (2, 4, {"report": "many.html"})
    text = text_of(folder / "many.html")
    assert "2 pictures explained" in text and text.count("as the network sees it") == 2
    assert re.search(r"guided, smoothgrad, saliency|smoothgrad, saliency, guided", text) and "random_seed 0" in text
    assert "integrated_gradients" not in text, "methods beside are for one picture"
    page = _Text()
    page.feed((folder / "many.html").read_text())
    anchors = {attributes["id"] for _, attributes in page.tags if attributes.get("id")}
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert links and all(link[1:] in anchors for link in links)


def test_the_command_gives_it_again(folder: Path) -> None:
    """What stands there, run by a shell's rules, gives the same map."""
    for name in ("golden", "graph"):
        (place,) = (folder / name).iterdir()
        stored = read_result(place)
        line = command(stored)
        assert line in (folder / "graph.html").read_text() or name == "golden"
        words = shlex.split(line)
        invoke(folder, *words[1:], "--out", "again")
        made = next((folder / "again").glob("*/attribution.npy"))
        assert made.read_bytes() == (place / "attribution.npy").read_bytes()
        shutil.rmtree(folder / "again")


def test_maps_have_one_scale() -> None:
    """A map times a number is the same map; its sign is its colour; pictures stay small."""
    rng = np.random.default_rng(1)
    pixels, values = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), rng.normal(size=(3, 8, 8))
    np.testing.assert_array_equal(maps.over(pixels, values), maps.over(pixels, 1000 * values))
    made = maps.signed(pixels, values)
    assert np.abs(made).max() == 1 and np.all(np.sign(made) == np.sign(values.sum(axis=0)))
    grey = np.full((8, 8, 3), 128, np.uint8)
    drawn = maps.over(grey, np.where(np.arange(64).reshape(1, 8, 8) % 2, 1.0, -1.0)).astype(int)
    assert np.all(drawn[:, 1::2, 0] > drawn[:, 1::2, 2]) and np.all(drawn[:, ::2, 0] < drawn[:, ::2, 2])
    assert not np.any(maps.signed(pixels, np.zeros((3, 8, 8)))) and np.all(np.isfinite(maps.signed(pixels, values * np.inf)))
    noise = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    assert len(maps.uri(noise)) < 2 * maps.LARGEST and maps.uri(pixels).startswith("data:image/png")


def test_a_page_is_small_and_whole(folder: Path) -> None:
    """One picture is below 300 kB; nothing in it is fetched, nothing runs, and what users named is text."""
    for name in ("run", "graph", "values"):
        page = _Text()
        content = (folder / f"{name}.html").read_text()
        page.feed(content)
        assert len(content.encode()) < 300_000
        assert "<built-in" not in content and "object at 0x" not in content and "None" not in text_of(folder / f"{name}.html")
        for tag, attributes in page.tags:
            assert tag not in ("script", "link", "iframe", "object", "embed", "b")
            for key, value in attributes.items():
                assert not key.startswith("on")
                if key in ("src", "href"):
                    assert value.startswith(("data:image/", "#")), value
        assert "url(" not in content and "@import" not in content
    assert "<script>alert(1)</script>" in text_of(folder / "run.html")


# What is missing -------------------------------------------------------------------------------------------------------


@pytest.fixture
def result(folder: Path, tmp_path: Path) -> Path:
    """A copy of a result, beside its network."""
    for name in ("net.safetensors", "cat & <b>.png"):
        shutil.copy(folder / name, tmp_path)
    return Path(shutil.copytree(folder / "golden" / "cat & <b>", tmp_path / "cat"))


def change(result: Path, **changes: object) -> None:
    """Change what result.json says; None takes it away."""
    path = result / "result.json"
    about = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in about.items() if value is not None}))


def test_results_of_other_versions_are_shown_with_a_line(result: Path) -> None:
    place = result.parent
    change(result, version="9.9.9")
    invoke(place, "report", "cat", "--out", "r.html")
    assert "made by GradCore 9.9.9, the report by" in text_of(place / "r.html")
    change(result, **dict.fromkeys(("version", "format", "preset", "simulator", "counters")))
    (result / "input.npy").unlink()
    change(result, source={**json.loads((result / "result.json").read_text())["source"], "path": str(place / "cat & <b>.png")})
    invoke(place, "report", "cat", "--out", "r.html")
    text = text_of(place / "r.html")
    assert "made by GradCore of an earlier version" in text and "as the network sees it" in text and "deletion" in text
    (place / "cat & <b>.png").unlink()
    invoke(place, "report", "cat", "--out", "r.html")
    assert "does not hold what the network saw" in text_of(place / "r.html")


def test_a_network_that_is_gone_or_another_is_said(result: Path) -> None:
    """No curves of a network that the result is not of."""
    place = result.parent
    chain(seed=8).save(place / "net.safetensors")
    invoke(place, "report", "cat", "--out", "r.html")
    text = text_of(place / "r.html")
    assert "gives other scores now than the result has" in text and "Deletion:" not in text and "smoothgrad" in text
    (place / "net.safetensors").unlink()
    told = invoke(place, "report", "cat", "--out", "r.html", "--json")
    assert any("net.safetensors: there is no such file" in note for note in json.loads(told)["notes"])


def test_a_result_of_another_network_beside_is_said(folder: Path, result: Path) -> None:
    """Two results that name the same network, which has been trained again between them."""
    place = result.parent
    shutil.copytree(folder / "run" / "cat & <b>", place / "other")
    scores = json.loads((result / "result.json").read_text())["logits"]
    change(result, logits=[scores[0] + 1.0, *scores[1:]])
    told = json.loads(invoke(place, "report", "cat", "other", "--out", "r.html", "--json"))
    assert told["pictures"] == 1 and any("curves of cat are not shown" in note for note in told["notes"])


def test_an_older_timeline_in_the_folder_does_not_count(folder: Path, result: Path) -> None:
    shutil.copy(folder / "run" / "cat & <b>" / "timeline.json", result)
    assert read_result(result).timeline is None and read_result(folder / "run" / "cat & <b>").timeline is not None


def test_without_pytorch_the_rest_is_shown(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("gradcore.backends.") and "torch" in name or name.endswith("float_runs")]:
        monkeypatch.delitem(sys.modules, name)
    invoke(result.parent, "report", "cat", "--out", "r.html")
    text = text_of(result.parent / "r.html")
    assert 'pip install "gradcore[torch]"' in text and "Deletion:" in text and "r against them, are not shown" in text


def test_several_runs_have_no_timeline(folder: Path) -> None:
    (subject,) = gather([folder / "golden" / "cat & <b>"], {"net.safetensors": Network.load(folder / "net.safetensors")})
    assert subject.hardware.method == "saliency" and any("takes several runs" in note for note in subject.hardware.notes)


# Errors ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda place: shutil.rmtree(place), "is not there: name the folder"),
        (lambda place: (place / "result.json").unlink(), "holds no result.json: name one that gradcore explain has written"),
        (lambda place: (place / "result.json").write_text("{"), "damaged, result.json is no JSON: explain the picture again"),
        (lambda place: (place / "result.json").write_text("[1]"), "of another program"),
        (lambda place: change(place, format="others"), "of another program"),
        (lambda place: change(place, logits=None), "has no logits, so it is of another program or version"),
        (lambda place: change(place, logits=[1.0]), "damaged, result.json has other classes than scores"),
        (lambda place: change(place, logits=["a"] * 5), "a score in result.json is no number"),
        (lambda place: change(place, target="zebra"), "has no class 'zebra'"),
        (lambda place: change(place, method="lime"), "the method 'lime', which this version does not know"),
        (lambda place: change(place, headroom=-1), "no such headroom"),
        (lambda place: change(place, cycles={"total": 3}), "cycles in result.json is something else"),
        (lambda place: change(place, preset="huge"), "no preset of the hardware, 'huge'"),
        (lambda place: change(place, notes="x"), "notes in result.json is something else"),
        (lambda place: (place / "attribution.npy").unlink(), "attribution.npy is missing"),
        (lambda place: (place / "attribution.npy").write_bytes(b"x"), "attribution.npy is no array"),
        (lambda place: np.save(place / "attribution.npy", np.zeros(3)), "no attribution"),
        (lambda place: np.save(place / "input.npy", np.zeros((16, 16, 3), np.uint8)), "input.npy is another picture"),
        (lambda place: np.save(place / "input.npy", np.zeros(3)), "no picture"),
    ],
)
def test_what_is_no_result_is_one_line(result: Path, damage, message: str) -> None:
    """And nothing is written."""
    damage(result)
    line = invoke(result.parent, "report", "cat", "--out", "r.html", status=2)
    assert line.startswith("gradcore: ") and message in line
    assert not list(result.parent.glob("*.html")) and not list(result.parent.glob(".gradcore*"))


def test_a_damaged_timeline_is_one_line(folder: Path, tmp_path: Path) -> None:
    place = shutil.copytree(folder / "run" / "cat & <b>", tmp_path / "cat")
    for content in ("{", "{}", '{"rows": 3}'):
        (place / "timeline.json").write_text(content)
        assert "timeline.json is no timeline" in invoke(tmp_path, "report", "cat", "--out", "r.html", status=2)


def test_a_folder_of_folders_is_told(folder: Path) -> None:
    line = invoke(folder, "report", "golden", "--out", "r.html", status=2)
    assert "name the folders in it, such as golden/cat & <b>" in line


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("r.pdf", "a report is HTML: call it r.html with --out"),
        ("cat/result.json/r.html", "cannot be written"),
        ("folder.html", "it is a folder"),
        ("full.html", "No space left"),
    ],
)
def test_a_report_that_cannot_be_written(result: Path, out: str, message: str) -> None:
    (result.parent / "folder.html").mkdir()
    (result.parent / "full.html").symlink_to("/dev/full")
    assert message in invoke(result.parent, "report", "cat", "--out", out, status=2)


def test_no_result_is_overwritten(result: Path) -> None:
    (result.parent / "r.html").hardlink_to(result / "heatmap.png")
    before = (result / "heatmap.png").read_bytes()
    assert "would overwrite" in invoke(result.parent, "report", "cat", "--out", "r.html", status=2)
    assert (result / "heatmap.png").read_bytes() == before


def test_a_full_disk_leaves_the_old_page(result: Path) -> None:
    """The file system gives no more than 20 kB."""
    page = result.parent / "r.html"
    page.write_text("old")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        line = invoke(result.parent, "report", "cat", "--out", "r.html", status=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert "r.html cannot be written (File too large)" in line
    assert page.read_text() == "old" and not list(result.parent.glob(".gradcore*"))


def test_explain_refuses_before_it_works(folder: Path, tmp_path: Path) -> None:
    line = invoke(folder, "explain", "grey.png", "--network", "net.safetensors", "--report", "r.png", "--out", tmp_path / "o", status=2)
    assert "a report is HTML: call it r.html with --report" in line and not (tmp_path / "o").exists()
    line = invoke(folder, "report", "--out", "r.html", status=2)
    assert "RESULTS" in line


def test_the_timeline_is_of_one_run() -> None:
    """What is recorded for the report costs nothing where it cannot be."""
    pictures = [np.zeros((16, 16, 3), np.uint8)] * 2
    results = explain(pictures, chain(), "guided", backend=Setup("golden", observe=True))
    assert len(results) == 2 and all(one.overview is None for one in results)
    with pytest.raises(GradCoreError, match="name the folders"):
        write_report([], "r.html")
    assert count(None) == "–" and likeness(0.99974) == "0.99974" and likeness(1.0) == "> 0.999999"


# In a browser -----------------------------------------------------------------------------------------------------------

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
SCHEMES = ("light", "dark")
# Elements that stick out of the window, unless they lie in an area that scrolls by itself; and pictures without pixels.
LOOK = """() => {
  const out = [], wide = document.documentElement.clientWidth;
  const own = one => ['auto', 'scroll'].includes(getComputedStyle(one).overflowX);
  const scrolls = one => one && one !== document.body && (own(one) || scrolls(one.parentElement));
  for (const one of document.body.querySelectorAll('*')) {
    const box = one.getBoundingClientRect();
    if (box.width && (box.right > wide + 0.5 || box.left < -0.5) && !scrolls(one.parentElement)) out.push(one.outerHTML.slice(0, 90));
  }
  const clipped = [...document.querySelectorAll('h1, h2, h3, p, li, dd, figcaption, summary')]
    .filter(one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== 'inline')
    .map(one => one.outerHTML.slice(0, 90));
  const labels = [...document.querySelectorAll('svg text')].filter(one => {
    const box = one.getBBox(), view = one.ownerSVGElement.viewBox.baseVal;
    return one.textContent && (box.x < -0.5 || box.x + box.width > view.width + 0.5 || box.y + box.height > view.height + 1);
  }).map(one => one.textContent);
  const colours = one => getComputedStyle(one).color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  return {
    wide, scroll: document.documentElement.scrollWidth, out, clipped, labels,
    empty: [...document.images].filter(one => !one.complete || !one.naturalWidth).length,
    images: document.images.length, rows: document.querySelectorAll('tr').length, drawings: document.querySelectorAll('svg').length,
    paper: getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).slice(0, 3).map(Number),
    inks: [colours(document.body), ...[...document.querySelectorAll('.note, .soft, th')].map(colours)],
  };
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium of the system: Playwright fetches none."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    assert path is not None, "Chromium is not installed: apt-get install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


def look(
    browser: Any, path: Path, size: tuple[int, int] = SIZES["desktop"], scheme: str = "light", scripts: bool = False
) -> dict[str, Any]:
    """Open a page without a network, all details open, and say what there is to see, what was asked for, and what was said."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, java_script_enabled=scripts, offline=True
    )
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        page.goto(path.as_uri())
        page.evaluate("() => document.querySelectorAll('details').forEach(one => one.open = true)")
        found = page.evaluate(LOOK)
    finally:
        context.close()
    return {**found, "asked": [one for one in asked if not one.startswith("data:") and one != path.as_uri()], "said": said}


def luminance(colour: list[float]) -> float:
    """Relative luminance of WCAG 2."""
    parts = [value / 255 for value in colour]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[float], other: list[float]) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def problems(found: dict[str, Any], scheme: str) -> list[str]:
    """What is wrong with what was seen."""
    wrong = [f"{what}: {found[what]}" for what in ("asked", "said", "out", "clipped", "labels") if found[what]]
    if found["scroll"] > found["wide"]:
        wrong.append(f"the page is {found['scroll']} wide, the window {found['wide']}")
    if found["empty"]:
        wrong.append(f"{found['empty']} pictures have no pixels")
    if (luminance(found["paper"]) > 0.5) != (scheme == "light"):
        wrong.append(f"the page is {found['paper']} in {scheme}")
    pale = [ink for ink in found["inks"] if contrast(ink, found["paper"]) < 4.5]
    if pale:
        wrong.append(f"letters of {pale[0]} cannot be read on {found['paper']}")
    return wrong


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[str, Path]:
    """Of the Verilog with its timeline, of a graph, of values that are no picture, and of many."""
    names = [folder / "run" / "cat & <b>", folder / "graph" / "grey", folder / "values" / "values"]
    invoke(folder, "report", *names, "--out", "all.html")
    return {name: folder / f"{name}.html" for name in ("run", "graph", "values", "all")}


@pytest.mark.parametrize("scripts", [False, True], ids=["scripts off", "scripts on"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_page_in_a_browser(browser: Any, pages: dict[str, Path], scheme: str, size: str, scripts: bool) -> None:
    shown = pages if size == "phone" else {name: pages[name] for name in ("run", "all")}
    for name, path in shown.items():
        found = look(browser, path, SIZES[size], scheme, scripts)
        assert not problems(found, scheme), f"{name}: " + "\n".join(problems(found, scheme))
        assert found["images"] >= (6 if name != "all" else 12) and found["rows"] > 20 and found["drawings"] > 10


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda page: page.replace("<footer>", "<footer><p style='width:3000px'>x</p>"), "out: "),
        (lambda page: page.replace("<footer>", "<footer><img src='x.png'>").replace("img-src data:", "img-src *"), "asked: "),
        (lambda page: page.replace("<footer>", "<footer><img src='https://example.org/x.png'>"), "said: "),
        (lambda page: page.replace("<footer>", "<footer><img src='data:image/png;base64,AA'>"), "1 pictures have no pixels"),
        (lambda page: page.replace("overflow-x: auto", "overflow-x: visible"), "the page is "),
        (lambda page: page.replace("--soft: #57606a", "--soft: #c8ccd0"), "cannot be read"),
        (lambda page: page.replace("overflow-wrap: anywhere", "").replace("<footer>", f"<footer><p>{'w' * 300}</p>"), "clipped: "),
        (lambda page: page.replace(">layers</text>", ">the layers of the network, each with its name</text>"), "labels: "),
    ],
)
def test_what_is_looked_for_is_found(
    browser: Any, pages: dict[str, Path], tmp_path: Path, break_it: Callable[[str], str], said: str
) -> None:
    """A page with one fault each is not taken for a good one."""
    good = pages["run"].read_text()
    assert break_it(good) != good
    (tmp_path / "bad.html").write_text(break_it(good))
    found = problems(look(browser, tmp_path / "bad.html", SIZES["phone"]), "light")
    assert any(one.startswith(said) or said in one for one in found), found

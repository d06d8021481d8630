# SPDX-License-Identifier: Apache-2.0
"""The bench: pictures, means, and a run of the Verilog on a small network."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gradcore import GradCoreError, Layer, Network
from gradcore.backends import Cycles, LayerCycles, Run, Setup
from gradcore.compiler import compile_network
from gradcore.quantise import quantise
from gradcore.speed import benchmark, performance_plot

LAYERS = [
    Layer("conv", "conv1", 3, 8, 3, pool=True),
    Layer("conv", "conv2", 8, 12, 3),
    Layer("fc", "fc1", 12 * 4 * 4, 5, relu=False),
]
KEYS = {
    "cycles_total",
    "layers",
    "macs_dense",
    "macs_issued",
    "mac_utilisation",
    "bytes_read",
    "bytes_written",
    "latency_ms",
    "predicted_cycles",
    "sparse_bound",
    "over_sparse_bound",
}
LAYER_KEYS = {
    "layer",
    "pass",
    "cycles",
    "predicted_cycles",
    "bound_cycles",
    "bound",
    "sparse_bound",
    "macs",
    "bytes",
    "span_cycles",
}


@pytest.fixture
def network() -> Network:
    return Network.random(LAYERS, (3, 8, 8), name="tiny", seed=3)


class FakeBackend:
    """Answers with numbers that depend on the picture and the method."""

    macs = 100
    notes = ("of the network",)

    def __init__(self, network):
        self.quantised = quantise(network)
        self.program = compile_network(self.quantised)

    def one(self, picture, weight, passes):
        total = int(picture[0, 0, 0]) * weight
        infos = [info for info in self.program.layers if info.direction in passes]
        layers = [(info.name.removesuffix("_backward"), info.direction.replace("seed", "backward")) for info in infos]
        cycles = [total - 10, *[0] * (len(infos) - 2), 10]
        layers = tuple(LayerCycles(*layer, count) for layer, count in zip(layers, cycles, strict=True))
        counters = {"macs_issued": 50 * total, "bytes_read": 8, "bytes_written": 16}
        return Run(np.zeros(5), 0, np.zeros((3, 8, 8), np.float32), Cycles(total, total - 10, 10, layers), counters)

    def run(self, pictures, methods, target=None, progress=None):
        passes = ("forward", "seed", "backward")
        return {method: [self.one(picture, 1 + len(method), passes) for picture in pictures] for method in methods}

    def infer(self, pictures, progress=None):
        return [self.one(picture, 2, ("forward", "seed")) for picture in pictures]


def test_means(network, monkeypatch):
    monkeypatch.setattr(benchmark, "open_backend", lambda _, network, **__: FakeBackend(network))
    pictures = [np.full((8, 8, 3), value, np.uint8) for value in (100, 200)]
    report = benchmark.bench(pictures, ["guided"], network=network, clock_mhz=50)
    values = report["methods"]["guided"]
    assert set(values) == KEYS | {"cycles_forward", "cycles_backward", "attribution"}
    assert set(report["inference"]) == KEYS and all(set(one) == LAYER_KEYS for one in values["layers"])
    assert report["inference"]["cycles_total"] == 150 * 2 and report["inference"]["macs_dense"] == network.macs
    assert values["attribution"] == {"cycles": 150 * 5, "over_inference": 2.5}
    assert values["over_sparse_bound"] == pytest.approx(values["cycles_total"] / values["sparse_bound"])
    assert sum(one["sparse_bound"] for one in values["layers"]) == pytest.approx(values["sparse_bound"])
    assert values["cycles_total"] == 150 * 7
    assert values["cycles_forward"] + values["cycles_backward"] == values["cycles_total"]
    assert [one["cycles"] for one in values["layers"] if one["cycles"]] == [150 * 7 - 10, 10]
    assert values["macs_dense"] == 2 * network.macs
    assert values["mac_utilisation"] == 0.5
    assert values["latency_ms"] == pytest.approx(150 * 7 / 50e3)
    assert report["images"] == 2 and report["macs"] == 100
    assert len(benchmark.tables(report)) == 2


def test_all_methods_unless_one_is_named(network, monkeypatch):
    monkeypatch.setattr(benchmark, "open_backend", lambda _, network, **__: FakeBackend(network))
    report = benchmark.bench(3, network=network)
    assert list(report["methods"]) == ["saliency", "deconvnet", "guided"] and "scikit-image" in report["pictures"]
    json.dumps(report)


def test_pictures_are_cut_from_photographs_and_always_the_same():
    pictures, source = benchmark.cut_pictures(7, (3, 32, 32))
    again, _ = benchmark.cut_pictures(7, (3, 32, 32))
    assert len(pictures) == 7 and "scikit-image" in source
    for one, other in zip(pictures, again, strict=True):
        assert one.shape == (32, 32, 3) and one.dtype == np.uint8 and one.std() > 5
        np.testing.assert_array_equal(one, other)
    assert len({one.tobytes() for one in pictures}) == 7


def test_pictures_from_a_data_file(tmp_path, network, monkeypatch):
    encoded = []
    for value in (10, 20):
        stream = io.BytesIO()
        Image.new("RGB", (16, 16), (value,) * 3).save(stream, "PNG")
        encoded.append(stream.getvalue())
    pq.write_table(pa.table({"image": encoded, "label": [0, 1]}), tmp_path / "d.parquet")
    read = benchmark.dataset_pictures(tmp_path / "d.parquet", 2, (3, 8, 8))
    pictures = read.images
    assert read.notes == ("2 of 2 pictures, the first of them in row 0: it was resized from 16 x 16 to 8 x 8",)
    assert [int(one[0, 0, 0]) for one in pictures] == [10, 20] and pictures[0].shape == (8, 8, 3)
    with pytest.raises(GradCoreError, match=r"2 pictures, not 3.*--images"):
        benchmark.dataset_pictures(tmp_path / "d.parquet", 3, (3, 8, 8))
    monkeypatch.setattr(benchmark, "open_backend", lambda _, network, **__: FakeBackend(network))
    report = benchmark.bench(2, ["guided"], network=network, data=tmp_path / "d.parquet")
    assert report["pictures"] == str(tmp_path / "d.parquet") and report["notes"] == [*read.notes, "of the network"]


def test_bad_arguments(network):
    with pytest.raises(GradCoreError, match="unknown method"):
        benchmark.bench(1, ["salency"], network=network)
    with pytest.raises(GradCoreError, match="no pictures"):
        benchmark.bench([], network=network)


@pytest.mark.parametrize("picture", [np.zeros((3, 8, 8), np.uint8), np.zeros((8, 9, 3), np.uint8), np.zeros((8, 8, 3))])
def test_f25_given_pictures_that_the_network_does_not_take(network, picture):
    with pytest.raises(GradCoreError, match="takes uint8 pictures of 8 x 8 x 3"):
        benchmark.bench([picture], network=network)


def test_the_verilog_on_a_small_network(network):
    report = benchmark.bench(1, ["saliency", "guided"], network=network, simulator="icarus", preset="small")
    for values in report["methods"].values():
        assert sum(layer["cycles"] for layer in values["layers"]) == pytest.approx(values["cycles_total"])
        assert 0 < values["macs_issued"] and 0 < values["mac_utilisation"] < 1
        assert values["bytes_read"] > 0 and values["bytes_written"] > 0
        assert values["predicted_cycles"] == pytest.approx(values["cycles_total"], rel=0.02)
        assert values["attribution"]["cycles"] == values["cycles_total"] - report["inference"]["cycles_total"] > 0
        for layer in values["layers"]:
            assert layer["predicted_cycles"] == pytest.approx(layer["cycles"], rel=0.05, abs=100)
            assert 0 < layer["bound_cycles"] <= layer["span_cycles"] and layer["bound"] in ("macs", "bytes")
    assert report["macs"] == 40
    assert report["methods"]["guided"]["cycles_backward"] <= report["methods"]["saliency"]["cycles_backward"]


def test_a_picture_of_many_layers_with_any_names(monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "open_backend", lambda _, network, **__: FakeBackend(network))
    convs = [Layer("conv", f"$block_{i}$ 猫.{'long ' * 9}{i}", 3, 3, 3) for i in range(12)]
    network = Network.random([*convs, Layer("fc", "fc1", 3 * 64, 5, relu=False)], (3, 8, 8), seed=3)
    report = benchmark.bench([np.full((8, 8, 3), 100, np.uint8)], ["guided"], network=network)
    performance_plot.draw(report, tmp_path / "bench.png")
    assert min(Image.open(tmp_path / "bench.png").size) > 500


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_picture_of_the_report(network, monkeypatch, tmp_path, suffix):
    monkeypatch.setattr(benchmark, "open_backend", lambda _, network, **__: FakeBackend(network))
    report = benchmark.bench(1, network=network)
    path = tmp_path / "new" / f"bench.{suffix}"
    performance_plot.draw(report, path)
    if suffix == "png":
        assert min(Image.open(path).size) > 500
    else:
        text = path.read_text()
        assert text.startswith("<?xml") and len(text) > 20_000


def test_a_picture_that_cannot_be_written(tmp_path):
    with pytest.raises(GradCoreError, match=r"suffix '\.docx'.*png"):
        performance_plot.check_file(tmp_path / "bench.docx")
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "file" / "bench.png", tmp_path / "folder.png"):
        with pytest.raises(GradCoreError, match="cannot be written .*--picture"):
            performance_plot.check_file(path)


@pytest.mark.parametrize("options", [{"backend": Setup("golden")}, {"backend": "float"}, {"trace": "t.json"}])
def test_only_runs_of_the_verilog_are_measured(network, options):
    with pytest.raises(GradCoreError, match="take the back end rtl, and leave the trace out"):
        benchmark.bench([np.zeros((8, 8, 3), np.uint8)], network=network, **options)

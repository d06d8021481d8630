# SPDX-License-Identifier: Apache-2.0
"""The bench: pictures, means, and a run of the Verilog on a small network."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gradcore import GradCoreError, Layer, Network, benchmark
from gradcore.backends import Cycles, LayerCycles, Run

LAYERS = [
    Layer("conv", "conv1", 3, 8, 3, pool=True),
    Layer("conv", "conv2", 8, 12, 3),
    Layer("fc", "fc1", 12 * 4 * 4, 5, relu=False),
]
KEYS = {
    "cycles_total",
    "cycles_forward",
    "cycles_backward",
    "layers",
    "macs_dense",
    "macs_issued",
    "mac_utilisation",
    "bytes_read",
    "bytes_written",
}


@pytest.fixture
def network() -> Network:
    return Network.random(LAYERS, (3, 8, 8), name="tiny", seed=3)


class FakeBackend:
    """Answers with numbers that depend on the picture and the method."""

    macs = 100

    def run(self, pictures, methods, target=None, progress=None):
        def one(picture, weight):
            total = int(picture[0, 0, 0]) * weight
            layers = (LayerCycles("conv1", "forward", total - 10), LayerCycles("conv1", "backward", 10))
            counters = {"macs_issued": 50 * total, "bytes_read": 8, "bytes_written": 16}
            return Run(np.zeros(5), 0, np.zeros((3, 8, 8), np.float32), Cycles(total, total - 10, 10, layers), counters)

        return {method: [one(picture, 1 + len(method)) for picture in pictures] for method in methods}


def test_means(network, monkeypatch):
    monkeypatch.setattr(benchmark, "open_backend", lambda *_, **__: FakeBackend())
    pictures = [np.full((8, 8, 3), value, np.uint8) for value in (100, 200)]
    report = benchmark.bench(pictures, ["guided"], network=network, clock_mhz=50)
    values = report["methods"]["guided"]
    assert set(values) == KEYS | {"latency_ms"}
    assert values["cycles_total"] == 150 * 7
    assert values["cycles_forward"] + values["cycles_backward"] == values["cycles_total"]
    assert [one["cycles"] for one in values["layers"]] == [150 * 7 - 10, 10]
    assert values["macs_dense"] == 2 * network.macs
    assert values["mac_utilisation"] == 0.5
    assert values["latency_ms"] == pytest.approx(150 * 7 / 50e3)
    assert report["images"] == 2 and report["macs"] == 100
    assert benchmark.tables(report)


def test_all_methods_unless_one_is_named(network, monkeypatch):
    monkeypatch.setattr(benchmark, "open_backend", lambda *_, **__: FakeBackend())
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


def test_pictures_from_a_data_file(tmp_path):
    encoded = []
    for value in (10, 20):
        stream = io.BytesIO()
        Image.new("RGB", (16, 16), (value,) * 3).save(stream, "PNG")
        encoded.append(stream.getvalue())
    pq.write_table(pa.table({"image": encoded, "label": [0, 1]}), tmp_path / "d.parquet")
    pictures = benchmark.dataset_pictures(tmp_path / "d.parquet", 2, (3, 8, 8))
    assert [int(one[0, 0, 0]) for one in pictures] == [10, 20] and pictures[0].shape == (8, 8, 3)
    with pytest.raises(GradCoreError, match=r"2 pictures, not 3.*--images"):
        benchmark.dataset_pictures(tmp_path / "d.parquet", 3, (3, 8, 8))


def test_bad_arguments(network):
    with pytest.raises(GradCoreError, match="unknown method"):
        benchmark.bench(1, ["salency"], network=network)
    with pytest.raises(GradCoreError, match="no pictures"):
        benchmark.bench([], network=network)


def test_the_verilog_on_a_small_network(network):
    if not shutil.which("iverilog"):
        pytest.skip("Icarus Verilog is not installed")
    report = benchmark.bench(1, ["saliency", "guided"], network=network, simulator="icarus", preset="small")
    for values in report["methods"].values():
        assert sum(layer["cycles"] for layer in values["layers"]) == pytest.approx(values["cycles_total"])
        assert 0 < values["macs_issued"] and 0 < values["mac_utilisation"] < 1
        assert values["bytes_read"] > 0 and values["bytes_written"] > 0
    assert report["macs"] == 40
    assert report["methods"]["guided"]["cycles_backward"] <= report["methods"]["saliency"]["cycles_backward"]

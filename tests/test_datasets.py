# SPDX-License-Identifier: Apache-2.0
"""explain-dataset: what is stored is what explain gives, for every method; shards, the sample through the Verilog, the reader, refusals."""

from __future__ import annotations

import hashlib
import inspect
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import gradcore
from gradcore import GradCoreError, Layer, Network
from gradcore.attribution import METHODS, rules
from gradcore.backends import GoldenBackend
from gradcore.cli.datasets import explain_dataset as command
from gradcore.datasets import farm, identity, integers, task
from gradcore.datasets.running import table
from gradcore.datasets.task import Part, Task
from gradcore.host.files import replacing
from gradcore.quantise import calibrate, standard_images
from tests import onnx_models
from tests.test_files import full_disk

LAYERS = [
    Layer("conv", "conv1", 3, 8, 3, pool=True),
    Layer("conv", "conv2", 8, 6, 3),
    Layer("fc", "fc1", 6 * 16, 5, relu=False),
]
TINY = Network.random(LAYERS, (3, 8, 8), name="tiny", seed=3)
TINY.metadata["quantisation"] = calibrate(TINY, standard_images(TINY.input_shape)).to_metadata()
PICTURES = np.random.default_rng(4).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
LABELS = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
QUICK = {
    "integrated_gradients": {"n_steps": 6},
    "smoothgrad": {"nt_samples": 2, "stdevs": 0.4},
    "occlusion": {"sliding_window_shapes": (3, 3, 2), "strides": (3, 2, 1)},
    "gradcam": {"layer": "conv1"},
}
ALONE = {"network": TINY, "workers": 0, "verify": 0}


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write(path: Path, pictures: list[bytes | None], labels: list[int] | None = None, group: int = 5, names: str | None = None) -> Path:
    """A data file whose row groups have ``group`` rows."""
    made = pa.table({"image": pictures, **({} if labels is None else {"label": labels})})
    pq.write_table(made if names is None else made.replace_schema_metadata({"classes": names}), path, row_group_size=group)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve labelled pictures in row groups of 5, 5 and 2."""
    return write(tmp_path_factory.mktemp("data") / "d.parquet", [png(one) for one in PICTURES], LABELS)


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run: 5 parts of 2 to 3 rows."""
    out = tmp_path_factory.mktemp("done")
    assert gradcore.explain_dataset(data, out, rows=3, **ALONE)["parts"] == {"total": 5, "made": 5, "found": 0}
    return out


def files(out: Path) -> dict[str, tuple[int, str]]:
    """Every file of a folder, the hidden ones, too: when it was made, and its content."""
    return {one.name: (one.stat().st_mtime_ns, hashlib.sha256(one.read_bytes()).hexdigest()) for one in sorted(out.iterdir())}


def refused(text: str, *arguments: object, **options: object) -> None:
    """A run that ends with one line."""
    with pytest.raises(GradCoreError, match=text) as error:
        gradcore.explain_dataset(*arguments, **{**ALONE, **options})
    assert "\n" not in str(error.value)


# ---- What is stored


@pytest.mark.parametrize("method", METHODS)
def test_what_is_read_is_what_explain_gives(method: str, data: Path, tmp_path: Path) -> None:
    """Of one backward pass in every bit; of others to half a step of 16 bits. A part is a row group or less of it."""
    asked = QUICK.get(method, {})
    report = gradcore.explain_dataset(data, tmp_path, method=method, **asked, **ALONE)
    assert report["rows"] == 12 and report["parts"] == {"total": 3, "made": 3, "found": 0} and report["verified"] is None
    results = gradcore.read_attributions(tmp_path)
    assert len(results) == 12 and results.about["method"] == method and results.classes == TINY.classes
    assert [len(batch) for batch in results] == [5, 5, 2]
    got, expected = results.read(), gradcore.explain(list(PICTURES), TINY, method, backend="golden", **asked)
    assert got.rows.tolist() == list(range(12)) and got.labels.tolist() == LABELS
    assert got.predicted.tolist() == [one.predicted for one in expected] and got.targets.tolist() == [one.target for one in expected]
    assert got.logits.tobytes() == np.stack([one.logits for one in expected]).tobytes()
    assert got.saturated.tolist() == [sum(layer.values for layer in one.saturation) for one in expected]
    assert got.headroom.tolist() == [one.headroom for one in expected]
    maps = np.stack([one.attribution for one in expected])
    assert got.attributions.shape == maps.shape and got.attributions.dtype == np.float32
    if method in rules():
        assert got.attributions.tobytes() == maps.tobytes()
    else:
        largest = np.abs(maps).max(axis=(1, 2, 3), keepdims=True)
        assert np.all(np.abs(got.attributions - maps) <= largest * 2.0**-15)
    assert report["accuracy"] == pytest.approx(np.mean(got.predicted == LABELS)) and 0 < report["accuracy"] < 1
    assert table(report).row_count >= 6


def test_the_integers_are_those_of_the_core(data: Path, tmp_path: Path) -> None:
    """By a method of one backward pass the stored integers and their exponent are the memory's, headroom included."""
    gradcore.explain_dataset(data, tmp_path, headroom=2, **ALONE)
    (path, *_) = sorted(tmp_path.iterdir())
    stored = pq.read_table(path)
    wide = gradcore.backends.open_backend("golden", TINY, headroom=2)._network  # the integers themselves are no results
    golden = gradcore.backends.golden.chain
    forward = golden.forward(wide, wide.quantise_image(PICTURES[:5]))
    backward = golden.backward(wide, forward, "saliency", np.argmax(forward.logits, axis=1))
    assert stored["attribution"].to_pylist() == backward.attribution.reshape(5, -1).tolist()
    assert stored["logits"].to_pylist() == forward.logits.tolist()
    assert set(stored["attribution_exponent"].to_pylist()) == {-wide.quantisation.gradients[0]}
    assert set(stored["rounded"].to_pylist()) == {False} and set(stored["headroom"].to_pylist()) == {2}


@pytest.mark.parametrize("aim", [{"target": "class 2"}, {"target": 1, "against": 3}, {"target": np.array([1, 0, -0.5, 0, 2])}])
def test_targets(aim: dict[str, object], data: Path, tmp_path: Path) -> None:
    """A class, one against another, and weights; each is a run of its own."""
    name = gradcore.explain_dataset(data, tmp_path, **aim, **ALONE)["run"]
    gradcore.explain_dataset(data, tmp_path, **ALONE)
    got = gradcore.read_attributions(tmp_path, name)
    expected = gradcore.explain(list(PICTURES), TINY, backend="golden", **aim)
    assert got.read().attributions.tobytes() == np.stack([one.attribution for one in expected]).tobytes()
    assert got.about["target"] == (aim["target"].tolist() if isinstance(aim["target"], np.ndarray) else f"class {str(aim['target'])[-1]}")


def test_a_graph_from_onnx(tmp_path: Path) -> None:
    """A file of ONNX with an add; by a method of several runs also through the Verilog."""
    weights = {"a.w": np.random.default_rng(1).normal(0, 0.3, (6, 3, 3, 3)).astype(np.float32)}
    weights["b.w"] = np.random.default_rng(2).normal(0, 0.2, (6, 6, 3, 3)).astype(np.float32)
    weights["c.w"] = np.random.default_rng(3).normal(0, 0.2, (4, 6 * 64)).astype(np.float32)
    nodes = [
        onnx_models.node("Conv", "x a.w", "a", pads=[1] * 4),
        onnx_models.node("Relu", "a", "r"),
        onnx_models.node("Conv", "r b.w", "b", pads=[1] * 4),
        onnx_models.node("Add", "b r", "s"),
        onnx_models.node("Relu", "s", "t"),
        onnx_models.node("Flatten", "t", "f"),
        onnx_models.node("Gemm", "f c.w", "y", transB=1),
    ]
    net = tmp_path / "residual net.onnx"
    onnx.save(onnx_models.model(nodes, [1, 3, 8, 8], weights), net)
    file = write(tmp_path / "d.parquet", [png(one) for one in PICTURES])
    report = gradcore.explain_dataset(file, tmp_path / "out", network=str(net), method="guided", workers=0, verify=0)
    assert report["accuracy"] is None and report["run"].startswith("residual_net-guided-")
    got = gradcore.read_attributions(tmp_path / "out").read()
    expected = gradcore.explain(list(PICTURES), str(net), "guided", backend="golden")
    assert got.labels is None
    asked = {"method": "integrated_gradients", "n_steps": 2, "limit": 2, "verify": 1, "preset": "small"}
    assert gradcore.explain_dataset(file, tmp_path / "checked", network=str(net), workers=0, **asked)["verified"]["pictures"] == 1
    assert got.attributions.tobytes() == np.stack([one.attribution for one in expected]).tobytes()
    assert got.logits.tobytes() == np.stack([one.logits for one in expected]).tobytes()


def test_inputs_that_are_no_pictures(tmp_path: Path) -> None:
    """Arrays of ten channels, as .npy files in the column image."""
    layers = [Layer("conv", "conv1", 10, 4, 3), Layer("fc", "fc1", 4 * 6 * 5, 3, relu=False)]
    network = Network.random(layers, (10, 6, 5), name="sound", seed=1)
    values = np.random.default_rng(4).integers(0, 256, (3, 6, 5, 10), dtype=np.uint8)

    def npy(array: np.ndarray) -> bytes:
        stream = io.BytesIO()
        np.save(stream, array)
        return stream.getvalue()

    file = write(tmp_path / "d.parquet", [npy(one) for one in values])
    gradcore.explain_dataset(file, tmp_path / "out", **{**ALONE, "network": network})
    got = gradcore.read_attributions(tmp_path / "out").read()
    paths = [tmp_path / f"{number}.npy" for number in range(3)]
    for path, one in zip(paths, values, strict=True):
        np.save(path, one)
    expected = gradcore.explain(paths, network, backend="golden")
    assert got.attributions.tobytes() == np.stack([one.attribution for one in expected]).tobytes()
    wrong = write(tmp_path / "wrong.parquet", [npy(values[0]), npy(values[0][:4])])
    refused("picture of row 1 holds uint8 of 4 x 5 x 10", wrong, tmp_path / "no", network=network)


def test_classes_are_matched_by_name(data: Path, tmp_path: Path) -> None:
    """Labels are stored as the network numbers its classes."""
    names = ["maple", "oak", "palm", "pine", "willow"]
    network = replace(TINY, classes=names)
    file = write(tmp_path / "d.parquet", [png(one) for one in PICTURES], LABELS, names=",".join(reversed(names)))
    report = gradcore.explain_dataset(file, tmp_path / "out", **{**ALONE, "network": network})
    assert gradcore.read_attributions(tmp_path / "out").read().labels.tolist() == [4 - label for label in LABELS]
    assert report["notes"] == [f"{file} and the network number their classes differently: they were matched by name"]


@pytest.mark.parametrize("unit", [1.0, 6.0 / 32767])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_integers_round_trip(kind: type, unit: float) -> None:
    """What 16 bits hold comes back in every bit, by the format's exponent where that holds it; else the largest value fills them."""
    generator = np.random.default_rng(1)
    for exponent in (-20, -9, 0, 3):
        raw = generator.integers(-(2**15), 2**15, (2, 3, 4))
        values = (raw * 2.0**exponent * unit).astype(kind)
        made, found, rounded = integers.pack(values, exponent, unit)
        assert made.dtype == np.int16 and np.array_equal(made, raw) and (found, rounded) == (exponent, False)
        small, found, rounded = integers.pack(values, 5, unit)
        assert not rounded and integers.unpack(small, found, unit).astype(kind).tobytes() == values.tobytes()
    values = generator.normal(size=50).astype(kind)
    made, found, rounded = integers.pack(values, -3, unit)
    assert rounded and 2**14 <= np.abs(made.astype(int)).max() < 2**15
    assert np.all(np.abs(integers.unpack(made, found, unit) - values) <= 2.0**found * unit / 2)
    assert integers.pack(np.array([1 - 2.0**-17], kind), 0)[:2] == (16384, -14)
    assert integers.pack(np.zeros(3, kind), -7)[1:] == (-7, False)
    with pytest.raises(GradCoreError, match="not finite"):
        integers.pack(np.array([1, np.inf], kind), 0)


# ---- What is there is not made again


def test_only_what_is_missing_is_made(data: Path, done: Path, tmp_path: Path) -> None:
    """A part that is missing, and one that is cut off, are made again, equal in every bit; the others are not touched."""
    before = files(done)
    names = sorted(before)
    lost, cut = done / names[1], done / names[3]
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:-20])
    for name in names[:2]:  # of a part that is there, and of one that is not
        (done / f".{name.removesuffix('.parquet')}-0123.part").write_bytes(b"what a killed writer has left")
    report = gradcore.explain_dataset(data, done, rows=3, **ALONE)
    assert report["parts"] == {"total": 5, "made": 2, "found": 3} and report["rows"] == 12
    after = files(done)
    assert {name: content for name, (_, content) in after.items()} == {name: content for name, (_, content) in before.items()}
    assert [name for name in names if after[name][0] != before[name][0]] == [names[1], names[3]]
    assert gradcore.explain_dataset(data, done, rows=3, **ALONE)["parts"]["made"] == 0 and files(done) == after


def test_runs_of_other_settings_do_not_mix(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a name of its own, and its own parts: method, parameters, network, cut, data, number formats, sources."""
    other = replace(TINY, weights={**TINY.weights, "fc1.bias": TINY.weights["fc1.bias"] + np.float32(1e-3)})
    changed = write(tmp_path / "d.parquet", [png(one) for one in PICTURES], [1, *LABELS[1:]])
    out = tmp_path / "out"
    runs = [
        gradcore.explain_dataset(source, out, **{**ALONE, "limit": 2, **asked})
        for source, asked in (
            (data, {}),
            (data, {"method": "guided"}),
            (data, {"method": "smoothgrad", "nt_samples": 2}),
            (data, {"method": "smoothgrad", "nt_samples": 3}),
            (data, {"network": other}),
            (data, {"rows": 1}),
            (data, {"limit": 1}),
            (data, {"headroom": 1}),
            (data, {"preset": "small"}),
            (changed, {}),
        )
    ]
    monkeypatch.setattr(identity, "source_version", lambda: "9.9.9+abc")
    monkeypatch.setattr("gradcore.datasets.working.source_version", lambda: "9.9.9+abc")
    runs.append(gradcore.explain_dataset(data, out, **{**ALONE, "limit": 2}))
    assert len({report["run"] for report in runs}) == 11 and all(report["parts"]["found"] == 0 for report in runs)


def test_shards_are_all_parts_once(data: Path, done: Path, tmp_path: Path) -> None:
    """Three shards of five parts, each by itself; together they are the whole run."""
    made = []
    for index in (1, 2, 3):
        if index == 3:
            with pytest.raises(GradCoreError, match=r"2 of the 5 parts of tiny-saliency-\w+ are missing \(3, 4\)"):
                gradcore.read_attributions(tmp_path)
            assert len(gradcore.read_attributions(tmp_path, partial=True).read()) == 8
        report = gradcore.explain_dataset(data, tmp_path, rows=3, shard=f"{index}/3", network=TINY, verify=0)
        made.append((report["parts"]["made"], report["rows"]))
    assert made == [(1, 3), (2, 5), (2, 4)]
    assert {name: content for name, (_, content) in files(tmp_path).items()} == {
        name: content for name, (_, content) in files(done).items()
    }


@pytest.mark.parametrize("count", [1, 2, 3, 7, 11, 40])
def test_a_split_is_even_and_whole(count: int) -> None:
    parts = task.cut([100, 1, 57, 300], 16)
    assert [row for part in parts for row in part.rows] == list(range(458))
    assert all(len({row >= edge for row in part.rows}) == 1 for part in parts for edge in (100, 101, 158)), "a part of two row groups"
    shards = [task.shard(parts, index + 1, count) for index in range(count)]
    assert [part for one in shards for part in one] == parts
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_two_runs_at_once(data: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process makes a part while this one writes it, and removes its temporary file: what it has made is taken."""
    from gradcore.datasets import storage, working

    def overtaken(task: Task, part: Part, labels: np.ndarray | None, results: list[gradcore.Explanation]) -> None:
        (done_part,) = done.glob(f"*-{part.number:05d}.parquet")
        with replacing(task.path(part), prefix=f".{task.path(part).stem}-") as temporary:
            temporary.write_bytes(b"mine")
            os.link(done_part, task.path(part))
            storage.remove_leftovers(task, [part])

    monkeypatch.setattr(working, "write_part", overtaken)
    report = gradcore.explain_dataset(data, tmp_path, rows=3, **ALONE)
    assert report["parts"] == {"total": 5, "made": 0, "found": 5} and report["rows"] == 12
    assert files(tmp_path) == files(done)


# ---- A sample through the Verilog


SAMPLED = {"network": TINY, "workers": 0, "preset": "small", "verify": 2, "seed": 5, "rows": 3}


def test_a_sample_runs_through_the_verilog(data: Path, tmp_path: Path) -> None:
    """It is drawn again by its seed, printed, and equal; of parts that were there before, too."""
    said: list[str] = []
    report = gradcore.explain_dataset(data, tmp_path, progress=lambda text, *_: said.append(text), **SAMPLED)
    assert report["verified"] == {"pictures": 2, "rows": report["verified"]["rows"], "seed": 5}
    assert any("2 pictures" in text and "seed 5" in text for text in said)
    again = gradcore.explain_dataset(data, tmp_path, **SAMPLED)
    assert again["verified"] == report["verified"] and again["parts"]["made"] == 0


def test_a_wrong_model_is_noticed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value of every attribution is one step off: the Verilog says so."""
    right = GoldenBackend.run

    def wrong(self: GoldenBackend, *arguments: object, **options: object) -> object:
        made = right(self, *arguments, **options)
        for runs in made.values():
            for run in runs:
                run.attribution[1, 2, 3] += 2.0 ** -self._network.quantisation.gradients[0]
        return made

    monkeypatch.setattr(GoldenBackend, "run", wrong)
    refused(r"row \d+: the Verilog differs from its model: 1 of 192 values of the attribution", data, tmp_path, **SAMPLED)


@pytest.mark.parametrize("column", ["attribution", "predicted"])
def test_a_changed_result_is_noticed(column: str, data: Path, done: Path, tmp_path: Path) -> None:
    """A file that was written again with one other value, as sound as before."""
    report = gradcore.explain_dataset(data, tmp_path, **{**SAMPLED, "verify": 0})
    for path in tmp_path.iterdir():
        stored = pq.read_table(path)
        position, values = stored.schema.get_field_index(column), stored[column].to_pylist()
        if column == "attribution":
            values = [[one[0] + 1, *one[1:]] for one in values]
            said = "1 of 192 values of attribution .the first at 0: .* instead of"
        else:
            values = [(one + 1) % 5 for one in values]
            said = "predicted . instead of ."
        pq.write_table(stored.set_column(position, stored.schema.field(column), pa.array(values, stored.schema.field(column).type)), path)
    assert report["verified"] is None
    refused(rf"what is stored of row \d+ differs from the Verilog and its model: {said}", data, tmp_path, **SAMPLED)


def test_the_verilog_itself_as_back_end(data: Path, tmp_path: Path) -> None:
    gradcore.explain_dataset(data, tmp_path, backend="rtl", limit=2, **{**SAMPLED, "verify": 0})
    results = gradcore.read_attributions(tmp_path)
    expected = gradcore.explain(list(PICTURES[:2]), TINY, backend="golden")
    assert results.about["backend"] == "rtl"
    assert results.read().attributions.tobytes() == np.stack([one.attribution for one in expected]).tobytes()


def test_samples_and_parts_are_small_where_a_picture_takes_many_runs() -> None:
    """Four pictures, or as many as take 200 runs; 256 rows, or as many as take 4096 runs."""
    assert [task.sample_size(runs) for runs in (1, 50, 51, 1000)] == [4, 4, 3, 1]
    assert [task.rows_of_a_part(runs, 3072) for runs in (1, 51, 842, 5000)] == [256, 80, 4, 1]
    assert task.rows_of_a_part(1, 3 * 512 * 512) == 42
    parts = task.cut([100, 57], 16)
    chosen = task.sample(parts, 9, seed=3)
    assert sum(map(len, chosen.values())) == 9 and chosen == task.sample(parts, 9, seed=3) != task.sample(parts, 9, seed=4)
    assert all(row in parts[number].rows for number, rows in chosen.items() for row in rows)
    assert task.sample(parts, 1000, seed=3) == {part.number: list(part.rows) for part in parts}


# ---- Bad input


def test_data_that_cannot_be_read(data: Path, tmp_path: Path) -> None:
    out, text = tmp_path / "out", tmp_path / "text.parquet"
    text.write_text("no Parquet")
    refused("none.parquet: there is no such file", tmp_path / "none.parquet", out)
    refused("is not a Parquet file, or a damaged one", text, out)
    pq.write_table(pa.table({"picture": [b"x"]}), tmp_path / "other.parquet")
    refused("has no column image, but picture", tmp_path / "other.parquet", out)
    refused("has no rows", write(tmp_path / "empty.parquet", pa.array([], pa.binary())), out)
    assert not out.exists()


@pytest.mark.parametrize(("bad", "said"), [(b"no picture", "the picture of row 7 is not a picture"), (None, "row 7 has no picture")])
def test_a_damaged_picture_is_named_by_its_row(bad: bytes | None, said: str, tmp_path: Path) -> None:
    """What was made before stays, and nothing half is written."""
    pictures = [png(one) for one in PICTURES]
    file = write(tmp_path / "d.parquet", [*pictures[:7], bad, *pictures[8:]])
    refused(said, file, tmp_path / "out")
    assert [name[-13:] for name in files(tmp_path / "out")] == ["00000.parquet"]
    cut = pictures[0][: len(pictures[0]) // 2]
    refused("the picture of row 1 is damaged or cut off", write(tmp_path / "cut.parquet", [pictures[0], cut]), tmp_path / "cut")


def test_settings_that_cannot_be(data: Path, tmp_path: Path) -> None:
    refused("unknown method 'gradcan' .did you mean gradcam", data, tmp_path, method="gradcan")
    refused("unknown class 'dog'", data, tmp_path, target="dog")
    refused("unknown parameter of smoothgrad|has no parameters", data, tmp_path, nt_samples=3)
    refused("unknown backend 'float': use one of golden, rtl", data, tmp_path, backend="float")
    refused("waves and a trace are of one picture", data, tmp_path, backend="rtl", waves="w.fst")
    for shard in ("0/3", "4/3", "1", "a/b", "1/0", "-1/2"):
        refused(f"the shard '{shard}' is none: give i/n, with i from 1 to n", data, tmp_path, shard=shard)
    refused("shard 1/9 has none of the 3 parts: give at most 3 shards", data, tmp_path, shard="1/9")
    refused("give one of the two", data, tmp_path, workers=2, scheduler="tcp://127.0.0.1:1")
    refused("-1 workers cannot be started", data, tmp_path, workers=-1)
    refused("-1 pictures cannot be checked", data, tmp_path, verify=-1)
    refused("a time-out of 0 s is none", data, tmp_path, timeout=0)
    refused("rows cannot be 0", data, tmp_path, rows=0)
    refused("there is no layer 'conv9'", data, tmp_path, method="gradcam", layer="conv9")
    file = tmp_path / "file"
    file.write_text("here")
    refused("file cannot be written .Not a directory", data, file)
    assert file.read_text() == "here" and sorted(one.name for one in tmp_path.iterdir()) == ["file"]


def test_a_network_that_the_core_cannot_run(data: Path, tmp_path: Path) -> None:
    """There is nothing to check against: it is said how to go without, which is noted."""
    nodes = [
        onnx_models.node("Conv", "x a.w", "a", pads=[1] * 4),
        onnx_models.node("MaxPool", "a", "r", kernel_shape=[5, 5], pads=[2] * 4),
        onnx_models.node("Flatten", "r", "f"),
        onnx_models.node("Gemm", "f c.w", "y", transB=1),
    ]
    generator = np.random.default_rng(1)
    weights = {"a.w": generator.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32)}
    weights["c.w"] = generator.normal(0, 0.2, (5, 4 * 64)).astype(np.float32)
    onnx.save(onnx_models.model(nodes, [1, 3, 8, 8], weights), tmp_path / "pool.onnx")
    asked = {"network": str(tmp_path / "pool.onnx"), "workers": 0, "limit": 2}
    with pytest.raises(GradCoreError, match=r"the core cannot run .*pool.onnx.* give --verify 0"):
        gradcore.explain_dataset(data, tmp_path / "out", **asked)
    report = gradcore.explain_dataset(data, tmp_path / "out", verify=0, **asked)
    assert any("the core cannot run the network" in note for note in report["notes"])
    assert gradcore.read_attributions(tmp_path / "out").about["program_digest"] is None


def test_folders_that_workers_and_client_do_not_share(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does not see the folder says so; so does the client where what a worker has written is not there."""
    monkeypatch.setattr("gradcore.datasets.running._make_folder", lambda out: None)
    refused(r"the worker .* does not see the folder .*/none: --out must lie where all machines see it", data, tmp_path / "none")
    monkeypatch.setattr("gradcore.datasets.running._SEEN_SECONDS", 0.1)
    monkeypatch.setattr("gradcore.datasets.working.write_part", lambda *_: None)
    refused(r"has written .*-00000.parquet, which is not there: --out must lie where all machines see it", data, tmp_path)


def test_a_full_disk(data: Path, tmp_path: Path) -> None:
    """One line, and nothing half: neither a part nor a temporary file."""
    with full_disk(1000):
        refused(r"-00000.parquet cannot be written .File too large.: .* with --out", data, tmp_path)
    assert files(tmp_path) == {}


def test_without_dask(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says how to install it, or to go without; nothing imports it before workers are wanted."""
    for missing, what in (("distributed", "Dask"), ("cryptography", "cryptography")):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, missing, None)
            refused(rf'{what} is not installed, .*: pip install "gradcore\[farm\]", or give --workers 0', data, tmp_path, workers=1)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "distributed", None)
        refused(r'pip install "gradcore\[farm\]"', data, tmp_path, workers=None, scheduler="tcp://127.0.0.1:1")
        assert gradcore.explain_dataset(data, tmp_path, limit=1, **ALONE)["rows"] == 1
    program = "import gradcore, sys; gradcore.explain_dataset; print({'dask', 'distributed', 'pyarrow', 'torch'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert result.stdout == "set()\n", result.stderr


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://127.0.0.1:1", "the scheduler tcp://127.0.0.1:1 cannot be reached .*: check the address and that it runs, or wait longer"),
        ("127.0.0.1", "'127.0.0.1' is no address of a scheduler .missing port number"),
        ("tree://127.0.0.1:1", "is no address of a scheduler .unknown address scheme"),
    ],
)
def test_a_scheduler_that_cannot_be_reached(address: str, said: str, data: Path, tmp_path: Path) -> None:
    refused(said, data, tmp_path, scheduler=address, workers=None, timeout=0.5)


def test_the_command_waits_as_long_as_the_library() -> None:
    assert inspect.signature(command).parameters["timeout"].default == farm.TIMEOUT == 10.0


# ---- The reader


def test_folders_that_are_no_results(data: Path, done: Path, tmp_path: Path) -> None:
    def refuses(text: str, *arguments: object) -> None:
        with pytest.raises(GradCoreError, match=text) as error:
            gradcore.read_attributions(*arguments).read()
        assert "\n" not in str(error.value)

    refuses("none: there is no such folder", tmp_path / "none")
    refuses("d.parquet is a file: give the folder", data)
    refuses("holds no attributions", tmp_path)
    for path in done.iterdir():
        os.link(path, tmp_path / path.name)
    assert gradcore.read_attributions(tmp_path).read().attributions.shape == (12, 3, 8, 8)
    refuses("unknown run 'other'", tmp_path, "other")
    other = gradcore.explain_dataset(data, tmp_path, method="guided", **ALONE)["run"]
    names = sorted([other, gradcore.read_attributions(done).name])
    refuses(f"holds the parts of 2 runs: name one of them as run, {', '.join(names)}", tmp_path)
    assert gradcore.read_attributions(tmp_path, run=other).about["method"] == "guided"


@pytest.mark.parametrize("part", [0, 2])
def test_a_damaged_part_is_named(part: int, done: Path, tmp_path: Path) -> None:
    """A bit in the middle, a file that is cut off, another part under its name, and a file that is something else."""
    names = sorted(files(done))

    def read(content: bytes) -> str:
        for name in names:
            (tmp_path / name).write_bytes((done / name).read_bytes() if name != names[part] else content)
        with pytest.raises(GradCoreError) as error:
            gradcore.read_attributions(tmp_path).read()
        assert "\n" not in str(error.value) and names[part] in str(error.value)
        return str(error.value)

    whole = (done / names[part]).read_bytes()
    group = pq.ParquetFile(done / names[part]).metadata.row_group(0)
    (column,) = (one for one in map(group.column, range(group.num_columns)) if one.path_in_schema.startswith("attribution."))
    middle = column.data_page_offset + column.total_compressed_size // 2
    assert "is damaged" in read(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    assert "is damaged" in read(whole[:-100]) and "delete it and run gradcore explain-dataset again" in read(b"")
    assert "holds part 3 of tiny-saliency" in read((done / names[3]).read_bytes())
    stream = io.BytesIO()
    pq.write_table(pa.table({"row": [1]}), stream)
    assert "holds no attributions of this version of GradCore" in read(stream.getvalue())

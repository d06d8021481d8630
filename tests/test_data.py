# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures: Parquet in its variants, torchvision's way, the split, and every refusal."""

from __future__ import annotations

import io
import json
import sys
import types

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gradcore.data import DataSet, read_data, read_parquet
from gradcore.errors import GradCoreError


def picture(seed, size=(8, 6), form="PNG"):
    """Random pixels, and their encoded bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return pixels, stream.getvalue()


def write(file, images, labels, metadata=None, **columns):
    table = pa.table({"image": images, "label": labels, **columns})
    pq.write_table(table.replace_schema_metadata(metadata), file)
    return file


def refused(match, action, *arguments):
    with pytest.raises(GradCoreError, match=match) as caught:
        action(*arguments)
    assert "\n" not in str(caught.value) and ": " in str(caught.value)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "data.parquet"


def test_pictures_and_labels_come_back(file):
    pixels, encoded = zip(*(picture(seed) for seed in range(5)), strict=True)
    write(file, list(encoded), pa.array([0, 2, 1, 1, 0], pa.int8()), {"classes": "cat, dog,eel"}, id=list("abcde"))
    data = read_parquet(file)
    np.testing.assert_array_equal(data.images, pixels)
    assert data.images.dtype == np.uint8 and data.labels.dtype == np.int64
    assert data.labels.tolist() == [0, 2, 1, 1, 0]
    assert data.classes == ["cat", "dog", "eel"]
    assert [len(labels) for _, labels in data.batches(2)] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([images for images, _ in data.batches(2)]), pixels)


def test_limit_takes_the_first(file):
    write(file, [picture(seed)[1] for seed in range(5)], [4, 3, 2, 1, 0])
    assert read_parquet(file, 2).labels.tolist() == [4, 3]
    assert read_parquet(file, 99).labels.tolist() == [4, 3, 2, 1, 0]
    refused("1 or more", read_parquet, file, 0)


def test_the_struct_and_class_names_of_hugging_face(file):
    pixels, encoded = picture(1)
    features = {"info": {"features": {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}}}
    write(file, [{"bytes": encoded, "path": "a.png"}], [1], {"huggingface": json.dumps(features)})
    data = read_parquet(file)
    np.testing.assert_array_equal(data.images[0], pixels)
    assert data.classes == ["a", "b"]


def test_without_names_classes_are_called_by_number(file):
    write(file, [picture(0)[1], picture(1)[1]], [0, 2])
    assert read_parquet(file).classes == ["0", "1", "2"]


def test_grey_and_jpeg_pictures_become_rgb(file):
    stream = io.BytesIO()
    Image.new("L", (8, 6), 77).save(stream, "PNG")
    write(file, [stream.getvalue(), picture(0, form="JPEG")[1]], [0, 0])
    data = read_parquet(file)
    assert data.images.shape == (2, 6, 8, 3)
    assert (data.images[0] == 77).all()


def test_files_that_cannot_be_used_are_refused(file, tmp_path):
    refused("no such file", read_parquet, tmp_path / "none.parquet")
    refused("is a folder", read_parquet, tmp_path)
    for junk in (b"", b"image,label\n1,2\n"):
        file.write_bytes(junk)
        refused("not a Parquet file", read_parquet, file)
    whole = write(tmp_path / "whole", [picture(0)[1]] * 9, [0] * 9).read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    refused("not a Parquet file, or a damaged one", read_parquet, file)
    file.write_bytes(whole[:40] + bytes(len(whole) // 2) + whole[40 + len(whole) // 2 :])
    with pytest.raises(GradCoreError):
        read_parquet(file)


def test_tables_that_cannot_be_used_are_refused(file):
    encoded = picture(0)[1]
    pq.write_table(pa.table({"img": [encoded], "label": [1]}), file)
    refused("no column image", read_parquet, file)
    pq.write_table(pa.table({"x": [1]}), file)
    refused("no column image and no column label", read_parquet, file)
    refused("no rows", read_parquet, write(file, pa.array([], pa.binary()), pa.array([], pa.int64())))
    refused("holds string", read_parquet, write(file, ["a.png"], [1]))
    refused("label holds string", read_parquet, write(file, [encoded], ["cat"]))
    refused("labels are missing", read_parquet, write(file, [encoded] * 2, [1, None]))
    refused("row 1 has the label 2", read_parquet, write(file, [encoded] * 2, [0, 2], {"classes": "a,b"}))
    refused("row 0 has the label -1", read_parquet, write(file, [encoded] * 2, [-1, 0]))


@pytest.mark.parametrize("bad", [b"", b"not a picture", picture(0)[1][:60], None])
def test_a_picture_that_cannot_be_decoded_is_named(file, bad):
    refused("row 1 cannot be decoded", read_parquet, write(file, pa.array([picture(0)[1], bad], pa.binary()), [0, 0]))


def test_pictures_of_two_sizes_are_refused(file):
    refused("row 1 has 5 x 8 pixels, row 0 has 6 x 8", read_parquet, write(file, [picture(0)[1], picture(0, (8, 5))[1]], [0, 0]))


def test_statistics_are_those_of_numpy():
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3)).astype(np.uint8)
    mean, std = DataSet(images, np.zeros(4, np.int64), ["a"]).statistics()
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)) / 255)
    np.testing.assert_allclose(std, images.std((0, 1, 2)) / 255)


def test_the_split_is_even_disjoint_and_repeatable():
    labels = np.random.default_rng(0).integers(0, 4, 200)
    images = np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1).repeat(3, axis=3)
    data = DataSet(images, labels, list("abcd"))
    rest, held = data.split(42, seed=5)
    assert np.bincount(held.labels).tolist() == [11, 11, 10, 10]
    numbers = [part.images[:, 0, 0, 0].tolist() for part in (rest, held)]
    assert sorted(numbers[0] + numbers[1]) == list(range(200))
    assert all(part == sorted(part) for part in numbers)
    assert data.split(42, seed=5)[1].images[:, 0, 0, 0].tolist() == numbers[1]
    assert data.split(42, seed=6)[1].images[:, 0, 0, 0].tolist() != numbers[1]
    assert len(data.split(0)[0]) == 200


class FakeCIFAR10:
    """Torchvision's class as far as it is used."""

    classes = ("airplane", "automobile")

    def __init__(self, root, train, download):
        if root == "unreachable":
            raise RuntimeError("no\nroute")
        self.data, self.targets = np.full((3, 32, 32, 3), int(train), np.uint8), [0, 1, 1]


def test_torchvision_is_read_through_its_own_class(monkeypatch):
    datasets = types.ModuleType("torchvision.datasets")
    datasets.CIFAR10 = FakeCIFAR10
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)
    data = read_data("torchvision:somewhere", train=True, limit=2)
    assert (data.images == 1).all() and data.labels.tolist() == [0, 1] and data.classes == ["airplane", "automobile"]
    refused("no route", read_data, "torchvision:unreachable")
    refused("names no folder", read_data, "torchvision:")


def test_torchvision_that_is_missing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    refused("torchvision is not installed: pip install torchvision", read_data, "torchvision:somewhere")


def test_other_sources_are_parquet_files(file):
    write(file, [picture(0)[1]], [0])
    assert len(read_data(file)) == 1

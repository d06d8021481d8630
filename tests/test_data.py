# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures: Parquet in its variants, torchvision's way, the split, and every refusal."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import tracemalloc
import types
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gradcore.errors import GradCoreError
from gradcore.pictures.data import DataSet, read_data, read_parquet
from gradcore.pictures.picture import load_picture
from gradcore.speed.benchmark import dataset_pictures


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
    file.write_bytes(whole.replace(b"label", b"lab\xffl"))
    refused("not a Parquet file, or a damaged one", read_parquet, file)
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


@pytest.mark.parametrize(
    ("bad", "words"),
    [(b"", "is empty"), (b"not a picture", "is not a picture"), (picture(0)[1][:60], "is damaged"), (Image, "has too many pixels")],
)
def test_f26_a_picture_that_cannot_be_decoded_is_named(file, bad, words):
    if bad is Image:  # a file that claims more pixels than anybody has
        header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
        bad = picture(0)[1][:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + picture(0)[1][33:]
    refused(f"the picture of row 1 {words}", read_parquet, write(file, pa.array([picture(0)[1], bad], pa.binary()), [0, 0]))


def test_f31_a_row_without_a_picture_is_named(file):
    refused("row 17 has no picture", read_parquet, write(file, pa.array([picture(0)[1]] * 17 + [None], pa.binary()), [0] * 18))
    whole, path = {"bytes": picture(0)[1], "path": "a.png"}, {"bytes": None, "path": "b.png"}
    refused("row 1 has no picture, only the path b.png", read_parquet, write(file, [whole, path], [0, 0]))
    refused("row 1 has no picture: store", read_parquet, write(file, pa.array([whole, None]), [0, 0]))


VIEWS = [pa.binary_view()] if hasattr(pa, "binary_view") else []  # old versions have none
TYPES = [
    pa.binary(),
    pa.large_binary(),
    *VIEWS,
    pa.binary(len(picture(1)[1])),
    pa.list_(pa.uint8()),
    pa.large_list(pa.uint8()),
    pa.list_(pa.uint8(), len(picture(1)[1])),
    pa.dictionary(pa.int8(), pa.binary()),
]


@pytest.mark.parametrize("kind", TYPES, ids=str)
@pytest.mark.parametrize("struct_of", [False, True])
def test_f26_every_type_that_can_hold_pictures(file, kind, struct_of):
    pixels, encoded = picture(1)
    values = pa.chunked_array([[encoded], [encoded, encoded]], pa.binary())
    values = (
        values.dictionary_encode()
        if pa.types.is_dictionary(kind)
        else pa.chunked_array(
            [pa.array([list(one) if "list" in str(kind) else one for one in chunk.to_pylist()], kind) for chunk in values.chunks]
        )
    )
    if struct_of:
        values = pa.chunked_array(
            [pa.StructArray.from_arrays([chunk, pa.array(["p"] * len(chunk))], ["bytes", "path"]) for chunk in values.chunks]
        )
    write(file, values, [0, 1, 1])
    stored = pq.read_schema(file).field("image").type
    assert str(kind).split("[")[0].split("<")[0] in str(stored)  # the type comes back from the file
    np.testing.assert_array_equal(read_parquet(file).images, [pixels] * 3)


class Extension(pa.ExtensionType):
    """A type of a user's own."""

    def __init__(self, storage):
        super().__init__(storage, "test.extension")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, serialized):
        return cls(storage)


def test_f26_extension_types_are_what_they_store(file):
    pa.register_extension_type(Extension(pa.binary()))
    try:
        images = pa.ExtensionArray.from_storage(Extension(pa.binary()), pa.array([picture(1)[1]] * 2, pa.binary()))
        labels = pa.ExtensionArray.from_storage(Extension(pa.int8()), pa.array([0, 2], pa.int8()))
        data = read_parquet(write(file, images, labels))
    finally:
        pa.unregister_extension_type("test.extension")
    np.testing.assert_array_equal(data.images, [picture(1)[0]] * 2)
    assert data.labels.tolist() == [0, 2]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.int64(),
        pa.list_(pa.string()),
        pa.list_(pa.list_(pa.uint8())),
        pa.null(),
        pa.float32(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.struct([("data", pa.binary())]),
    ],
    ids=str,
)
def test_f26_columns_that_hold_no_encoded_pictures(file, kind):
    images = pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), ["a"]) if pa.types.is_dictionary(kind) else pa.nulls(1, kind)
    refused("the column image holds .*, not encoded pictures", read_parquet, write(file, images, [0]))


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_f26_labels_of_every_type_of_integers(file, kind):
    labels = pa.array([2, 0, 1], getattr(pa, kind)())
    for column in (labels, labels.dictionary_encode(), pa.chunked_array([labels[:1], labels[1:]])):
        assert read_parquet(write(file, [picture(0)[1]] * 3, column)).labels.tolist() == [2, 0, 1]


NO_INTEGERS = [
    pa.array([0.0, 1.0]),
    pa.array([True, False]),
    pa.array(["a", "b"]),
    pa.array(["a", "b"]).dictionary_encode(),
    pa.nulls(2),
    pa.array([[0], [1]]),
    pa.array([0, 1], pa.date32()),
]


@pytest.mark.parametrize("labels", NO_INTEGERS, ids=lambda labels: str(labels.type).split("<")[0])
def test_f16_labels_that_are_no_integers(file, labels):
    refused("the column label holds .*: store integers", read_parquet, write(file, [picture(0)[1]] * 2, labels))


@pytest.mark.parametrize("label", [2_000_000_000, 65536, -1, -(2**63), 2**63 - 1, 2**64 - 1])
def test_f16_a_stray_label_is_named_before_anything_is_sized_by_it(file, label):
    labels = pa.array([0, 1, label], pa.uint64() if label > 2**63 else pa.int64())
    write(file, [b"is not read"] * 3, labels)
    tracemalloc.start()
    try:
        refused(f"row 2 has the label {label}, but without class names labels go from 0 to 65535", read_parquet, file)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


def test_f16_labels_with_gaps_are_numbers(file):
    data = read_parquet(write(file, [picture(0)[1]] * 2, [0, 999]))
    assert len(data.classes) == 1000 and not data.named


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("a,b,a", "both called 'a'"),
        ("a,,b", "class 1 has no name"),
        ("", "has no name"),
        (",".join(map(str, range(70000))), "names 70000 classes, 65536 may be"),
    ],
)
def test_f16_class_names_that_cannot_be(file, names, words):
    refused(words, read_parquet, write(file, [picture(0)[1]], [0], {"classes": names}))
    described = {"info": {"features": {"label": {"names": names.split(",")}}}}
    refused(words, read_parquet, write(file, [picture(0)[1]], [0], {"huggingface": json.dumps(described)}))


@pytest.mark.parametrize("described", ["{", "[" * 100_000, '{"info": null}', '{"info": {"features": {"label": {"names": "ab"}}}}'])
def test_descriptions_that_name_no_classes_are_left_alone(file, described):
    data = read_parquet(write(file, [picture(0)[1]], [1], {"huggingface": described}))
    assert data.classes == ["0", "1"] and not data.named


@pytest.mark.parametrize("names", [["image", "label", "label"], ["image", "image", "label"]])
def test_f18_columns_of_one_name(file, names):
    columns = {"image": pa.array([picture(0)[1]]), "label": pa.array([0])}
    pq.write_table(pa.table([columns[name] for name in names], names=names), file)
    twice = max(names, key=names.count)
    refused(f"has 2 columns that are called {twice}: keep one of them", read_parquet, file)


def test_f18_columns_of_other_names_are_listed(file):
    pq.write_table(pa.table({"Image": [picture(0)[1]], "fine_label": [0]}), file)
    refused("no column image and no column label, but Image, fine_label: rename them", read_parquet, file)
    pq.write_table(pa.table({f"c{number}": [0] for number in range(30)}), file)
    refused(r"but c0, .*, c9, \.\.\.: rename", read_parquet, file)


def test_f16_pictures_that_no_memory_holds_are_refused(file):
    stream = io.BytesIO()
    Image.new("1", (4000, 4000)).save(stream, "PNG")
    images = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int8)), [stream.getvalue()])
    refused("100000 pictures of 4000 x 4000 need 4800.0 GB of memory", read_parquet, write(file, images, np.zeros(100_000, np.int8)))


@pytest.mark.parametrize("limit", [10**30, np.int64(2)])
def test_f16_a_limit_of_any_size(file, limit):
    assert len(read_parquet(write(file, [picture(0)[1]] * 2, [0, 1]), limit)) == 2


@pytest.mark.parametrize("limit", ["2", 1.5, -1])
def test_limits_that_are_none(file, limit):
    write(file, [picture(0)[1]] * 2, [0, 1])
    with pytest.raises(GradCoreError, match="a limit of"):
        read_data(file, limit=limit)


@pytest.mark.parametrize(("name", "words"), [("", "is empty"), ("https://host/d.parquet", "is an address"), ("d\0.parquet", "null byte")])
def test_f31_names_of_data_files_that_are_no_paths(name, words):
    refused(words, read_data, name)


def test_f17_memory_does_not_grow_with_the_number_of_photographs(file):
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1000, 1500, 3), np.uint8)).save(stream, "JPEG", quality=95)
    images = pa.array([stream.getvalue()] * 40, pa.binary())
    pq.write_table(pa.table({"image": images, "label": [0] * 40}), file, use_dictionary=False, row_group_size=10)
    tracemalloc.start()
    try:
        data = read_parquet(file, shape=(3, 32, 32))
        assert tracemalloc.get_traced_memory()[1] < 30e6  # one is 4.5 MB as RGB, all are 180 MB
    finally:
        tracemalloc.stop()
    assert data.images.shape == (40, 32, 32, 3)
    (note,) = data.notes
    assert note.startswith("40 of 40 pictures, the first of them in row 0: of its 1500 x 1000 pixels the middle 1000 x 1000")


def half(image):
    image = image.copy()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


ROADS = {
    "16-bit grey": (lambda image: Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG", {}),
    "16-bit big-endian": (lambda image: Image.frombytes("I;16B", image.size, image.convert("I;16").tobytes()), "TIFF", {}),
    "32 bits": (lambda image: image.convert("I"), "TIFF", {}),
    "floats": (lambda image: image.convert("F"), "TIFF", {}),
    "1 bit": (lambda image: image.convert("1"), "PNG", {}),
    "grey": (lambda image: image.convert("L"), "PNG", {}),
    "grey with a profile": (lambda image: image.convert("L"), "PNG", {"icc_profile": b"profile"}),
    "grey and alpha": (lambda image: half(image).convert("LA"), "PNG", {}),
    "alpha": (lambda image: half(image), "PNG", {}),
    "palette": (lambda image: image.convert("P"), "PNG", {"transparency": 3}),
    "CMYK": (lambda image: image.convert("CMYK"), "JPEG", {}),
    "YCbCr": (lambda image: image.convert("YCbCr"), "TIFF", {"compression": "tiff_lzw"}),
    "LAB": (lambda image: Image.merge("LAB", image.split()), "TIFF", {}),
    "turned": (lambda image: image, "JPEG", {"exif": turned()}),
    "turned TIFF": (lambda image: image, "TIFF", {"exif": turned()}),
    "moving": (lambda image: image, "GIF", {"save_all": True, "append_images": [Image.new("RGB", (16, 16))]}),
}


@pytest.mark.parametrize("kind", ROADS)
def test_f02_the_same_bytes_give_the_same_pixels_by_each_road(tmp_path, kind):
    """explain (by path, bytes and Pillow image), read_data (train), the reading of eval and of bench."""
    convert, form, options = ROADS[kind]
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (16, 16, 3), np.uint8)).resize((16, 16), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    convert(image).save(stream, form, **options)
    (tmp_path / "picture").write_bytes(stream.getvalue())
    file = write(tmp_path / "data", [stream.getvalue()], [0])
    expected = load_picture(tmp_path / "picture", height=16, width=16)
    for pixels in (
        load_picture(stream.getvalue(), height=16, width=16).pixels,
        load_picture(Image.open(io.BytesIO(stream.getvalue())), height=16, width=16).pixels,
        read_data(file).images[0],
        read_data(file, train=True).images[0],
        read_parquet(file, shape=(3, 16, 16)).images[0],
        dataset_pictures(file, 1, (3, 16, 16)).images[0],
    ):
        np.testing.assert_array_equal(pixels, expected.pixels)
    assert expected.pixels.std() > 5  # not all white, as a careless conversion makes deep pictures
    assert [note.split(": ", 1)[1] for note in read_data(file).notes] == list(expected.notes)


@pytest.mark.parametrize("channels", [1, 3])
def test_f02_pictures_are_cut_and_resized_as_explain_does(tmp_path, channels):
    encoded = [picture(seed, size)[1] for seed, size in enumerate([(40, 24), (24, 40), (8, 8)])]
    file = write(tmp_path / "data", encoded, [0, 0, 0])
    expected = [load_picture(one, height=8, width=12, channels=channels).pixels for one in encoded]
    np.testing.assert_array_equal(read_parquet(file, shape=(channels, 8, 12)).images, expected)
    np.testing.assert_array_equal(dataset_pictures(file, 3, (channels, 8, 12)).images, expected)


def test_a_parquet_file_without_pyarrow_is_one_line():
    code = """
import sys
import gradcore, gradcore.pictures.data, gradcore.explanation, gradcore.explanation.evaluation, gradcore.speed.benchmark, gradcore.cli
assert "pyarrow" not in sys.modules
sys.modules["pyarrow"] = None
try:
    gradcore.read_data("d.parquet")
except gradcore.GradCoreError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 'pyarrow is not installed, a Parquet file needs it: pip install "gradcore[data]"\n'


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

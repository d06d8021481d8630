# SPDX-License-Identifier: Apache-2.0
"""Any image file becomes a picture of the network's size, or is refused with one line."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from gradcore.errors import GradCoreError
from gradcore.pictures.picture import load_picture, read_picture, sample_picture

SIZE = {"height": 32, "width": 32}


def gradient_image(width: int = 32, height: int = 32) -> Image.Image:
    """Red grows to the right, green downwards, blue is constant."""
    rows, columns = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([columns * 255 // width, rows * 255 // height, np.full_like(rows, 40)], axis=-1).astype(np.uint8))


@pytest.fixture
def save(tmp_path: Path):
    def write(image: Image.Image, name: str = "picture.png", **options) -> Path:
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return write


def test_a_picture_of_the_right_size_is_left_alone(save):
    image = gradient_image()
    picture = load_picture(save(image), **SIZE)
    np.testing.assert_array_equal(picture.pixels, np.asarray(image))
    assert picture.notes == () and not picture.resized and picture.stem == "picture"


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tiff", "webp", "ppm"])
def test_formats(save, suffix):
    picture = load_picture(save(Image.new("RGB", (32, 32), (200, 30, 90)), f"a.{suffix}"), **SIZE)
    assert picture.pixels.shape == (32, 32, 3) and picture.pixels.dtype == np.uint8
    assert np.abs(picture.pixels.astype(int) - (200, 30, 90)).max() <= 4


def test_other_sizes_are_resized_and_it_is_said(save):
    picture = load_picture(save(gradient_image(96, 96)), **SIZE)
    assert picture.resized and picture.notes == ("it was resized from 96 x 96 to 32 x 32",)
    expected = np.asarray(gradient_image(96, 96)).reshape(32, 3, 32, 3, 3).mean(axis=(1, 3))
    assert np.abs(picture.pixels - expected).max() <= 1


def test_small_pictures_are_enlarged(save):
    picture = load_picture(save(gradient_image(8, 8)), **SIZE)
    assert picture.pixels.shape == (32, 32, 3) and picture.resized


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (33, 31), (640, 480)])
def test_odd_sizes(save, size):
    assert load_picture(save(gradient_image(*size)), **SIZE).pixels.shape == (32, 32, 3)


def test_the_middle_of_a_wide_picture_is_taken(save):
    image = Image.new("RGB", (96, 32), "red")
    image.paste("lime", (32, 0, 64, 32))
    picture = load_picture(save(image), **SIZE)
    assert np.all(picture.pixels == (0, 255, 0))
    assert picture.notes == ("of its 96 x 32 pixels the middle 32 x 32 were resized to 32 x 32",)


def test_a_network_need_not_be_square(save):
    picture = load_picture(save(gradient_image(100, 100)), height=16, width=64)
    assert picture.pixels.shape == (16, 64, 3)
    assert picture.notes == ("of its 100 x 100 pixels the middle 100 x 25 were resized to 64 x 16",)


def test_greyscale(save):
    image = gradient_image().convert("L")
    picture = load_picture(save(image), **SIZE)
    np.testing.assert_array_equal(picture.pixels, np.repeat(np.asarray(image)[..., None], 3, axis=-1))


@pytest.mark.parametrize("mode", ["1", "CMYK", "YCbCr", "LAB"])
def test_other_colour_modes(save, mode):
    image = Image.new("LAB", (32, 32)) if mode == "LAB" else gradient_image().convert(mode)
    source = image if mode == "YCbCr" else save(image, "a.tiff")  # older Pillows cannot read the YCbCr that they write
    assert load_picture(source, **SIZE).pixels.shape == (32, 32, 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_put_on_white(save, mode):
    image = Image.new(mode, (32, 32), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    image.paste((0, 0, 0, 255) if mode == "RGBA" else (0, 255), (0, 0, 16, 32))
    picture = load_picture(save(image), **SIZE)
    assert np.all(picture.pixels[:, :16] == 0) and np.all(picture.pixels[:, 16:] == 255)
    assert picture.notes == ("its transparent parts were put on white",)


def test_half_transparent_pixels_are_mixed_with_white(save):
    assert np.all(np.abs(load_picture(save(Image.new("RGBA", (32, 32), (0, 0, 0, 128))), **SIZE).pixels.astype(int) - 127) <= 1)


def test_an_opaque_alpha_channel_changes_nothing(save):
    image = gradient_image()
    opaque = image.copy()
    opaque.putalpha(255)
    picture = load_picture(save(opaque), **SIZE)
    np.testing.assert_array_equal(picture.pixels, np.asarray(image))
    assert picture.notes == ()


def test_palette_with_a_transparent_colour(save):
    image = Image.new("P", (32, 32), 1)
    image.putpalette([0, 0, 0, 10, 20, 30, 90, 90, 90])
    image.paste(2, (0, 0, 32, 16))
    picture = load_picture(save(image, transparency=1), **SIZE)
    assert np.all(picture.pixels[:16] == 90) and np.all(picture.pixels[16:] == 255)


def test_sixteen_bits(save):
    values = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    picture = load_picture(save(Image.fromarray(values)), **SIZE)
    np.testing.assert_allclose(picture.pixels[..., 0], values / 257, atol=0.51)
    assert "8 bits" in picture.notes[0]


def test_sixteen_bits_that_are_dark_stay_dark(save):
    assert load_picture(save(Image.fromarray(np.full((32, 32), 200, np.uint16))), **SIZE).pixels.max() <= 1


@pytest.mark.parametrize(("values", "expected"), [(np.full((32, 32), 0.5, np.float32), 128), (np.full((32, 32), 128, np.float32), 128)])
def test_floats(save, values, expected):
    assert np.all(load_picture(save(Image.fromarray(values), "a.tiff"), **SIZE).pixels == expected)


def test_exif_orientation(save):
    image = gradient_image()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture = load_picture(save(image, exif=exif.tobytes()), **SIZE)
    np.testing.assert_array_equal(picture.pixels, np.rot90(np.asarray(image), -1))
    assert picture.notes == ("it was turned upright, as its EXIF orientation says",)


def test_the_first_frame_of_an_animation(save):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime")]
    picture = load_picture(save(frames[0], "a.gif", save_all=True, append_images=frames[1:]), **SIZE)
    assert np.all(picture.pixels == (255, 0, 0)) and picture.notes == ("only the first of its 2 frames was used",)


def test_grey_networks(save):
    image = gradient_image()
    picture = load_picture(save(image), height=32, width=32, channels=1)
    np.testing.assert_array_equal(picture.pixels[..., 0], np.asarray(image.convert("L")))
    assert "grey" in picture.notes[0]


@pytest.mark.parametrize(
    "values",
    [
        np.full((32, 32, 3), 51, np.uint8),
        np.full((32, 32), 51, np.uint8),
        np.full((32, 32, 1), 51, np.uint8),
        np.full((32, 32, 3), 0.2),
    ],
)
def test_arrays(values):
    picture = load_picture(values, **SIZE)
    assert np.all(picture.pixels == 51) and picture.pixels.shape == (32, 32, 3) and picture.stem == "picture"


def test_bytes_and_pillow_images():
    image = gradient_image()
    stream = io.BytesIO()
    image.save(stream, "PNG")
    for source in (stream.getvalue(), image):
        np.testing.assert_array_equal(load_picture(source, **SIZE).pixels, np.asarray(image))


def test_the_sample_picture_needs_no_download():
    picture = sample_picture(**SIZE)
    assert picture.pixels.shape == (32, 32, 3) and picture.stem == "chelsea" and picture.pixels.std() > 20


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"this is no picture\n" * 50, "is not a picture"),
        (b"\x89PNG\r\n\x1a\n", "damaged|not a picture"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "damaged|not a picture"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 100, "damaged|not a picture"),
        (b"GIF89a" + b"\xff" * 30, "damaged|not a picture"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, content, words):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(GradCoreError, match=words) as caught:
        load_picture(path, **SIZE)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "gif", "bmp", "webp"])
def test_truncated_files_are_refused(save, tmp_path, suffix):
    rng = np.random.default_rng(1)
    data = save(Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)), f"a.{suffix}").read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    for share in (0.3, 0.7, 0.95):
        cut.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(GradCoreError, match=r"damaged|cut off|not a picture"):
            load_picture(cut, **SIZE)


def test_damaged_files_never_end_in_another_error(save, tmp_path):
    rng = np.random.default_rng(1)
    for suffix in ("png", "jpg", "gif", "tiff"):
        data = bytearray(save(gradient_image(), f"a.{suffix}").read_bytes())
        for _ in range(60):
            damaged = bytearray(data)
            for position in rng.integers(0, len(data), 5):
                damaged[position] = rng.integers(256)
            (tmp_path / "x").write_bytes(damaged)
            try:
                assert load_picture(tmp_path / "x", **SIZE).pixels.shape == (32, 32, 3)
            except GradCoreError as error:
                assert "\n" not in str(error)


def test_f16_a_tiff_that_claims_more_rows_than_it_has_is_refused():
    data = raw_tiff(GREYS, "u2").replace(struct.pack("<HHII", 257, 4, 1, 2), struct.pack("<HHII", 257, 4, 1, 2_000_000))
    with pytest.raises(GradCoreError, match="damaged or cut off"):
        shown(data)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(GradCoreError, match="no such file"):
        load_picture(tmp_path / "none.png", **SIZE)
    with pytest.raises(GradCoreError, match="is a folder"):
        load_picture(tmp_path, **SIZE)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(GradCoreError, match="cannot be read"):
        load_picture(tmp_path / "file" / "a.png", **SIZE)


def test_views_of_bytes_that_do_not_lie_in_a_row():
    stream = io.BytesIO()
    gradient_image().save(stream, "PNG")
    spread = np.frombuffer(stream.getvalue(), np.uint8).repeat(2).data[::2]
    np.testing.assert_array_equal(load_picture(spread, **SIZE).pixels, np.asarray(gradient_image()))


@pytest.mark.parametrize("source", [None, 5, io.BytesIO(b"x"), {"a": 1}, object()])
def test_what_is_no_picture_at_all_is_named(source):
    with pytest.raises(GradCoreError, match=f"a {type(source).__name__} is no picture: give a path"):
        load_picture(source, **SIZE)


@pytest.mark.parametrize("size", [(0, 32), (32, -1)])
def test_sizes_that_are_none(size):
    with pytest.raises(GradCoreError, match="are no picture"):
        load_picture(gradient_image(), height=size[0], width=size[1])


def test_pictures_for_networks_without_colour_channels():
    with pytest.raises(GradCoreError, match="5 channels"):
        load_picture(gradient_image(), height=32, width=32, channels=5)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((3, 3, 3, 3), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.full((4, 4), 2.0),
        np.full((4, 4), np.nan),
        np.zeros((4, 4), np.int32),
        np.zeros((4, 4), np.uint16),
        np.zeros((4, 4), ">u2"),
        np.zeros((4, 4), complex),
        np.zeros((4, 4), object),
        np.zeros((4, 4), "datetime64[s]"),
        np.full((4, 4), "white"),
        np.full((4, 4), -0.1),
        np.full((4, 4), np.inf, np.float16),
        np.zeros((3, 32, 32)),
        [[1, 2], [3]],
        [],
        None,
    ],
)
def test_arrays_that_are_no_pictures(values):
    with pytest.raises(GradCoreError, match="array"):
        load_picture(values, **SIZE)


@pytest.mark.parametrize("kind", ["bool", "f2", "<f4", ">f4", "<f8", ">f8", "g"])
def test_f30_arrays_of_every_kind_show_the_same(kind):
    values = np.linspace(0, 1, 1024).reshape(32, 32)
    given = values > 0.5 if kind == "bool" else values.astype(kind)
    expected = given * 255 if kind == "bool" else np.round(given.astype(np.float64) * 255)
    np.testing.assert_array_equal(load_picture(given, **SIZE).pixels[..., 1], expected)


GREYS = np.array([[0, 300, 1000, 4095], [30000, 40000, 50000, 65535]])  # of 16 bits
AS_SHOWN = np.round(GREYS / 257)


def raw_png(values: np.ndarray, colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits; colour: 0 grey, 2 RGB, 4 grey and alpha, 6 RGB and alpha."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in values.astype(">u2").reshape(height, -1))
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def raw_tiff(values: np.ndarray, kind: str, *, bits: int = 0, photometric: int = 1, order: str = "<", data: bytes = b"") -> bytes:
    """A TIFF with values of a NumPy type (u2, i2, f4 ...) in this byte order, one strip, not compressed."""
    height, width = values.shape[:2]
    data = data or values.astype(order + kind).tobytes()
    sample = {"u": 1, "i": 2, "f": 3}[kind[0]]
    tags = [
        (256, width),
        (257, height),
        (258, bits or 8 * int(kind[1])),
        (259, 1),
        (262, photometric),
        (273, 0),
        (277, 1),
        (278, height),
        (279, len(data)),
        (339, sample),
    ]
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, start if tag == 273 else value) for tag, value in tags)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IH", 8, len(tags))
    return head + entries + struct.pack(order + "I", 0) + data


def shown(data: bytes) -> np.ndarray:
    return load_picture(data, height=2, width=4).pixels[..., 0]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("u2", GREYS, AS_SHOWN),
        ("i4", GREYS, AS_SHOWN),
        ("i4", GREYS - 40000, AS_SHOWN),  # from the lowest to the highest
        ("i2", GREYS - 32768, AS_SHOWN),
        ("i2", GREYS // 2, np.round(GREYS // 2 / 32767 * 255)),
        ("i1", GREYS // 257 - 128, GREYS // 257),
        ("f4", GREYS / 65535, AS_SHOWN),
        ("f4", GREYS / 257, AS_SHOWN),
        ("f4", GREYS * 1e30, AS_SHOWN),
    ],
)
def test_f30_grey_tiffs_of_every_type(kind, values, expected, order):
    assert np.abs(shown(raw_tiff(values, kind, order=order)) - expected).max() <= 1


def test_f30_unsigned_32_bits_do_not_wrap():
    np.testing.assert_array_equal(shown(raw_tiff(GREYS * 65536, "u4")), AS_SHOWN)


def test_f30_twelve_bits_reach_white():
    high = (GREYS >> 4).reshape(-1, 2)
    packed = np.stack([high[:, 0] >> 4, (high[:, 0] & 15) << 4 | high[:, 1] >> 8, high[:, 1] & 255], axis=1).astype(np.uint8)
    data = raw_tiff(GREYS, "u2", bits=12, data=packed.tobytes())
    assert np.abs(shown(data) - AS_SHOWN).max() <= 1 and shown(data).max() == 255


@pytest.mark.parametrize(("kind", "scale"), [("u1", 257), ("u2", 1), ("f4", 65535)])
def test_f30_pictures_in_which_zero_is_white(kind, scale):
    values = GREYS / scale if kind == "f4" else GREYS // scale
    assert np.abs(shown(raw_tiff(values, kind, photometric=0)) - (255 - AS_SHOWN)).max() <= 1


@pytest.mark.parametrize(("kind", "photometric"), [("f8", 1), ("f2", 1), ("u8", 1), ("i4", 0)])
def test_f30_what_pillow_cannot_read_of_tiff_is_said(kind, photometric):
    with pytest.raises(GradCoreError, match="not a picture that Pillow can read: a damaged TIFF, or one of a rare kind"):
        shown(raw_tiff(GREYS // 257, kind, photometric=photometric))


def test_f30_a_dark_pgm_of_16_bits_stays_dark():
    assert shown(b"P5 4 2 65535\n" + (GREYS // 257).astype(">u2").tobytes()).max() <= 1
    np.testing.assert_array_equal(shown(b"P5 4 2 65535\n" + GREYS.astype(">u2").tobytes()), AS_SHOWN)


def test_f30_pngs_of_16_bits():
    colours, alpha = np.stack([GREYS] * 3, -1), np.full((2, 4, 1), 65535)
    for values, colour in ((colours, 2), (np.concatenate([colours, alpha], -1), 6), (np.concatenate([GREYS[..., None], alpha], -1), 4)):
        picture = load_picture(raw_png(values, colour), height=2, width=4)
        np.testing.assert_array_equal(picture.pixels[..., 0], GREYS >> 8)
        assert picture.notes == ("its 16 bits a colour were brought to 8",)
    (note,) = load_picture(raw_png(colours >> 4, 2), height=2, width=4).notes  # 12 bits that were saved as 16
    assert "leaves it dark" in note


@pytest.mark.parametrize("colour", [0, 2])
def test_f30_a_transparent_colour_of_16_bits(colour):
    values = GREYS if colour == 0 else np.stack([GREYS] * 3, -1)
    key = (b"tRNS", struct.pack(">H", 40000) * (3 if colour else 1))
    picture = load_picture(raw_png(values, colour, key), height=2, width=4)
    expected = np.where(GREYS == 40000, 255, AS_SHOWN)
    assert np.abs(picture.pixels[..., 0] - expected).max() <= 1
    assert "its transparent parts were put on white" in picture.notes


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_f30_a_picture_without_a_number_is_refused(save, value):
    path = save(Image.fromarray(np.full((32, 32), value, np.float32)), "a.tiff")
    with pytest.raises(GradCoreError, match="no pixel that is a number"):
        load_picture(path, **SIZE)


def test_f30_pixels_that_are_no_numbers_are_counted(save):
    values = np.full((32, 32), 0.5, np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    picture = load_picture(save(Image.fromarray(values), "a.tiff"), **SIZE)
    assert picture.pixels[0, :4, 0].tolist() == [0, 255, 0, 128]
    assert any(note.startswith("3 of its 1024 pixels are NaN or infinite") for note in picture.notes)
    inverted = load_picture(raw_tiff(values, "f4", photometric=0), **SIZE)
    assert inverted.pixels[0, :4, 0].tolist() == [0, 0, 255, 128]


def test_f30_a_range_that_leaves_nothing_to_see_is_said(save):
    ramp = np.linspace(0, 1.01, 1024, dtype=np.float32).reshape(32, 32)
    (dark,) = load_picture(save(Image.fromarray(ramp), "a.tiff"), **SIZE).notes
    assert "(0..255)" in dark and "of which it uses up to 1.01" in dark
    ramp[0, 0] = 1e9
    (flat,) = load_picture(save(Image.fromarray(ramp), "a.tiff"), **SIZE).notes
    assert "made 99.9% of its pixels one grey" in flat
    (black,) = load_picture(Image.new("I;16", (32, 32)), **SIZE).notes
    assert black == "its grey values (0..65535) were brought to 8 bits"
    (plain,) = load_picture(save(Image.fromarray(np.full((32, 32), 0.5, np.float32)), "a.tiff"), **SIZE).notes
    assert plain == "its grey values (0..1) were brought to 8 bits"


@pytest.mark.parametrize("mode", Image.MODES)
def test_f30_every_mode_of_pillow_is_read(mode):
    image = Image.new(mode, (32, 32))
    picture = load_picture(image, **SIZE)
    assert picture.pixels.shape == (32, 32, 3) and picture.pixels.dtype == np.uint8


TURNS = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2),
    8: np.rot90,
}
WORDS = {1: None, 2: "mirrored", 3: "turned", 4: "mirrored", 5: "turned and mirrored", 6: "turned", 7: "turned and mirrored", 8: "turned"}


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_f29_every_orientation_is_turned_and_said(save, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = gradient_image(24, 16)
    path = save(image, f"a.{suffix}", exif=exif.tobytes(), **({"lossless": True} if suffix == "webp" else {}))
    word = WORDS[orientation]
    for source in (path, path.read_bytes(), Image.open(path)):
        upright, notes = read_picture(source, "a")
        np.testing.assert_array_equal(np.asarray(upright), TURNS[orientation](np.asarray(image)))
        assert notes == ([f"it was {word} upright, as its EXIF orientation says"] if word else [])


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_f29_an_orientation_that_means_nothing_turns_nothing(save, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = load_picture(save(gradient_image(), exif=exif.tobytes()), **SIZE)
    np.testing.assert_array_equal(picture.pixels, np.asarray(gradient_image()))
    assert picture.notes == ((f"its EXIF orientation ({orientation}) means nothing, and was ignored",) if orientation else ())


def test_the_frame_that_was_used_is_said(save):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    image = Image.open(save(frames[0], "a.gif", save_all=True, append_images=frames[1:]))
    image.seek(2)
    picture = load_picture(image, **SIZE)
    assert np.all(picture.pixels == (0, 0, 255)) and picture.notes == ("only number 3 of its 3 frames was used",)


PHOTOGRAPHS = """
import resource, sys
from gradcore.pictures.picture import load_picture
load_picture(sys.argv[1], height=32, width=32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pictures = [load_picture(sys.argv[1], height=32, width=32) for _ in range(12)]
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("kind", ["RGB", "I;16"])
def test_f17_memory_does_not_grow_with_the_number_of_photographs(save, kind):
    image = Image.new(kind, (3000, 2000), "navy" if kind == "RGB" else 4000)
    done = subprocess.run(
        [sys.executable, "-c", PHOTOGRAPHS, save(image, compress_level=1)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert int(done.stdout) < 40  # MB; each holds 18 MB as RGB


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "the name of a picture is empty"),
        ("https://example.org/cat.png", "is an address, and nothing is fetched from the Internet: download it"),
        ("s3://pictures/cat.png", "is an address"),
        ("file:///home/me/my%20cat.png", "is an address, not a path: write /home/me/my cat.png"),
        ("cat\0.png", "null byte"),
        ("x" * 5000, "cannot be read .*name too long"),
    ],
)
def test_f31_names_that_are_no_paths(name, words):
    with pytest.raises(GradCoreError, match=words) as caught:
        load_picture(name, **SIZE)
    assert "\n" not in str(caught.value)


def test_f31_devices_and_pipes(tmp_path):
    with pytest.raises(GradCoreError, match="is not a picture|is empty"):
        load_picture("/dev/zero", **SIZE)
    with pytest.raises(GradCoreError, match="is empty"):
        load_picture("/dev/null", **SIZE)
    read, written = os.pipe()
    stream = io.BytesIO()
    gradient_image().save(stream, "PNG")
    os.write(written, stream.getvalue())
    os.close(written)
    np.testing.assert_array_equal(load_picture(f"/dev/fd/{read}", **SIZE).pixels, np.asarray(gradient_image()))
    os.close(read)


def test_what_pillow_and_libtiff_say_of_damaged_files_is_not_printed(tmp_path):
    many = raw_tiff(GREYS, "u2").replace(struct.pack("<HHII", 277, 4, 1, 1), struct.pack("<HHII", 277, 4, 1, 2048))
    (tmp_path / "many.tiff").write_bytes(many)  # samples in a pixel
    stream = io.BytesIO()
    gradient_image().save(stream, "TIFF", compression="tiff_adobe_deflate")
    (tmp_path / "zip.tiff").write_bytes(stream.getvalue().replace(stream.getvalue()[20:30], bytes(10)))
    code = """
import sys, gradcore
for name in sys.argv[1:]:
    try:
        gradcore.load_picture(name, height=8, width=8)
    except gradcore.GradCoreError:
        print("no", file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "many.tiff", tmp_path / "zip.tiff"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert (done.stdout, done.stderr) == ("", "no\nno\n")


def test_colours_are_those_of_cmyk_and_profiles_are_not_applied(save):
    red = load_picture(save(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "a.jpg"), **SIZE)
    assert np.abs(red.pixels.astype(int) - (255, 0, 0)).max() <= 4
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for mode in ("L", "RGB"):
        image = gradient_image().convert(mode)
        with_profile = load_picture(save(image, icc_profile=profile), **SIZE)
        np.testing.assert_array_equal(with_profile.pixels, load_picture(image, **SIZE).pixels)


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_f31_an_image_without_pixels_is_refused(size):
    with pytest.raises(GradCoreError, match="none at all"):
        load_picture(Image.new("RGB", size), **SIZE)

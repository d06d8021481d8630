# SPDX-License-Identifier: Apache-2.0
"""Any image file becomes a picture of the network's size, or is refused with one line."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcore.errors import GradCoreError
from gradcore.picture import load_picture, sample_picture

SIZE = {"height": 32, "width": 32}


def gradient_image(width: int = 32, height: int = 32) -> Image.Image:
    """Red grows to the right, green downwards, blue is constant."""
    rows, columns = np.mgrid[0:height, 0:width]
    return Image.fromarray(
        np.stack([columns * 255 // width, rows * 255 // height, np.full_like(rows, 40)], axis=-1).astype(np.uint8)
    )


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
    assert load_picture(save(image, "a.tiff"), **SIZE).pixels.shape == (32, 32, 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_put_on_white(save, mode):
    image = Image.new(mode, (32, 32), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    image.paste((0, 0, 0, 255) if mode == "RGBA" else (0, 255), (0, 0, 16, 32))
    picture = load_picture(save(image), **SIZE)
    assert np.all(picture.pixels[:, :16] == 0) and np.all(picture.pixels[:, 16:] == 255)
    assert picture.notes == ("its transparent parts were put on white",)


def test_half_transparent_pixels_are_mixed_with_white(save):
    assert np.all(
        np.abs(load_picture(save(Image.new("RGBA", (32, 32), (0, 0, 0, 128))), **SIZE).pixels.astype(int) - 127) <= 1
    )


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


@pytest.mark.parametrize(
    ("values", "expected"), [(np.full((32, 32), 0.5, np.float32), 128), (np.full((32, 32), 128, np.float32), 128)]
)
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


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(GradCoreError, match="no such file"):
        load_picture(tmp_path / "none.png", **SIZE)
    with pytest.raises(GradCoreError, match="is a folder"):
        load_picture(tmp_path, **SIZE)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(GradCoreError, match="cannot be read"):
        load_picture(tmp_path / "file" / "a.png", **SIZE)


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
    ],
)
def test_arrays_that_are_no_pictures(values):
    with pytest.raises(GradCoreError, match="array"):
        load_picture(values, **SIZE)

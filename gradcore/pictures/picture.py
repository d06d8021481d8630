# SPDX-License-Identifier: Apache-2.0
"""Pictures: any image file or array, brought to the size and channels that a network takes.

``read_picture`` is the one place where a picture becomes RGB, for `explain` as for data files. It takes the first frame,
turns it as its EXIF orientation says, puts transparent parts on white, and brings deeper values to 8 bits: colours by
their upper 8 bits, grey values as ``_grey_range`` says. Colour profiles (ICC) are not applied, as is usual where networks are
trained. ``load_picture`` then cuts it to the network's aspect ratio around its centre (nothing is squeezed) and resizes it
by area averaging. Whatever was done to it that a user might not expect is said in notes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gradcore.errors import GradCoreError, missing_package
from gradcore.host.files import folder_name
from gradcore.host.inputs import input_path, unreadable
from gradcore.network import GraphNetwork, Network

# The head in each of scikit-image's pictures that are samples: left, top, right, bottom.
SAMPLES = {"chelsea.png": (90, 0, 390, 300), "astronaut.png": (150, 40, 300, 190)}
SAMPLE_NAME = "chelsea.png"
Source = str | Path | bytes | bytearray | memoryview | np.ndarray | Image.Image

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what Pillow says of damaged files is in the error

_TURNS = {2: "mirrored", 3: "turned", 4: "mirrored", 5: "turned and mirrored", 6: "turned", 7: "turned and mirrored", 8: "turned"}
_ROWS, _BITS, _PHOTOMETRIC, _ORIENTATION, _SAMPLE_FORMAT = 257, 258, 262, 274, 339  # TIFF's tags
_NPY = b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DARK = 16  # a picture that uses less than this part of its range is called dark
_BLOCK = 2**20  # pixels that are brought to 8 bits at a time
_ONE_GREY = 0.99  # a picture with a larger part of its pixels in one of the 256 greys is called flat


@dataclass(frozen=True)
class Picture:
    """A picture, ready for a network.

    Attributes:
        name: where it came from: the path as the caller gave it, or what an array was called.
        pixels: uint8, height x width x channels: what the network sees.
        notes: what was changed, one sentence each.
        resized: the picture was cut or resized.
        path: absolute path of the file that it is; None for what is no file.
    """

    name: str
    pixels: np.ndarray
    notes: tuple[str, ...] = ()
    resized: bool = False
    path: str | None = None

    @property
    def stem(self) -> str:
        """The name of the folder that results go to: the file's name without folder and suffix, see ``folder_name``."""
        return folder_name(self.name)


def load_picture(source: Source, *, height: int, width: int, channels: int = 3, name: str | None = None) -> Picture:
    """Load a picture and bring it to ``height`` x ``width`` x ``channels``.

    Args:
        source: see ``read_picture``; or the path or the bytes of a ``.npy`` file with the values of an input that is no picture, such as
            MFCC: uint8, of exactly this size.
        height, width, channels: what the network takes; channels of a picture are 1 (luminance) or 3 (RGB).
        name: what to call it in messages and results; a path needs none.

    Raises:
        GradCoreError: no such file, not a picture, damaged, or not to be brought to this many channels.
    """
    if isinstance(source, Path | str) and Path(source).suffix.lower() == ".npy":
        path = input_path(source, what="an input's values")
        return Picture(name or str(source), _read_values(path, str(source), (height, width, channels)), path=os.path.abspath(source))
    if isinstance(source, bytes) and source.startswith(_NPY):
        name = name or "input"
        return Picture(name, _read_values(io.BytesIO(source), name, (height, width, channels)))
    if channels not in (1, 3):
        raise GradCoreError(f"the network takes {channels} channels, a picture has 1 or 3: give the values of its input in a .npy file")
    if height < 1 or width < 1:
        raise GradCoreError(f"{height} x {width} pixels (height x width) are no picture: give 1 or more")
    name = name or (str(source) if isinstance(source, Path | str) else "picture")
    rgb, notes = read_picture(source, name)
    fitted, resized = _fit(rgb, height, width, notes)
    pixels = np.asarray(fitted)
    if channels == 1:
        if np.any(pixels != pixels[..., :1]):
            notes.append("colours were turned into grey, which the network takes")
        pixels = np.asarray(fitted.convert("L"))[..., None]
    path = os.path.abspath(source) if isinstance(source, Path | str) else None
    return Picture(name, pixels, tuple(notes), resized, path)


def read_picture(source: Source, name: str) -> tuple[Image.Image, list[str]]:
    """A picture of any size as RGB, and notes on what was done to it.

    Args:
        source: path of an image file, the bytes of one, a Pillow image, or an array: uint8 (or float in 0..1), H x W,
            H x W x 1, H x W x 3 or H x W x 4.
        name: what to call it in messages.

    Raises:
        GradCoreError: no such file, not a picture, damaged, or without a single pixel to show.
    """
    if isinstance(source, Path | str):
        path = input_path(source, what="a picture", folder=f"name the pictures in it, for example {name.rstrip('/')}/*.png")
        try:
            with path.open("rb") as stream:
                return _read_stream(stream, name)
        except OSError as error:
            raise unreadable(name, error) from None
    if isinstance(source, bytes | bytearray | memoryview):
        return _read_stream(io.BytesIO(bytes(source)), name)
    return _read(source if isinstance(source, Image.Image) else _from_array(source, name), name)


def _read_values(file: Path | io.BytesIO, source: str, shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 (height, width, channels) from a ``.npy`` file, called ``source``. Nothing in it is executed."""
    wanted = f"the network takes uint8 values v of {' x '.join(map(str, shape))} (height, width, channels), as (v / 255 - mean) / std"
    try:
        values = np.load(file, allow_pickle=False)
    except OSError as error:
        raise unreadable(source, error) from None
    except (ValueError, EOFError, SyntaxError):
        raise GradCoreError(f"{source} is no .npy file of numbers, or a damaged one: write it with numpy.save") from None
    height, width, channels = shape
    shapes = {shape, *([(height, width)] if channels == 1 else []), *([(channels,)] if (height, width) == (1, 1) else [])}
    if not isinstance(values, np.ndarray) or values.dtype != np.uint8 or values.shape not in shapes:
        told = f"{values.dtype} of {' x '.join(map(str, values.shape))}" if isinstance(values, np.ndarray) else "several arrays"
        raise GradCoreError(f"{source} holds {told}, and {wanted}: convert it")
    return np.ascontiguousarray(values.reshape(shape))


def sample_picture(*, height: int, width: int, channels: int = 3, name: str = SAMPLE_NAME) -> Picture:
    """The head in a picture that comes with scikit-image: that of the cat Chelsea (CC0, by Stefan van der Walt), or that of the astronaut
    Eileen Collins (public domain, by NASA).

    Raises:
        GradCoreError: scikit-image is not installed, or no sample has this name.
    """
    if name not in SAMPLES:
        raise GradCoreError(f"there is no sample picture {name!r}, only {', '.join(SAMPLES)}: name a picture of your own")
    path = skimage_folder() / name
    head = read_picture(path, str(path))[0].crop(SAMPLES[name])
    return load_picture(head, height=height, width=width, channels=channels, name=name)


def sample_of(network: Network | GraphNetwork) -> Picture:
    """The sample that a network's file names as ``sample``, the cat where it names none, as the network takes it.

    Raises:
        GradCoreError: see ``sample_picture``; or the network takes no pictures.
    """
    channels, height, width = network.input_shape
    name = str(network.metadata.get("sample", SAMPLE_NAME))
    return sample_picture(height=height, width=width, channels=channels, name=name)


def skimage_folder() -> Path:
    """The folder of the pictures that come with scikit-image; found without importing it, which takes long.

    Raises:
        GradCoreError: scikit-image is not installed.
    """
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise missing_package("scikit-image", "samples", needed_by="the sample pictures", otherwise="name pictures of your own")
    return Path(found.origin).parent / "data"


def _read_stream(stream: Any, name: str) -> tuple[Image.Image, list[str]]:
    start = b""
    try:
        if not stream.seekable():
            stream = io.BytesIO(stream.read())
        start = stream.read(4)
        stream.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata, and of large pictures
            image = Image.open(stream)
    except UnidentifiedImageError:
        raise _unknown(name, start) from None
    except Exception as error:
        raise _damaged(name, error) from None
    return _read(image, name)


def _unknown(name: str, start: bytes) -> GradCoreError:
    if not start:
        return GradCoreError(f"{name} is empty: give a picture (PNG, JPEG, ...)")
    if start in _TIFF:
        return GradCoreError(
            f"{name} is not a picture that Pillow can read: a damaged TIFF, or one of a rare kind (64 bits, floats in "
            "colour, many bands): save it with 8 or 16 bits"
        )
    return GradCoreError(f"{name} is not a picture that Pillow can read: give a PNG, JPEG or other image file")


def _damaged(name: str, error: Exception) -> GradCoreError:
    if isinstance(error, Image.DecompressionBombError):
        return GradCoreError(f"{name} has too many pixels: make it smaller first")
    cause = " ".join(str(error).split()) or type(error).__name__
    if "0x" in cause and " at 0x" in cause:  # an object's address tells nobody anything
        cause = type(error).__name__
    return GradCoreError(f"{name} is damaged or cut off ({cause}): get or save the picture again")


def _read(image: Image.Image, name: str) -> tuple[Image.Image, list[str]]:
    """Everything that is done to a picture before it is cut and resized."""
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _to_rgb(image, notes, name), notes
    except (GradCoreError, MemoryError):
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error ... on damaged files and metadata
        raise _damaged(name, error) from None


def _from_array(given: Any, name: str) -> Image.Image:
    try:
        values = np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors of another device ...
        raise GradCoreError(f"{name}: a {type(given).__name__} is no picture ({error}): give an array, H x W x 3") from None
    if values.ndim == 0:  # an open file, None, a number ...
        raise GradCoreError(f"{name}: a {type(given).__name__} is no picture: give a path, the bytes of a file, an array or a Pillow image")
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))) or 0 in values.shape:
        raise GradCoreError(f"{name}: an array of shape {values.shape} is no picture: give H x W, H x W x 3 or H x W x 4")
    if np.issubdtype(values.dtype, np.floating):
        if not np.all(np.isfinite(values)) or values.min() < 0 or values.max() > 1:
            raise GradCoreError(f"{name}: the values of a float array must lie in 0..1: scale it, or give uint8")
        values = np.round(values.astype(np.float64) * 255).astype(np.uint8)
    elif values.dtype == np.bool_:
        values = values.astype(np.uint8) * 255
    elif values.dtype != np.uint8:
        raise GradCoreError(f"{name}: an array of {values.dtype} is no picture: give uint8, or float in 0..1")
    return Image.fromarray(np.ascontiguousarray(values))


def _to_rgb(image: Image.Image, notes: list[str], name: str) -> Image.Image:
    """RGB of the first frame, upright, transparent parts on white."""
    if 0 in image.size:
        raise GradCoreError(f"{name} has {image.width} x {image.height} pixels, none at all: give a picture")
    deep = ";16" in str(getattr(image, "tile", ""))  # of the file; all this is known before it is loaded only
    shows, grey = _grey_kind(image)
    _check_rows(image, name)
    frames = 1 if image.format == "PSD" else getattr(image, "n_frames", 1)  # PSD counts its layers
    if frames > 1:
        frame = image.tell()
        notes.append(f"only {f'number {frame + 1}' if frame else 'the first'} of its {frames} frames was used")
    orientation = image.getexif().get(_ORIENTATION)  # Pillow turns a TIFF while it loads it
    if orientation in _TURNS:
        notes.append(f"it was {_TURNS[orientation]} upright, as its EXIF orientation says")
    elif orientation not in (None, 0, 1):
        notes.append(f"its EXIF orientation ({orientation}) means nothing, and was ignored")
    with _silent_libtiff(image):
        image.load()
    image = ImageOps.exif_transpose(image)
    if shows or image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _from_deep(image, notes, name, grey)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = _on_white(image, deep, notes)
    image = image.convert("RGB")
    if deep:
        dark = max(high for _, high in image.getextrema()) < 256 // _DARK
        notes.append("its 16 bits a colour were brought to 8" + (", which leaves it dark: if it is not, scale it first" if dark else ""))
    return image


@contextlib.contextmanager
def _silent_libtiff(image: Image.Image) -> Iterator[None]:
    """While libtiff decodes: it writes to the process's standard error what it thinks of a damaged file, beside the one line."""
    compressed = image.format == "TIFF" and any(part[0] == "libtiff" for part in getattr(image, "tile", []))
    try:
        kept = os.dup(2) if compressed else None
    except OSError:  # standard error is closed
        kept = None
    if kept is None:
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_rows(image: Image.Image, name: str) -> None:
    """Refuse a TIFF whose parts do not reach its last row: Pillow would leave the rest black."""
    parts = [part[1] for part in getattr(image, "tile", []) if part[1]] if image.format == "TIFF" else []
    rows, there = _tag(image, _ROWS, 0), max((extents[3] for extents in parts), default=0)
    if parts and there < rows:
        raise GradCoreError(f"{name} is damaged or cut off (it has {there} of its {rows} rows): get or save the picture again")


def _on_white(image: Image.Image, deep: bool, notes: list[str]) -> Image.Image:
    transparent = image.info.get("transparency")
    if deep and isinstance(transparent, tuple):  # a colour of 16 bits, as the file says; the pixels have 8 by now
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    rgba = image.convert("RGBA")
    if rgba.getextrema()[3][0] < 255:
        notes.append("its transparent parts were put on white")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)


@dataclass(frozen=True)
class _Grey:
    """How a file stores grey values, as far as Pillow does not tell: their type, the value of white, and whether 0 is white."""

    stored: str | None = None
    white: float | None = None
    inverted: bool = False


def _grey_kind(image: Image.Image) -> tuple[bool, _Grey]:
    """Whether a picture that does not look so holds deeper grey values, and how its file stores them. Before it is loaded."""
    inverted = False
    if image.format == "TIFF" and image.mode in ("L", "I", "F", "I;16", "I;16B"):
        bits, kind = _tag(image, _BITS, 8), _tag(image, _SAMPLE_FORMAT, 1)
        inverted = image.mode != "L" and _tag(image, _PHOTOMETRIC, 1) == 0  # Pillow inverts 8 bits itself
        if kind == 2 and bits in (8, 16):
            return bits == 8, _Grey("i1" if bits == 8 else None, 2.0 ** (bits - 1) - 1, inverted and bits != 8)
        if image.mode == "I" and kind == 1:
            return False, _Grey("u4", None, inverted)
        if image.mode == "I;16" and bits == 12:
            return False, _Grey(None, 4095.0, inverted)
    if image.format == "FITS" and image.mode == "I;16":
        return False, _Grey("i2", 2.0**15 - 1)
    if image.mode.startswith("I;16") or (image.format == "PPM" and image.mode == "I"):
        return False, _Grey(None, 65535.0, inverted)
    return False, _Grey(None, None, inverted)


def _tag(image: Image.Image, tag: int, default: int) -> Any:
    value = getattr(image, "tag_v2", {}).get(tag, default)
    return value[0] if isinstance(value, tuple) and value else value


def _from_deep(image: Image.Image, notes: list[str], name: str, grey: _Grey) -> Image.Image:
    """Grey pictures of 16 bits and more, with a sign, or of floats, in 8 bits."""
    stored = np.asarray(image)
    if grey.stored:
        stored = stored.view(stored.dtype.newbyteorder("=")).view(grey.stored)
    finite = np.isfinite(stored) if stored.dtype.kind == "f" else np.ones(stored.shape, bool)
    if not finite.any():
        raise GradCoreError(f"{name} has no pixel that is a number (all are NaN or infinite): save it again with numbers")
    numbers = stored if finite.all() else stored[finite]
    low, high = float(numbers.min()), float(numbers.max())
    bottom, top = _grey_range(low, high, grey.white, stored.dtype.kind == "f")
    eight = np.empty(stored.shape, np.uint8)
    counts = np.zeros(256, np.int64)
    for start in range(0, len(stored), step := max(1, _BLOCK // stored.shape[1])):
        values = (stored[start : start + step].astype(np.float64) - bottom) * (255 / (top - bottom or 1.0))
        values = np.round(np.clip(255 - values if grey.inverted else values, 0, 255))
        eight[start : start + step] = np.nan_to_num(values, nan=0.0)
        counts += np.bincount(eight[start : start + step].reshape(-1), minlength=256)
    note = f"its grey values ({bottom:g}..{top:g}{', 0 is white' if grey.inverted else ''}) were brought to 8 bits"
    share, same = counts.max() / eight.size, eight == counts.argmax()
    if bottom < high < bottom + (top - bottom) / _DARK:
        note += f", of which it uses up to {high:g}: if that should be white, scale it first"
    elif share >= _ONE_GREY and np.ptp(stored[same & finite]) > 0:
        note += f", which made {share:.1%} of its pixels one grey: if more should be seen, scale it first"
    notes.append(note)
    if not finite.all():
        notes.append(f"{np.sum(~finite)} of its {finite.size} pixels are NaN or infinite: NaN became black, infinity an end of the range")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int) and np.any(stored == transparent):
        eight[stored == transparent] = 255
        notes.append("its transparent parts were put on white")
    return Image.fromarray(eight).convert("RGB")


def _grey_range(low: float, high: float, white: float | None, floats: bool) -> tuple[float, float]:
    """The values that become black and white.

    White is what the file's type says (16 bits: 65535), where it says so; else the first of 1 (floats), 255 and 65535 that
    no value exceeds. A picture with values below zero, or above all these, is spread from its lowest to its highest.
    """
    whites = (white,) if white is not None else (1.0, 255.0, 65535.0) if floats else (255.0, 65535.0)
    return next(((0.0, top) for top in whites if low >= 0 and high <= top), (low, high))


def _fit(image: Image.Image, height: int, width: int, notes: list[str]) -> tuple[Image.Image, bool]:
    """Cut to the aspect ratio around the centre, then resize."""
    if image.size == (width, height):
        return image, False
    full_width, full_height = image.size
    cut_width = min(full_width, max(1, round(full_height * width / height)))
    cut_height = min(full_height, max(1, round(full_width * height / width)))
    left, top = (full_width - cut_width) // 2, (full_height - cut_height) // 2
    box = (left, top, left + cut_width, top + cut_height)
    shrinks = cut_width >= width and cut_height >= height
    fitted = image.resize((width, height), Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC, box=box)
    if (cut_width, cut_height) == image.size:
        notes.append(f"it was resized from {full_width} x {full_height} to {width} x {height}")
    else:
        notes.append(f"of its {full_width} x {full_height} pixels the middle {cut_width} x {cut_height} were resized to {width} x {height}")
    return fitted, True

# SPDX-License-Identifier: Apache-2.0
"""Pictures: any image file or array, brought to the size and channels that a network takes.

A picture is cut to the network's aspect ratio around its centre (nothing is squeezed) and resized by area averaging.
Whatever was done to it that a user might not expect is said in ``Picture.notes``.
"""

from __future__ import annotations

import importlib.util
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gradcore.errors import GradCoreError, missing_package

SAMPLE_NAME = "chelsea.png"
SAMPLE_BOX = (90, 0, 390, 300)  # left, top, right, bottom of the cat's head in scikit-image's chelsea.png


@dataclass(frozen=True)
class Picture:
    """A picture, ready for a network.

    Attributes:
        name: where it came from: the path as the caller gave it, or what an array was called.
        pixels: uint8, height x width x channels: what the network sees.
        original: uint8, H x W x 3: the picture before it was cut and resized.
        notes: what was changed, one sentence each.
        resized: the picture was cut or resized.
    """

    name: str
    pixels: np.ndarray
    original: np.ndarray
    notes: tuple[str, ...] = ()
    resized: bool = False

    @property
    def stem(self) -> str:
        """File name without folder and suffix: the name of the folder that results go to."""
        return Path(self.name).stem or "picture"


def load_picture(
    source: str | Path | bytes | np.ndarray | Image.Image,
    *,
    height: int,
    width: int,
    channels: int = 3,
    name: str | None = None,
) -> Picture:
    """Load a picture and bring it to ``height`` x ``width`` x ``channels``.

    Args:
        source: path of an image file, the bytes of one, a Pillow image, or an array: uint8 (or float in 0..1), H x W,
            H x W x 1, H x W x 3 or H x W x 4.
        height, width, channels: what the network takes; channels is 1 (luminance) or 3 (RGB).
        name: what to call it in messages and results; a path needs none.

    Raises:
        GradCoreError: no such file, not a picture, damaged, or not to be brought to this many channels.
    """
    if channels not in (1, 3):
        raise GradCoreError(f"the network takes {channels} channels, a picture has 1 or 3: use a network for pictures")
    if isinstance(source, Path | str):
        name = name or str(source)
        image = _open_file(Path(source), name)
    elif isinstance(source, bytes | bytearray | memoryview):
        name = name or "picture"
        image = _open(io.BytesIO(source), name)
    elif isinstance(source, Image.Image):
        name = name or "picture"
        image = source
    else:
        name = name or "picture"
        image = _from_array(np.asarray(source), name)
    notes: list[str] = []
    try:
        rgb = _to_rgb(image, notes)
    except Exception as error:  # metadata are read only now, and may be damaged too
        raise _damaged(name, error) from None
    original = np.asarray(rgb)
    fitted, resized = _fit(rgb, height, width, notes)
    pixels = np.asarray(fitted)
    if channels == 1:
        if original.ndim == 3 and np.any(original != original[..., :1]):
            notes.append("colours were turned into grey, which the network takes")
        pixels = np.asarray(fitted.convert("L"))[..., None]
    return Picture(name, pixels, original, tuple(notes), resized)


def sample_picture(*, height: int, width: int, channels: int = 3) -> Picture:
    """The sample: the head of scikit-image's cat Chelsea (CC0, by Stefan van der Walt).

    Raises:
        GradCoreError: scikit-image is not installed.
    """
    path = skimage_folder() / SAMPLE_NAME
    cat = _to_rgb(_open_file(path, str(path)), []).crop(SAMPLE_BOX)
    return load_picture(cat, height=height, width=width, channels=channels, name=SAMPLE_NAME)


def skimage_folder() -> Path:
    """The folder of the pictures that come with scikit-image; found without importing it, which takes long.

    Raises:
        GradCoreError: scikit-image is not installed.
    """
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise missing_package(
            "scikit-image", "samples", needed_by="the sample pictures", otherwise="name pictures of your own"
        )
    return Path(found.origin).parent / "data"


def _open_file(path: Path, name: str) -> Image.Image:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise GradCoreError(f"{name}: there is no such file: check the path") from None
    except IsADirectoryError:
        raise GradCoreError(
            f"{name} is a folder: name the pictures in it, for example {name.rstrip('/')}/*.png"
        ) from None
    except OSError as error:
        raise GradCoreError(
            f"{name} cannot be read ({error.strerror or error}): check the path and its permissions"
        ) from None
    return _open(io.BytesIO(data), name)


def _open(stream: io.BytesIO, name: str) -> Image.Image:
    if not stream.getbuffer().nbytes:
        raise GradCoreError(f"{name} is empty: give a picture (PNG, JPEG, ...)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata, and of large pictures
            image = Image.open(stream)
            image.load()
    except UnidentifiedImageError:
        raise GradCoreError(
            f"{name} is not a picture that Pillow can read: give a PNG, JPEG or other image file"
        ) from None
    except Image.DecompressionBombError:
        raise GradCoreError(f"{name} has too many pixels: make it smaller first") from None
    except (
        Exception
    ) as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error ... on damaged files
        raise _damaged(name, error) from None
    return image


def _damaged(name: str, error: Exception) -> GradCoreError:
    return GradCoreError(
        f"{name} is damaged or cut off ({' '.join(str(error).split()) or type(error).__name__}): "
        "get or save the picture again"
    )


def _from_array(values: np.ndarray, name: str) -> Image.Image:
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))) or 0 in values.shape:
        raise GradCoreError(
            f"{name}: an array of shape {values.shape} is no picture: give H x W, H x W x 3 or H x W x 4"
        )
    if np.issubdtype(values.dtype, np.floating):
        if not np.all(np.isfinite(values)) or values.min() < 0 or values.max() > 1:
            raise GradCoreError(f"{name}: the values of a float array must lie in 0..1: scale it, or give uint8")
        values = np.round(values * 255).astype(np.uint8)
    elif values.dtype == np.bool_:
        values = values.astype(np.uint8) * 255
    elif values.dtype != np.uint8:
        raise GradCoreError(f"{name}: an array of {values.dtype} is no picture: give uint8, or float in 0..1")
    return Image.fromarray(np.ascontiguousarray(values))


def _to_rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """RGB of the first frame, upright, transparent parts on white."""
    if getattr(image, "n_frames", 1) > 1:
        notes.append(f"only the first of its {image.n_frames} frames was used")
    upright = ImageOps.exif_transpose(image)
    if upright.size != image.size or image.getexif().get(0x0112, 1) not in (0, 1):
        notes.append("it was turned upright, as its EXIF orientation says")
    image = upright
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _from_deep(image, notes)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if rgba.getextrema()[3][0] < 255:
            notes.append("its transparent parts were put on white")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _from_deep(image: Image.Image, notes: list[str]) -> Image.Image:
    """Grey pictures of 16 bits and more, or of floats, in 8 bits."""
    values = np.asarray(image).astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if image.mode == "F" and low >= 0 and high <= 1:
        bottom, top = 0.0, 1.0
    elif low >= 0 and high <= 255 and image.mode != "I;16":
        bottom, top = 0.0, 255.0
    elif low >= 0 and high <= 65535:
        bottom, top = 0.0, 65535.0
    else:
        bottom, top = low, high
    notes.append(f"its grey values ({bottom:g}..{top:g}) were brought to 8 bits")
    scaled = np.nan_to_num((values - bottom) / (top - bottom or 1.0), nan=0.0, posinf=1.0, neginf=0.0)
    return Image.fromarray(np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)).convert("RGB")


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
        notes.append(
            f"of its {full_width} x {full_height} pixels the middle {cut_width} x {cut_height} were resized to "
            f"{width} x {height}"
        )
    return fitted, True

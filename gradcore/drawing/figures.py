# SPDX-License-Identifier: Apache-2.0
"""What all drawings share: the same picture on every machine, names in any script, files that are whole.

matplotlib is used without pyplot, with its own defaults whatever its settings files, styles and environment say, and its
warnings are kept to itself. Its settings are global: they are put back, and one drawing is made at a time.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import logging
import os
import sys
import threading
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gradcore.errors import GradCoreError
from gradcore.host.files import check_writable, is_special, write_atomically
from gradcore.host.streams import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONT = "DejaVu Sans"  # comes with matplotlib
_SETTINGS = {"font.family": [FONT], "text.parse_math": False, "svg.hashsalt": "gradcore"}
_UNDRAWABLE = ("pgf", "raw", "rgba")  # needs LaTeX; no picture formats
_NO_DATE = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "svgz": {"Date": None}}
_NO_GLYPHS = ("lastresort", "adobeblank", "tofu")  # fonts that have a box, or nothing, for every character
_ELLIPSIS = "…"
_LETTERS = 1000  # more of a text is not even looked at
_lock = threading.RLock()


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Everything in the block, up to ``save``, is drawn with matplotlib's defaults and without a word on standard error."""
    logger = logging.getLogger("matplotlib")
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        try:
            matplotlib = _import_matplotlib()
            with matplotlib.rc_context():
                defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
                matplotlib.rcParams.update(defaults | _SETTINGS)
                yield
        finally:
            logger.setLevel(level)


def new_figure(width: float, height: float, dpi: int, **options: Any) -> Figure:
    """A figure of so many pixels, to be drawn by Agg."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi, **options)
    FigureCanvasAgg(figure)
    return figure


def check_picture_file(path: str | Path, *, option: str = "") -> None:
    """Find out, before anything is measured, whether a picture can be written.

    Raises:
        GradCoreError: the suffix is none of a format that can be drawn, or the file cannot be written.
    """
    _format(path)
    check_writable(path, option=option)


def save(figure: Figure, path: str | Path, *, option: str = "") -> None:
    """Write a figure in the format that the suffix says; a device or pipe gets PNG.

    Raises:
        GradCoreError: see ``check_picture_file``; or the format cannot hold a picture of this size.
    """
    kind = _format(path)
    data = io.BytesIO()
    try:
        figure.savefig(data, dpi=figure.dpi, format=kind, metadata=_NO_DATE.get(kind))
    except (ValueError, RuntimeError, OSError) as error:
        raise GradCoreError(f"{path} cannot be drawn as {kind} ({error}): name a file .png") from None
    write_atomically(path, data.getvalue(), option=option)


def _format(path: str | Path) -> str:
    if is_special(path):
        return "png"
    with drawing():
        from matplotlib.backend_bases import FigureCanvasBase

        known = sorted(set(FigureCanvasBase.get_supported_filetypes()) - set(_UNDRAWABLE))
    suffix = Path(path).suffix
    if suffix[1:].lower() not in known:
        if os.path.isdir(path):
            check_writable(path)
        raise GradCoreError(f"{path}: no picture has the suffix {suffix!r}: use one of {', '.join(known)}")
    return suffix[1:].lower()


# Names ---------------------------------------------------------------------------------------------------------------


def legible(text: str) -> str:
    """A text as it can be drawn: what no font of this machine has is written as a code point, \\u732b, not as a box.

    Fonts that have what ``FONT`` lacks are added to the drawing's settings: call it before the text is drawn.
    """
    import matplotlib

    text = printable(text)
    missing = frozenset(character for character in text if not _has(FONT, character))
    if not missing:
        return text
    families = _families_with(missing)
    matplotlib.rcParams["font.family"] = list(dict.fromkeys([*matplotlib.rcParams["font.family"], *families]))
    for character in missing:
        if not any(_has(family, character) for family in families):
            text = text.replace(character, _code_point(character))
    return text


def fitted(figure: Figure, text: str, width: float, **style: Any) -> str:
    """A text, made legible, that is at most ``width`` pixels wide in a style: what is too long loses its middle."""
    text = legible(shortened(text, _LETTERS))
    probe = figure.text(0, 0, text, **style)
    renderer = figure.canvas.get_renderer()
    try:
        if probe.get_window_extent(renderer).width <= width:
            return text
        low, high = 0, len(text) - 1  # characters that are kept
        while low < high:
            kept = (low + high + 1) // 2
            probe.set_text(_shortened(text, kept))
            low, high = (kept, high) if probe.get_window_extent(renderer).width <= width else (low, kept - 1)
        return _shortened(text, low)
    finally:
        probe.remove()


def shortened(text: str, length: int) -> str:
    """A text of at most so many characters: what is too long loses its middle."""
    return text if len(text) <= length else _shortened(text, length - 1)


def _shortened(text: str, kept: int) -> str:
    start = (kept + 1) // 2
    return text[:start] + _ELLIPSIS + text[len(text) - (kept - start) :]


def _code_point(character: str) -> str:
    """What stands for a character that no font has; nothing for those that only say how others are written."""
    if unicodedata.category(character) in ("Cf", "Mn") or 0xFE00 <= ord(character) <= 0xFE0F:
        return ""
    plain = "".join(part for part in unicodedata.normalize("NFKD", character) if _has(FONT, part))
    if plain:
        return plain
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


@functools.lru_cache(maxsize=256)
def _families_with(missing: frozenset[str]) -> tuple[str, ...]:
    """Families of this machine's fonts that have as many of the characters as can be had; few."""
    from matplotlib.font_manager import fontManager

    entries: dict[str, Any] = {}
    for entry in fontManager.ttflist:
        plain = (entry.style != "normal", abs(_weight(entry.weight) - 400), str(entry.fname))
        if entry.name not in entries or plain < entries[entry.name][0]:
            entries[entry.name] = (plain, entry)
    found = {}
    for name in sorted(entries):
        if not any(word in name.lower().replace(" ", "") for word in _NO_GLYPHS):
            found[name] = {character for character in missing if _glyph(entries[name][1], character)}
    families = []
    left = set(missing)
    while left:
        best = max(found, key=lambda name: len(found[name] & left), default=None)
        if best is None or not found[best] & left:
            break
        left -= found.pop(best)
        families.append(best)
    return tuple(family for family in families if any(_has(family, character) for character in missing))


@functools.lru_cache(maxsize=4096)
def _has(family: str, character: str) -> bool:
    """Whether the font that matplotlib takes for a family can draw a character."""
    from matplotlib.font_manager import FontProperties, findfont

    with contextlib.suppress(Exception):  # fonts that FreeType cannot open or scale
        return _can_draw(findfont(FontProperties(family=family), fallback_to_default=False), character)
    return False


def _glyph(entry: Any, character: str) -> bool:
    from matplotlib import font_manager

    path = entry.fname
    if hasattr(font_manager, "FontPath"):  # a font of a collection
        path = font_manager.FontPath(path, getattr(entry, "index", 0))
    with contextlib.suppress(Exception):
        return _can_draw(path, character)
    return False


def _can_draw(path: Any, character: str) -> bool:
    """Whether a font has an outline for a character (coloured emoji have none)."""
    from matplotlib.font_manager import get_font

    font = get_font(path)
    if not font.get_char_index(ord(character)):
        return False
    return character.isspace() or unicodedata.category(character) == "Cf" or font.load_char(ord(character)).bbox != (0, 0, 0, 0)


def _weight(weight: int | str) -> int:
    return weight if isinstance(weight, int) else {"light": 300, "medium": 500, "bold": 700}.get(weight, 400)


# matplotlib ----------------------------------------------------------------------------------------------------------


def _import_matplotlib() -> ModuleType:
    """Import it as the caller's own import would; where settings or environment make that fail, without them."""
    try:
        import matplotlib
    except ImportError:
        raise
    except Exception:  # an unknown MPLBACKEND, a settings file that is no text, no home folder, no current folder
        for name in [name for name in sys.modules if name.startswith("matplotlib.")]:  # of the half that was imported
            del sys.modules[name]
        with _nothing_set():
            import matplotlib
    return matplotlib


@contextlib.contextmanager
def _nothing_set() -> Iterator[None]:
    """An environment in which matplotlib finds its own settings file only."""
    (package,) = importlib.util.find_spec("matplotlib").submodule_search_locations or [""]
    settings = Path(package) / "mpl-data"
    before = {name: os.environ.pop(name, None) for name in ("MPLBACKEND", "MATPLOTLIBRC")}
    home = "MPLCONFIGDIR" not in os.environ and not _has_home()
    if home:
        os.environ["MPLCONFIGDIR"] = os.devnull  # cannot be made: it takes a temporary folder
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)  # fchdir goes back even to a folder that has been removed
    try:
        os.chdir(settings)
        yield
    finally:
        os.fchdir(here)
        os.close(here)
        os.environ.update({name: value for name, value in before.items() if value is not None})
        if home:
            del os.environ["MPLCONFIGDIR"]


def _has_home() -> bool:
    try:
        Path.home()
    except RuntimeError:
        return False
    return True


__all__: Sequence[str] = ("check_picture_file", "drawing", "fitted", "legible", "new_figure", "save", "shortened")

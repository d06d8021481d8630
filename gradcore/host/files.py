# SPDX-License-Identifier: Apache-2.0
"""Writing files so that nothing is lost: whole or not at all, and never over an input or another result.

``write_atomically`` writes under a temporary name in the same folder and renames: whoever reads the file sees the old one or
the new one, and after an error the old one is still there. ``check_outputs`` finds out before the work begins that its
results have a place, and that they would not overwrite what it reads, nor one another.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import shutil
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from gradcore.errors import GradCoreError

Content = bytes | str | Callable[[BinaryIO], object]
Named = Iterable[tuple[str, str | os.PathLike[str] | None]]

_REMEDIES = {
    errno.ENOSPC: "make room there, or name another file",
    errno.EDQUOT: "make room there, or name another file",
    errno.EISDIR: "it is a folder, name a file in it",
    errno.ENAMETOOLONG: "choose a shorter name",
}
TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".gradcore-", ".part"  # of the names that files have until they are whole
_LONGEST_FOLDER = 240  # bytes of a folder's name: there is room for a number
_DEVICES = ("CON", "PRN", "AUX", "NUL", *(f"{kind}{number}" for kind in ("COM", "LPT") for number in range(10)))


def write_atomically(path: str | os.PathLike[str], content: Content, *, option: str = "", **how: Any) -> Path:
    """Write a file: the whole of it or nothing. Makes its folder; keeps the permissions of a file that is there.

    Args:
        path: the file. A symbolic link is followed. A device or a pipe (``/dev/stdout``) is written to as it is.
        content: bytes; text, written as UTF-8; or a function that is given a binary stream and writes to it, such as
            ``lambda stream: np.save(stream, array)``. What it writes is collected in memory first.
        option: the command line's option that names the file, for the error's remedy.
        how: ``prefix`` and ``durable`` of ``replacing``.

    Returns:
        The path.

    Raises:
        GradCoreError: the file cannot be written; it names path and cause. The file is then as it was before.
    """
    data = _bytes(content)
    with replacing(path, option=option, **how) as temporary:
        with open(temporary, "wb") as stream:
            stream.write(data)
    return Path(path)


def move_into_place(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    """Move a finished file, of any size and from any file system, to its place at one stroke; see ``write_atomically``."""
    with replacing(path) as temporary:
        try:
            os.replace(source, temporary)
        except OSError:  # another file system, or a place where files are not replaced
            with open(source, "rb") as made, open(temporary, "wb") as stream:
                shutil.copyfileobj(made, stream, 1 << 20)
    with contextlib.suppress(OSError):
        os.unlink(source)
    return Path(path)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, option: str = "", prefix: str = TEMPORARY_PREFIX, durable: bool = False) -> Iterator[Path]:
    """A path to write to, in the same folder, that becomes ``path`` when the block ends, and vanishes after an error in it.

    Args:
        path, option: see ``write_atomically``.
        prefix: of the temporary name; ``TEMPORARY_SUFFIX`` ends it.
        durable: the file is on the disk before it gets its name, and the name before this returns: it outlives a loss of power.

    Raises:
        GradCoreError: any OSError in the block, or of the rename; it names ``path`` and the cause.
    """
    made: list[Path] = []
    temporary: Path | None = None
    try:
        target = _target(path)
        if is_special(target) or _only_in_place(target):
            yield target
            return
        made = _make_folders(target.parent)
        temporary = target.parent / f"{prefix}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # the umask applies
        yield temporary
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
        if durable:
            _flush(temporary)
        os.replace(temporary, target)
        if durable:
            with contextlib.suppress(OSError):  # a file system whose folders cannot be flushed
                _flush(target.parent)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise unwritable(path, error, option) from None
        raise


def check_outputs(outputs: Named, inputs: Named = (), *, option: str = "") -> None:
    """Find out before the work begins, without making anything, that each output can be written and overwrites nothing of it.

    Args:
        outputs: what each file is, as in "the trace", and its path; None is left out.
        inputs: the same of what is read; what is no file is left out.
        option: the command line's option that names the outputs, for the errors' remedies.

    Raises:
        GradCoreError: an output is a folder, has no place, is an input (by whatever name: links count), or is another
            output, or lies below one.
    """
    other_file = f"another file with {option}" if option else "another file"
    read = {_identity(path): (what, path) for what, path in inputs if path is not None}
    places: dict[str | tuple[int, int], tuple[str, Path]] = {}  # of the outputs, by name and by what is there
    above: dict[str, tuple[str, Path]] = {}  # the folders that they need
    for what, path in outputs:
        if path is None:
            continue
        target = _target(path)
        if not is_special(target):
            there, name = _identity(target), folded(target)
            if there is not None and there in read:
                other, source = read[there]
                raise GradCoreError(f"{what} would overwrite {other} {os.fspath(source)}: name {other_file}")
            if name in places or there in places:
                other, _ = places[name if name in places else there]
                raise GradCoreError(f"{what} and {other} would be the same file {os.fspath(path)}: name {other_file} for one of them")
            parents = [folded(parent) for parent in target.parents]
            clash = above.get(name) or next((places[parent] for parent in parents if parent in places), None)
            if clash:
                raise GradCoreError(f"{what} {os.fspath(path)} and {clash[0]} {clash[1]} cannot both be: one would be the other's folder")
            places[name] = what, target
            if there is not None:
                places[there] = what, target
            above |= dict.fromkeys(parents, (what, target))
        check_writable(path, option=option)


def check_writable(path: str | os.PathLike[str], *, option: str = "") -> None:
    """Find out, without making anything, whether a file can be written: it or its folder is there or can be made.

    Raises:
        GradCoreError: it cannot; it names path and cause.
    """
    target = _target(path)
    try:
        if target.is_dir():
            raise _os_error(errno.EISDIR)
        if len(os.fsencode(target.name)) > _longest_name(target.parent):
            raise _os_error(errno.ENAMETOOLONG)
        if os.path.lexists(target):
            if not os.access(target, os.W_OK):
                raise _os_error(errno.EACCES)
            return
        _folder_can_be(target.parent)
    except OSError as error:
        raise unwritable(path, error, option) from None


def check_folder(folder: str | os.PathLike[str], *, option: str = "") -> None:
    """Find out, without making anything, whether a folder is there or can be made, and files be made in it.

    Raises:
        GradCoreError: it cannot; it names the folder and the cause.
    """
    try:
        _folder_can_be(_target(folder))
    except OSError as error:
        raise unwritable(folder, error, option) from None


def folder_name(path: str | os.PathLike[str]) -> str:
    """A name for a folder of results, made of a file's name without folder and suffix: one that is a single folder anywhere.

    ``...png`` would be the parent folder, ``.png`` hidden; a device's name, or a dot or space at the end, is nothing on some
    systems; a name has at most 255 bytes, of which some are left for a number.
    """
    name = os.path.basename(os.fspath(path))
    stem = Path(name).stem if name.strip(". ") else ""
    stem = "".join("_" if unicodedata.category(one) in ("Cc", "Cs") or one in "/\\" else one for one in stem).strip(". ")
    while len(os.fsencode(stem)) > _LONGEST_FOLDER:
        stem = stem[:-1].rstrip(". ")
    head, dot, rest = stem.partition(".")
    return f"{head}_{dot}{rest}" if head.upper() in _DEVICES else stem or "picture"


def unwritable(path: str | os.PathLike[str], error: OSError, option: str = "") -> GradCoreError:
    """The error for a file or folder that cannot be written: path, cause, remedy."""
    remedy = _REMEDIES.get(error.errno, "check the folder and its permissions, or name another file")
    place = f" with {option}" if option else ""
    return GradCoreError(f"{os.fspath(path)} cannot be written ({error.strerror or error}): {remedy}{place}")


def _bytes(content: Content) -> bytes:
    if isinstance(content, str):
        return content.encode("utf-8", errors="backslashreplace")
    if callable(content):
        stream = io.BytesIO()
        content(stream)
        return stream.getvalue()
    return content


def _target(path: str | os.PathLike[str]) -> Path:
    """The file that a path leads to, links followed; a device or pipe as it is named (links in /proc lead nowhere)."""
    try:
        if not os.fspath(path):
            raise GradCoreError("a file to write has no name: give one")
        return Path(path) if is_special(path) else Path(os.path.realpath(path))
    except (ValueError, OSError) as error:  # a null byte, a character that no file name has, a ring of links
        reason = getattr(error, "strerror", None) or error
        raise GradCoreError(f"{os.fspath(path)!r} cannot be written ({reason}): choose another name") from None


def is_special(path: str | os.PathLike[str]) -> bool:
    """A device, pipe or socket, or an open file by its number: written to as it is, for it cannot be replaced."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    opened = os.path.abspath(path).startswith(("/dev/fd/", "/dev/std", "/proc/"))
    return not stat.S_ISDIR(mode) and (opened or not stat.S_ISREG(mode))


def _only_in_place(target: Path) -> bool:
    """Whether a file can be written but not replaced: its folder is closed, or it is mounted by itself.

    Raises:
        OSError: it is there and must not be written, or is a folder.
    """
    if target.is_dir():
        raise _os_error(errno.EISDIR)
    if not target.exists():
        return False
    if not os.access(target, os.W_OK):
        raise _os_error(errno.EACCES)
    return not os.access(target.parent, os.W_OK | os.X_OK) or os.path.ismount(target) or _is_sticky(target)


def _is_sticky(target: Path) -> bool:
    """Whether only its owner may replace a file, and that is somebody else."""
    folder = target.parent.stat()
    user = os.geteuid()
    return bool(folder.st_mode & stat.S_ISVTX) and user not in (0, folder.st_uid, target.stat().st_uid)


def _folder_can_be(there: Path) -> None:
    """Raises OSError when a folder is not there and cannot be made, or no files can be made in it."""
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise _os_error(errno.ENOTDIR)
    if not os.access(there, os.W_OK | os.X_OK):
        raise _os_error(errno.EACCES)


def _flush(path: Path) -> None:
    """Bring a file, or a folder's names, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and what is missing above it; returns what was made."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    missing.reverse()
    if missing:
        missing[-1].mkdir(parents=True, exist_ok=True)
    elif not folder.is_dir():
        raise _os_error(errno.ENOTDIR)
    return missing


def _identity(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """What all names of a file have in common, links among them; None for what is no file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def folded(path: str | os.PathLike[str]) -> str:
    """What two paths have in common that are one on some disk: upper and lower case, composed letters or not."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", os.fspath(path)).casefold())


def _longest_name(folder: Path) -> int:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError):
        return 255


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))

# SPDX-License-Identifier: Apache-2.0
"""gradcore.host.cache and gradcore.host.scratch: what is kept, what is removed, and what is never touched."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradcore.errors import GradCoreError
from gradcore.host import cache
from gradcore.host.cache import build_once, cache_folder
from gradcore.host.scratch import is_plain, scratch_folder, scratch_folder_in

NAME = "thing-0123456789abcdef0123"
OTHER = "thing-ffff456789abcdef0123"
LONG_AGO = time.time() - 40 * 86400


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the user names as the cache."""
    monkeypatch.setenv("GRADCORE_CACHE", str(tmp_path / "place"))
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def make(folder: Path) -> Path:
    """A build of one program."""
    (folder / "result").mkdir()
    (folder / "result" / "program").write_text("#!/bin/sh\necho right\n")
    (folder / "result" / "program").chmod(0o755)
    return folder / "result"


def build(name: str = NAME) -> Path:
    """Make a build, or find it."""
    return build_once(name, make, "builds")


def age(*paths: Path) -> None:
    """Nobody has touched them for 40 days."""
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)


def contents(folder: Path) -> dict[str, bytes | str]:
    """All below a folder: name -> bytes, target of a link, or ''."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
    return found


# Nothing of the user's is removed ------------------------------------------------------------------------------------


def users_files(folder: Path) -> None:
    """What a user may have in a folder, all of it old, some of it with the names of builds."""
    for name in ("my-thesis", NAME, f"old-{NAME}", "build-x"):
        (folder / name).mkdir()
        (folder / name / "one.tex").write_text("years")
    (folder / "tax-2024.pdf").write_text("x")
    (folder / f"{OTHER}.lock").write_text("not a lock of GradCore")
    (folder / f"{OTHER}-build-failed.log").write_text("not a log of GradCore")
    (folder / "gradcore-12345678").mkdir()
    (folder / "gradcore-12345678" / "notes.txt").write_text("mine")
    age(*folder.rglob("*"), *folder.glob("*"))


def test_f01_only_builds_are_removed(place: Path) -> None:
    """Neither in the folder that the user names, nor in GradCore's own folder in it, is anything else touched."""
    own = place / "gradcore-builds"
    own.mkdir()
    for folder in (place, own):
        users_files(folder)
    before = contents(place)
    build(OTHER)
    after = contents(place)
    assert {name: after.get(name) for name in before} == before


def test_f01_no_link_is_followed(place: Path, tmp_path: Path) -> None:
    """Links with the names of builds, of locks and of temporary folders, to folders that look like builds."""
    build(NAME)
    shutil.copytree(cache_folder() / NAME, tmp_path / NAME, symlinks=True)
    shutil.rmtree(cache_folder() / NAME)
    (tmp_path / NAME / "years.tex").write_text("years")
    scratch = tmp_path / "gradcore-12345678"
    scratch.mkdir()
    (scratch / ".gradcore-scratch").write_text("A temporary folder of GradCore, which removes it.\n")
    (tmp_path / "empty").write_text("")
    (cache_folder() / NAME).symlink_to(tmp_path / NAME)
    (cache_folder() / scratch.name).symlink_to(scratch)
    (cache_folder() / f"{NAME[:-1]}f.lock").symlink_to(tmp_path / "empty")
    age(*tmp_path.glob("*"), tmp_path / NAME / "gradcore-build.json", *cache_folder().glob("*"))
    before = contents(tmp_path / NAME), contents(scratch)
    build(OTHER)
    assert (contents(tmp_path / NAME), contents(scratch)) == before
    assert (tmp_path / "empty").exists()
    assert (build(NAME) / "program").read_text().endswith("right\n")
    assert not (cache_folder() / NAME).is_symlink() and (contents(tmp_path / NAME), contents(scratch)) == before


def test_f01_a_build_elsewhere_or_renamed_stays(place: Path) -> None:
    """The marker counts only in the folder that it names."""
    copy = cache_folder() / f"{OTHER[:-1]}0"
    shutil.copytree(build(NAME), copy)
    age(copy, *copy.iterdir())
    build(OTHER)
    assert copy.is_dir()


def test_unused_builds_are_removed(place: Path) -> None:
    """After a month, with locks and logs; used ones stay."""
    old, used = build(NAME), build(f"{NAME[:-1]}a")
    log = Path(cache.keep_log(NAME, "build", "said"))
    age(old, *old.iterdir(), used, *used.iterdir(), log, *cache_folder().glob("*.lock"))
    assert build(used.name) == used  # uses it
    build(OTHER)
    assert not old.exists() and not log.exists() and used.is_dir()
    assert {path.name for path in cache_folder().iterdir()} == {"CACHEDIR.TAG", OTHER, f"{OTHER}.lock", used.name}


def test_a_locked_build_stays(place: Path) -> None:
    """Somebody works on it."""
    old = build(NAME)
    age(old, *old.iterdir(), Path(f"{old}.lock"))
    with open(f"{old}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build(OTHER)
        assert old.is_dir() and Path(f"{old}.lock").exists()


# A build is whole, or made again -------------------------------------------------------------------------------------


def _empty(build: Path) -> None:
    (build / "program").write_bytes(b"")


def _zeros(build: Path) -> None:
    size = (build / "program").stat().st_size
    (build / "program").write_bytes(bytes(size))


def _missing(build: Path) -> None:
    (build / "program").unlink()


def _not_executable(build: Path) -> None:
    (build / "program").chmod(0o644)


def _everything_empty(build: Path) -> None:
    for path in build.iterdir():
        path.write_bytes(b"")


def _no_marker(build: Path) -> None:
    (build / "gradcore-build.json").unlink()


def _strange_marker(build: Path) -> None:
    (build / "gradcore-build.json").write_text(json.dumps({"made by": "GradCore", "build": build.name, "files": 7}))


def _a_file(build: Path) -> None:
    shutil.rmtree(build)
    build.write_text("not a folder")


def _a_loop(build: Path) -> None:
    shutil.rmtree(build)
    build.symlink_to(build)


DAMAGES = (_empty, _zeros, _missing, _not_executable, _everything_empty, _no_marker, _strange_marker, _a_file, _a_loop)


@pytest.mark.parametrize("damage", DAMAGES)
def test_f20_broken_build_is_made_again(damage) -> None:
    """Whatever happened to it; and what is no build of GradCore's is kept under another name."""
    whole = contents(build())
    damage(cache_folder() / NAME)
    assert contents(build()) == whole and os.access(build() / "program", os.X_OK)
    kept = list(cache_folder().glob(f"{NAME}-broken-*"))
    assert len(kept) == (damage in (_everything_empty, _no_marker, _a_file, _a_loop))


def test_ready_build_in_a_cache_that_cannot_be_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used."""
    made = build()
    monkeypatch.setattr(os, "utime", lambda *arguments: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    monkeypatch.setattr(Path, "mkdir", lambda *arguments, **options: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    assert build() == made
    with pytest.raises(GradCoreError, match="Read-only file system.*set GRADCORE_CACHE"):
        build(OTHER)


def test_file_system_without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds are made all the same."""

    def refuse(file: object, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert (build() / "program").exists()


# Where it is ---------------------------------------------------------------------------------------------------------


def test_f13_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """HOME unset and a user whom the system does not know: one line."""
    for name in ("GRADCORE_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    with pytest.raises(GradCoreError, match="no home folder.*set GRADCORE_CACHE"):
        cache_folder()


@pytest.mark.parametrize("home", ["", "relative", "/proc/self/no-such-home"])
def test_f13_strange_home(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty or relative: as if unset. Not there: one line, and nobody makes a home folder."""
    for name in ("GRADCORE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setattr("pwd.getpwuid", lambda number: type("User", (), {"pw_dir": str(tmp_path)}))
    if home.startswith("/"):
        with pytest.raises(GradCoreError, match="does not exist; set GRADCORE_CACHE"):
            cache_folder()
    else:
        assert cache_folder() == tmp_path / ".cache" / "gradcore" / "gradcore-builds"


@pytest.mark.parametrize("named", ["~no-such-user-here/x", "loop/x"])
def test_f13_cache_that_cannot_be(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user that does not exist, a link to itself."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setenv("GRADCORE_CACHE", named)
    with pytest.raises(GradCoreError, match="GRADCORE_CACHE"):
        build()


def test_f19_relative_cache_home_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So says the standard of XDG_CACHE_HOME; an absolute one is taken."""
    monkeypatch.delenv("GRADCORE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "gradcore" / "gradcore-builds"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "gradcore" / "gradcore-builds"


# Temporary folders ---------------------------------------------------------------------------------------------------

KILLED = """
import os, sys
from pathlib import Path
from gradcore.host.scratch import scratch_folder_in
with scratch_folder_in(Path(sys.argv[1])) as folder:
    (folder / "half-made").write_text("x")
    print(folder, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_f33_folder_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    """By the next one, which leaves alone those whose makers live."""
    said = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=False)
    left = Path(said.stdout.strip())
    assert (left / "half-made").exists()
    with scratch_folder_in(tmp_path) as first, scratch_folder_in(tmp_path) as second:
        assert first.is_dir() and second.is_dir() and not left.exists()
    assert not first.exists() and not second.exists()


def test_f06_plain_folder_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the temporary folder's path has special characters, another one is taken; links do not hide them."""
    strange = tmp_path / "my $project's # 1"
    strange.mkdir()
    (tmp_path / "link").symlink_to(strange)
    for named in (strange, tmp_path / "link"):
        monkeypatch.setattr("tempfile.tempdir", str(named))
        with scratch_folder(plain=True) as folder:
            assert is_plain(folder.resolve())
        with scratch_folder() as folder:
            assert folder.parent == strange


def test_no_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them full, or with special characters: one line with each reason."""
    monkeypatch.setattr("gradcore.host.scratch._PLACES", (str(tmp_path / "missing"),))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "a b"))
    (tmp_path / "a b").mkdir()
    with pytest.raises(GradCoreError, match="a b: special characters.*missing: No such file.*set TMPDIR"):
        with scratch_folder(plain=True):
            pass
    with contextlib.suppress(OSError), scratch_folder() as folder:
        assert folder.parent == tmp_path / "a b"

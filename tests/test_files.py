# SPDX-License-Identifier: Apache-2.0
"""Writing files: whole or not at all, and never over an input or another result."""

import contextlib
import os
import resource
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from gradcore import GradCoreError
from gradcore.host.files import check_folder, check_outputs, check_writable, move_into_place, replacing, write_atomically


@contextlib.contextmanager
def full_disk(size):
    """No file may grow beyond ``size`` bytes: writing more fails as on a full disk, but with EFBIG."""
    import signal

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def folder_of_a_user():
    """A folder of an ordinary user, who runs the test: root may write anywhere."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.getuid() == 0:
            os.chown(folder, 65534, 65534)
            os.setresuid(65534, 65534, 0)
        try:
            yield folder
        finally:
            if os.getresuid()[2] == 0:
                os.setresuid(0, 0, 0)


def test_writes_bytes_text_and_what_a_function_writes(tmp_path):
    assert write_atomically(tmp_path / "a" / "b", b"\0\1").read_bytes() == b"\0\1"
    assert write_atomically(str(tmp_path / "t"), "ö\n").read_bytes() == b"\xc3\xb6\n"
    assert write_atomically(tmp_path / "s", "cat\udcff").read_bytes() == b"cat\\udcff"
    array = np.arange(6.0).reshape(2, 3)
    write_atomically(tmp_path / "n.npy", lambda stream: np.save(stream, array))
    assert (np.load(tmp_path / "n.npy") == array).all()
    assert sorted(os.listdir(tmp_path)) == ["a", "n.npy", "s", "t"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    old = tmp_path / "old"
    old.write_bytes(b"precious")
    with full_disk(100), pytest.raises(GradCoreError, match="old cannot be written .*: "):
        write_atomically(old, bytes(1000))
    with full_disk(100), pytest.raises(GradCoreError, match="new cannot be written"):
        write_atomically(tmp_path / "x" / "y" / "new", bytes(1000))

    def dies(stream):
        stream.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(old, dies)
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "z" / "f") as path:
        path.write_text("half")
        raise ZeroDivisionError
    assert old.read_bytes() == b"precious" and os.listdir(tmp_path) == ["old"]


def test_permissions_are_the_umask_s_or_those_of_the_old_file(tmp_path):
    before = os.umask(0o027)
    try:
        assert stat.S_IMODE(write_atomically(tmp_path / "new", b"").stat().st_mode) == 0o640
    finally:
        os.umask(before)
    (tmp_path / "new").chmod(0o755)
    assert stat.S_IMODE(write_atomically(tmp_path / "new", b"x").stat().st_mode) == 0o755


def test_links_are_followed(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("folder/later")
    write_atomically(tmp_path / "link", b"new")
    write_atomically(tmp_path / "dangling", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "folder" / "later").read_bytes() == b"new"


def test_devices_and_pipes_are_written_to_as_they_are(tmp_path):
    write_atomically("/dev/null", b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(GradCoreError, match="/dev/full cannot be written .No space left on device.: make room"):
        write_atomically("/dev/full", b"x")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    write_atomically(fifo, b"through")
    reader.join()
    assert got == [b"through"] and os.listdir(tmp_path) == ["fifo"]
    program = "from gradcore.host.files import *; check_outputs([('it', '/dev/stdout')]); write_atomically('/dev/stdout', 'said')"
    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True).stdout == b"said"
    with open(tmp_path / "out", "wb") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, check=True)
    assert (tmp_path / "out").read_bytes() == b"said"


def test_a_file_in_a_closed_folder_is_written_in_place_and_a_read_only_file_is_not(folder_of_a_user):
    open_folder = folder_of_a_user
    mine = open_folder / "mine"
    mine.write_bytes(b"old")
    sealed = open_folder / "sealed"
    sealed.write_bytes(b"old")
    sealed.chmod(0o444)
    for work in (lambda: write_atomically(sealed, b"new"), lambda: check_writable(sealed)):
        with pytest.raises(GradCoreError, match="sealed cannot be written .Permission denied.: check"):
            work()
    closed = open_folder / "closed"
    closed.mkdir()
    inside = closed / "inside"
    inside.write_bytes(b"old")
    closed.chmod(0o555)
    try:
        check_writable(inside)
        write_atomically(inside, b"new")
        assert inside.read_bytes() == b"new"
        for work in (lambda: write_atomically(closed / "other", b""), lambda: check_writable(closed / "other")):
            with pytest.raises(GradCoreError, match="other cannot be written .Permission denied."):
                work()
        with pytest.raises(GradCoreError, match="closed/a/b cannot be written .Permission denied."):
            check_folder(closed / "a" / "b")
    finally:
        closed.chmod(0o777)
    assert sealed.read_bytes() == b"old" and sorted(os.listdir(open_folder)) == ["closed", "mine", "sealed"]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("", "no name"),
        (".", "Is a directory.*name a file in it"),
        ("file/below", "Not a directory"),
        ("n" * 256, "File name too long.*shorter"),
        ("nul\0", "null byte.*another name"),
        ("alone\ud800", "another name"),
        ("ring", "another|levels of symbolic"),
    ],
)
def test_what_is_no_file_is_refused_before_and_when_writing(tmp_path, monkeypatch, name, cause):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "ring").symlink_to("ring")
    for work in (lambda: write_atomically(name, b"x"), lambda: check_writable(name), lambda: check_outputs([("it", name)])):
        with pytest.raises(GradCoreError, match=cause):
            work()
    assert sorted(os.listdir()) == ["file", "ring"]


def test_a_finished_file_is_moved_from_anywhere(tmp_path):
    source = tmp_path / "made"
    source.write_bytes(b"waves")
    assert move_into_place(source, tmp_path / "to" / "here").read_bytes() == b"waves" and not source.exists()


def test_f31_an_output_is_never_an_input_by_whatever_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cat = tmp_path / "cat.png"
    cat.write_bytes(b"cat")
    (tmp_path / "folder").mkdir()
    (tmp_path / "soft").symlink_to("cat.png")
    os.link(cat, tmp_path / "hard")
    for name in (cat, "cat.png", "./folder/../cat.png", "soft", "hard"):
        with pytest.raises(GradCoreError, match="the trace would overwrite the picture .*cat.png: name another file"):
            check_outputs([("the waves", "w.fst"), ("the trace", name)], [("the network", "n"), ("the picture", cat)])
    check_outputs([("the trace", "dog.png"), ("the waves", None)], [("the picture", cat), ("the network", "cifar10")])
    check_outputs([("one", "/dev/null"), ("other", "/dev/null")], [("the picture", "/dev/null")])
    assert sorted(os.listdir()) == ["cat.png", "folder", "hard", "soft"]


def test_f31_two_outputs_are_never_one_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for one, other in (("a.png", "./a.png"), ("a.png", tmp_path / "A.PNG"), ("x/../a", "a"), ("\u00e9", "e\u0301")):
        with pytest.raises(GradCoreError, match="the waves and the trace would be the same file"):
            check_outputs([("the trace", one), ("the waves", other)])
    for one, other in (("a", "a/b"), ("a/b/c", "A")):
        with pytest.raises(GradCoreError, match="cannot both be"):
            check_outputs([("the trace", one), ("the waves", other)])
    (tmp_path / "there").write_bytes(b"")
    os.link(tmp_path / "there", tmp_path / "again")
    with pytest.raises(GradCoreError, match="the waves and the trace would be the same file"):
        check_outputs([("the trace", "there"), ("the waves", "again")])


def test_many_outputs_are_checked_quickly(tmp_path):
    outputs = [(f"the {kind} of {number}", tmp_path / str(number) / f"{kind}.png") for number in range(1000) for kind in range(4)]
    began = time.process_time()
    check_outputs(outputs, [("the picture", tmp_path / f"{number}.png") for number in range(1000)])
    assert time.process_time() - began < 5  # seconds; a comparison of each with each takes minutes


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    flush, rename = os.fsync, os.replace

    def fsync(number):
        done.append(os.path.basename(os.readlink(f"/proc/self/fd/{number}")))
        flush(number)

    def replace(source, target):
        done.append("renamed")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_atomically(tmp_path / "a", b"x", prefix=".mine-", durable=True)
    assert done[0].startswith(".mine-") and done[0].endswith(".part") and done[1:] == ["renamed", tmp_path.name]
    write_atomically(tmp_path / "b", b"x")
    assert done[3:] == ["renamed"] and sorted(os.listdir(tmp_path)) == ["a", "b"]

# SPDX-License-Identifier: Apache-2.0
"""explain-dataset on workers: those that are killed, the client that is killed, full disks, other versions; nothing lost, nothing twice."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import psutil
import pytest
from distributed import Client, LocalCluster

import gradcore
from gradcore import GradCoreError
from gradcore.datasets import identity
from tests.test_datasets import ALONE, TINY, files, png, write

ROOT = Path(__file__).resolve().parents[1]
ROWS, EACH = 48, 2
PICTURES = np.random.default_rng(6).integers(0, 256, (ROWS, 8, 8, 3), dtype=np.uint8)
# A method that takes long enough for somebody to be killed meanwhile: 41 runs a picture.
SLOW: dict[str, Any] = {"method": "smoothgrad", "nt_samples": 40, "stdevs": 0.1, "rows": EACH}

ON_IT: dict[str, Any] = {**SLOW, **ALONE, "workers": None, "timeout": 60}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in row groups of 16, 24 parts."""
    return write(tmp_path_factory.mktemp("data") / "d.parquet", [png(one) for one in PICTURES], [0] * ROWS, group=16)


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run, without workers."""
    out = tmp_path_factory.mktemp("expected")
    gradcore.explain_dataset(data, out, **SLOW, **ALONE)
    return out


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A scheduler with two workers in processes of their own, which stands for a cluster."""
    quiet = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "silence_logs": 60, "memory_limit": 0}
    dashboard = {"dashboard_address": None, "scheduler_kwargs": {"dashboard": False, "dashboard_address": "127.0.0.1:0"}}
    with dask.config.set({"distributed.comm.timeouts.connect": "60s"}), LocalCluster(processes=True, **quiet, **dashboard) as made:
        yield made


@pytest.fixture
def pids(cluster: LocalCluster) -> list[int]:
    """The workers' processes, both of them."""
    until, found = time.monotonic() + 60, []
    with Client(cluster, set_as_default=False) as client:
        while len(found) < 2:  # some may have been killed, and not be missed yet
            assert time.monotonic() < until, "the workers were not started again"
            client.wait_for_workers(2, timeout=60)
            found = [pid for pid in client.run(os.getpid, on_error="return").values() if isinstance(pid, int)]
    return found


def contents(out: Path) -> dict[str, str]:
    """Every file of a folder, and what it holds."""
    return {name: content for name, (_, content) in files(out).items()}


def run(data: Path, out: Path, cluster: LocalCluster, **options: Any) -> dict[str, Any]:
    """A run on the cluster."""
    return gradcore.explain_dataset(data, out, scheduler=cluster.scheduler_address, **{**ON_IT, **options})


def test_a_worker_that_is_killed(data: Path, expected: Path, cluster: LocalCluster, pids: list[int], tmp_path: Path) -> None:
    """In the middle: another takes its place, and the run ends with each part, made once, as if nothing had been."""
    killed: list[int] = []

    def progress(text: str, done: int = 0, total: int = 0) -> None:
        if text == "explaining" and 4 * EACH <= done < ROWS and not killed:
            killed.append(done)
            os.kill(pids[0], signal.SIGKILL)

    report = run(data, tmp_path, cluster, progress=progress)
    assert killed, "the run was over before anybody was killed"
    assert report["parts"] == {"total": ROWS // EACH, "made": ROWS // EACH, "found": 0} and report["rows"] == ROWS
    assert contents(tmp_path) == contents(expected)
    assert gradcore.read_attributions(tmp_path).read().rows.tolist() == list(range(ROWS))
    assert run(data, tmp_path, cluster)["parts"]["found"] == ROWS // EACH


def test_workers_that_die_again_and_again(
    data: Path, cluster: LocalCluster, pids: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that takes its workers along is given up in one line; what was made stays."""
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)  # else four of them must die

    def progress(text: str, done: int = 0, total: int = 0) -> None:
        if text == "explaining" and done >= 2 * EACH:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    with pytest.raises(GradCoreError, match=r"rows \d+ to \d+ ended each of the 1 workers that took them: .*--rows") as error:
        run(data, tmp_path, cluster, progress=progress)
    assert "\n" not in str(error.value)
    assert len(gradcore.read_attributions(tmp_path, partial=True)) >= 2 * EACH


def test_errors_of_workers(data: Path, cluster: LocalCluster, pids: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each: a full disk, which leaves nothing half; a damaged picture; sources that differ."""

    def refused(text: str, file: Path, name: str, **options: Any) -> None:
        with pytest.raises(GradCoreError, match=text) as error:
            run(file, tmp_path / name, cluster, **options)
        assert "\n" not in str(error.value)

    with Client(cluster, set_as_default=False) as client:
        client.run(resource.setrlimit, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        refused(r"\.parquet cannot be written .File too large.", data, "full")
        assert files(tmp_path / "full") == {}
        client.run(resource.setrlimit, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    pictures = [png(one) for one in PICTURES[:6]]
    bad = write(tmp_path / "bad.parquet", [*pictures[:5], b"none"])
    refused("the picture of row 5 is not a picture", bad, "bad")
    here = identity.source_version()
    monkeypatch.setattr(identity, "source_version", lambda: "0.0.9+0")
    refused(rf"the worker .* runs gradcore {here.replace('+', '.')}, this is 0.0.9.0: install the same version", data, "other")
    assert files(tmp_path / "other") == {}


@pytest.mark.parametrize("who", ["the scheduler", "the worker tcp://x"])
def test_other_versions_of_dask(who: str, data: Path, cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused in one line, without Dask's table; so is what a scheduler of a version says that is too far away to be understood."""
    same = {"packages": {"distributed": "2026.8.0"}}
    other = {"packages": {"distributed": "2024.8.1"}}
    told = {"client": same, "scheduler": same, "workers": {"tcp://x": same}}
    told |= {"scheduler": other} if who == "the scheduler" else {"workers": {"tcp://x": other}}
    with monkeypatch.context() as patch:
        patch.setattr(Client, "get_versions", lambda self: told)
        with pytest.raises(
            GradCoreError, match=rf"{who} .tcp://.*. runs Dask 2024.8.1, this is 2026.8.0: install the same gradcore\[farm\]"
        ):
            run(data, tmp_path, cluster)

    def fails(self: Client, *arguments: object, **options: object) -> None:
        raise TypeError("identity() got an unexpected keyword argument 'n_workers'")

    monkeypatch.setattr(Client, "__init__", fails)
    with pytest.raises(GradCoreError, match=r"the scheduler tcp://.* cannot be talked to .identity.*: install the same"):
        run(data, tmp_path, cluster)


def test_a_scheduler_that_goes(data: Path, tmp_path: Path) -> None:
    """It has no workers; it is killed while the client waits for them."""
    file = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    command += ["--scheduler-file", str(file), "--dashboard-address", "127.0.0.1:0", "--no-show"]
    scheduler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def progress(text: str, done: int = 0, total: int = 0) -> None:
        if text == "waiting for workers of the scheduler":
            scheduler.kill()

    try:
        until = time.monotonic() + 60
        while not file.exists() or not file.read_text():
            assert time.monotonic() < until and scheduler.poll() is None, "the scheduler did not start"
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        with pytest.raises(GradCoreError, match=rf"the scheduler of {address} is gone: start it again, and this command"):
            gradcore.explain_dataset(data, tmp_path / "out", scheduler=address, **ON_IT, progress=progress)
    finally:
        scheduler.kill()
        scheduler.wait()


def children(pid: int) -> list[int]:
    """The processes below one, itself left out."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found += [int(entry.name), *children(int(entry.name))]
    return found


def test_the_command_killed_and_started_again(data: Path, expected: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle, with two workers, which end, too; then Ctrl-C; then to the end: each part is made once."""
    network, out = tmp_path / "tiny.safetensors", tmp_path / "out"
    TINY.save(network)
    command = [sys.executable, "-m", "gradcore", "explain-dataset", str(data), "--out", str(out), "--network", str(network), "--rows", "2"]
    command += ["--method", "smoothgrad", "--parameter", "nt_samples=40", "--parameter", "stdevs=0.1", "--verify", "0", "--json"]

    def started(*options: str) -> subprocess.Popen[str]:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*command, *options], cwd=ROOT, start_new_session=True, **streams)

    def wait_for(process: subprocess.Popen[str], number: int) -> None:
        until = time.monotonic() + 120
        while len(list(out.glob("*.parquet"))) < number:
            assert process.poll() is None and time.monotonic() < until, process.communicate()
            time.sleep(0.02)

    def there() -> dict[str, tuple[int, str]]:
        return {name: file for name, file in files(out).items() if name.endswith(".parquet")}

    first = started("--workers", "2")
    wait_for(first, 3)
    below = children(first.pid)
    listening = {
        one.laddr.ip for pid in (first.pid, *below) for one in psutil.Process(pid).net_connections("tcp") if one.status == "LISTEN"
    }
    assert listening == {"127.0.0.1"}
    first.kill()
    first.communicate()
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/exe").exists() and os.path.exists(f"/proc/{pid}/cwd") for pid in below):
        assert time.monotonic() < until, "workers outlive the client"
        time.sleep(0.1)
    after_kill = there()
    assert len(below) >= 2 and 3 <= len(after_kill) < ROWS // EACH, len(after_kill)

    second = started("--workers", "0")
    wait_for(second, len(after_kill) + 2)
    os.killpg(second.pid, signal.SIGINT)
    printed, said = second.communicate(timeout=60)
    after_interrupt = there()
    assert second.returncode == 130 and printed == "", said
    assert f"gradcore: interrupted; {len(after_interrupt)} of 24 parts are done: the same command goes on" in said

    third = started("--workers", "0")
    printed, said = third.communicate(timeout=120)
    report = json.loads(printed)
    assert third.returncode == 0 and report["parts"] == {"total": 24, "made": 24 - len(after_interrupt), "found": len(after_interrupt)}, (
        said
    )
    final = files(out)
    assert final == there() and len(final) == 24, "something is left beside the parts"
    assert after_kill.items() <= after_interrupt.items() <= final.items(), "a part was made twice"
    one, other = gradcore.read_attributions(out).read(), gradcore.read_attributions(expected).read()
    assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))

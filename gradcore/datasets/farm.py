# SPDX-License-Identifier: Apache-2.0
"""Who makes the parts: this process, workers on this machine, or those of a Dask cluster. Needs Dask, the extra ``farm``, for workers.

Workers on this machine are processes that Dask starts, watches, and starts again when they die; they end with this process, however it
ends. They and the scheduler talk over 127.0.0.1 alone, by TLS with keys that are made for the run: nobody else on the machine can send them
work. There is no dashboard.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.datasets.task import Part, Task
from gradcore.datasets.working import Outcome, explain_part
from gradcore.errors import GradCoreError, missing_package
from gradcore.host.progress import Progress

if TYPE_CHECKING:
    from distributed import Client, Future

TIMEOUT = 10.0  # seconds in which a scheduler must answer
_SECONDS = 0.5  # between two looks at the futures
_START_SECONDS = 60.0  # for the workers of this machine
_END_SECONDS = 10.0
_LOCAL = {
    "distributed.scheduler.http.routes": [],  # what Dask's servers say of themselves, which nobody reads
    "distributed.worker.http.routes": [],
    "distributed.comm.timeouts.connect": "60s",  # a busy machine is no lost one
}

Labels = Callable[[Part], np.ndarray | None]


def here(task: Task, parts: Sequence[Part], labels: Labels, progress: Progress) -> Iterator[Outcome]:
    """The outcomes of parts that this process makes, one after the other."""
    total, done = sum(len(part.rows) for part in parts), 0
    for part in parts:

        def report(text: str, step: int = 0, steps: int = 0, done: int = done, rows: int = len(part.rows)) -> None:
            progress("explaining", done + (step * rows // steps if steps else 0), total)

        report("")
        outcome = explain_part(task, part, labels(part), report)
        done += len(part.rows)
        yield outcome


def on_workers(
    task: Task, parts: Sequence[Part], labels: Labels, progress: Progress, workers: int, scheduler: str | None, timeout: float
) -> Iterator[Outcome]:
    """The outcomes of parts that Dask's workers make, in the order in which they are done.

    Args:
        workers: processes on this machine, where there is no scheduler.
        scheduler: address of a Dask scheduler.
        timeout: seconds in which it must answer.

    Raises:
        GradCoreError: Dask is not installed; the scheduler does not answer, or is gone; a part's worker dies again and again.
    """
    progress("connecting to the scheduler" if scheduler else "starting workers")
    with _quiet(), _local(workers) if scheduler is None else _remote(scheduler, timeout) as client:
        place = scheduler or "this machine"
        total, done = sum(len(part.rows) for part in parts), 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the size of a network that is sent once
            shared = client.submit(pickle.loads, pickle.dumps(task), pure=False)  # what a dead worker held is made again
            futures = client.map(_explain_part, parts, [labels(part) for part in parts], task=shared, pure=False)
        waiting = dict(zip(futures, parts, strict=True))
        progress("explaining", 0, total)
        try:
            while waiting:
                found, working = _finished(client, list(waiting), place)
                for future in found:
                    part = waiting.pop(future)
                    outcome = _result(future, part, place)
                    future.release()
                    done += len(part.rows)
                    yield outcome
                progress(*(("explaining", done, total) if working else ("waiting for workers of the scheduler",)))
        finally:
            with contextlib.suppress(Exception):
                client.cancel(list(waiting), force=True)


def _explain_part(part: Part, labels: np.ndarray | None, task: Task) -> Outcome:
    return explain_part(task, part, labels)


def _finished(client: Client, futures: list[Future], place: str) -> tuple[list[Future], bool]:
    """Those that are done after a while, and whether there are workers. Raises GradCoreError where the scheduler is gone."""
    from distributed import wait

    try:
        with client.as_current(), contextlib.suppress(TimeoutError):
            wait(futures, timeout=_SECONDS, return_when="FIRST_COMPLETED")
        working = bool(client.nthreads())
    except (CancelledError, OSError, RuntimeError):
        raise _gone(place) from None
    found = [future for future in futures if future.done()]
    if client.status not in ("running", "connecting") or any(future.status in ("lost", "cancelled") for future in found):
        raise _gone(place)
    return found, working


def _result(future: Future, part: Part, place: str) -> Outcome:
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        raise GradCoreError(
            f"rows {part.start} to {part.stop - 1} ended each of the {error.allowed_failures + 1} workers that took them: where memory is "
            "short, give fewer rows a part with --rows, or start fewer workers; else the workers' logs say more"
        ) from None
    except (CancelledError, OSError):
        raise _gone(place) from None
    except ImportError as error:
        raise GradCoreError(f"a worker of {place} cannot import {error.name}: install the same gradcore[farm] on all machines") from None
    except Exception as error:
        text = " ".join(str(error).split())
        if "deserializ" in text:
            raise GradCoreError(f"the scheduler {place} cannot read the task: install the same gradcore[farm] on all machines") from None
        raise GradCoreError(
            f"rows {part.start} to {part.stop - 1}: {type(error).__name__}: {text}: this is a bug of GradCore; please report it"
        ) from error


def _gone(place: str) -> GradCoreError:
    return GradCoreError(f"the scheduler of {place} is gone: start it again, and this command, which goes on with what is missing")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Dask says nothing of workers that die and connections that end: what matters is an error of one line."""
    log = logging.getLogger("distributed")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)


@contextlib.contextmanager
def _local(workers: int) -> Iterator[Client]:
    """A client of so many workers on this machine."""
    try:
        import dask
        from distributed import Client, LocalCluster
        from distributed.security import Security
    except ImportError as error:
        raise _missing(error) from None
    try:
        security = Security.temporary()
    except ImportError as error:
        raise _missing(error) from None
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(_LOCAL))
        try:
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                memory_limit=0,  # the machine's
                silence_logs=logging.CRITICAL + 1,
                security=security,
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            )
            stack.callback(_close, cluster)
            client = stack.enter_context(Client(cluster, timeout=_START_SECONDS, set_as_default=False))
            client.register_plugin(_plugin(), name="gradcore")
            client.wait_for_workers(workers, timeout=_START_SECONDS)
        except (OSError, RuntimeError, TimeoutError) as error:
            raise GradCoreError(
                f"{workers} workers cannot be started ({' '.join(str(error).split())}): start fewer with --workers, or 0 for none"
            ) from None
        yield client


def _close(cluster: Any) -> None:
    """End the workers, those in the middle of a part, too: what they have not written is made the next time."""
    with contextlib.suppress(Exception):
        cluster.close(timeout=_END_SECONDS)


@contextlib.contextmanager
def _remote(address: str, timeout: float) -> Iterator[Client]:
    """A client of a scheduler that runs."""
    try:
        from distributed import Client
    except ImportError as error:
        raise _missing(error) from None
    client = Client.__new__(Client)  # one that fails half-way must not try to say good-bye
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a table of versions: see _check_versions
            client.__init__(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        client.status = "closed"
        raise _unreachable(address, error) from None
    with client:
        _check_versions(client, address)
        yield client


def _unreachable(address: str, error: Exception) -> GradCoreError:
    said = " ".join(str(error).split())
    if isinstance(error, OSError):
        return GradCoreError(
            f"the scheduler {address} cannot be reached ({said}): check the address and that it runs, or wait longer with --timeout"
        )
    if isinstance(error, ValueError):
        return GradCoreError(f"{address!r} is no address of a scheduler ({said}): give one such as tcp://host:8786")
    return GradCoreError(
        f"the scheduler {address} cannot be talked to ({said}): install the same gradcore[farm] on all machines, and with tls:// give Dask "
        "its keys"
    )


def _check_versions(client: Client, address: str) -> None:
    """Refuse other versions of Dask, which may not understand each other. Those of GradCore every worker checks for itself."""
    found = client.get_versions()
    one = found["client"]["packages"]["distributed"]
    others = {"the scheduler": found["scheduler"], **{f"the worker {name}": worker for name, worker in found["workers"].items()}}
    for who, told in others.items():
        other = told["packages"]["distributed"] if told else None
        if other != one:
            raise GradCoreError(f"{who} ({address}) runs Dask {other}, this is {one}: install the same gradcore[farm] on all machines")


def _missing(error: ImportError) -> GradCoreError:
    what = "cryptography" if "cryptography" in str(error) else "Dask"
    return missing_package(what, "farm", needed_by="explain-dataset with workers", otherwise="give --workers 0, which works without")


def _plugin() -> Any:
    """What each worker of this machine does when it starts, those that take a dead one's place, too."""
    from distributed import WorkerPlugin

    class IgnoreCtrlC(WorkerPlugin):
        """Ctrl-C reaches every process of the terminal; this one's client ends it."""

        def setup(self, worker: Any) -> None:
            """See the base class."""
            with contextlib.suppress(ValueError):  # not in the main thread
                signal.signal(signal.SIGINT, signal.SIG_IGN)

    return IgnoreCtrlC()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

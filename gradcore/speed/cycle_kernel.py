# SPDX-License-Identifier: Apache-2.0
"""A small discrete-event kernel for the cycle model: time in clock cycles, processes as generators.

A process is a generator. It yields the cycle in which it wants to go on, or a ``Signal`` to be woken by; it waits for a
condition with ``while not condition: yield signal``. What a unit does in one go (a pixel, a burst) is computed in one
step, so a run of some 100,000 cycles takes a fraction of a second.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Generator
from typing import Any


class Signal:
    """Something that processes wait for: ``notify`` wakes all that wait, in the present cycle."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._waiting: list[Process] = []

    def wait(self, process: Process) -> None:
        """Called by the scheduler for a process that yielded this signal."""
        self._waiting.append(process)

    def notify(self) -> None:
        """Wake every process that waits."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for process in waiting:
                self.scheduler.resume(self.scheduler.now, process)


LAST = 1 << 60  # more than the number of any call
Process = Generator["int | Signal", None, None]


class Scheduler:
    """Runs processes and calls in the order of their cycles; within a cycle in the order in which they were asked for.

    Attributes:
        now: the present cycle.
    """

    def __init__(self) -> None:
        self.now = 0
        self._queue: list[tuple[int, int, Callable[[Any], None], Any]] = []
        self._number = 0

    def call_last(self, cycle: int, function: Callable[[Any], None], argument: Any = None) -> None:
        """As ``call``, but after all calls and processes of that cycle."""
        self._number += 1
        heapq.heappush(self._queue, (max(cycle, self.now), LAST + self._number, function, argument))

    def call(self, cycle: int, function: Callable[[Any], None], argument: Any = None) -> None:
        """Call ``function(argument)`` in a cycle, which must not lie in the past."""
        self._number += 1
        heapq.heappush(self._queue, (cycle if cycle > self.now else self.now, self._number, function, argument))

    def resume(self, cycle: int, process: Process) -> None:
        """Start a process, or go on with it, in a cycle."""
        self.call(cycle, self._step, process)

    def run(self) -> None:
        """Run until nothing is left to do."""
        queue = self._queue
        while queue:
            self.now, _, function, argument = heapq.heappop(queue)
            function(argument)

    def alone_until(self, cycle: int) -> bool:
        """Whether nothing else is due up to a cycle, with which whoever runs now can then go on by itself: sets ``now``."""
        if self._queue and self._queue[0][0] <= cycle:
            return False
        self.now = cycle
        return True

    def _step(self, process: Process) -> None:
        for wanted in process:
            if type(wanted) is int:
                if wanted > self.now and not self.alone_until(wanted):
                    self.call(wanted, self._step, process)
                    return
            else:
                wanted.wait(process)
                return


class Counter(Signal):
    """A token counter: ``value`` goes up by calls of ``add_at``."""

    def __init__(self, scheduler: Scheduler, value: int = 0) -> None:
        super().__init__(scheduler)
        self.value = value

    def add(self, amount: int = 1) -> None:
        """Count now."""
        self.value += amount
        self.notify()

    def add_at(self, cycle: int, amount: int = 1) -> None:
        """Count in a cycle to come."""
        self.scheduler.call(cycle, self.add, amount)


class JobQueue(Signal):
    """A job FIFO of ``depth`` places (rtl/cells/fifo.v: what is pushed in cycle t can be seen in t + 1)."""

    def __init__(self, scheduler: Scheduler, depth: int = 16) -> None:
        super().__init__(scheduler)
        self.depth = depth
        self._jobs: deque[tuple[int, Any]] = deque()

    @property
    def full(self) -> bool:
        return len(self._jobs) >= self.depth

    def push(self, job: Any) -> None:
        """Append a job; the caller has looked at ``full``."""
        self._jobs.append((self.scheduler.now + 1, job))
        self.notify()

    def head(self) -> Generator[int | Signal, None, Any]:
        """Wait for the oldest job and return it; it stays in its place until ``pop``."""
        while not self._jobs:
            yield self
        yield self._jobs[0][0]
        return self._jobs[0][1]

    def pop(self) -> None:
        """Free the place of the oldest job."""
        self._jobs.popleft()
        self.notify()

# SPDX-License-Identifier: Apache-2.0
"""Random runs for the bench of run_control."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence

from gradcore.hardware import CLEAR_CYCLES
from gradcore.models.control.run_control import QUIET_PORTS
from tb.control.run_control.run_control_env import ERRORS
from tb.support.base import ItemSequence
from tb.support.declaration import parameter

STOP_LIMIT = parameter("STOP_LIMIT")
ADDRESSES = (0x1000_0008, 0x2000_0010, 0x3000_0018, 0x4000_0020)
ALL_ADDRESSES = sum(address << 32 * port for port, address in enumerate(ADDRESSES))


class RandomRuns(ItemSequence):
    """Cycle after cycle at random: runs that end well, by each error, by several at once, by a soft reset; ports that answer late."""

    runs = 160

    def items(self) -> Iterable[dict[str, int]]:
        yield {"port_error_address": ALL_ADDRESSES, "port_idle": QUIET_PORTS, "progress": 1, "watchdog_limit": 0}
        for number in range(self.runs):
            yield from self.one_run(number)

    def one_run(self, number: int) -> Iterable[dict[str, int]]:
        """A run, and what disturbs it."""
        limits = (1, 2, 3, 5, 17)
        limit = limits[number // 5 % len(limits)] if number % 5 == 1 else random.choice((0, *limits))
        levels = {"watchdog_limit": limit, "progress": 1, "descriptor_index": random.getrandbits(16)}
        levels["port_error_address"] = random.getrandbits(128)
        yield {**levels, "start": 1, "port_idle": random.choice((15, 15, 7, 11, 13, 14))}
        yield from self.waiting(random.randrange(8), (7, 11, 13, 14))
        if number % 20 == 7:
            yield {"soft_reset": 1}
        yield {"port_idle": QUIET_PORTS}
        yield from ({} for _ in range(random.randrange(5, 12)))
        if number % 8 == 0:
            yield {"start": 1}
        if number % 40 == 0:
            yield {"watchdog_limit": 0, "progress": 0}
            yield from ({} for _ in range(120))
            yield {"watchdog_limit": limit, "progress": 1}
        yield {"soft_reset": 1} if number % 20 == 13 else {}
        yield from self.end(number, limit)
        yield from self.stop(number)

    def end(self, number: int, limit: int) -> Iterable[dict[str, int]]:
        """What ends the run: its good end, the watchdog alone or with an error, two errors, one."""
        kind, turn = number % 5, number // 5
        some = {"finished": random.getrandbits(1)}
        if kind == 0:
            yield {"finished": 1, "soft_reset": int(number % 40 == 20)}
        elif kind == 1 and turn % 4 == 2:  # a cycle too early for the watchdog
            yield from ({"progress": 0} for _ in range(limit - 1))
            yield {"progress": 1, "finished": 1}
        elif kind == 1:
            yield from ({"progress": 0} for _ in range(limit - 1))
            yield {**some, "progress": 0, **(self.errors(list(ERRORS)[turn // 2 % 4]) if turn % 2 else {})}
        elif kind == 2:
            yield {**some, **self.errors(*list(itertools.combinations(ERRORS, 2))[turn % 6])}
        else:
            kinds = [{name: 1 << port} for name, ports in ERRORS.items() for port in range(ports)]
            kinds += [{name: (1 << ports) - 1} for name, ports in ERRORS.items()]
            yield {**some, **kinds[(2 * turn + kind) % len(kinds)]}

    def errors(self, *names: str) -> dict[str, int]:
        """These errors, each at some ports."""
        return {name: random.randrange(1, 1 << ERRORS[name]) for name in names}

    def waiting(self, cycles: int, idle: Sequence[int] = (15, 7, 11, 13, 14)) -> Iterable[dict[str, int]]:
        """Cycles of a clear in which, now and then, something comes that must not matter; ``idle``: values of port_idle."""
        for _ in range(cycles):
            chance = random.random()
            item = (
                self.errors(random.choice(list(ERRORS)))
                if chance < 0.1
                else {"finished": 1}
                if chance < 0.2
                else {"start": 1}
                if chance < 0.25
                else {}
            )
            yield {**item, "port_idle": random.choice(idle)}

    def stop(self, number: int) -> Iterable[dict[str, int]]:
        """The ports become idle, soon, late or after the limit; a soft reset, or none."""
        busy = (7, 11, 13, 14)[number % 4]
        yield {"port_idle": random.choice((QUIET_PORTS, busy)), "progress": 1}
        if number % 32 == 3:
            yield {"port_idle": busy}
            yield from ({} for _ in range(STOP_LIMIT + 4))
        yield from self.waiting(random.randrange(6))
        if number % 4 == 0:
            yield {"soft_reset": 1, "port_idle": random.choice((QUIET_PORTS, busy))}
            yield from self.waiting(random.randrange(6))
        if number % 16 == 5:
            yield {"soft_reset": 1}
        yield {"port_idle": QUIET_PORTS}
        yield from ({} for _ in range(random.choice((0, CLEAR_CYCLES, CLEAR_CYCLES + 2, 12))))
        if number % 16 == 9:  # without a run
            yield from ({} for _ in range(CLEAR_CYCLES + 2))
            yield {**self.errors(*ERRORS), "finished": 1}
            yield {"soft_reset": 1}
            yield from ({} for _ in range(number % 7))

# SPDX-License-Identifier: Apache-2.0
"""Which activity class vector_engine.v must show in each cycle, as far as its ports tell: active, waiting for input, for output.

Rows and bias words that are taken are work in any case. The rest is the drain of each half: outputs pass one a cycle after a job's
last row was taken, then, with tags, the pieces; after that the half waits for its write port and the responses.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from tb.support.base import Predictor

CLASSES = ("active", "waiting_input", "waiting_output")
PIPELINE = 7  # cycles from the last output that enters the drain's pipeline to the state behind it


@dataclass
class Drain:
    """What one half does for a job after its rows: sizes, and how far it has come."""

    number: int
    rows: int  # words of rows to be taken, then words of bias
    bias: int
    lanes: int  # outputs that pass, whole pieces
    has_bias: bool
    idle_lanes: int  # of those, outputs that are not stored, at the end
    pieces: int  # steps of packing mask pieces
    beats: int
    writes: int
    kept: bool = False  # the job keeps its sums: there is nothing after its rows
    started: int | None = None  # cycle of the last row's last word; None also where there is no row
    waited: bool = False  # a beat waited since
    last_beat: int = 0
    ended: int | None = None  # cycle of the last response

    @classmethod
    def of(cls, number: int, words: int, rows: int, has_bias: int, store_tags: int, skip: int, keep: int) -> Drain:
        """The drain of ``words`` words after ``rows`` words of rows; ``skip`` pieces come before ours in the first tag word."""
        if keep:
            return cls(number, rows, 0, 0, False, 0, 0, 0, 0, kept=True)
        pieces = -(-words // 4)
        tag_words = -(-(skip + pieces) // 4) if words and store_tags else 0
        writes = (words > 0) + (tag_words > 0)
        bias = 4 * words * has_bias
        return cls(number, rows, bias, 16 * pieces, bias > 0, 16 * pieces - 4 * words, 4 * tag_words, words + tag_words, writes)

    @property
    def loose(self) -> bool:
        """No row is taken, so the ports do not tell when it begins."""
        return self.started is None

    def age(self, now: int) -> int:
        """Cycles since the last row was taken."""
        return now - self.started if self.started is not None else 0

    def must_step(self, now: int) -> bool:
        """An output passes in this cycle for certain."""
        return not self.loose and not self.has_bias and not self.waited and 1 <= self.age(now) <= self.lanes

    def may_step(self) -> bool:
        """An output or a piece may pass."""
        return self.beats > 0 or self.idle_lanes > 0

    def must_block(self, now: int) -> bool:
        """Nothing but responses is missing, for certain."""
        return not self.beats and (self.writes > 0 or self.ended == now - 1) and now >= self.settled

    @property
    def settled(self) -> int:
        """When, at the latest, nothing passes any more, once the last beat was taken."""
        return self.last_beat + (1 if self.pieces else self.idle_lanes + 2)

    def over(self, now: int) -> bool:
        """The responses are there and this is the last cycle, at the latest, in which that is not yet seen."""
        return self.ended is not None and now >= max(self.ended + 1, self.settled)

    def may_block(self, now: int, data_valid: int) -> bool:
        """It may wait for its port or its responses."""
        return self.loose or bool(data_valid) or self.age(now) >= self.lanes + self.pieces + PIPELINE


class Activity(Predictor):
    """Compares the three classes with what the ports allow; says in the coverage which were the only ones possible."""

    def build_phase(self) -> None:
        self.now = 0
        self.restart()

    def restart(self) -> None:
        """The unit was reset: it does nothing."""
        self.drains: tuple[deque[Drain], deque[Drain]] = (deque(), deque())
        self.ahead = [0, 0]  # words taken for jobs that are not planned yet
        self.done = 0
        self.allowed: set[str] | None = None  # in this cycle, by the one before; None: nothing

    def plan(self, half: int, drain: Drain) -> None:
        """A job's vector is known."""
        if drain.rows or not drain.kept:
            self.drains[half].append(drain)
        words, self.ahead[half] = self.ahead[half], 0
        for _ in range(words):
            self._word(half)

    def classes(self, pins: dict[str, int]) -> list[str]:
        """Those that are up."""
        return [name for name in CLASSES if pins[name]]

    def cycle(self, pins: dict[str, int]) -> None:
        """Check this cycle's classes, which tell of the cycle before; then see what this cycle allows."""
        if "rst" in pins:
            self.restart()
            return
        self.now += 1
        seen = self.classes(pins)
        if self.allowed is not None:
            assert len(seen) == bool(self.allowed), f"{seen or 'no class'} at once, not one of {sorted(self.allowed) or 'none'}"
            for name in seen:
                assert name in self.allowed, f"{name} in a cycle of {' or '.join(sorted(self.allowed))}"
                if len(self.allowed) == 1 and not self.get_parent().coverage.seen(name):
                    self.get_parent().coverage.sample(certain=name)
        self.allowed = self._allowed(pins) if pins["busy"] else set()
        self._advance(pins)

    def _allowed(self, pins: dict[str, int]) -> set[str]:
        if pins["read_response_valid"] & pins["read_response_ready"] & 3:
            return {"active"}
        drains = [(half, drain) for half in (0, 1) for drain in self._open(half)]
        if any(drain.must_step(self.now) for _, drain in drains):
            return {"active"}
        allowed = {"active"} if any(drain.may_step() for _, drain in drains) else set()
        if any(drain.must_block(self.now) for _, drain in drains):
            return allowed | {"waiting_output"}
        if any(drain.may_block(self.now, pins["write_data_valid"] >> half & 1) for half, drain in drains):
            allowed.add("waiting_output")
        return allowed | {"waiting_input"}

    def _open(self, half: int) -> list[Drain]:
        """The drains of a half that may be at work: at most one with rows, the oldest, and those whose begin is not seen."""
        found = []
        for drain in self.drains[half]:
            if drain.rows:
                break
            found.append(drain)
            if not drain.loose:
                break
        return found

    def _word(self, half: int) -> None:
        """A word of rows or bias was taken."""
        for drain in self.drains[half]:
            if drain.rows:
                drain.rows -= 1
                if not drain.rows:
                    drain.started = self.now
                    while self.drains[half][0] is not drain:  # those before are over
                        self.drains[half].popleft()
                    if drain.kept:
                        self.drains[half].popleft()
                return
            if drain.bias:
                drain.bias -= 1
                return
        self.ahead[half] += 1

    def _advance(self, pins: dict[str, int]) -> None:
        for half in (0, 1):
            bit = 1 << half
            if self.drains[half] and self.drains[half][0].over(self.now):
                self.drains[half].popleft()
            if pins["read_response_valid"] & pins["read_response_ready"] & bit:
                self._word(half)
            if pins["write_data_valid"] & bit:
                if pins["write_data_ready"] & bit:
                    drain = next(drain for drain in self.drains[half] if drain.beats)
                    drain.beats, drain.last_beat = drain.beats - 1, self.now
                else:
                    for drain in self.drains[half]:
                        drain.waited = drain.waited or not drain.loose
            if pins["write_done"] & bit:
                drain = next(drain for drain in self.drains[half] if drain.writes)
                drain.writes -= 1
                if not drain.writes:
                    drain.ended = self.now
                    while self.drains[half][0] is not drain:  # they write nothing, and are over
                        self.drains[half].popleft()
        if pins["done"]:
            for half in (0, 1):
                while self.drains[half] and self.drains[half][0].number <= self.done:
                    self.drains[half].popleft()
            self.done += 1

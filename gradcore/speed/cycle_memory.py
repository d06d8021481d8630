# SPDX-License-Identifier: Apache-2.0
"""The memory and the AXI ports of the cycle model, burst by burst: rtl/axi/ and gradcore/simulator/harness/axi_memory.v.

Cycles are those in which a signal is up. The constants are counted in the Verilog:

- A request that is valid in cycle t is ready in t + 1 at the earliest (axi_request_stage registers its grant), is checked
  in t + 3, loaded in the splitter in t + 3 and offered as a burst in t + 5. The next request of the client is granted when
  the last burst is offered.
- A burst that is offered in cycle t is chosen in t + 1 and shown on the bus in t + 2 (axi_burst_issue); the next one of
  the same client can be chosen two cycles later, one of another client one cycle later.
- The first beat comes ``latency`` cycles after the address; a client sees it two cycles later (register, FIFO).
- Written data are on the bus three cycles after the burst was chosen at the earliest (order FIFO and register, skid buffer, the memory's
  ready); the response comes ``latency`` cycles after the last beat, and `done` one later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator

from gradcore.models.axi.axi_bursts import bursts
from gradcore.speed.cycle_kernel import Scheduler, Signal

LATENCY = 32  # from a read address to its first beat, and from the last beat written to its response
OUTSTANDING = 8  # bursts on the bus of a port and direction
CLIENT_WORDS = 64  # words of a client's FIFO; room for them is promised when a burst is issued
BURST = 16
WINDOW = 1024  # cycles over which the memory's bandwidth is averaged
DATA_ORDER = 3  # bursts whose addresses a write port may be ahead of its data


NEVER = 1 << 60
FORGOTTEN = 4096  # words taken that a client remembers at most
NOTIFIED = 3  # words that a client may learn of together: the first one can be taken when the last one is known


class Memory:
    """gradcore/simulator/harness/axi_memory.v, clock edge by clock edge: two ports, beats as far as the window allows.

    At most ``beats`` beats go in any 1,024 cycles, all ports and directions together. Written words that come in a cycle
    are counted first, then the ports' read beats, then the places of the written words of the next cycle are granted;
    every other cycle those leave room for the reads.
    """

    def __init__(self, scheduler: Scheduler, beats: int) -> None:
        self.scheduler = scheduler
        self._limit = beats
        self._history = [0] * WINDOW
        self._sum = 0
        self._edge = 0
        self._planned: int | None = None
        self._granted = [False, False]
        self.reads: list[ReadPort] = []
        self.writes: list[WritePort] = []

    def wake(self, edge: int) -> None:
        """Something may be due at an edge."""
        if self._planned is None or edge < self._planned:
            self._planned = edge
            self.scheduler.call(edge, self._clock, edge)

    def _clock(self, edge: int) -> None:
        if edge != self._planned:
            return
        self._planned = None
        while (following := self._at(edge)) < NEVER:
            if not self.scheduler.alone_until(following):
                self.wake(following)
                return
            edge = following

    def _at(self, edge: int) -> int:
        """A clock edge; returns the next at which something is due."""
        history, reads, writes, granted = self._history, self.reads, self.writes, self._granted
        for passed in range(max(self._edge + 1, edge - WINDOW), edge):
            self._sum -= history[passed % WINDOW]
            history[passed % WINDOW] = 0
        self._edge = edge
        self._sum -= history[edge % WINDOW]
        left = before = self._limit - self._sum
        for port in (0, 1):
            if granted[port] and writes[port].beat(edge):
                left -= 1
        order = (1, 0) if edge & 2 else (0, 1)
        for port in order:
            if reads[port].due <= edge:
                if left > 0:
                    reads[port].beat(edge)
                    left -= 1
                else:
                    reads[port].tell()
        history[edge % WINDOW] = before - left
        self._sum += before - left
        if writes[0].due <= edge or writes[1].due <= edge:
            budget = left + history[(edge + 1) % WINDOW]
            if edge & 1:
                budget -= (reads[0].due < edge + LATENCY) + (reads[1].due < edge + LATENCY)  # accepted, not answered
            for port in order:
                granted[port] = budget > 0 and writes[port].due <= edge
                budget -= granted[port]
            return edge + 1
        granted[0] = granted[1] = False
        following = min(reads[0].due, reads[1].due, writes[0].due, writes[1].due)
        return following if following == NEVER else max(following, edge + 1)


class _Client:
    """What read and write clients have in common: one request in hand, cut in bursts."""

    def __init__(self, port: _Port) -> None:
        self.port = port
        self.scheduler = port.scheduler
        self.freed = Signal(port.scheduler)
        self._free: int | None = 0  # cycle from which the next request is granted; None: not known yet
        self._bursts: deque[tuple[int, int, bool]] = deque()  # first cycle of the offer, beats, last of its request
        self.offer: int | None = None  # cycle from which the next burst is offered

    def request(self, valid: int, address: int, words: int) -> Generator[int | Signal, None, None]:
        """Ask for a run of words with a request that is valid from cycle ``valid`` on; returns when it is taken."""
        while self._free is None:
            yield self.freed
        yield max(valid, self._free)
        taken = self.scheduler.now + 1
        beats = [beats for _, beats in bursts(address, words)]
        self._bursts.extend((taken + 4, count, place == len(beats) - 1) for place, count in enumerate(beats))
        self._free = None
        if self.offer is None:
            self._offer(taken + 4)
        yield taken

    def _offer(self, cycle: int) -> None:
        """The splitter holds the next burst from a cycle on; with the last one of a request it is free."""
        earliest, _, last = self._bursts[0]
        self.offer = max(cycle, earliest)
        if last:
            self._free = self.offer
            self.freed.notify()
        self.port.poke(self.offer)

    def take_burst(self) -> tuple[int, bool]:
        """The offered burst is chosen now."""
        _, beats, last = self._bursts.popleft()
        self.offer = None
        if self._bursts:
            self._offer(self.scheduler.now + 2)
        return beats, last

    def allowed(self) -> bool:
        """Whether the offered burst may be chosen now."""
        raise NotImplementedError


class _Port:
    """Chooses bursts of several clients by round robin: axi_burst_issue."""

    def __init__(self, scheduler: Scheduler, memory: Memory) -> None:
        self.scheduler = scheduler
        self.memory = memory
        self.clients: list[_Client] = []
        self.in_flight = 0
        self.beats = 0  # of all bursts so far
        self._turn = 0
        self._next_choice = 0
        self._planned: int | None = None

    def poke(self, cycle: int) -> None:
        """Look for a burst to choose in this cycle or later."""
        cycle = max(cycle, self._next_choice, self.scheduler.now)
        if self._planned is None or cycle < self._planned:
            self._planned = cycle
            self.scheduler.call(cycle, self._choose, cycle)

    def _choose(self, planned: int) -> None:
        if planned != self._planned:
            return
        self._planned = None
        now = self.scheduler.now
        if self.in_flight >= OUTSTANDING or not self._room():
            return  # looked at again when a burst is completed
        later = None
        for step in range(len(self.clients)):
            client = self.clients[(self._turn + step) % len(self.clients)]
            if client.offer is None:
                continue
            if client.offer > now:
                later = client.offer if later is None else min(later, client.offer)
            elif client.allowed():
                self._turn = (self._turn + step + 1) % len(self.clients)
                self._next_choice = now + 1
                self.in_flight += 1
                beats, last = client.take_burst()
                self.beats += beats
                self._chosen(client, beats, last)
                self.poke(now + 1)
                return
        if later is not None:
            self.poke(later)

    def _room(self) -> bool:
        return True

    def _chosen(self, client: _Client, beats: int, last: bool) -> None:
        raise NotImplementedError

    def _completed(self, _: object) -> None:
        self.in_flight -= 1
        self.poke(self.scheduler.now)


class ReadClient(_Client):
    """A client of a read port: words arrive in order.

    Attributes:
        arrivals: cycle from which each word can be taken, in order; a burst's words are known when its first beat comes. consumed: of
            these, words taken; now and then they are forgotten.
        delivered: notified when ``arrivals`` grows.
    """

    def __init__(self, port: ReadPort) -> None:
        super().__init__(port)
        self.arrivals: list[int] = []
        self.consumed = 0
        self.delivered = Signal(port.scheduler)
        self.room = CLIENT_WORDS

    def allowed(self) -> bool:
        return self.room >= BURST

    def release(self, words: int) -> None:
        """Words were taken out of the FIFO now."""
        self.consumed += words
        self.room += words
        if self.consumed >= FORGOTTEN:
            del self.arrivals[: self.consumed]
            self.consumed = 0
        if self.offer is not None and self.room >= BURST:
            self.port.poke(self.scheduler.now + 1)

    def take(self, words: int, start: int, chunk: int = 8) -> Generator[int | Signal, None, int]:
        """Take words, one a cycle from cycle ``start`` on; returns the cycle after the last one."""
        cycle, left = start, words
        while left:
            known = len(self.arrivals) - self.consumed
            if not known:
                yield self.delivered
                continue
            part = min(known, left, chunk)
            for arrival in self.arrivals[self.consumed : self.consumed + part]:
                cycle = max(cycle, arrival) + 1
            yield cycle - 1
            self.release(part)
            left -= part
        return cycle


class ReadPort(_Port):
    """axi_read_port, and the bursts that the memory has yet to answer."""

    def __init__(self, scheduler: Scheduler, memory: Memory) -> None:
        super().__init__(scheduler, memory)
        memory.reads.append(self)
        self.due = NEVER  # edge at which the oldest burst has its next beat
        self._bursts: deque[tuple[int, ReadClient, int]] = deque()  # edge of the first beat, client, beats
        self._left = 0  # beats of the oldest burst, once it has begun
        self._untold = 0

    def client(self) -> ReadClient:
        """A further client."""
        made = ReadClient(self)
        self.clients.append(made)
        return made

    def _chosen(self, client: ReadClient, beats: int, last: bool) -> None:
        client.room -= beats
        due = self.scheduler.now + 1 + LATENCY
        self._bursts.append((due, client, beats))
        if len(self._bursts) == 1:
            self._left, self.due = beats, due
            self.memory.wake(due)

    def beat(self, edge: int) -> None:
        """Offer a beat in the cycle after the edge."""
        client = self._bursts[0][1]
        client.arrivals.append(edge + 3)
        self._left -= 1
        self._untold += 1
        if not self._left:
            self.tell()
            self._bursts.popleft()
            self.scheduler.call(edge + 2, self._completed)
            self.due = self._bursts[0][0] if self._bursts else NEVER
            self._left = self._bursts[0][2] if self._bursts else 0
        elif self._untold == NOTIFIED:
            self.tell()

    def tell(self) -> None:
        """Let the client know of its new words."""
        if self._untold:
            self._untold = 0
            self._bursts[0][1].delivered.notify()


class WriteClient(_Client):
    """A client of a write port.

    Attributes:
        data: iterator of the cycles in which the words that are to be written can be taken at the earliest, in order;
            None: not known yet, then ``more`` is to be called when it is. It is asked for a word when the one before
            has been sent.
        sent: cycles in which the words went over the bus, the last few.
        finish: called with the cycle of `done`, once a request.
    """

    def __init__(self, port: WritePort) -> None:
        super().__init__(port)
        self.data: Iterator[int | None] = iter(())
        self.sent: deque[int] = deque([0] * 8, maxlen=8)
        self.finish: Callable[[int], None] = lambda cycle: None
        self._next: int | None = None

    def ready(self) -> int | None:
        """When the next word can be taken; None: not known yet."""
        if self._next is None:
            self._next = next(self.data)
        return self._next

    def more(self) -> None:
        """Further words are known."""
        self.port.go_on(self)

    def take_word(self, cycle: int) -> None:
        """The next word goes over the bus in a cycle."""
        self._next = None
        self.sent.append(cycle)

    def allowed(self) -> bool:
        if self.port.pending(self):
            return True
        ready = self.ready()
        if ready is None:
            return False
        if ready > self.scheduler.now:
            self.port.poke(ready)
        return ready <= self.scheduler.now


class WritePort(_Port):
    """axi_write_port, and the bursts whose data the memory waits for."""

    def __init__(self, scheduler: Scheduler, memory: Memory) -> None:
        super().__init__(scheduler, memory)
        memory.writes.append(self)
        self.due = NEVER  # edge from which the memory waits for data
        self._waiting: deque[tuple[int, WriteClient, int, bool]] = deque()  # edge of acceptance, client, beats, last
        self._sent = 0  # beats of the oldest burst

    def client(self) -> WriteClient:
        """A further client."""
        made = WriteClient(self)
        self.clients.append(made)
        return made

    def pending(self, client: WriteClient) -> bool:
        """Whether bursts of a client wait for their data to be sent: its data have begun to come."""
        return any(one[1] is client for one in self._waiting)

    def go_on(self, client: WriteClient) -> None:
        """A client knows of further data."""
        self.poke(self.scheduler.now)

    def _room(self) -> bool:
        return len(self._waiting) < DATA_ORDER

    def _chosen(self, client: WriteClient, beats: int, last: bool) -> None:
        accepted = self.scheduler.now + 3
        self._waiting.append((accepted, client, beats, last))
        if len(self._waiting) == 1:
            self.due = accepted
            self.memory.wake(accepted)

    def beat(self, edge: int) -> bool:
        """Write a word in the cycle before the edge, which the memory has granted, if the client has it."""
        _, client, beats, last = self._waiting[0]
        ready = client.ready()
        if ready is None or ready + 1 > edge:
            return False
        client.take_word(edge)
        self._sent += 1
        if self._sent == beats:
            self._sent = 0
            self._waiting.popleft()
            self.due = self._waiting[0][0] if self._waiting else NEVER
            done = edge + 1 + LATENCY
            self.scheduler.call(done, self._completed)
            if last:
                self.scheduler.call(done, client.finish, done)
            self.poke(self.scheduler.now)
        return True

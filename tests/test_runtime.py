# SPDX-License-Identifier: Apache-2.0
"""The runtime's driver on the simulated core: results, checks before the first access, errors, and that forgotten flushes fail."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gradcore import hardware
from gradcore.backends import METHODS, GoldenBackend
from gradcore.compiler import compile_network
from gradcore.compiler.other_formats import with_other_formats
from gradcore.errors import GradCoreError
from gradcore.models import network as golden
from gradcore.network import Layer, Network
from gradcore.quantise import quantise
from gradcore.runtime import board as runtime_board
from gradcore.runtime import driver as runtime_driver
from gradcore.runtime.board import Board
from gradcore.runtime.driver import Driver, Stopped
from gradcore.runtime.program import Program
from gradcore.simulator.device import SimulatedDevice
from registers.description import read_description

ROOT = Path(__file__).resolve().parents[1]
LAYERS = [Layer("conv", "conv1", 3, 8, 3, pool=True), Layer("conv", "conv2", 8, 6, 3), Layer("fc", "fc1", 6 * 4 * 4, 10, relu=False)]
PICTURES = np.random.default_rng(3).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> Network:
    """A network that takes few cycles."""
    return Network.random(LAYERS, (3, 8, 8), seed=7)


@pytest.fixture(scope="module")
def file(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It, compiled for the small core at the usual address, which is not where the boards of these tests have memory."""
    path = tmp_path_factory.mktemp("program") / "net.gradcore"
    quantised = quantise(network)
    with_other_formats(compile_network(quantised, "small"), network, quantised, headroom=False).save(path)
    return path


@pytest.fixture
def board(file: Path) -> Iterator[Board]:
    """A simulated board with the program."""
    with Board(SimulatedDevice(preset="small"), file) as opened:
        yield opened


def test_execute_gives_the_golden_models_results(board: Board, network: Network, tmp_path: Path) -> None:
    """Every method; class by prediction, index, name, seed vector; pixels and quantised pictures; inference alone; files."""
    expected = GoldenBackend(network).run(list(PICTURES), METHODS)
    for method in METHODS:
        for got, wanted in zip(board.execute(PICTURES, method), expected[method], strict=True):
            assert np.array_equal(got.logits, wanted.logits) and np.array_equal(got.attribution, wanted.attribution)
            assert got.target == got.predicted == wanted.target and got.attribution.dtype == np.float32
            assert got.saturated == tuple(one.values for one in wanted.saturation)
    one = GoldenBackend(network).run(list(PICTURES), ["guided"], [4, 0, 9])["guided"]
    names = [board.program.classes[index] for index in (4, 0, 9)]
    for targets in ([4, 0, 9], names):
        results = board.execute(board.program.quantise_image(PICTURES[0])[None], "guided", targets[0])
        assert results[0].target == 4 and np.array_equal(results[0].attribution, one[0].attribution)
    results = board.execute(list(PICTURES), "guided", names)
    assert all(np.array_equal(got.attribution, wanted.attribution) for got, wanted in zip(results, one, strict=True))
    result = results[0]
    assert result.cycles.total == result.counters["cycles"] == result.cycles.forward + result.cycles.backward > 500
    assert sum(layer.cycles for layer in result.cycles.layers) == result.cycles.total
    assert min(layer.cycles for layer in result.cycles.layers) > 0
    assert [layer.layer for layer in result.cycles.layers] == ["conv1", "conv2", "fc1", "seed", "fc1", "conv2", "conv1"]
    assert result.latency_ms == result.cycles.total / 1e5 and result.counters["macs_issued"] > 0
    quantised = quantise(network)
    forward = golden.forward(quantised, quantised.quantise_image(PICTURES[:1]))
    seed = np.random.default_rng(1).integers(-900, 900, (1, 1, 1, 10))
    (seeded,) = board.execute(PICTURES[0], "saliency", seed=seed[0])
    made = golden.backward(quantised, forward, "saliency", seed=seed)
    assert np.array_equal(seeded.attribution, quantised.dequantise_attribution(made.attribution)[0])
    (inferred,) = board.execute(PICTURES[1], explain=False)
    assert inferred.attribution.size == 0 and np.array_equal(inferred.logits, expected["saliency"][1].logits)
    (tmp_path / "file").write_text("")
    with pytest.raises(GradCoreError, match="file/out cannot be written .Not a directory.: choose another folder"):
        result.save(tmp_path / "file" / "out")
    saved = result.save(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["attribution.npy", "result.json"]
    assert np.array_equal(np.load(saved["attribution"]), result.attribution) and '"target"' in Path(saved["result"]).read_text()


def test_throughput_and_validate(board: Board, tmp_path: Path) -> None:
    """Simulated time; the counters' bandwidth; labels in an npz file."""
    report = board.throughput_test(3, "guided")
    assert report["batch_size"] == 3 and report["fclk[mhz]"] == 100 and 0 < report["core[ms]"] < report["runtime[ms]"] < 1
    assert report["throughput[images/s]"] == pytest.approx(3000 / report["runtime[ms]"])
    assert 10 < report["DRAM_out_bandwidth[MB/s]"] < report["DRAM_in_bandwidth[MB/s]"] < 1600
    labels = np.array([one.predicted for one in board.execute(PICTURES, explain=False)])
    labels[1] += 1
    np.savez(tmp_path / "data.npz", images=PICTURES, labels=labels)
    assert board.validate(tmp_path / "data.npz") == {"images": 3, "ok": 2, "nok": 1, "accuracy": 2 / 3}
    assert board.validate((PICTURES, labels), limit=1)["accuracy"] == 1
    for data, said in ((tmp_path / "none.npz", "no npz file"), ((PICTURES, labels[:2]), "2 labels")):
        with pytest.raises(GradCoreError, match=said):
            board.validate(data)


def test_polling_needs_no_interrupt(file: Path) -> None:
    """As on a board: STATUS is asked, the interrupt stays off."""
    with Board(SimulatedDevice(preset="small", polling=True), file) as board:
        (result,) = board.execute(PICTURES[0])
        assert result.counters["bytes_written"] > 0 and not board.driver.field("CONTROL.interrupt_enable")


@pytest.mark.parametrize("what", ["flush", "invalidate"])
def test_a_forgotten_flush_fails(file: Path, network: Network, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Memory and the processor's view of it are two things: who forgets one gets other results."""
    with Board(SimulatedDevice(preset="small"), file) as board:
        monkeypatch.setattr(board.device, what, lambda offset, size: None)
        (result,) = board.execute(PICTURES[0])
        (wanted,) = GoldenBackend(network).run([PICTURES[0]], ["saliency"])["saliency"]
        assert not np.array_equal(result.attribution, wanted.attribution)


def test_flushes_are_whole_cache_lines(board: Board) -> None:
    """And a region that shares a line with another is refused."""
    with pytest.raises(AssertionError, match="cache lines"):
        board.device.flush(8, 32)
    board.program.regions["activation_0"].__dict__["address"] += 8
    with pytest.raises(GradCoreError, match="activation_0 does not start at a cache line of 32 bytes"):
        board.driver.load(board.program)


def test_the_driver_never_makes_the_core_refuse(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be answered with SLVERR stays in software; all that a run writes, the core takes."""
    for name, value in (("STATUS", 0), ("METHOD", 3), ("SEED_MODE", 3), ("CYCLES_LOW", 0), ("SEED_INDEX", 1 << 32), ("LAYER_INDEX", 256)):
        with pytest.raises(ValueError, match="would refuse"):
            board.driver.write(name, value)
    with pytest.raises(KeyError):
        board.driver.read("0x14")
    seen = set()
    monkeypatch.setattr(board.device, "write32", lambda offset, value: seen.add(offset) or board.device.simulator.write(offset, value))
    board.driver.load(board.program)
    board.execute(PICTURES[0], target=2)
    assert seen <= {hardware.ADDRESSES[name] for name in runtime_driver._WRITABLE} and len(seen) == 10


def test_the_driver_knows_what_may_be_written() -> None:
    """The registers that the description says are writable, and those among them whose values have names."""
    registers = read_description().registers
    writable = {one.name for one in registers if any(item.access != "RO" for item in one.fields)}
    assert writable == runtime_driver._WRITABLE
    named = {one.name for one in registers for item in one.fields if item.access == "RW" and item.values}
    assert named <= runtime_driver._ALLOWED.keys() <= writable


class Registers(SimulatedDevice):
    """A core some of whose registers read something else."""

    changed: dict[int, int] = {}

    def read32(self, offset: int) -> int:
        return self.changed.get(offset, super().read32(offset))


@pytest.mark.parametrize(
    ("register", "value", "said"),
    [
        ("IDENTIFIER", 0, "no GradCore answers: IDENTIFIER reads 0x00000000, not 0x47524144; another bitstream"),
        ("IDENTIFIER", 0xFFFFFFFF, "no GradCore answers.*load gradcore.bit"),
        ("VERSION", 0x0001_0000, r"the core is version 1.0.0, this runtime is for 0\.\d+\.0: use the bitstream"),
        ("VERSION", 0x0000_0100, r"the core is version 0.1.0"),
        ("CONFIGURATION", 0x0108_1021, f"descriptors of version 1, programs have {hardware.DESCRIPTOR_VERSION}"),
        (
            "CONFIGURATION",
            0x0008_1024 | hardware.DESCRIPTOR_VERSION << 24,
            "the program is for a core with groups 1, this one has 4: compile it for the preset",
        ),
        ("CONFIGURATION_TILE", 0x0200_1000, "tile depth 8192, this one has 4096"),
    ],
)
def test_a_core_of_another_kind_is_refused(file: Path, register: str, value: int, said: str) -> None:
    """A wrong bitstream, another version, another preset."""
    device = Registers(preset="small")
    device.changed = {hardware.ADDRESSES[register]: value}
    try:
        with pytest.raises(GradCoreError, match=said) as caught:
            Board(device, file)
        assert "\n" not in str(caught.value)
    finally:
        device.close()


def test_a_core_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is busy, left over from somebody, and a soft reset does not end that: the driver gives up after its time."""
    monkeypatch.setattr(runtime_driver, "RESET_SECONDS", 1e-4)  # a tenth of a second is ten million simulated cycles
    device = Registers(preset="small")
    device.changed = {hardware.ADDRESSES["STATUS"]: hardware.STATUS_BUSY}
    try:
        with pytest.raises(GradCoreError, match="stays busy after a soft reset, its memory does not answer: load the bitstream again"):
            Driver(device)
        assert device.now() > runtime_driver.RESET_SECONDS
    finally:
        device.close()


def test_a_program_of_another_version_is_refused(board: Board, file: Path) -> None:
    """Its descriptors say which they are."""
    program = Program.load(file)
    core = hardware.DESCRIPTOR_VERSION
    program.image[program.program_address - program.base + 3] = core + 1
    said = f"descriptors of version {core}, {core + 1}, the core executes {core}: compile it again"
    with pytest.raises(GradCoreError, match=said):
        board.load(program)


def test_a_run_that_does_not_end(board: Board) -> None:
    """It is stopped and says where it was; then the next one runs."""
    board.device.interrupts = False
    with pytest.raises(Stopped, match=r"did not end within 1e-05 s and was stopped: STATUS 0x1 \(busy\), code NONE, descriptor") as caught:
        board.execute(PICTURES[0], timeout=1e-5)
    assert re.search(r"descriptor \d+ of \d+, address 0x0, \d+ layers finished, cycles [1-9]\d*, bytes_read \d+", str(caught.value))
    assert not board.driver.read("STATUS") & hardware.STATUS_BUSY
    assert board.execute(PICTURES[0])[0].cycles.total > 0
    board.driver.write("CONTROL", hardware.CONTROL_START)  # somebody else's, who was ended: the next driver stops it
    assert board.driver.field("STATUS.busy")
    assert not Driver(board.device).field("STATUS.busy")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda driver: driver.write("WINDOW_LIMIT", driver.program.window[0] + 64), "WINDOW.*address 0x10.*load the program again"),
        (lambda driver: driver.device.simulator.load(driver.program.program_address, bytes(8)), "ILLEGAL_DESCRIPTOR.*descriptor 0 of"),
    ],
)
def test_a_run_that_ends_with_an_error(board: Board, change, said: str) -> None:
    """Its code by name, and where."""
    change(board.driver)
    with pytest.raises(Stopped, match=said):
        board.execute(PICTURES[0])


def test_bad_input(file: Path, tmp_path: Path) -> None:
    """One line that names cause and remedy."""
    with Board(SimulatedDevice(preset="small")) as board:
        with pytest.raises(GradCoreError, match="no program is loaded: call load"):
            board.execute(PICTURES[0])
        board.load(file)
        for arguments, said in (
            ((PICTURES[0], "guidet"), "no method 'guidet': use one of saliency, deconvnet, guided, input_x_gradient"),
            ((PICTURES[0], "guided", 10), "no class 10: give an index from 0 to 9"),
            ((PICTURES[0], "guided", "yak"), "no class 'yak'"),
            ((PICTURES, "guided", [1, 2]), "2 targets are not one for each of 3"),
            ((PICTURES[0][:5],), "a picture of 8 x 8 x 3, not"),
            ((PICTURES[0][..., :1],), "a picture of 8 x 8 x 3, not"),
            ((PICTURES[0] / 255.0,), "uint8 pixels or quantised integers, not float64"),
        ):
            with pytest.raises(GradCoreError, match=said):
                board.execute(*arguments)
        with pytest.raises(GradCoreError, match="the simulated memory has"):
            board.device.buffer(1 << 30)
    (tmp_path / "not.gradcore").write_bytes(b"PK")
    for path, said in ((tmp_path / "none", "no such file"), (tmp_path / "not.gradcore", "is not a program")):
        with pytest.raises(GradCoreError, match=said):
            Program.load(path)
    with pytest.raises(GradCoreError, match="simulated has no such option .*speed"):
        Board.open(file, "simulated", speed=1)
    with pytest.raises(GradCoreError, match="no back end 'vitis': use one of "):
        Board.open(file, "vitis")


def test_both_programs_are_one(file: Path, network: Network) -> None:
    """What the runtime reads is what the compiler made, moved alike."""
    ours, theirs = Program.load(file).at(0x1234_5000), compile_network(network, "small").at(0x1234_5000)
    assert np.array_equal(ours.image, theirs.image) and ours.window == theirs.window
    assert ours.program_address == theirs.program_address and ours.logits == theirs.logits and ours.attribution == theirs.attribution
    assert np.array_equal(ours.quantise_image(PICTURES[0]), theirs.quantise_image(PICTURES[0]))


def test_stands_alone() -> None:
    """NumPy and the standard library, the syntax of Python 3.10; without GradCore it says what there is not."""
    folder = ROOT / "runtime" / "gradcore_runtime"
    command = [
        Path(sys.executable).parent / "ruff",
        "check",
        "--quiet",
        "--no-cache",
        "--target-version",
        "py310",
        "--select",
        "E9,F",
        folder,
    ]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stdout
    imported = set()
    for node in (node for path in folder.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))):
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
        imported |= {name.partition(".")[0] for name in names}
    assert imported - sys.stdlib_module_names == {"numpy", "pynq"}
    program = (
        "import sys\nsys.modules['gradcore'] = sys.modules['pynq'] = None\nimport gradcore_runtime as g\n"
        "try:\n    g.Board.open('/nowhere.gradcore')\nexcept g.GradCoreError as error:\n    print(error)\nprint(*sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "runtime")}
    made = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, env=environment, check=True).stdout
    assert made.startswith("there is no board") and not set(made.split()) & {"scipy", "matplotlib", "safetensors", "typer"}
    assert runtime_board.__name__ == "gradcore.runtime.board"

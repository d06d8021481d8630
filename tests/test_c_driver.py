# SPDX-License-Identifier: Apache-2.0
"""The driver in C (software/c): compiled for the Zynq's ARM, run under qemu against the simulated core."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from core_bridge import serve

from gradcore import hardware
from gradcore.deployment import make_bundle
from gradcore.network import Layer, Network
from gradcore.runtime.bundle import Bundle
from gradcore.simulator.device import SimulatedDevice

ROOT = Path(__file__).resolve().parents[1]
DRIVER = ROOT / "software" / "c"
BASE = 0x0100_0000
COMPILER = ["arm-linux-gnueabihf-gcc", "-std=c99", "-O2", "-mcpu=cortex-a9", f"-I{ROOT / 'include'}", f"-I{DRIVER}"]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
OK, FAILED, DIFFERS = 0, 1, 2


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose logits are a map of several pixels: classes and places in memory are numbered differently."""
    layers = [Layer("conv", "conv1", 3, 8, 3, pool=True), Layer("conv", "conv2", 8, 3, 3, pool=True, relu=False)]
    folder = tmp_path_factory.mktemp("bundle")
    Network.random(layers, (3, 8, 8), seed=7).save(folder / "net.safetensors")
    make_bundle(folder / "net.safetensors", folder / "bundle", preset="small", base=BASE)
    return folder / "bundle"


@pytest.fixture(scope="module")
def program(bundle: Path) -> Path:
    """The program for ARM: driver, test, the bundle's headers."""
    out = bundle.parent / "main"
    sources = [DRIVER / "gradcore.c", ROOT / "tests" / "c_driver" / "main.c"]
    command = [*COMPILER, "-D_POSIX_C_SOURCE=200809L", "-std=c11", "-static", f"-I{bundle / 'c'}", "-o", out, *sources]
    made = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return out


def run(program: Path, bundle: Path, *arguments: str, changed: dict[int, int] | None = None) -> tuple[int, str]:
    """Exit status and messages of the program; ``changed``: what registers read, and with negative offsets what is written to them."""
    device = SimulatedDevice(preset="small", address=BASE, polling=True)
    command = ["qemu-arm", "-cpu", "cortex-a9", str(program), str(bundle / "c" / "gradcore_image.bin"), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            device.check()
            serve(process, device, changed or {})
            assert not device.read32(hardware.STATUS) & hardware.STATUS_BUSY, "a run goes on"
        finally:
            device.close()
        _, errors = process.communicate()
    return process.returncode, errors.decode()


def test_every_bit_is_the_golden_models(program: Path, bundle: Path) -> None:
    """Each method, the class predicted and given; the class of a map of several pixels is numbered as Python's."""
    status, said = run(program, bundle)
    assert status == OK, said
    predicted = int(np.argmax(Bundle.open(bundle).sample()["logits"]))
    assert re.fullmatch(rf"class {predicted}, \d{{4}} cycles\n", said), said


@pytest.mark.parametrize("letter", ["F", "I"])
def test_a_forgotten_flush_fails(program: Path, bundle: Path, letter: str) -> None:
    """Nothing of the program arrives (ILLEGAL_DESCRIPTOR), or nothing of the results."""
    status, said = run(program, bundle, letter)
    assert (status, "run: -7" in said and "code 1" in said) == (FAILED, True) if letter == "F" else status == DIFFERS, said


@pytest.mark.parametrize(
    ("arguments", "changed", "said"),
    [
        ((), {hardware.IDENTIFIER: 0}, "open: -1"),
        ((), {hardware.VERSION: 1 << 16}, "open: -2"),
        ((), {hardware.VERSION: 1 << 8}, "open: -2"),
        ((), {hardware.CONFIGURATION: 0x0008_1021 | (hardware.DESCRIPTOR_VERSION + 1) << 24}, "open: -2"),
        ((), {hardware.CONFIGURATION: 0x0008_1024 | hardware.DESCRIPTOR_VERSION << 24}, "load: -3"),
        (("-", "3"), {}, "run: -6"),
        ((), {-hardware.WINDOW_LIMIT: BASE + 64}, "code 2 descriptor 0 address 0x10"),
    ],
    ids=["no core", "version", "older", "descriptors", "preset", "time-out", "window"],
)
def test_errors(program: Path, bundle: Path, arguments: tuple[str, ...], changed: dict[int, int], said: str) -> None:
    """Each has its number."""
    status, errors = run(program, bundle, *arguments, changed=changed)
    assert status == FAILED and said in errors, errors


def test_the_driver_stands_alone(tmp_path: Path) -> None:
    """C99 and C++ without warnings; nothing of a library but memcpy and the compiler's own division; registers as whole words."""
    for compiler, extra in ((COMPILER, []), (["g++", f"-I{ROOT / 'include'}", f"-I{DRIVER}", "-fsyntax-only", "-x", "c++"], ["header"])):
        source = DRIVER / ("gradcore.h" if extra else "gradcore.c")
        command = [*compiler, *([] if extra else [*WARNINGS, "-ffreestanding", "-S", "-o", str(tmp_path / "a.s")]), str(source)]
        made = subprocess.run(command, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
    assembly = (tmp_path / "a.s").read_text()
    called = set(re.findall(r"^\s+blx?\s+(\w+)", assembly, flags=re.M)) - set(re.findall(r"^(\w+):", assembly, flags=re.M))
    assert {name for name in called if not re.fullmatch(r"r\d+|ip|lr|__aeabi_uidiv(mod)?", name)} <= {"memcpy"}, called
    for name in ("read", "write"):
        body = assembly.split(f"gradcore_mmio_{name}32:")[1].split("bx\tlr")[0]
        assert "ldr\tr0" in body if name == "read" else "str\tr2" in body
        assert not re.search(r"\b(ldrb|strb|ldrh|strh)\b", body)


def test_packages_are_installed_by_make() -> None:
    """`make test` installs the cross compiler, its C library and qemu."""
    line = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("PACKAGES_ARM"))
    for package in ("gcc-arm-linux-gnueabihf=arm-linux-gnueabihf-gcc", "libc6-dev-armhf-cross=/usr/arm-linux-gnueabihf/lib/libc.a"):
        assert package in line
    assert "qemu-user=qemu-arm" in line

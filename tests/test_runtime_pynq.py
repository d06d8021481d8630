# SPDX-License-Identifier: Apache-2.0
"""The driver for PYNQ: with a stand-in for PYNQ here, with PYNQ 3.0 and 3.1 in the regression; the simulated core behind both."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from core_bridge import serve

import gradcore
from gradcore.deployment import make_bundle
from gradcore.network import Layer, Network
from gradcore.runtime.bundle import file_entry
from gradcore.runtime.program import Program
from gradcore.simulator.device import SimulatedDevice

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
VLNV = "gradcore:ip:gradcore:0.1"
PYNQ = ("pycparser<3", "numpy<2", "setuptools<80")
ADDRESS = 0x0100_0000  # of the buffer's first whole page
DESCRIPTION = (TESTS / "gradcore_system.hwh").read_text()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a bitstream, for the small core."""
    folder = tmp_path_factory.mktemp("pynq")
    layers = [Layer("conv", "conv1", 3, 8, 3, pool=True), Layer("fc", "fc1", 8 * 4 * 4, 10, relu=False)]
    Network.random(layers, (3, 8, 8), seed=7).save(folder / "net.safetensors")
    (folder / "gradcore.bit").write_bytes(b"bits")
    (folder / "gradcore.hwh").write_text(DESCRIPTION)
    make_bundle(folder / "net.safetensors", folder / "bundle", preset="small", bitstream=folder / "gradcore.bit")
    return folder / "bundle"


def run_child(python: str, path: list[Path], bundle: Path, out: Path) -> None:
    """The driver in another Python, with the core behind it: its results are the bundle's sample."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT / "runtime"]))}
    command = [python, "-s", str(TESTS / "pynq_child.py"), str(bundle), str(out)]
    device = SimulatedDevice(preset="small", address=ADDRESS, polling=True)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        try:
            device.check()
            serve(process, device)
        finally:
            device.close()
        _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    made, sample = np.load(out), np.load(bundle / "sample.npz")
    program = Program.load(bundle / "program.gradcore")
    assert np.array_equal(made["logits"], program.dequantise_logits(sample["logits"]))
    assert np.array_equal(made["attribution"], program.dequantise_attribution(sample["guided"]))
    network = gradcore.load_network(bundle.parent / "net.safetensors")
    (noisy,) = gradcore.explain(sample["picture"], network, "smoothgrad", 3, "golden", nt_samples=2)
    assert np.array_equal(made["noisy"], noisy.attribution)
    assert list(made["clock"]) == [100.0, 100.0]
    off, large = made["said"]
    assert off.startswith("the level shifters to the programmable logic are off")
    assert "bytes for the program cannot be allocated (Failed to allocate Memory!)" in large and "free other buffers" in large


def test_with_the_stand_in(bundle: Path, tmp_path: Path) -> None:
    """Bound to the core's name, loaded from the bundle that the bitstream lies in, run, refused: see pynq_child.py."""
    run_child(sys.executable, [TESTS / "fake_pynq"], bundle, tmp_path / "out.npz")


def test_selftest_loads_the_bitstream(bundle: Path, tmp_path: Path) -> None:
    """A bitstream without the core is refused, and a bundle without a bitstream, and a machine without PYNQ."""
    broken = shutil.copytree(bundle, tmp_path / "bundle")
    (broken / "gradcore.hwh").write_text(DESCRIPTION.replace('INSTANCE="gradcore"', 'INSTANCE="other"'))
    bare = shutil.copytree(bundle, tmp_path / "bare")
    for folder, name in ((broken, "gradcore.hwh"), (bare, None)):
        manifest = json.loads((folder / "manifest.json").read_text())
        if name is None:
            del manifest["files"]["gradcore.bit"]
        else:
            manifest["files"][name] = file_entry((folder / name).read_bytes())
        (folder / "manifest.json").write_text(json.dumps(manifest))
    fake = os.pathsep.join([str(TESTS / "fake_pynq"), str(ROOT / "runtime")])
    for folder, path, said in (
        (broken, fake, "has no gradcore among its IPs (other): use that of make bitstream"),
        (bare, fake, "pynq loads the bitstream of a bundle, and there is none: make one with gradcore bundle --bitstream"),
        (bundle, str(ROOT / "runtime"), "pynq is not installed: use it on a PYNQ image (3.0 or 3.1), or the back end uio"),
    ):
        program = (
            "import sys\nfrom gradcore_runtime.__main__ import main\ntry:\n    import pynq\nexcept ImportError:\n    pass\n"
            "else:\n    pynq.Device.active_device = pynq.Device('none')\n    pynq.Device.downloads = []\n"
            f"sys.exit(main(['selftest', {str(folder)!r}, '--backend', 'pynq']))"
        )
        environment = {**os.environ, "PYTHONPATH": path}
        made = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, env=environment)
        assert made.returncode == 2 and said in made.stderr, made.stderr


def test_the_name_is_that_of_the_packaged_core() -> None:
    """PYNQ binds by it."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"gradcore:ip:gradcore:{'.'.join(version.split('.')[:2])}" == VLNV
    assert f'VLNV = "{VLNV}"' in (ROOT / "runtime" / "gradcore_runtime" / "pynq_device.py").read_text()


SIGNATURES = """
import importlib, inspect, sys
sys.path.insert(0, sys.argv[1])
names = ["mmio.MMIO.__init__", "mmio.MMIO.read", "mmio.MMIO.write_reg", "buffer.PynqBuffer.__new__", "buffer.PynqBuffer.flush",
    "buffer.PynqBuffer.invalidate", "buffer.PynqBuffer.freebuffer", "buffer.allocate", "overlay.DefaultIP.__init__",
    "overlay.RegisterIP.__init__", "overlay.Overlay.__init__", "pl_server.Device.__init__", "pl_server.Device.has_capability"]
for name in names:
    module, *rest = name.split(".")
    value = importlib.import_module("pynq." + module)
    for part in rest:
        value = getattr(value, part)
    print(name, list(inspect.signature(value).parameters))
"""


@pytest.mark.regress
@pytest.mark.hardware  # what `make regress` runs
@pytest.mark.parametrize("version", ["3.0.1", "3.1.2"])
def test_with_pynq_itself(version: str, bundle: Path, tmp_path: Path) -> None:
    """PYNQ's own classes, in an environment of their own; and the stand-in has their signatures."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"pynq=={version}", *PYNQ]
    assert subprocess.run(install, capture_output=True).returncode == 0, "PYNQ cannot be installed"
    run_child(str(python), [], bundle, tmp_path / "out.npz")
    signatures = [
        subprocess.run([sys.executable if fake else str(python), "-P", "-c", SIGNATURES, str(place)], capture_output=True, text=True).stdout
        for fake, place in ((True, TESTS / "fake_pynq"), (False, tmp_path))
    ]
    assert signatures[0] == signatures[1] and signatures[0].count("\n") == 13

# SPDX-License-Identifier: Apache-2.0
"""`gradcore bundle`, and the self-test that a bundle has on the (simulated) board; damaged and wrong ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcore import hardware
from gradcore.compiler import compile_network
from gradcore.deployment import make_bundle
from gradcore.errors import GradCoreError
from gradcore.network import Layer, Network
from gradcore.runtime.__main__ import main
from gradcore.runtime.board import Board
from gradcore.runtime.bundle import Bundle, file_entry

ROOT = Path(__file__).resolve().parents[1]
LAYERS = [Layer("conv", "conv1", 3, 8, 3, pool=True), Layer("fc", "fc1", 8 * 4 * 4, 10, relu=False)]
DESCRIPTION = """<EDKSYSTEM><MODULES><MODULE FULLNAME="/gradcore" MODTYPE="gradcore"><PARAMETERS>
<PARAMETER NAME="GROUPS" VALUE="{groups}"/></PARAMETERS></MODULE></MODULES></EDKSYSTEM>"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that takes few cycles."""
    path = tmp_path_factory.mktemp("network") / "net.safetensors"
    Network.random(LAYERS, (3, 8, 8), seed=7).save(path)
    return path


def bitstream(folder: Path, groups: int) -> Path:
    """A bitstream with its description."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gradcore.bit").write_bytes(b"bits")
    (folder / "gradcore.hwh").write_text(DESCRIPTION.format(groups=groups))
    return folder / "gradcore.bit"


@pytest.fixture(scope="module")
def bundle(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for the small core, with a bitstream and a picture."""
    folder = tmp_path_factory.mktemp("bundle")
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(folder / "cat.png")
    out = folder / "net"
    report = make_bundle(network, out, preset="small", bitstream=bitstream(folder / "build", 1), image=folder / "cat.png")
    assert (
        report["bitstream"]
        and report["files"] == {"bundle": str(out)}
        and sorted(path.name for path in folder.iterdir()) == [*("build", "cat.png", "net")]
    )
    return out


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """A copy of it, to damage."""
    return shutil.copytree(bundle, tmp_path / "net")


def test_contents(bundle: Path, network: Path) -> None:
    """The manifest names every file with its hash; preset and version are there; the flat image is the program's."""
    opened = Bundle.open(bundle)
    files = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()} - {"manifest.json"}
    assert opened.manifest["files"].keys() == files >= {"program.gradcore", "sample.npz", "gradcore.bit", "gradcore.hwh"}
    version = ".".join(str(hardware.register_field(hardware.RESETS["VERSION"], f"VERSION.{name}")) for name in ("major", "minor", "patch"))
    assert {name: opened.manifest[name] for name in ("network", "preset", "groups", "version")} == {
        **{"network": "random", "preset": "small", "groups": 1, "version": version}
    }
    program = compile_network(str(network), "small")
    assert (bundle / "c" / "gradcore_image.bin").read_bytes() == program.image.tobytes()
    assert opened.bitstream == bundle / "gradcore.bit" and opened.sample()["picture"].shape == (8, 8, 3)


def test_selftest_and_the_other_commands(bundle: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """OK on the simulated core of the bundle's preset; throughput and validate print JSON."""
    assert main(["selftest", str(bundle)]) == 0
    assert capsys.readouterr().out == "OK: random, preset small, 100.0 MHz (simulated)\n"
    assert (
        main(["throughput", str(bundle), "--batch", "2", "--method", "guided", "--backend", "simulated", "--option", "clock_mhz=50"]) == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert report["batch_size"] == 2 and report["fclk[mhz]"] == 50
    images = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=[-1, -1])
    assert main(["validate", str(bundle), "--data", str(tmp_path / "data.npz")]) == 0
    assert json.loads(capsys.readouterr().out) == {"images": 2, "ok": 0, "nok": 2, "accuracy": 0.0}


def test_selftest_says_what_differs(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong value of the logits and of one attribution; and what the sample holds is what is run."""
    sample = Bundle.open(copy).sample()
    sample["logits"][3] += 1
    sample["guided"][0, 0, :2] += 1
    np.savez(copy / "sample.npz", **sample)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["sample.npz"] = file_entry((copy / "sample.npz").read_bytes())
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert main(["selftest", str(copy)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "guided: 2 of 192 values of the attribution differ" in lines
    assert "saliency: 1 of 10 values of the logits differ" in lines


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda copy: (copy / "gradcore.bit").write_bytes(b"bitz"), "gradcore.bit is damaged .its SHA-256 is not the manifest's.: copy"),
        (lambda copy: (copy / "program.gradcore").unlink(), "program.gradcore cannot be read .No such file or directory.: copy"),
        (lambda copy: (copy / "manifest.json").write_text("{}"), "is not a bundle .KeyError in manifest.json.: make one"),
        (lambda copy: (copy / "manifest.json").unlink(), "is not a bundle .FileNotFoundError"),
        (lambda copy: (copy / "manifest.json").write_text("[1"), "is not a bundle .JSONDecodeError"),
    ],
)
def test_damaged_bundles(copy: Path, damage, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit status 2."""
    damage(copy)
    with pytest.raises(GradCoreError, match=said):
        Bundle.open(copy)
    assert main(["selftest", str(copy)]) == 2
    assert capsys.readouterr().err.startswith("gradcore_runtime: ")


def test_wrong_preset_on_the_board(bundle: Path) -> None:
    """The program of a bundle on a core of another preset."""
    with pytest.raises(GradCoreError, match="for a core with groups 1, this one has 2: compile it for the preset of the bitstream"):
        Board.open(bundle, "simulated", preset="paper", simulator="icarus")


def test_bad_input(network: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bitstream of another preset, without description or GradCore; a folder that is something else, and stays."""
    good = bitstream(tmp_path / "full", 4)
    for groups, said in ((4, "has 4 groups, the preset small has 1: name another with"),):
        with pytest.raises(GradCoreError, match=said):
            make_bundle(network, tmp_path / "out", preset="small", bitstream=bitstream(tmp_path / "other", groups))
    for text, said in (("<EDKSYSTEM/>", "has no GradCore"), ("<", "is not a hardware description"), (None, r"gradcore.hwh cannot be read")):
        description = good.with_suffix(".hwh")
        description.unlink() if text is None else description.write_text(text)
        with pytest.raises(GradCoreError, match=said):
            make_bundle(network, tmp_path / "out", bitstream=good)
    assert not (tmp_path / "out").exists()
    with pytest.raises(GradCoreError, match="is there and is no bundle"):
        make_bundle(network, tmp_path, preset="small")
    monkeypatch.chdir(tmp_path)
    again = shutil.copytree(bundle, tmp_path / "again")
    bitstream(Path("build/vivado/small-100"), 1)
    assert make_bundle(network, again, preset="small")["bitstream"] == "build/vivado/small-100/gradcore.bit"
    assert (again / "gradcore.bit").exists() and not list(tmp_path.glob(".*"))
    report = make_bundle(network, again, preset="paper", base=0x2000_0000)  # replaces the earlier one; there is no bitstream for it
    assert report["base"] == 0x2000_0000 and any("no bitstream" in note for note in report["notes"])
    assert Bundle.open(again).bitstream is None and Bundle.open(again).manifest["groups"] == 2


def test_command_line(network: Path, tmp_path: Path) -> None:
    """`gradcore bundle`, then `python -m gradcore_runtime` of the package that goes to the board."""
    gradcore = str(Path(sys.executable).with_name("gradcore"))
    made = subprocess.run(
        [gradcore, "bundle", str(network), "--out", "b", "--preset", "small", "--json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert made.returncode == 0 and json.loads(made.stdout)["files"] == {"bundle": "b"} and "no bitstream" in made.stderr
    for arguments, said in (
        (["none.safetensors", "--out", "x"], "none.safetensors"),
        ([str(network), "--out", "x", "--bitstream", "none.bit"], "none.bit cannot be read"),
        ([str(network), "--out", "x", "--base", "17"], "not a multiple of 4096"),
    ):
        refused = subprocess.run([gradcore, "bundle", *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and said in refused.stderr, refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "runtime")}
    command = [sys.executable, "-m", "gradcore_runtime", "selftest", "b", "--backend", "simulated"]
    tested = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert (tested.returncode, tested.stdout) == (0, "OK: random, preset small, 100.0 MHz (simulated)\n"), tested.stderr
    (tmp_path / "b" / "sample.npz").write_bytes(b"")
    tested = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert tested.returncode == 2 and tested.stderr.count("\n") == 1 and "sample.npz is damaged" in tested.stderr

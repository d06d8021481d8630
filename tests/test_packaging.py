# SPDX-License-Identifier: Apache-2.0
"""`pip install .` outside the checkout carries all that the package needs, under the one name gradcore."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the checkout, so that nothing old lies in its build folder."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("gradcore", "models", "rtl"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(copy)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel installed in a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return target


def run_installed(installed: Path, program: str, folder: Path) -> str:
    """Run Python on the installed package, away from the checkout; returns what it prints."""
    script = folder / "script.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(installed)!r})\n{program}\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run([sys.executable, "-P", str(script)], cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_file_is_in_the_wheel(wheel: Path) -> None:
    """Python modules, models, Verilog, harness and networks; none missing, none foreign."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = set()
    for folder, place, patterns in (
        ("gradcore", "gradcore", ("*.py",)),
        ("models", "gradcore/models", ("*.py",)),
        ("rtl", "gradcore/rtl", ("*.v", "*.vh", "*.f", "*.vlt")),
        ("gradcore/simulation", "gradcore/simulation", ("*.*",)),
        ("gradcore/networks", "gradcore/networks", ("*.safetensors",)),
    ):
        for pattern in patterns:
            for path in (ROOT / folder).rglob(pattern):
                inside = path.relative_to(ROOT / folder)
                if "__pycache__" not in path.parts and not (folder == "gradcore" and inside.parts[0] == "models"):
                    expected.add(f"{place}/{inside}")
    assert names == expected


def test_top_level_names(installed: Path) -> None:
    """Only gradcore lands in site-packages: no models, no tb, no rtl, no tests."""
    found = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert found <= {"gradcore", "bin"} and "gradcore" in found
    assert (installed / "bin" / "gradcore").exists()


def test_installed_package_works(installed: Path, tmp_path: Path) -> None:
    """Imports come from the installation, and the Verilog and the network are found there."""
    program = """
import gradcore, gradcore.models.arithmetic
from pathlib import Path
from gradcore.simulator_build import rtl_folder, source_files
folder = Path(rtl_folder())
assert all(Path(path).is_file() for path in source_files(folder))
assert list((Path(gradcore.__file__).parent / "networks").glob("*.safetensors"))
print(gradcore.__file__, gradcore.models.arithmetic.__file__, folder, sep="\\n")
"""
    for line in run_installed(installed, program, tmp_path).splitlines():
        assert Path(line).is_relative_to(installed), line


def test_pins() -> None:
    """Every dependency is pinned; `explain` needs neither PyTorch nor the test tools."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for item in [*project["dependencies"], *extras["torch"], *extras["test"]]:
        assert "==" in item or item == "gradcore[synth,torch]", item
    assert not any(item.startswith(("torch", "cocotb", "pytest", "captum")) for item in project["dependencies"])
    makefile = (ROOT / "Makefile").read_text()
    assert extras["torch"] == ["torch==2.13.0"] and "torch==2.13.0" in makefile
    assert makefile.index("$(PIP) torch==") < makefile.index("'.[test]'"), "PyTorch comes before captum"

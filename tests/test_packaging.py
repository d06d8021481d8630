# SPDX-License-Identifier: Apache-2.0
"""`pip install .` outside the checkout carries all that the package needs, under the one name gradcore."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the checkout, so that nothing old lies in its build folder."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("gradcore", "models", "rtl", "runtime"):
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
        ("runtime/gradcore_runtime", "gradcore/runtime", ("*.py",)),
        ("rtl", "gradcore/rtl", ("*.v", "*.vh", "*.f", "*.vlt")),
        ("gradcore/simulator/harness", "gradcore/simulator/harness", ("*.v", "*.cpp")),
        ("gradcore/report/templates", "gradcore/report/templates", ("*.j2", "*.css")),
        ("gradcore/synthesis", "gradcore/synthesis", ("*.json",)),
        ("gradcore/network/trained", "gradcore/network/trained", ("*.safetensors", "*.LICENSE")),
    ):
        for pattern in patterns:
            for path in (ROOT / folder).rglob(pattern):
                inside = path.relative_to(ROOT / folder)
                if "__pycache__" not in path.parts and not (folder == "gradcore" and inside.parts[0] in ("models", "runtime")):
                    expected.add(f"{place}/{inside}")
    assert names == expected


def test_the_runtime_is_a_package_of_its_own(tmp_path: Path) -> None:
    """`pip install ./runtime` brings gradcore_runtime, and wants NumPy alone."""
    copy = shutil.copytree(ROOT / "runtime", tmp_path / "runtime", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(tmp_path / "site")]
    result = subprocess.run([*command, str(copy)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    made, source = tmp_path / "site" / "gradcore_runtime", ROOT / "runtime" / "gradcore_runtime"
    names = {path.relative_to(made) for path in made.rglob("*.py")}
    assert names == {path.relative_to(source) for path in source.rglob("*.py")} and Path("attribution/methods.py") in names
    (found,) = (tmp_path / "site").glob("*.dist-info/METADATA")
    needed = [line for line in found.read_text().splitlines() if line.startswith("Requires-Dist") and "extra" not in line]
    assert needed == ["Requires-Dist: numpy<3,>=1.21"]


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
from gradcore.simulator.build import rtl_folder, source_files
folder = Path(rtl_folder())
assert all(Path(path).is_file() for path in source_files(folder))
assert list((Path(gradcore.__file__).parent / "network" / "trained").glob("*.safetensors"))
print(gradcore.__file__, gradcore.models.arithmetic.__file__, folder, sep="\\n")
"""
    for line in run_installed(installed, program, tmp_path).splitlines():
        assert Path(line).is_relative_to(installed), line


def requirements(extras: tuple[str, ...] = ()) -> list[Requirement]:
    """The dependencies of pyproject.toml, with those of some extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    items = [*project["dependencies"], *(item for extra in extras for item in project["optional-dependencies"][extra])]
    return [one for one in map(Requirement, items) if one.name != "gradcore"]


def installed_with(names: list[str]) -> set[str]:
    """Names of the distributions that pip installs for these: theirs, and what they need without extras."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found.add(name)
            needed = map(Requirement, metadata.requires(name) or [])
            waiting += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def test_dependencies_are_ranges_and_constraints_are_exact() -> None:
    """GradCore fits beside what a user has; the Makefile installs exact versions, which lie in the ranges."""
    pins = {canonicalize_name(one.name): one for one in map(Requirement, CONSTRAINTS.read_text().splitlines()[3:])}
    for one in requirements(("data", "farm", "onnx", "samples", "torch", "synth", "test")):
        assert {part.operator for part in one.specifier} >= {">="} and "==" not in str(one.specifier), one
        assert one.name in ("setuptools", "packaging") or any(part.operator == "<" for part in one.specifier), one
        (pin,) = pins[canonicalize_name(one.name)].specifier
        assert pin.operator == "==" and one.specifier.contains(pin.version), f"{one} and {pin}"
    makefile = (ROOT / "Makefile").read_text()
    assert f"CONSTRAINTS := {CONSTRAINTS.relative_to(ROOT)}\n" in makefile and "--constraint $(CONSTRAINTS)" in makefile
    assert makefile.index("$(PIP) torch") < makefile.index("'.[test]'"), "PyTorch comes before captum"


def test_the_constraints_are_what_is_installed() -> None:
    """The versions that the tests run with are those of the file: `make constraints` was not forgotten."""
    for one in map(Requirement, CONSTRAINTS.read_text().splitlines()[3:]):
        assert one.specifier.contains(metadata.version(one.name).partition("+")[0]), one


def test_a_heatmap_needs_less_than_300_mb() -> None:
    """What `make explain` installs: no PyTorch, no pyarrow, no SciPy; scikit-image for its pictures alone."""
    names = installed_with([one.name for one in requirements()])
    assert not names & {"torch", "pyarrow", "scipy", "scikit-image", "fxpmath", "cocotb", "pytest", "captum"}
    files = [file for name in (*names, "scikit-image", "pip") for file in metadata.files(name) or []]
    size = sum(path.stat().st_size for path in {Path(file.locate()) for file in files} if path.is_file())
    assert 100e6 < size < 300e6, f"{size / 1e6:.0f} MB"


def test_explain_and_compile_need_no_extra(installed: Path, tmp_path: Path) -> None:
    """With the dependencies alone: a picture is explained and drawn; whatever needs more says what to install."""
    program = """
import sys
import numpy as np
for name in ("torch", "pyarrow", "skimage", "scipy", "fxpmath"):
    sys.modules[name] = None  # importing it raises ImportError
import gradcore
from gradcore.pictures.picture import sample_picture
picture = np.zeros((32, 32, 3), np.uint8)
picture[8:24, 8:24] = 200
(result,) = gradcore.explain(picture, backend="golden")
result.save("out")
gradcore.compile_network("cifar10", preset="small")
for needs, call in (
    ("data", lambda: gradcore.read_data("some.parquet")),
    ("data", lambda: gradcore.evaluate("some.parquet")),
    ("data", lambda: gradcore.bench(1, data="some.parquet")),
    ("torch", lambda: gradcore.train(None)),
    ("torch", lambda: gradcore.explain(picture, backend="float")),
    ("samples", lambda: gradcore.bench(1)),
    ("samples", lambda: sample_picture(height=32, width=32)),
):
    try:
        call()
        print("no error", needs)
    except gradcore.GradCoreError as error:
        assert f'pip install "gradcore[{needs}]"' in str(error), error
"""
    assert run_installed(installed, program, tmp_path) == ""
    assert (tmp_path / "out" / "heatmap.png").exists()

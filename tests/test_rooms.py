# SPDX-License-Identifier: Apache-2.0
"""The directions of imports, as pyproject.toml says them: rooms use those below them, models/ and runtime/ are lowest, no circles."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def contracts(root: Path) -> tuple[int, str]:
    """Exit status and output of import-linter on a checkout."""
    program = "import sys; from importlinter.cli import lint_imports; sys.path.insert(0, '.'); sys.exit(lint_imports(no_cache=True))"
    result = subprocess.run([sys.executable, "-P", "-c", program], cwd=root, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the contracts read, links as links."""
    for name in ("gradcore", "models", "runtime"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_each_room_uses_those_below_it() -> None:
    status, output = contracts(ROOT)
    assert status == 0, output
    (analysed,) = re.findall(r"Analyzed (\d+) files", output)
    files = [name for _, _, names in os.walk(ROOT / "gradcore", followlinks=True) for name in names if name.endswith(".py")]
    assert int(analysed) == len(files), "import-linter has not read every module"


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("models/arithmetic.py", "from gradcore.compiler import Program", "gradcore.models.arithmetic -> gradcore.compiler"),
        ("gradcore/host/files.py", "import gradcore.network.network", "gradcore.host.files -> gradcore.network.network"),
        ("gradcore/speed/cycle_kernel.py", "from gradcore.speed import cycle_conv", ".cycle_kernel"),
        ("gradcore/another.py", "X = 1", "another"),
    ],
    ids=["models use the compiler", "a room uses one above", "a circle", "a room on no line"],
)
def test_the_contracts_bite(checkout: Path, file: str, line: str, broken: str) -> None:
    """Each of these breaks a contract, and the output says which import it is."""
    path = checkout / file
    text = path.read_text() if path.exists() else '"""A module."""\n'
    path.write_text(f"{text}\n{line}\n")
    status, output = contracts(checkout)
    assert status == 1 and broken in output, output


def test_the_models_need_no_installation(checkout: Path) -> None:
    """A checkout is enough: nothing of it is installed, and the models are those of the folder beside the package."""
    program = "import gradcore.models.arithmetic, gradcore.models.network as model; print(model.__file__, model.arithmetic.VALUE_BITS)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run([sys.executable, "-c", program], cwd=checkout, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    place, bits = result.stdout.rsplit(maxsplit=1)
    assert Path(place).resolve() == (checkout / "models" / "network.py").resolve() and bits == "16"

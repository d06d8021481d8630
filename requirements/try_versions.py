# SPDX-License-Identifier: Apache-2.0
"""Try GradCore with the oldest and with the newest versions that pyproject.toml allows: ``try_versions.py oldest|newest``.

Each gets a virtual environment of its own in build/versions/, with the extras that users install, and runs the tests that
need nothing else. ``oldest`` is the lower bound of every direct dependency; what these bring along is pip's choice.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("data", "farm", "onnx", "samples", "synth", "torch")
DEVELOPMENT = (
    "cycle",
    "lint",
    "packaging",
    "registers",
    "rooms",
    "rtl",
    "specification",
    "support",
    "synthesis",
    "system",
    "vivado",
)  # tests of the house itself


def direct_requirements() -> list[Requirement]:
    """What users install: the dependencies and the extras for them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = (item for name in EXTRAS for item in project["optional-dependencies"][name])
    return [Requirement(text) for text in (*project["dependencies"], *extras)]


def lower_bound(requirement: Requirement) -> str:
    """``name==version`` of the oldest version allowed."""
    (version,) = (one.version for one in requirement.specifier if one.operator == ">=")
    return f"{requirement.name}=={version}"


def main(which: str) -> int:
    """Make the environment, run the tests; the exit status is pytest's."""
    folder = ROOT / "build" / "versions" / which
    venv.create(folder, with_pip=True, clear=True)
    limits = folder / "constraints.txt"
    limits.write_text("".join(f"{lower_bound(one)}\n" for one in direct_requirements()) if which == "oldest" else "")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    wanted = ["--editable", f"{ROOT}[{','.join(EXTRAS)}]", "pytest", "pytest-xdist"]
    subprocess.run([*pip, "install", "--quiet", "--constraint", str(limits), *wanted], check=True)
    subprocess.run([*pip, "list"], check=True)
    left_out = tuple(f"test_{name}" for name in DEVELOPMENT)
    tests = [str(path) for path in sorted((ROOT / "tests").glob("test_*.py")) if not path.name.startswith(left_out)]
    return subprocess.run([str(folder / "bin" / "python"), "-m", "pytest", "-q", *tests], cwd=ROOT).returncode


if __name__ == "__main__":
    if sys.argv[1:] not in (["oldest"], ["newest"]):
        sys.exit("usage: try_versions.py oldest|newest")
    sys.exit(main(sys.argv[1]))

# SPDX-License-Identifier: Apache-2.0
"""Write constraints.txt: the exact version of every package in this virtual environment, but for GradCore and pip."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# The versions that the Makefile, and with it CI, installs; pyproject.toml has the ranges that GradCore works with.
# Written by `make constraints` after an upgrade.
"""
LEFT_OUT = {"gradcore", "pip"}


def main() -> None:
    """Write the file beside this one; a build's local label (``2.13.0+cpu``) is left out, since it depends on the index."""
    versions = {one.metadata["Name"]: one.version.partition("+")[0] for one in metadata.distributions()}
    lines = [f"{name}=={version}\n" for name, version in sorted(versions.items(), key=lambda item: item[0].lower()) if name not in LEFT_OUT]
    Path(__file__).with_name("constraints.txt").write_text(HEADER + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()

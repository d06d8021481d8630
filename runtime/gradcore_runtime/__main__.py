# SPDX-License-Identifier: Apache-2.0
"""Command line: python -m gradcore_runtime selftest|throughput|validate BUNDLE. An error is one line, with exit status 2."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from .board import BACKENDS, METHODS, Board
from .bundle import Bundle

_FAILED, _ERROR, _INTERRUPTED = 1, 2, 130


def _number(text: str) -> Any:
    """An option's value: a number where it is one."""
    try:
        return int(text, 0)
    except ValueError:
        return text


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say; returns the exit status."""
    options = {name: _number(value) for name, _, value in (item.partition("=") for item in arguments.option)}
    bundle = Bundle.open(arguments.bundle)
    with Board.open(arguments.bundle, arguments.backend, **options) as board:
        if arguments.command == "selftest":
            differences = board.selftest(bundle)
            for line in differences:
                print(line)
            if not differences:
                of, device = bundle.manifest, board.device
                print(f"OK: {of['network']}, preset {of['preset']}, {device.clock_mhz:.1f} MHz ({device.name})")
            return _FAILED if differences else 0
        report = (
            board.throughput_test(arguments.batch, arguments.method)
            if arguments.command == "throughput"
            else board.validate(arguments.data)
        )
        print(json.dumps(report, indent=2))
        return 0


def main(words: list[str] | None = None) -> int:
    """Parse the command line and run it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m gradcore_runtime", description="Try a bundle on the board.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("selftest", "run the bundle's sample: OK, or what differs"),
        ("throughput", "measure runs of random pictures"),
        ("validate", "classify labelled pictures"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("bundle", help="folder that `gradcore bundle` made")
        command.add_argument("--backend", choices=BACKENDS, help="default: the first that is there")
        command.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the back end: see docs/board.md")
        if name == "throughput":
            command.add_argument("--batch", type=int, default=100, help="pictures (default: 100)")
            command.add_argument("--method", choices=tuple(METHODS), default="saliency")
        if name == "validate":
            command.add_argument("--data", required=True, help="npz file with the arrays images and labels")
    try:
        return run(parser.parse_args(words))
    except KeyboardInterrupt:
        print("gradcore_runtime: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:
        if type(error).__name__ != "GradCoreError":  # the runtime's, or that of GradCore when it is beside it
            raise
        print(f"gradcore_runtime: {error}", file=sys.stderr)
        return _ERROR


if __name__ == "__main__":
    sys.exit(main())

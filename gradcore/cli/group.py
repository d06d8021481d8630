# SPDX-License-Identifier: Apache-2.0
"""What all commands of the command line share: help without types, and errors of one line, with their exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from gradcore.errors import GradCoreError, Refusal
from gradcore.host.processes import ended_by_signals
from gradcore.host.streams import abandon_output, prepare, standard_output, tell


class PlainHelp:
    """Commands whose help shows no types: flags have none, and an argument's name says what it is."""

    def get_params(self, context: Any) -> list[Any]:
        """See the base class."""
        params = super().get_params(context)
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
            elif param.param_type_name == "argument":
                param.display_type_rich = lambda ctx: None  # Typer's, where it shows a type behind the name
        return params

    def format_help(self, context: Any, formatter: Any) -> None:
        """See the base class; with Typer's help in colours this prints it."""
        with standard_output():
            super().format_help(context, formatter)


class Command(PlainHelp, TyperCommand):
    """A command."""


class OneLineErrors(PlainHelp, TyperGroup):
    """A command group that ends an error with one line on standard error, and Ctrl-C with 130."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run; see the base class."""
        prepare()
        try:
            with ended_by_signals():
                result = super().main(*args, standalone_mode=False, **extra)
                with standard_output():  # all of it must get there
                    pass
        except Refusal as error:
            fail(error.message, reasons=error.reasons)
        except GradCoreError as error:
            fail(str(error))
        except KeyboardInterrupt:
            fail("interrupted", 130)
        except BrokenPipeError:
            abandon_output()
            sys.exit(1)
        except MemoryError:
            fail("not enough memory: use fewer or smaller pictures, or a smaller network")
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            fail(f"{place}{error.strerror or error}: check that the place exists, is writable and has room")
        except Exception as error:
            if not hasattr(error, "format_message"):  # only the errors of the command line's parser have it
                raise
            fail(
                f"{error.format_message().rstrip('.')}: see {_command_path(error)} --help",
                getattr(error, "exit_code", 2),
            )
        if result == 130:  # Typer's answer to Ctrl-C
            fail("interrupted", 130)
        if standalone_mode:
            sys.exit(result if isinstance(result, int) else 0)
        return result

    def invoke(self, context: typer.Context) -> Any:
        """Run a command; at Ctrl-C also say what was saved. See the base class."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt as error:
            fail("; ".join(["interrupted", *getattr(error, "__notes__", ())]), 130)


def fail(message: str, status: int = 2, reasons: Sequence[str] = ()) -> None:
    """Say why on standard error, in one line and one more for each reason, and end the process."""
    text = " ".join(message.split())
    tell(f"gradcore: {text}")
    for reason in reasons:
        tell(f"  {reason}")
    sys.exit(status)


def _command_path(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context is not None else "gradcore"

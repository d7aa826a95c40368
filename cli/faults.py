"""What the command line says when something is wrong: one clear line, and an exit code that a script can read."""

import asyncio
from enum import IntEnum
from typing import Any

from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from turnout.base.errors import ServiceUnavailable, SettingsInvalid, TurnoutError


class ExitCode(IntEnum):
    """What a command ends with; 2 is the command line's own, for a call that it does not understand."""

    DONE = 0
    #: A check failed, or a part that the command needs died: the figures and the log say more.
    FAILED = 1
    #: The service understood, and refused: an unknown poll, a closed one, a choice that is none.
    REFUSED = 3
    #: Nothing answers, or there is nothing to ask.
    UNAVAILABLE = 4
    #: Ctrl-C.
    INTERRUPTED = 130


EPILOG = (
    "Exit codes: 0 done · 1 a check failed · 2 wrong usage · 3 refused by Turnout · 4 nothing answers · "
    "130 interrupted"
)


class CheckFailed(TurnoutError):
    """What the command was to prove is not so."""


class NowhereToGo(TurnoutError):
    """No local cloud runs, and the environment names no other one."""

    def __init__(self, variable: str) -> None:
        super().__init__(
            f"No local cloud is running here: start one with `turnout up`, or set {variable} for a deployed Turnout."
        )


class NoAnswer(TurnoutError):
    """The service cannot be reached, or answered with a fault of its own."""


class Refused(TurnoutError):
    """The service answered with a problem document (RFC 9457)."""

    def __init__(self, status: int, why: str) -> None:
        self.status = status
        super().__init__(f"{why} ({status})")


class Faults(TyperGroup):
    """The commands, with every expected fault shown as one line."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Runs the command; a fault ends the process with its exit code."""
        try:
            return super().main(*args, **options)
        except TurnoutError as error:
            show(str(error))
            raise SystemExit(exit_code(error)) from None
        except asyncio.CancelledError:
            raise SystemExit(ExitCode.INTERRUPTED) from None


def exit_code(error: TurnoutError) -> ExitCode:
    """The exit code of a fault."""
    from emulators.errors import LocalCloudError  # noqa: PLC0415  # only where something went wrong

    if isinstance(error, CheckFailed | LocalCloudError):
        return ExitCode.FAILED
    if isinstance(error, NowhereToGo | NoAnswer | ServiceUnavailable | SettingsInvalid):
        return ExitCode.UNAVAILABLE
    return ExitCode.REFUSED


def show(message: str) -> None:
    """Says on standard error what is wrong."""
    line = Text.assemble(("✗ ", "bold red"), message)
    Console(stderr=True, highlight=False).print(line, soft_wrap=True)

"""A job's process: its environment, its logs, its event loop, its exit code."""

import os
import sys
from collections.abc import Awaitable, Callable
from enum import IntEnum

import structlog
import uvloop

from turnout.base.errors import SettingsInvalid, TurnoutError
from turnout.base.logs import configure_logs
from turnout.gcp.votes.wiring import Wiring

log = structlog.get_logger()


class ExitCode(IntEnum):
    """What a job ends with."""

    DONE = 0
    #: What it was to do is not done, or what it was to prove is not so: the log says why.
    FAILED = 1
    #: It was not told what it needs.
    SETTINGS_INVALID = 2


def run(name: str, job: Callable[[Wiring], Awaitable[ExitCode]]) -> ExitCode:
    """Runs a job of votes on the services that the environment names."""
    try:
        wiring = Wiring.from_environment(os.environ)
    except SettingsInvalid as fault:
        sys.stderr.write(f"{fault}\n")
        return ExitCode.SETTINGS_INVALID
    configure_logs(wiring.settings.project, name)

    async def wired() -> ExitCode:
        async with wiring:
            return await job(wiring)

    try:
        return uvloop.run(wired())
    except TurnoutError as fault:
        log.error("job failed", job=name, error=str(fault))
        return ExitCode.FAILED

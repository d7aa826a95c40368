"""A job's process: its environment, its logs, its event loop, its exit code."""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from types import TracebackType
from typing import Protocol, Self, TypeVar

import structlog
import uvloop

from turnout.base.errors import SettingsInvalid, TurnoutError
from turnout.base.logs import configure_logs
from turnout.gcp.settings import CloudSettings

log = structlog.get_logger()


class ExitCode(IntEnum):
    """What a job ends with."""

    DONE = 0
    #: What it was to do is not done, or what it was to prove is not so: the log says why.
    FAILED = 1
    #: It was not told what it needs.
    SETTINGS_INVALID = 2


class Wiring(Protocol):
    """A family's wiring."""

    @property
    def settings(self) -> CloudSettings:
        """Where everything lives."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


W = TypeVar("W", bound=Wiring)


def run(
    name: str, job: Callable[[W], Awaitable[ExitCode]], wire: Callable[[Mapping[str, str]], W]
) -> ExitCode:
    """Runs a family's job on the services that the environment names; `wire` reads its settings."""
    try:
        wiring = wire(os.environ)
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

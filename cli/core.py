"""Commands that call the core themselves, as the jobs do: drain, audit and dead letters."""

import asyncio
import contextlib
import logging
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping

import structlog

from cli.screen import console
from cli.target import environment_of_jobs
from turnout.base.environment import read
from turnout.gcp.votes.settings import Settings
from turnout.gcp.votes.wiring import Wiring
from turnout.queue.dead_letters import DeadLetter, Redriven
from turnout.votes.audit import Verdict
from turnout.votes.drain import Drain, Progress

REDRAW_SECONDS = 0.2


def log_to_standard_error() -> None:
    """Standard output is for the command's result; of the core's log, warnings and worse are shown."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


@contextlib.asynccontextmanager
async def wired(environment: Mapping[str, str] | None = None, **changes: object) -> AsyncIterator[Wiring]:
    """The core on the services of the environment, or of the local cloud that runs here."""
    log_to_standard_error()
    given = environment_of_jobs(os.environ) if environment is None else environment
    async with Wiring(read(Settings, given, **changes)) as wiring:
        yield wiring


async def drain(idle_seconds: float) -> Progress:
    """Drains as a job would, until the queue has been idle; a signal makes it settle what it holds, and end."""
    execution = f"cli-{secrets.token_hex(4)}"
    async with wired(idle_seconds=idle_seconds, execution=execution) as wiring:
        return await _drain(wiring.drain())


async def audit(poll: str) -> list[Verdict]:
    """Audits one poll, or all."""
    async with wired() as wiring:
        return [await wiring.audit().audit(poll)] if poll else await wiring.audit().audit_all()


async def list_dead_letters(limit: int) -> list[DeadLetter]:
    """The dead letters."""
    async with wired() as wiring:
        return await wiring.dead_letter_office().look(limit)


async def redrive(limit: int, ids: list[str]) -> Redriven:
    """Sends dead letters the votes' way again."""
    async with wired() as wiring:
        return await wiring.dead_letter_office().redrive(limit, ids)


async def _drain(drain: Drain) -> Progress:
    draining = asyncio.create_task(drain.run())
    try:
        with console().status("draining …") as status:
            while not (await asyncio.wait({draining}, timeout=REDRAW_SECONDS))[0]:
                status.update(f"draining … {drain.progress.votes:,} votes counted")
    except asyncio.CancelledError:
        drain.stop()
        await draining
        raise
    return draining.result()

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
from cli.target import settings_from, told
from turnout.gcp.wiring import Wiring
from turnout.queue.consumer import Drain
from turnout.queue.dead_letters import DeadLetter, DeadLetterOffice, Redriven
from turnout.votes.audit import Verdict
from turnout.votes.handler import Progress

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
    given = told(os.environ) if environment is None else environment
    async with Wiring(settings_from(given, **changes)) as wiring:
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
        return await _office(wiring).look(limit)


async def redrive(limit: int, ids: list[str]) -> Redriven:
    """Sends dead letters the votes' way again."""
    async with wired() as wiring:
        return await _office(wiring).redrive(limit, ids)


def _office(wiring: Wiring) -> DeadLetterOffice:
    return DeadLetterOffice(wiring.dead_letter_queue(), wiring.redrive())


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

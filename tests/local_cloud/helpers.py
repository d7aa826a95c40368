"""What the tests of the local cloud share."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import psutil
from aiohttp import web

from emulators.processes import LOOPBACK, free_port
from tests.deadlines import WAIT_SECONDS_MAX


async def eventually(holds: Callable[[], bool], what: str) -> None:
    """Waits until a condition holds; fails, with its name, when it does not come to hold."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS_MAX:g} s: {what}"
        await asyncio.sleep(0.02)


def alive(process: psutil.Process) -> bool:
    """Whether a process runs; neither a zombie that nobody has reaped does, nor a later process with the same id."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextlib.asynccontextmanager
async def serving(application: web.Application) -> AsyncIterator[str]:
    """Serves an application on a free port; its base address."""
    runner = web.AppRunner(application, shutdown_timeout=1.0)
    await runner.setup()
    port = free_port()
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
        yield f"http://{LOOPBACK}:{port}"
    finally:
        await runner.cleanup()

"""What the tests of the local cloud share."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from emulators.processes import LOOPBACK, free_port

DEADLINE_SECONDS = 20.0


async def eventually(holds: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Waits until a condition holds; fails, with its name, when it does not come to hold."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has reaped does not."""
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(said.stdout.strip()) and not said.stdout.strip().startswith("Z")


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

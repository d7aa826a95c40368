"""A worker in this process, as the job runs it."""

import asyncio
import os
import secrets
import sys
from pathlib import Path

from cli.core import log_to_standard_error
from cli.target import environment_of_jobs
from turnout.base.environment import read
from turnout.gcp.tasks.settings import Settings
from turnout.gcp.tasks.wiring import Wiring
from turnout.queue.progress import ConsumerProgress


async def work(idle_seconds: float) -> ConsumerProgress:
    """Works until the queue has been idle; a signal makes it settle or give back what it holds, and end."""
    log_to_standard_error()
    # Handlers lie where the command is run, as they lie beside the job's own code when it is deployed.
    sys.path.insert(0, str(Path.cwd()))
    environment = environment_of_jobs(os.environ)
    execution = f"cli-{secrets.token_hex(4)}"
    async with Wiring(read(Settings, environment, idle_seconds=idle_seconds, execution=execution)) as wiring:
        worker = wiring.worker()
        working = asyncio.create_task(worker.run())
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            worker.stop()
            await working
            raise

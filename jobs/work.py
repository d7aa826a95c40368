"""The work job: leases messages of tasks, runs and settles them until the queue has been idle for a while, or SIGTERM.

`python -m jobs.work`, as a Cloud Run job with any number of tasks. Exit code 0: all that was leased is settled.
"""

import asyncio
import signal
import sys

import msgspec
import structlog

from jobs.process import ExitCode, run
from turnout.gcp.tasks.wiring import Wiring

log = structlog.get_logger()


async def work(wiring: Wiring) -> ExitCode:
    """Works until the queue is idle or a signal says stop."""
    settings = wiring.settings
    worker = wiring.worker()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    log.info(
        "worker started",
        execution=settings.execution,
        task=settings.task_index,
        handlers=wiring.handlers.names(),
    )
    progress = await worker.run()
    log.info(
        "worker ended",
        execution=settings.execution,
        task=settings.task_index,
        **msgspec.structs.asdict(progress),
    )
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(run("work", work, Wiring.from_environment))

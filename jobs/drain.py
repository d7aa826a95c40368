"""The drain job: leases, counts and acknowledges until the queue has been idle for a while, or SIGTERM.

`python -m jobs.drain`, as a Cloud Run job with any number of tasks. Exit code 0: all that was leased is settled.
"""

import asyncio
import resource
import signal
import sys
import time

import msgspec
import structlog

from jobs.process import ExitCode, run
from turnout.gcp.votes.wiring import Wiring

log = structlog.get_logger()

#: The system tells the peak memory in KiB on Linux, in bytes on macOS.
PEAK_MEMORY_UNITS_PER_MB = 1024 if sys.platform == "linux" else 1024 * 1024


async def drain(wiring: Wiring) -> ExitCode:
    """Drains until the queue is idle or a signal says stop."""
    settings = wiring.settings
    task = wiring.drain()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.stop)
    log.info("drain started", execution=settings.execution, task=settings.task_index, lanes=settings.lanes)
    progress = await task.run()
    log.info(
        "drain ended",
        execution=settings.execution,
        task=settings.task_index,
        **msgspec.structs.asdict(progress),
        peak_memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / PEAK_MEMORY_UNITS_PER_MB),
        cpu_seconds=round(time.process_time(), 2),
    )
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(run("drain", drain, Wiring.from_environment))

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
import uvloop

from turnout.base.errors import SettingsInvalid, TurnoutError
from turnout.base.logs import configure_logs
from turnout.gcp.wiring import Wiring
from turnout.votes.settings import Settings

log = structlog.get_logger()

#: The system tells the peak memory in KiB on Linux, in bytes on macOS.
KIBIBYTES_PER_MB = 1024 if sys.platform == "linux" else 1024 * 1024


async def drain(settings: Settings) -> None:
    """Drains until the queue is idle or a signal says stop."""
    async with Wiring(settings) as wiring:
        task = wiring.drain()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.stop)
        log.info(
            "drain started", execution=settings.execution, task=settings.task_index, lanes=settings.lanes
        )
        progress = await task.run()
        log.info(
            "drain ended",
            execution=settings.execution,
            task=settings.task_index,
            **msgspec.structs.asdict(progress),
            peak_memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIBIBYTES_PER_MB),
            cpu_seconds=round(time.process_time(), 2),
        )


def main() -> int:
    """The job's process."""
    try:
        settings = Settings.from_environment()
    except SettingsInvalid as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    configure_logs(settings.project, "drain")
    try:
        uvloop.run(drain(settings))
    except TurnoutError as fault:
        log.error("drain failed", error=str(fault))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

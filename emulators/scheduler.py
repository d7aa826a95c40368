"""A stand-in for Cloud Scheduler: calls functions and starts jobs on the cron schedules of the table, in UTC."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime

import aiohttp
from croniter import croniter

from turnout.base.clock import moment
from turnout.deployment import Function, Job

#: Cloud Scheduler's default attempt deadline.
ATTEMPT_SECONDS_MAX = 180.0
#: A run that takes longer than its period overlaps the next; beyond so many, a moment is left out.
RUNS_AT_ONCE_MAX = 4

Clock = Callable[[], datetime]
Sleep = Callable[[float], Awaitable[object]]
#: Does what is due at a moment.
Run = Callable[[datetime], Awaitable[object]]

logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The moment it is."""
    return datetime.now(UTC)


class Scheduler:
    """Runs each thing at its moments, until it is cancelled."""

    def __init__(self, clock: Clock = utc_now, sleep: Sleep = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._schedules: list[tuple[str, str, Run]] = []

    def add(self, name: str, schedule: str, run: Run) -> None:
        """Adds what is to run on a cron schedule; an empty schedule never runs."""
        if schedule:
            if not croniter.is_valid(schedule):
                raise ValueError(f"{schedule!r} is no cron schedule")
            self._schedules.append((name, schedule, run))

    async def run(self) -> None:
        """Runs for ever. A failed run is logged, and the next moment tries again, as in the cloud."""
        async with asyncio.TaskGroup() as group:
            for name, schedule, run in self._schedules:
                group.create_task(self._keep(name, schedule, run))

    async def _keep(self, name: str, schedule: str, run: Run) -> None:
        at = self._clock()
        under_way: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                # Moments that went by, as while a laptop slept, are not made up for.
                at = next_moment(schedule, max(at, self._clock()))
                await self._until(at)
                if len(under_way) >= RUNS_AT_ONCE_MAX:
                    logger.warning(
                        "%s is left out at %s: %d runs are under way", name, moment(at), len(under_way)
                    )
                    continue
                task = group.create_task(_attempt(name, run, at))
                under_way.add(task)
                task.add_done_callback(under_way.discard)

    async def _until(self, at: datetime) -> None:
        while (seconds := (at - self._clock()).total_seconds()) > 0:
            await self._sleep(seconds)


def next_moment(schedule: str, after: datetime) -> datetime:
    """The first moment of a cron schedule after another."""
    found: datetime = croniter(schedule, after).get_next(datetime)
    return found


async def _attempt(name: str, run: Run, at: datetime) -> None:
    try:
        async with asyncio.timeout(ATTEMPT_SECONDS_MAX):
            await run(at)
    except Exception as error:  # noqa: BLE001  # whatever it is, the schedule goes on
        logger.warning("%s, due at %s, failed: %s: %s", name, moment(at), type(error).__name__, error)


def function_call(function: Function, function_url: str) -> Run:
    """POSTs to a function's first path with Cloud Scheduler's headers."""

    async def call(at: datetime) -> None:
        timeout = aiohttp.ClientTimeout(total=ATTEMPT_SECONDS_MAX)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                function_url + function.paths[0], headers=scheduler_headers(function.name, at)
            ) as answer,
        ):
            answer.raise_for_status()

    return call


def scheduler_headers(name: str, at: datetime) -> dict[str, str]:
    """The headers by which a function knows Cloud Scheduler and the moment that it is called for."""
    return {
        "User-Agent": "Google-Cloud-Scheduler",
        "X-CloudScheduler": "true",
        "X-CloudScheduler-JobName": name,
        "X-CloudScheduler-ScheduleTime": moment(at),
    }


def schedule_all(
    scheduler: Scheduler,
    functions: Sequence[Function],
    function_urls: Mapping[str, str],
    jobs: Sequence[Job],
    start_job: Callable[[Job], object],
) -> None:
    """Adds every schedule of the table; `start_job` starts an execution and does not wait for its end."""
    for function in functions:
        scheduler.add(
            function.name, function.schedule, function_call(function, function_urls.get(function.name, ""))
        )
    for job in jobs:
        scheduler.add(job.name, job.schedule, _job_start(job, start_job))


def _job_start(job: Job, start_job: Callable[[Job], object]) -> Run:
    async def start(_at: datetime) -> None:
        start_job(job)

    return start

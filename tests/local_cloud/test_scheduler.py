"""The stand-in for Cloud Scheduler, in virtual time."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp import web

from emulators.scheduler import RUNS_AT_ONCE_MAX, Scheduler, function_call, next_moment, schedule_all
from tests.local_cloud.helpers import serving
from turnout.deployment import FUNCTIONS, JOBS, Job

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


class VirtualTime:
    """A clock that stands still until it is moved on."""

    def __init__(self, start: datetime) -> None:
        self.now = start
        self._sleepers: list[tuple[datetime, int, asyncio.Event]] = []
        self._order = 0

    def clock(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self._order += 1
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self.now + timedelta(seconds=seconds), self._order, woken))
        await woken.wait()

    async def pass_until(self, end: datetime) -> None:
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, woken = heapq.heappop(self._sleepers)
            woken.set()
            await self._settle()
        self.now = end

    async def _settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


async def moments_of(schedule: str, start: datetime, end: datetime) -> list[datetime]:
    time = VirtualTime(start)
    seen: list[datetime] = []

    async def run(at: datetime) -> None:
        seen.append(at)

    scheduler = Scheduler(time.clock, time.sleep)
    scheduler.add("it", schedule, run)
    task = asyncio.create_task(scheduler.run())
    await time.pass_until(end)
    task.cancel()
    await asyncio.wait([task])
    return seen


async def test_a_schedule_runs_at_each_of_its_moments() -> None:
    seen = await moments_of("*/20 * * * *", NOON + timedelta(seconds=1), NOON + timedelta(hours=1))
    assert seen == [NOON + timedelta(minutes=minutes) for minutes in (20, 40, 60)]


async def test_a_moment_that_is_now_waits_for_the_next() -> None:
    assert await moments_of("* * * * *", NOON, NOON + timedelta(seconds=59)) == []


def test_the_next_moment_is_after_and_never_at() -> None:
    assert next_moment("* * * * *", NOON) == NOON + timedelta(minutes=1)
    assert next_moment("17 * * * *", NOON) == NOON + timedelta(minutes=17)


async def test_an_empty_schedule_never_runs_and_a_wrong_one_is_refused() -> None:
    assert await moments_of("", NOON, NOON + timedelta(days=1)) == []
    with pytest.raises(ValueError, match="every minute"):
        Scheduler().add("it", "every minute", lambda _: asyncio.sleep(0))


async def test_a_failed_run_is_logged_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    time = VirtualTime(NOON)
    tried: list[datetime] = []

    async def run(at: datetime) -> None:
        tried.append(at)
        raise RuntimeError("planted")

    scheduler = Scheduler(time.clock, time.sleep)
    scheduler.add("persist", "* * * * *", run)
    task = asyncio.create_task(scheduler.run())
    await time.pass_until(NOON + timedelta(minutes=3))
    task.cancel()
    await asyncio.wait([task])
    assert len(tried) == 3
    assert "persist, due at 2026-11-20T12:01:00Z, failed: RuntimeError: planted" in caplog.text


async def test_runs_that_do_not_end_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    time = VirtualTime(NOON)
    begun: list[datetime] = []

    async def run(at: datetime) -> None:
        begun.append(at)
        await asyncio.Event().wait()

    scheduler = Scheduler(time.clock, time.sleep)
    scheduler.add("persist", "* * * * *", run)
    task = asyncio.create_task(scheduler.run())
    await time.pass_until(NOON + timedelta(minutes=10))
    task.cancel()
    await asyncio.wait([task])
    assert len(begun) == RUNS_AT_ONCE_MAX
    assert "left out" in caplog.text


async def test_a_clock_that_jumps_ahead_makes_up_for_nothing() -> None:
    time = VirtualTime(NOON)
    seen: list[datetime] = []

    async def run(at: datetime) -> None:
        seen.append(at)

    scheduler = Scheduler(time.clock, time.sleep)
    scheduler.add("it", "* * * * *", run)
    task = asyncio.create_task(scheduler.run())
    await time.pass_until(NOON)
    time._sleepers[0] = (NOON + timedelta(hours=2, seconds=30), 0, time._sleepers[0][2])  # the laptop slept
    await time.pass_until(NOON + timedelta(hours=2, minutes=1))
    task.cancel()
    await asyncio.wait([task])
    assert seen == [NOON + timedelta(minutes=1), NOON + timedelta(hours=2, minutes=1)]


async def test_a_function_is_called_as_cloud_scheduler_calls_it() -> None:
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response()

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    persist = next(each for each in FUNCTIONS if each.name == "persist")
    async with serving(application) as address:
        await function_call(persist, address)(NOON)
    (request,) = seen
    assert (request.method, request.path) == ("POST", "/persist")
    assert request.headers["User-Agent"] == "Google-Cloud-Scheduler"
    assert request.headers["X-CloudScheduler"] == "true"
    assert request.headers["X-CloudScheduler-JobName"] == "persist"
    assert request.headers["X-CloudScheduler-ScheduleTime"] == "2026-11-20T12:00:00Z"


async def test_a_function_that_refuses_makes_the_run_fail() -> None:
    async with serving(web.Application()) as address:
        with pytest.raises(aiohttp.ClientResponseError):
            await function_call(FUNCTIONS[0], address)(NOON)


async def test_every_schedule_of_the_table_is_kept() -> None:
    time = VirtualTime(NOON)
    started: list[str] = []

    def start_job(job: Job) -> None:
        started.append(job.name)

    scheduler = Scheduler(time.clock, time.sleep)
    schedule_all(scheduler, [], {}, JOBS, start_job)
    task = asyncio.create_task(scheduler.run())
    await time.pass_until(NOON + timedelta(minutes=20))
    task.cancel()
    await asyncio.wait([task])
    assert started.count("drain") == 20
    assert started.count("audit") == 1

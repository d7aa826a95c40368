"""The contract of the tasks' alarms: in memory and on Cloud Tasks (its stand-in), the same tests judge both."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport

from emulators.cloud_tasks import CloudTasks, Settings
from emulators.identity import Identity
from tests.deadlines import WAIT_SECONDS_MAX
from turnout.base.errors import ServiceUnavailable
from turnout.gcp.cloud_tasks import CloudTasksQueue, open_cloud_tasks_channel
from turnout.gcp.tasks.alarms import CloudTasksAlarms
from turnout.memory.tasks import MemoryAlarms
from turnout.tasks.alarms import HOP_SECONDS, Alarm, alarm_of
from turnout.tasks.ports import Alarms
from turnout.tasks.task import added
from turnout.tasks.work import Work

QUEUE = "projects/test/locations/here/queues/alarms"
ACCOUNT = "alarms@test.iam.gserviceaccount.com"


@dataclass
class World:
    """Alarms, and a look behind the port at those that have not rung."""

    alarms: Alarms
    waiting: Callable[[], Awaitable[dict[str, tuple[datetime, Alarm]]]]


def soon(seconds: float = 3_600) -> int:
    return int((datetime.now(UTC) + timedelta(seconds=seconds)).timestamp())


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity(rsa.generate_private_key(65_537, 2_048))


@pytest.fixture
async def stand_in(tmp_path: Path, identity: Identity) -> AsyncIterator[CloudTasks]:
    async with CloudTasks(Settings(state_folder=tmp_path, queues=(QUEUE,)), identity) as running:
        yield running


@pytest.fixture
async def channel(stand_in: CloudTasks) -> AsyncIterator[grpc.aio.Channel]:
    async with open_cloud_tasks_channel(stand_in.ports.grpc_host) as opened:
        yield opened


@pytest.fixture(params=["memory", "stand-in"])
async def world(request: pytest.FixtureRequest, channel: grpc.aio.Channel) -> World:
    if request.param == "memory":
        alarms = MemoryAlarms()

        async def remembered() -> dict[str, tuple[datetime, Alarm]]:
            return {name: (alarm.rings_at, alarm) for name, alarm in alarms.by_name.items()}

        return World(alarms, remembered)
    google = tasks_v2.CloudTasksAsyncClient(transport=CloudTasksGrpcAsyncIOTransport(channel=channel))

    async def listed() -> dict[str, tuple[datetime, Alarm]]:
        request = {"parent": QUEUE, "response_view": tasks_v2.Task.View.FULL}
        return {
            task.name.rpartition("/")[2]: (
                datetime.fromtimestamp(task.schedule_time.timestamp(), UTC),
                msgspec.json.decode(task.http_request.body, type=Alarm),
            )
            async for task in await google.list_tasks(request=request)
        }

    return World(CloudTasksAlarms(CloudTasksQueue(channel, QUEUE, "http://127.0.0.1:9/due")), listed)


async def test_an_alarm_waits_for_its_second_and_says_which_tasks_it_is_for(world: World) -> None:
    alarm = Alarm(31, soon())
    await world.alarms.set(alarm)
    assert await world.waiting() == {alarm.name: (alarm.rings_at, alarm)}


async def test_an_alarm_that_is_set_again_is_set_once(world: World) -> None:
    alarm = Alarm(3, soon())
    await asyncio.gather(*(world.alarms.set(alarm) for _ in range(20)))
    assert list(await world.waiting()) == [alarm.name]


async def test_shards_seconds_and_hops_have_alarms_of_their_own(world: World) -> None:
    second = soon()
    alarms = [Alarm(1, second), Alarm(2, second), Alarm(1, second + 1), Alarm(1, second + HOP_SECONDS, 1)]
    await asyncio.gather(*map(world.alarms.set, alarms))
    assert set(await world.waiting()) == {alarm.name for alarm in alarms}


async def test_the_first_alarm_of_a_task_years_ahead_is_taken(world: World) -> None:
    now = datetime.now(UTC)
    work = Work(topic="t", handler="h", payload=msgspec.Raw(b"1"), added_at=now, origin="o")
    task = added(2**50, work, run_at=now + timedelta(days=3_650), stamp="s")
    alarm = alarm_of(task, now, ahead_seconds=2)
    assert alarm is not None
    assert alarm.hops > 100
    await world.alarms.set(alarm)
    ((rings_at, stored),) = (await world.waiting()).values()
    assert (rings_at, stored) == (alarm.rings_at, alarm)
    assert now < rings_at < now + timedelta(days=30)


@dataclass
class Rung:
    """Calls that arrived."""

    url: str
    calls: "asyncio.Queue[tuple[dict[str, str], Any]]"

    async def next(self) -> tuple[dict[str, str], Any]:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            return await self.calls.get()


@pytest.fixture
async def rung() -> AsyncIterator[Rung]:
    calls: asyncio.Queue[tuple[dict[str, str], Any]] = asyncio.Queue()

    async def answer(request: web.Request) -> web.Response:
        calls.put_nowait(({**request.headers, "path": request.path}, await request.json()))
        return web.Response()

    application = web.Application()
    application.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Rung(f"http://127.0.0.1:{runner.addresses[0][1]}", calls)
    await runner.cleanup()


async def test_an_alarm_calls_its_function_with_a_token_and_its_name_is_not_used_again(
    channel: grpc.aio.Channel, rung: Rung
) -> None:
    alarms = CloudTasksAlarms(CloudTasksQueue(channel, QUEUE, f"{rung.url}/due", account=ACCOUNT))
    alarm, other = Alarm(7, soon(-5)), Alarm(8, soon(-4))
    await alarms.set(alarm)
    headers, body = await rung.next()
    await alarms.set(alarm)
    await alarms.set(other)
    _, after = await rung.next()

    assert headers["path"] == "/due"
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"].startswith("Bearer ")
    assert msgspec.convert(body, Alarm) == alarm
    assert msgspec.convert(after, Alarm) == other
    assert rung.calls.empty()


async def test_a_queue_that_does_not_exist_is_said(channel: grpc.aio.Channel) -> None:
    alarms = CloudTasksAlarms(CloudTasksQueue(channel, f"{QUEUE}-not", "http://127.0.0.1:9/due"))
    with pytest.raises(ServiceUnavailable, match="Queue does not exist"):
        await alarms.set(Alarm(1, soon()))


async def test_a_service_that_is_not_there_is_said() -> None:
    async with open_cloud_tasks_channel("127.0.0.1:9") as nowhere:
        alarms = CloudTasksAlarms(CloudTasksQueue(nowhere, QUEUE, "http://127.0.0.1:9/due"))
        with pytest.raises(ServiceUnavailable, match="Cloud Tasks"):
            await alarms.set(Alarm(1, soon()))

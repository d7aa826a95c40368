"""What survives: SIGKILL at any moment, a full disk, a second process, a file that is something else."""

import asyncio
import contextlib
import json
import random
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from aiohttp import web
from google.api_core import exceptions

from emulators.api.serving import Ports
from emulators.cloud_tasks import CloudTasks, dispatcher, messages, store
from emulators.cloud_tasks.store import StateInUse, StateUnusable
from emulators.errors import ProcessUnstartable
from emulators.identity import Identity
from tests.standins.cloud_tasks.conftest import PARENT, SECONDS_MAX, Client, Target, grpc_client

QUEUE = f"{PARENT}/queues/q"


@asynccontextmanager
async def process(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The stand-in as its users start it, and where its gRPC is; killed at the end."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "emulators.cloud_tasks", "--grpc-port=0", "--rest-port=0", "--json", "--queue=q",
        "--project=test", "--location=here", f"--state-folder={folder}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert started.stdout is not None
        ready = json.loads(await asyncio.wait_for(started.stdout.readline(), SECONDS_MAX))
        yield started, ready["grpc"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.wait()


async def grown(names: set[str], wanted: int) -> None:
    """Waits until so many names are there."""
    async with asyncio.timeout(SECONDS_MAX):
        while len(names) < wanted:  # noqa: ASYNC110  # another process does it
            await asyncio.sleep(0.001)


async def emptied(google: Any) -> None:
    """Waits until the queue holds no task."""
    async with asyncio.timeout(SECONDS_MAX):
        while await asyncio.to_thread(lambda: list(google.list_tasks(parent=QUEUE))):  # noqa: ASYNC110  # another process does it
            await asyncio.sleep(0.02)


async def create_until_killed(address: str, url: str, confirmed: set[str]) -> None:
    """Creates tasks, many at once, and notes each that is confirmed."""
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(
            "/google.cloud.tasks.v2.CloudTasks/CreateTask", response_deserializer=messages.Task.FromString
        )
        request = messages.CreateTaskRequest(parent=QUEUE)
        request.task.http_request.url = url
        serialized = request.SerializeToString()

        async def caller() -> None:
            with contextlib.suppress(grpc.aio.AioRpcError):
                while True:
                    confirmed.add((await call(serialized)).name.rpartition("/")[2])

        await asyncio.gather(*(caller() for _ in range(16)))


async def test_every_confirmed_task_survives_sigkill_and_comes_at_most_once_more(
    tmp_path: Path, target: Target
) -> None:
    confirmed: set[str] = set()
    chance = random.Random(9)
    kills = 4
    for _ in range(kills):
        async with process(tmp_path) as (started, address):
            creating = asyncio.create_task(create_until_killed(address, target.url, confirmed))
            already = len(confirmed)
            await grown(confirmed, already + chance.randrange(30, 150))
            started.send_signal(signal.SIGKILL)
            assert await started.wait() == -signal.SIGKILL
            await creating
    assert len(confirmed) >= kills * 30
    async with process(tmp_path) as (_, address):
        google = grpc_client(address)
        await emptied(google)
        google.transport.close()
    arrivals = Counter(each.headers["X-CloudTasks-TaskName"] for each in target.arrived)
    assert confirmed <= set(arrivals), "a confirmed task was lost"
    # Each kill can repeat what was under way, and nothing else; most tasks come once.
    repeated = {name: times for name, times in arrivals.items() if times > 1}
    assert max(arrivals.values()) <= 1 + kills
    assert len(repeated) <= len(arrivals) / 2
    for name in repeated:
        tries = [
            int(each.headers["X-CloudTasks-TaskRetryCount"])
            for each in target.arrived
            if each.headers["X-CloudTasks-TaskName"] == name
        ]
        assert tries == sorted(set(tries)), "an attempt was counted twice"


async def test_a_task_that_was_under_way_at_sigkill_comes_exactly_once_more(
    tmp_path: Path, target: Target
) -> None:
    async def silent() -> web.StreamResponse:
        await asyncio.sleep(3600)
        return web.Response()

    target.answers = [silent]
    async with process(tmp_path) as (started, address):
        google = grpc_client(address)
        task = {"http_request": {"url": target.url}}
        await asyncio.to_thread(lambda: google.create_task(parent=QUEUE, task=task))
        google.transport.close()
        await target.requests(1)
        started.kill()
        await started.wait()
    for _ in range(2):
        async with process(tmp_path) as (_, address):
            await target.requests(2)
            google = grpc_client(address)
            await emptied(google)
            google.transport.close()
    assert [each.headers["X-CloudTasks-TaskRetryCount"] for each in target.arrived] == ["0", "1"]


async def test_all_of_the_state_survives_a_restart(
    make_settings: Any, identity: Identity, target: Target
) -> None:
    async with CloudTasks(make_settings(), identity) as tasks:
        google = grpc_client(tasks.ports.grpc_host)
        client = Client(google)
        queue = await client.new_queue(rate_limits={"max_dispatches_per_second": 3})
        await client("pause_queue", name=queue)
        deleted = await client.new_queue()
        await client("delete_queue", name=deleted)
        waiting = await client.new_task(queue, target.url, body=b"kept", headers={"A": "b"})
        used = f"{queue}/tasks/used"
        await client("create_task", parent=queue, task={"name": used, "http_request": {"url": target.url}})
        await client("delete_task", name=used)
        await client(
            "set_iam_policy", request={"resource": queue, "policy": {"bindings": [{"role": "roles/viewer"}]}}
        )
        before = await client("get_queue", name=queue)
        shown = await client("get_task", request={"name": waiting.name, "response_view": 2})
        google.transport.close()
    async with CloudTasks(make_settings(), identity) as tasks:
        google = grpc_client(tasks.ports.grpc_host)
        client = Client(google)
        assert await client("get_queue", name=queue) == before
        assert await client("get_task", request={"name": waiting.name, "response_view": 2}) == shown
        with pytest.raises(exceptions.Conflict, match="existed too recently"):
            await client(
                "create_task", parent=queue, task={"name": used, "http_request": {"url": target.url}}
            )
        with pytest.raises(exceptions.FailedPrecondition):
            await client("create_queue", parent=PARENT, queue={"name": deleted})
        assert (await client("get_iam_policy", request={"resource": queue})).bindings
        google.transport.close()
    async with CloudTasks(make_settings(reset=True), identity) as tasks:
        google = grpc_client(tasks.ports.grpc_host)
        assert list(await asyncio.to_thread(lambda: list(google.list_queues(parent=PARENT)))) == []
        google.transport.close()


async def confirmed_until_refused(client: Client, queue: str, url: str) -> int:
    """Creates tasks until the disk is full; how many were confirmed."""
    for confirmed in range(100_000):
        try:
            await client.new_task(queue, url, body=b"x" * 3000)
        except exceptions.ServiceUnavailable as fault:
            if "Free space" not in fault.message:
                raise
            return confirmed
    raise AssertionError("the disk never filled")


async def test_a_full_disk_refuses_new_tasks_and_loses_none(
    make_settings: Any, identity: Identity, target: Target
) -> None:
    async with CloudTasks(make_settings(), identity) as tasks:
        google = grpc_client(tasks.ports.grpc_host)
        client = Client(google)
        queue = await client.new_queue()
        await client("pause_queue", name=queue)
        database = tasks._store._database
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages}")
        confirmed = await confirmed_until_refused(client, queue, target.url)
        listed = await asyncio.to_thread(lambda: list(google.list_tasks(parent=queue)))
        assert len(listed) == confirmed
        # What has happened already waits for space: the call is answered when it is kept.
        pausing = asyncio.create_task(client("resume_queue", name=queue))
        await asyncio.wait([pausing], timeout=0.2)
        database.execute("PRAGMA max_page_count = 1000000")
        await pausing
        await target.requests(confirmed)
        await client.new_task(queue, target.url, body=b"x" * 3000)
        await target.requests(confirmed + 1)
        google.transport.close()


async def test_two_processes_do_not_share_a_state(
    make_settings: Any, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.1)
    async with CloudTasks(make_settings(), identity):
        with pytest.raises(StateInUse, match="choose another state folder"):
            await CloudTasks(make_settings(), identity).start()


async def test_a_taken_port_is_named(make_settings: Any, identity: Identity, tmp_path: Path) -> None:
    async with CloudTasks(make_settings(), identity) as first:
        other = msgspec.structs.replace(make_settings(), state_folder=tmp_path / "other")
        for ports in (Ports(0, first.ports.rest), Ports(first.ports.grpc, 0)):
            taken = msgspec.structs.replace(other, ports=ports)
            with pytest.raises(ProcessUnstartable, match=r"port \d+ is taken; choose another one"):
                await CloudTasks(taken, identity).start()


@pytest.mark.parametrize("content", [b"something else" * 100, b""])
async def test_a_file_that_is_something_else_is_said_to_be_so(
    make_settings: Any, identity: Identity, content: bytes
) -> None:
    settings = make_settings()
    path = settings.state_folder / "cloud-tasks.sqlite"
    path.parent.mkdir()
    path.write_bytes(content)
    if not content:
        with sqlite3.connect(path) as other:
            other.execute("PRAGMA user_version = 99")
        other.close()
    with pytest.raises(StateUnusable, match="--reset"):
        await CloudTasks(settings, identity).start()
    async with CloudTasks(msgspec.structs.replace(settings, reset=True), identity):
        pass
    async with CloudTasks(settings, identity):
        pass


async def test_a_stop_in_the_middle_of_a_dispatch_is_quick_and_the_task_comes_again(
    make_settings: Any, identity: Identity, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "GRACE_SECONDS", 0.1)

    async def silent() -> web.StreamResponse:
        await asyncio.sleep(3600)
        return web.Response()

    target.answers = [silent]
    async with asyncio.timeout(SECONDS_MAX):
        async with CloudTasks(make_settings(), identity) as tasks:
            google = grpc_client(tasks.ports.grpc_host)
            client = Client(google)
            await client.new_task(await client.new_queue(), target.url)
            await target.requests(1)
            google.transport.close()
        async with CloudTasks(make_settings(), identity):
            await target.requests(2)

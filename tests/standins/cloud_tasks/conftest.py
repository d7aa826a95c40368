"""A stand-in on free ports, a target for its tasks, and Google's clients for both fronts."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import AnonymousCredentials
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import (
    CloudTasksGrpcTransport,
    CloudTasksRestTransport,
)
from multidict import CIMultiDict

from emulators.cloud_tasks import CloudTasks, Settings
from emulators.identity import Identity
from tests.deadlines import WAIT_SECONDS_MAX

PARENT = "projects/test/locations/here"
SECONDS_MAX = WAIT_SECONDS_MAX


@dataclass
class Arrived:
    """A request that reached the target."""

    method: str
    path: str
    #: With the names as they were spelled, found by any spelling.
    headers: CIMultiDict[str]
    body: bytes


@dataclass
class Target:
    """What tasks are sent to: answers what it is told to, then 200."""

    url: str = ""
    arrived: list[Arrived] = field(default_factory=list)
    answers: list[Callable[[], Awaitable[web.StreamResponse]] | int] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        headers = CIMultiDict((key.decode(), value.decode()) for key, value in request.raw_headers)
        arrived = Arrived(request.method, request.path_qs, headers, await request.read())
        reply = self.answers.pop(0) if self.answers else 200
        async with self.came:
            self.arrived.append(arrived)
            self.came.notify_all()
        return web.Response(status=reply) if isinstance(reply, int) else await reply()

    async def requests(self, number: int) -> list[Arrived]:
        """Waits for so many requests since the start."""
        async with asyncio.timeout(SECONDS_MAX), self.came:
            await self.came.wait_for(lambda: len(self.arrived) >= number)
        return self.arrived


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    made = Target()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture(scope="session")
def identity() -> Identity:
    return Identity(rsa.generate_private_key(65_537, 2_048))


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    def make(**changes: Any) -> Settings:
        return Settings(state_folder=tmp_path / "state", **changes)

    return make


@pytest.fixture
async def tasks(make_settings: Callable[..., Settings], identity: Identity) -> AsyncIterator[CloudTasks]:
    async with CloudTasks(make_settings(), identity) as running:
        yield running


@dataclass
class Client:
    """Google's client, called from a loop: each call runs in a thread, as programs that are not asynchronous do."""

    google: Any

    async def __call__(self, method: str, **arguments: Any) -> Any:
        # No retry hides an answer.
        return await asyncio.to_thread(
            getattr(self.google, method), **arguments, retry=None, timeout=SECONDS_MAX
        )

    async def new_queue(self, **config: Any) -> str:
        """A queue of the test's own; its name."""
        name = f"{PARENT}/queues/q{secrets.token_hex(6)}"
        await self("create_queue", parent=PARENT, queue={"name": name, **config})
        return name

    async def new_task(self, queue: str, url: str, **request: Any) -> Any:
        """A task that is due at once; what the call answers."""
        task = {"http_request": {"url": url, **request}}
        return await self("create_task", parent=queue, task=task)


def grpc_client(address: str) -> Any:
    channel = grpc.insecure_channel(address)
    return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))


def rest_client(url: str) -> Any:
    host = url.removeprefix("http://")
    transport = CloudTasksRestTransport(host=host, url_scheme="http", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    return tasks_v2.CloudTasksClient(transport=transport)


@pytest.fixture(params=["grpc", "rest"])
def client(request: pytest.FixtureRequest, tasks: CloudTasks) -> Iterator[Client]:
    google = grpc_client(tasks.ports.grpc_host) if request.param == "grpc" else rest_client(tasks.ports.url)
    yield Client(google)
    google.transport.close()


@pytest.fixture
def over_grpc(tasks: CloudTasks) -> Iterator[Client]:
    google = grpc_client(tasks.ports.grpc_host)
    yield Client(google)
    google.transport.close()

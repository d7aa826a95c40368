"""Callbacks from the outside, and the old delay-queue service's callers: their client works unchanged."""

import asyncio
import base64
import hashlib
import hmac
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import grpc
import httpx
import pytest
from aiohttp import web
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from emulators.execution import Execution
from emulators.stack import LocalCloud
from tests.conftest import run_apart
from tests.deadlines import WAIT_SECONDS_MAX
from tests.emulated.tasks.conftest import SETTINGS, Json

PUSHED = "delay_base_push"


@dataclass
class Called:
    """A request that a task made."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Shop:
    """The service that tasks call: it answers as it is told, then 200."""

    url: str
    calls: "queue.Queue[Called]" = field(default_factory=queue.Queue)
    statuses: list[int] = field(default_factory=list)

    def next(self) -> Called:
        return self.calls.get(timeout=WAIT_SECONDS_MAX)

    async def serve(self, request: web.Request) -> web.Response:
        self.calls.put(Called(request.path_qs, dict(request.headers), await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200, text="thanks")


@pytest.fixture
def shop(service_socket: socket.socket) -> Iterator[Shop]:
    """The service, in a thread of its own."""
    made = Shop(f"http://127.0.0.1:{service_socket.getsockname()[1]}")
    loop, stop, up = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def serve() -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", made.serve)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.SockSite(runner, service_socket.dup()).start()
        up.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    up.wait()
    yield made
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def pushed(local_cloud: LocalCloud) -> Iterator[Callable[[], Json]]:
    """The next message on the topic that due tasks are published to."""
    settings = local_cloud.settings
    host = settings.pubsub_emulator_host
    publisher = PublisherClient(transport=PublisherGrpcTransport(channel=grpc.insecure_channel(host)))
    subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=grpc.insecure_channel(host)))
    topic = f"projects/{settings.project}/topics/{PUSHED}"
    subscription = f"projects/{settings.project}/subscriptions/{PUSHED}"
    publisher.create_topic(name=topic)
    subscriber.create_subscription(name=subscription, topic=topic)

    def take() -> Json:
        until = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < until:
            pulled = subscriber.pull(subscription=subscription, max_messages=1, timeout=WAIT_SECONDS_MAX)
            for each in pulled.received_messages:
                subscriber.acknowledge(subscription=subscription, ack_ids=[each.ack_id])
                return dict(json.loads(each.message.data))
        raise AssertionError("nothing was published")

    yield take
    publisher.transport.close()  # type: ignore[no-untyped-call]
    subscriber.transport.close()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module", autouse=True)
def workers(local_cloud: LocalCloud, pushed: object) -> Iterator[Execution]:
    """A worker that publishes what comes due without a callback."""
    execution = local_cloud.start_job("work", settings={**SETTINGS, "TURNOUT_DELAY_TOPIC": PUSHED})
    yield execution
    run_apart(execution.stop())


def until_ended(api: httpx.Client, task_id: int) -> Json:
    until = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < until:
        reply = api.get(f"/tasks/{task_id}", params={"wait": "20s"})
        if reply.status_code == 200:
            return dict(reply.json())
    raise AssertionError(f"task {task_id} has not ended")


def test_a_url_is_called_signed_and_again_when_it_fails(
    api: httpx.Client, topic: str, shop: Shop, local_cloud: LocalCloud
) -> None:
    shop.statuses = [500, 503]
    body = {
        "topic": topic,
        "url": f"{shop.url}/hook?x=1",
        "payload": {"order": 7},
        "retry": {"first": "100ms"},
        "headers": {"X-Team": "mine"},
    }
    task_id = api.post("/tasks", json=body).json()["id"]
    calls = [shop.next() for _ in range(3)]
    assert {(each.path, each.body) for each in calls} == {("/hook?x=1", b'{"order":7}')}
    assert {each.headers["webhook-id"] for each in calls} == {str(task_id)}
    secret = base64.b64decode(local_cloud.variables["TURNOUT_CALLBACK_SECRETS"].removeprefix("whsec_"))
    for each in calls:
        signed = f"{task_id}.{each.headers['webhook-timestamp']}.".encode() + each.body
        digest = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        assert each.headers["webhook-signature"] == f"v1,{digest}"
    task = until_ended(api, task_id)
    assert (task["state"], task["failures"], task["url"]) == ("succeeded", 2, f"{shop.url}/hook?x=1")
    assert task["result"] == {"status": 200, "body": "thanks", "is_cut": False}


def test_a_url_is_told_how_a_task_ended(api: httpx.Client, topic: str, shop: Shop) -> None:
    shop.statuses = [404]
    body = {"topic": topic, "url": f"{shop.url}/gone", "on_failure": f"{shop.url}/failed", "payload": 1}
    task_id = api.post("/tasks", json=body).json()["id"]
    assert shop.next().path == "/gone"
    told = shop.next()
    assert told.path == "/failed"
    document = json.loads(told.body)
    assert (document["task"], document["state"], document["error"]) == (
        task_id,
        "failed",
        "it answered 404: thanks",
    )


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "http://10.0.0.1/", "https://localhost/", "http://2130706433/"]
)
def test_a_url_that_leads_inside_is_refused_when_it_is_added(api: httpx.Client, topic: str, url: str) -> None:
    reply = api.post("/tasks", json={"topic": topic, "url": url})
    assert (reply.status_code, reply.json()["field"]) == (422, "/url")


class OldClient:
    """A client of the delay-queue service, as its callers wrote it: it knows nothing of Turnout."""

    def __init__(self, base: str) -> None:
        self.base = base

    def add(self, topic: str, timing_moment: int, content: str) -> int:
        answer = self._post("/delay/task/add", topic=topic, timing_moment=timing_moment, content=content)
        if answer["dm_error"] != 0:
            raise RuntimeError(answer["error_msg"])
        return int(answer["task_id"])

    def pull(self, topic: str, task_id: int | None = None) -> str:
        answer = self._post(
            "/delay/task/pull", topic=topic, **({} if task_id is None else {"task_id": task_id})
        )
        if answer["dm_error"] != 0:
            raise RuntimeError(answer["error_msg"])
        return str(answer["content"])

    def _post(self, path: str, **body: object) -> Json:
        reply = httpx.post(self.base + path, content=json.dumps(body), timeout=WAIT_SECONDS_MAX)
        assert reply.status_code == 200, reply.text
        answer: Json = reply.json()
        assert set(answer) == {"dm_error", "error_msg", "task_id", "content"}
        return answer


@pytest.fixture
def old(local_cloud: LocalCloud) -> OldClient:
    return OldClient(local_cloud.base_url)


def test_a_client_of_the_old_service_is_called_back_with_its_content(
    old: OldClient, topic: str, shop: Shop
) -> None:
    content = '{"sn": "shop",  "url": "/order/close", "order": [7, "ü"]}'
    task_id = old.add(topic, int(time.time()) + 1, content)
    assert task_id < 2**53
    called = shop.next()
    assert (called.path, json.loads(called.body)) == ("/order/close", json.loads(content))
    assert old.pull(topic, task_id) == content


def test_a_content_without_a_callback_is_published_and_pulled(
    old: OldClient, topic: str, pushed: Callable[[], Json], api: httpx.Client
) -> None:
    content = '["any", {"JSON": 1.0}]'
    task_id = old.add(topic, 0, content)
    assert old.pull(topic, task_id) == content
    assert pushed() == {"topic": topic, "content": content}
    until_ended(api, task_id)
    assert old.pull(topic) == content


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("no JSON", "not valid JSON"),
        ('{"sn": "nobody", "url": "/a"}', "No service is called 'nobody'"),
        ('{"sn": "shop", "url": "//elsewhere.example.com/"}', "a path"),
        ('{"sn": "shop", "url": "http://elsewhere.example.com/"}', "a path"),
        ('{"sn": "shop", "url": "@elsewhere.example.com/"}', "a path"),
    ],
)
def test_a_content_that_cannot_be_is_told_in_dm_error(
    old: OldClient, topic: str, content: str, why: str
) -> None:
    with pytest.raises(RuntimeError, match=why):
        old.add(topic, 0, content)


def test_bad_bodies_and_unknown_tasks_are_told_in_dm_error(old: OldClient, topic: str) -> None:
    with pytest.raises(RuntimeError, match="There is no task"):
        old.pull(topic, 1)
    with pytest.raises(RuntimeError, match="There is no task"):
        old.pull(topic, 2**60)
    with pytest.raises(RuntimeError, match="There is no task"):
        old.pull(topic)
    with pytest.raises(RuntimeError, match="A topic is"):
        old.add("a/b", 0, "1")
    with pytest.raises(RuntimeError, match=r"timing_moment|seconds"):
        old.add(topic, 10**15, "1")
    for body in (
        b"",
        b"[]",
        b'{"topic": 1}',
        b'{"topic": "t", "timing_moment": "x", "content": "1"}',
        b"\xff",
    ):
        reply = httpx.post(f"{old.base}/delay/task/add", content=body)
        assert (reply.status_code, reply.json()["dm_error"]) == (200, 1)

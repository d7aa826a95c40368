"""The stand-in for Cloud Scheduler, called by Google's own client over gRPC and REST, and by curl's kind of client."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1, scheduler_v1  # type: ignore[attr-defined]
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
    CloudSchedulerRestTransport,
)
from google.protobuf import duration_pb2, field_mask_pb2

from emulators.api.refused import HTTP_STATUS, Code
from emulators.api.serving import Ports, choose_ports
from emulators.cloud_scheduler.server import cloud_scheduler
from emulators.cloud_scheduler.service import CloudScheduler
from emulators.cloud_scheduler.store import STORE_FILE, StoreUnusable
from emulators.identity import Identity
from tests.deadlines import WAIT_SECONDS_MAX
from tests.local_cloud.helpers import eventually, serving
from tests.standins.clock import Clock

PLACE = "projects/demo/locations/europe-west1"
NAME = f"{PLACE}/jobs/tick"
EMAIL = "ticker@demo.iam.gserviceaccount.com"


@dataclass
class Handler:
    """A handler that keeps what it was sent, and answers what it is told to."""

    url: str = ""
    seen: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    status: int = 200
    hold: asyncio.Event | None = None

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        self.bodies.append(await request.read())
        if self.hold is not None:
            await self.hold.wait()
        if request.path == "/moved":
            raise web.HTTPTemporaryRedirect("/tick")
        return web.Response(status=self.status, text="said")


@dataclass
class Stand:
    """A running stand-in."""

    scheduler: CloudScheduler
    ports: Ports
    clock: Clock
    identity: Identity

    def client(self, transport: str) -> Any:
        made: Any = (
            CloudSchedulerGrpcTransport(channel=grpc.insecure_channel(self.ports.grpc_host))
            if transport == "grpc"
            else CloudSchedulerRestTransport(
                host=self.ports.url.removeprefix("http://"),
                url_scheme="http",
                credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            )
        )
        return scheduler_v1.CloudSchedulerClient(transport=made)

    def turn(self, seconds: float) -> None:
        self.clock.turn(seconds)
        self.scheduler.wake()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 2_048)


@pytest.fixture
async def handler() -> AsyncIterator[Handler]:
    made = Handler()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.answer)
    async with serving(application) as made.url:
        yield made


@pytest.fixture
async def stand(tmp_path: Path, key: rsa.RSAPrivateKey) -> AsyncIterator[Stand]:
    clock, identity = Clock(), Identity(key)
    ports = choose_ports("Cloud Scheduler")
    async with cloud_scheduler(tmp_path, ports, identity, clock=clock) as scheduler:
        yield Stand(scheduler, ports, clock, identity)


async def called(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Google's client waits in a thread, for the stand-in is in this one."""
    return await asyncio.to_thread(call, *arguments, **named)


def job(uri: str, **changes: Any) -> scheduler_v1.Job:
    given = {"name": NAME, "schedule": "* * * * *", "http_target": {"uri": uri}, **changes}
    return scheduler_v1.Job(given)


async def status_of(client: Any, code: int) -> None:
    async def there() -> bool:
        shown = await called(client.get_job, name=NAME)
        return "status" in shown and shown.status.code == code

    for _ in range(500):
        if await there():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"the status never became {code}")


@pytest.mark.parametrize("transport", ["grpc", "rest"])
async def test_googles_client_does_all_that_the_api_has(stand: Stand, transport: str) -> None:
    client = stand.client(transport)
    made = await called(client.create_job, parent=PLACE, job=job("http://127.0.0.1:1/x"))
    assert (made.name, made.state.name, made.status.code) == (NAME, "ENABLED", -1)
    assert made.schedule_time.isoformat() == "2026-11-20T12:01:00+00:00"
    for number in range(4):
        await called(
            client.create_job, parent=PLACE, job=job("http://127.0.0.1:1/x", name=f"{PLACE}/jobs/{number}")
        )
    listed = await called(lambda: list(client.list_jobs(request={"parent": PLACE, "page_size": 2})))
    assert [each.name.rpartition("/")[2] for each in listed] == ["0", "1", "2", "3", "tick"]
    mask = field_mask_pb2.FieldMask(paths=["time_zone", "schedule"])
    changed = await called(
        client.update_job,
        job=scheduler_v1.Job(name=NAME, schedule="30 6 * * *", time_zone="Asia/Tokyo"),
        update_mask=mask,
    )
    assert changed.schedule_time.isoformat() == "2026-11-20T21:30:00+00:00"
    assert changed.http_target.uri == "http://127.0.0.1:1/x"
    paused = await called(client.pause_job, name=NAME)
    assert (paused.state.name, paused.schedule_time) == ("PAUSED", None)
    resumed = await called(client.resume_job, name=NAME)
    assert resumed.state.name == "ENABLED"
    assert (await called(client.run_job, name=NAME)).name == NAME
    await called(client.delete_job, name=NAME)
    with pytest.raises(exceptions.NotFound, match="Job not found"):
        await called(client.get_job, name=NAME)


async def test_an_attempt_is_what_the_service_sends(stand: Stand, handler: Handler) -> None:
    client = stand.client("grpc")
    target = {
        "uri": f"{handler.url}/tick?a=1",
        "body": b'{"n": 1}',
        "headers": {"X-Mine": "yes", "User-Agent": "mine", "X-CloudScheduler": "no", "Host": "elsewhere"},
    }
    await called(client.create_job, parent=PLACE, job=job("", http_target=target))
    stand.turn(60)
    await status_of(client, 0)
    (request,) = handler.seen
    assert (request.method, request.path_qs, handler.bodies) == ("POST", "/tick?a=1", [b'{"n": 1}'])
    assert request.headers["User-Agent"] == "Google-Cloud-Scheduler"
    assert request.headers["X-CloudScheduler"] == "true"
    assert request.headers["X-CloudScheduler-JobName"] == "tick"
    # Recorded: in Los Angeles, whatever the job's zone.
    assert request.headers["X-CloudScheduler-ScheduleTime"] == "2026-11-20T04:01:00-08:00"
    assert request.headers["Content-Type"] == "application/octet-stream"
    assert request.headers["X-Mine"] == "yes"
    assert request.headers["Host"] == handler.url.removeprefix("http://")
    assert "Authorization" not in request.headers
    shown = await called(client.get_job, name=NAME)
    assert shown.last_attempt_time.isoformat() == "2026-11-20T12:01:00+00:00"


async def test_a_request_without_a_body_has_no_type(stand: Stand, handler: Handler) -> None:
    client = stand.client("grpc")
    await called(client.create_job, parent=PLACE, job=job(handler.url))
    stand.turn(60)
    await status_of(client, 0)
    assert handler.seen[0].headers["Content-Length"] == "0"
    assert "Content-Type" not in handler.seen[0].headers


@pytest.mark.parametrize(
    ("kind", "token", "claim"),
    [
        ("oidc_token", {"service_account_email": EMAIL, "audience": "https://aud"}, ("aud", "https://aud")),
        ("oidc_token", {"service_account_email": EMAIL}, ("aud", "URI")),
        (
            "oauth_token",
            {"service_account_email": EMAIL},
            ("scope", "https://www.googleapis.com/auth/cloud-platform"),
        ),
        ("oauth_token", {"service_account_email": EMAIL, "scope": "s"}, ("scope", "s")),
    ],
)
async def test_a_target_gets_the_token_that_it_asks_for(
    stand: Stand,
    handler: Handler,
    key: rsa.RSAPrivateKey,
    kind: str,
    token: dict[str, str],
    claim: tuple[str, str],
) -> None:
    client = stand.client("grpc")
    uri = f"{handler.url}/tick"
    await called(client.create_job, parent=PLACE, job=job("", http_target={"uri": uri, kind: token}))
    stand.turn(60)
    await status_of(client, 0)
    bearer = handler.seen[0].headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(bearer, key.public_key(), algorithms=["RS256"], options={"verify_aud": False})
    assert claims["email"] == EMAIL
    assert claims[claim[0]] == (uri if claim[1] == "URI" else claim[1])


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 3), (401, 16), (403, 7), (404, 5), (418, 9), (429, 8), (500, 13), (503, 14), (504, 4)],
)
async def test_an_answer_becomes_a_status(stand: Stand, handler: Handler, status: int, code: int) -> None:
    client = stand.client("grpc")
    handler.status = status
    await called(client.create_job, parent=PLACE, job=job(handler.url))
    stand.turn(60)
    await status_of(client, code)
    assert stand.scheduler.entries[NAME].answer.endswith(": said")


async def test_a_target_that_is_not_there_is_unavailable(stand: Stand) -> None:
    client = stand.client("grpc")
    await called(client.create_job, parent=PLACE, job=job("http://127.0.0.1:9/"))
    stand.turn(60)
    await status_of(client, 14)


async def test_a_redirect_is_followed(stand: Stand, handler: Handler) -> None:
    client = stand.client("grpc")
    await called(client.create_job, parent=PLACE, job=job(f"{handler.url}/moved"))
    stand.turn(60)
    await status_of(client, 0)
    assert [each.path for each in handler.seen] == ["/moved", "/tick"]


async def test_failed_attempts_are_made_again_with_the_same_schedule_time(
    stand: Stand, handler: Handler
) -> None:
    client = stand.client("grpc")
    handler.status = 500
    await called(
        client.create_job,
        parent=PLACE,
        job=job(handler.url, schedule="*/10 * * * *", retry_config={"retry_count": 2}),
    )
    for seconds, attempts in ((600, 1), (5, 2), (10, 3), (20, 3), (100, 3)):
        stand.turn(seconds)
        await eventually(lambda expected=attempts: len(handler.seen) == expected, f"{attempts} attempts")  # type: ignore[misc]
        await status_of(client, 13)
    times = {each.headers["X-CloudScheduler-ScheduleTime"] for each in handler.seen}
    assert times == {"2026-11-20T04:10:00-08:00"}


async def test_a_forced_run_is_told_the_next_schedule_time(stand: Stand, handler: Handler) -> None:
    client = stand.client("rest")
    await called(client.create_job, parent=PLACE, job=job(handler.url, schedule="0 0 1 1 *"))
    await called(client.run_job, name=NAME)
    await status_of(client, 0)
    assert handler.seen[0].headers["X-CloudScheduler-ScheduleTime"] == "2026-12-31T16:00:00-08:00"


async def test_jobs_are_there_after_a_restart_and_what_was_under_way_is_made_again(
    tmp_path: Path, key: rsa.RSAPrivateKey, handler: Handler
) -> None:
    clock, identity = Clock(), Identity(key)
    handler.hold = asyncio.Event()
    async with cloud_scheduler(
        tmp_path, choose_ports("it"), identity, clock=clock, stop_seconds=0.0
    ) as scheduler:
        stand = Stand(scheduler, Ports(0, 0), clock, identity)
        await scheduler.create(PLACE, job(handler.url))
        stand.turn(60)
        await eventually(lambda: len(handler.seen) == 1, "the first attempt")
    handler.hold = None
    ports = choose_ports("it")
    async with cloud_scheduler(tmp_path, ports, identity, clock=clock) as scheduler:
        await eventually(lambda: len(handler.seen) == 2, "the attempt of unknown end, again")
        client = Stand(scheduler, ports, clock, identity).client("grpc")
        await status_of(client, 0)
    times = {each.headers["X-CloudScheduler-ScheduleTime"] for each in handler.seen}
    assert times == {"2026-11-20T04:01:00-08:00"}


async def test_a_disk_that_refuses_changes_nothing_and_says_so(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = stand.client("grpc")
    await called(client.create_job, parent=PLACE, job=job("http://127.0.0.1:1/"))

    def refuse(_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(stand.scheduler._store, "save", refuse)
        with pytest.raises(exceptions.ServiceUnavailable, match="disk is full"):
            await called(client.pause_job, name=NAME, retry=None)
        assert (await called(client.get_job, name=NAME)).state.name == "ENABLED"
    assert (await called(client.pause_job, name=NAME)).state.name == "PAUSED"


async def test_a_file_that_holds_something_else_is_refused_and_kept(
    tmp_path: Path, key: rsa.RSAPrivateKey
) -> None:
    (tmp_path / STORE_FILE).write_bytes(b"not a database, by far" * 100)
    with pytest.raises(StoreUnusable, match="is not a database"):
        async with cloud_scheduler(tmp_path, choose_ports("it"), Identity(key)):
            pass
    assert (tmp_path / STORE_FILE).read_bytes().startswith(b"not a database")


async def test_a_loop_that_fails_ends_the_stand_in(
    tmp_path: Path, key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: CloudScheduler) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(CloudScheduler, "run", fail)
    with pytest.raises(ExceptionGroup) as failed:
        async with cloud_scheduler(tmp_path, choose_ports("it"), Identity(key)):
            await asyncio.Event().wait()
    assert failed.group_contains(RuntimeError, match="planted")


async def test_rest_speaks_as_the_service_does(stand: Stand) -> None:
    """The bodies are the recorded ones of 2026-10-01, with our names."""
    base = f"{stand.ports.url}/v1/{PLACE}/jobs"
    given = {
        "name": NAME,
        "schedule": "0 9 * JAN MON",
        "timeZone": "UTC",
        "pubsubTarget": {"topicName": "projects/demo/topics/ticks", "data": "c2VlZC1vbmx5"},
    }
    async with aiohttp.ClientSession() as session:
        async with session.get(base) as answer:
            assert (answer.status, await answer.text()) == (200, "{}\n")
        async with session.post(base, json=given) as answer:
            assert (answer.status, await answer.json()) == (
                200,
                {
                    "name": NAME,
                    "pubsubTarget": given["pubsubTarget"],
                    "userUpdateTime": "2026-11-20T12:00:00Z",
                    "state": "ENABLED",
                    "status": {"code": -1},
                    "scheduleTime": "2027-01-04T09:00:00Z",
                    "schedule": "0 9 * JAN MON",
                    "timeZone": "UTC",
                },
            )
        async with session.post(f"{stand.ports.url}/v1/{NAME}:pause") as answer:
            paused = await answer.json()
        assert (paused["state"], "scheduleTime" in paused) == ("PAUSED", False)
        async with session.patch(
            f"{stand.ports.url}/v1/{NAME}?updateMask=description,timeZone",
            json={"description": "new", "timeZone": "Asia/Tokyo", "schedule": "* * * * *"},
        ) as answer:
            changed = await answer.json()
        assert (changed["description"], changed["timeZone"], changed["schedule"]) == (
            "new",
            "Asia/Tokyo",
            "0 9 * JAN MON",
        )
        async with session.delete(f"{stand.ports.url}/v1/{NAME}") as answer:
            assert (answer.status, await answer.text()) == (200, "{}\n")
        async with session.get(f"{stand.ports.url}/v1/{NAME}") as answer:
            assert (answer.status, await answer.json()) == (
                404,
                {"error": {"code": 404, "message": "Job not found.", "status": "NOT_FOUND"}},
            )


async def test_a_retry_configuration_is_kept_as_the_service_keeps_it(stand: Stand) -> None:
    client = stand.client("grpc")
    kept = await called(
        client.create_job,
        parent=PLACE,
        job=job(
            "http://127.0.0.1:1/",
            retry_config={
                "max_retry_duration": duration_pb2.Duration(seconds=10),
                "min_backoff_duration": duration_pb2.Duration(),
                "max_backoff_duration": duration_pb2.Duration(),
                "max_doublings": 0,
            },
        ),
    )
    config = kept.retry_config
    assert (config.retry_count, config.max_doublings) == (0, 5)
    assert config.max_retry_duration.total_seconds() == 10
    assert config.min_backoff_duration.total_seconds() == 5
    assert config.max_backoff_duration.total_seconds() == 3_600


HTTP = {"uri": "http://127.0.0.1:1/"}
WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("no target", {"http_target": None}, "INVALID_ARGUMENT", "Job.target is required"),
    ("a schedule", {"schedule": "every day"}, "INVALID_ARGUMENT", "Schedule or time zone is invalid."),
    ("a zone", {"time_zone": "Asia/Tokio"}, "INVALID_ARGUMENT", "Schedule or time zone is invalid."),
    ("a name", {"name": "tick"}, "INVALID_ARGUMENT", "Job name must be formatted"),
    ("an id", {"name": f"{PLACE}/jobs/a b"}, "INVALID_ARGUMENT", "Job name must be formatted"),
    (
        "another place",
        {"name": NAME.replace("demo", "other")},
        "INVALID_ARGUMENT",
        "Job name must be formatted",
    ),
    ("a long id", {"name": f"{PLACE}/jobs/{'a' * 501}"}, "INVALID_ARGUMENT", "Job name must be formatted"),
    ("a long description", {"description": "a" * 501}, "INVALID_ARGUMENT", "500 characters"),
    ("no uri", {"http_target": {"http_method": "GET"}}, "INVALID_ARGUMENT", "HttpTarget.uri is required"),
    (
        "an uri",
        {"http_target": {"uri": "ftp://x"}},
        "INVALID_ARGUMENT",
        "must start with 'http://' or 'https://'",
    ),
    (
        "a long uri",
        {"http_target": {"uri": "http://x/" + "a" * 2_083}},
        "INVALID_ARGUMENT",
        "2083 characters",
    ),
    (
        "a body with GET",
        {"http_target": {**HTTP, "http_method": "GET", "body": b"x"}},
        "INVALID_ARGUMENT",
        "not with GET",
    ),
    (
        "large headers",
        {"http_target": {**HTTP, "headers": {"a": "b" * 80_000}}},
        "INVALID_ARGUMENT",
        "80KB",
    ),
    (
        "a header",
        {"http_target": {**HTTP, "headers": {"a": "b\nc"}}},
        "INVALID_ARGUMENT",
        "not a valid header",
    ),
    (
        "no account",
        {"http_target": {**HTTP, "oidc_token": {"audience": "x"}}},
        "INVALID_ARGUMENT",
        "service_account_email is required",
    ),
    ("large", {"http_target": {**HTTP, "body": b"x" * 1_000_001}}, "INVALID_ARGUMENT", "1MB"),
    (
        "a short deadline",
        {"attempt_deadline": duration_pb2.Duration(seconds=14)},
        "INVALID_ARGUMENT",
        r"between \[15s, 30m\]",
    ),
    (
        "a long deadline",
        {"attempt_deadline": duration_pb2.Duration(seconds=1_801)},
        "INVALID_ARGUMENT",
        r"between \[15s, 30m\]",
    ),
    ("six retries", {"retry_config": {"retry_count": 6}}, "INVALID_ARGUMENT", "invalid retry count"),
    (
        "negative retries",
        {"retry_config": {"retry_count": -1}},
        "INVALID_ARGUMENT",
        "invalid retry count",
    ),
    (
        "a fraction",
        {"retry_config": {"max_retry_duration": duration_pb2.Duration(seconds=20, nanos=500_000_000)}},
        "INVALID_ARGUMENT",
        "retryConfig.max_retry_duration.nanos cannot be set: invalid argument",
    ),
    (
        "an empty message",
        {"http_target": None, "pubsub_target": {"topic_name": "projects/demo/topics/ticks"}},
        "INVALID_ARGUMENT",
        "either non-empty data, or at least one attribute",
    ),
    (
        "another project's topic",
        {
            "http_target": None,
            "pubsub_target": {"topic_name": "projects/other/topics/ticks", "data": b"x"},
        },
        "INVALID_ARGUMENT",
        "same project",
    ),
    (
        "a topic",
        {"http_target": None, "pubsub_target": {"topic_name": "ticks", "data": b"x"}},
        "INVALID_ARGUMENT",
        "topic_name must be formatted",
    ),
    (
        "App Engine",
        {"http_target": None, "app_engine_http_target": {"relative_uri": "/"}},
        "UNIMPLEMENTED",
        "App Engine targets are not there",
    ),
]


@pytest.mark.parametrize(
    ("changes", "code", "message"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
async def test_wrong_jobs_get_the_code_and_message(
    stand: Stand, changes: dict[str, Any], code: str, message: str
) -> None:
    given = {"name": NAME, "schedule": "* * * * *", "http_target": HTTP, **changes}
    wrong = scheduler_v1.Job({name: value for name, value in given.items() if value is not None})
    for transport in ("grpc", "rest"):
        with pytest.raises(exceptions.GoogleAPICallError, match=message) as refused:
            await called(stand.client(transport).create_job, parent=PLACE, job=wrong)
        expected = Code[code]
        if transport == "grpc":
            assert getattr(refused.value.grpc_status_code, "name", "") == code
        else:
            assert refused.value.code == HTTP_STATUS[expected]


async def test_a_job_that_is_there_and_calls_of_none_are_refused_in_the_words_of_the_service(
    stand: Stand,
) -> None:
    client = stand.client("grpc")
    await called(client.create_job, parent=PLACE, job=job("http://127.0.0.1:1/"))
    with pytest.raises(exceptions.AlreadyExists, match=f"Job {NAME} already exists."):
        await called(client.create_job, parent=PLACE, job=job("http://127.0.0.1:1/"))
    other = f"{PLACE}/jobs/other"
    for verb in ("get_job", "delete_job", "pause_job", "resume_job", "run_job"):
        with pytest.raises(exceptions.NotFound, match="Job not found"):
            await called(getattr(client, verb), name=other)
    with pytest.raises(exceptions.InvalidArgument, match="Page token is not valid"):
        await called(client.list_jobs, request={"parent": PLACE, "page_token": "é"})
    with pytest.raises(exceptions.InvalidArgument, match="Parent must be formatted"):
        await called(client.list_jobs, parent="projects/demo")


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("POST", f"/v1/{PLACE}/jobs", b"{", 400),
        ("POST", f"/v1/{PLACE}/jobs", b"[]", 400),
        ("POST", f"/v1/{PLACE}/jobs", b'{"nothing": 1}', 400),
        ("POST", f"/v1/{PLACE}/jobs", b'{"httpTarget": 3}', 400),
        ("POST", f"/v1/{PLACE}/jobs", b'{"httpTarget": {"body": "%%%"}}', 400),
        ("POST", f"/v1/{PLACE}/jobs", b"[" * 10_000, 400),
        ("GET", f"/v1/{PLACE}/jobs?pageSize=many", b"", 400),
        ("GET", f"/v1/{PLACE}/jobs?pageSize=-1", b"", 400),
        ("GET", f"/v1/{PLACE}/jobs?nothing=1", b"", 400),
        ("GET", f"/v1/{NAME}", b"{}", 400),
        ("PUT", f"/v1/{PLACE}/jobs", b"{}", 405),
        ("GET", "/v1/projects/demo", b"", 404),
        ("GET", "/v2/" + NAME, b"", 404),
    ],
)
async def test_wrong_requests_are_never_the_servers_fault(
    stand: Stand, verb: str, path: str, body: bytes, status: int
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.request(verb, stand.ports.url + path, data=body) as answer,
    ):
        assert answer.status == status, await answer.text()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
        {"Host": "evil.example"},
    ],
)
async def test_another_site_cannot_act_through_the_browser(stand: Stand, headers: dict[str, str]) -> None:
    client = stand.client("grpc")
    await called(client.create_job, parent=PLACE, job=job("http://127.0.0.1:1/"))
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{stand.ports.url}/v1/{NAME}:pause", headers=headers) as answer,
    ):
        assert answer.status == 403
    assert (await called(client.get_job, name=NAME)).state.name == "ENABLED"


async def test_a_message_is_published_to_the_topic(
    tmp_path: Path, key: rsa.RSAPrivateKey, google_emulators: Any, project: str
) -> None:
    host = google_emulators.hosts["pubsub"]
    name = f"projects/{project}/locations/europe-west1/jobs/tick"
    publisher = pubsub_v1.PublisherClient(
        transport=_pubsub_transport(pubsub_v1.PublisherClient, host),
    )
    subscriber = pubsub_v1.SubscriberClient(transport=_pubsub_transport(pubsub_v1.SubscriberClient, host))
    topic, subscription = f"projects/{project}/topics/ticks", f"projects/{project}/subscriptions/ticks"
    await called(publisher.create_topic, name=topic)
    await called(subscriber.create_subscription, name=subscription, topic=topic)
    target = {"topic_name": topic, "data": b"tick", "attributes": {"a": "1"}}
    made = scheduler_v1.Job({"name": name, "schedule": "* * * * *", "pubsub_target": target})
    clock, ports = Clock(), choose_ports("it")
    async with cloud_scheduler(tmp_path, ports, Identity(key), pubsub_host=host, clock=clock) as scheduler:
        stand = Stand(scheduler, ports, clock, Identity(key))
        await scheduler.create(name.rpartition("/jobs/")[0], made)
        stand.turn(60)
        pulled = await called(
            subscriber.pull, subscription=subscription, max_messages=1, timeout=WAIT_SECONDS_MAX
        )
        missing = {"topic_name": f"projects/{project}/topics/none", "data": b"x"}
        await scheduler.create(
            name.rpartition("/jobs/")[0],
            scheduler_v1.Job({"name": name + "2", "schedule": "* * * * *", "pubsub_target": missing}),
        )
        stand.turn(60)
        client = stand.client("grpc")
        for _ in range(500):
            if (await called(client.get_job, name=name + "2")).status.code == 5:
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("a topic that is not there was no failure")
    message = pulled.received_messages[0].message
    assert (message.data, dict(message.attributes)) == (b"tick", {"a": "1"})


def _pubsub_transport(client: Any, host: str) -> Any:
    return client.get_transport_class("grpc")(channel=grpc.insecure_channel(host))

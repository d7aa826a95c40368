"""The API of tasks: what is taken, refused, listed and steered. Nothing runs here: what is added waits, or lies ahead."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from emulators.stack import LocalCloud
from tests.emulated.tasks.conftest import Adder, Json
from turnout.base.environment import read
from turnout.gcp.connections import Connections
from turnout.gcp.tasks.settings import Settings
from turnout.gcp.tasks.store import FirestoreTaskStore

PROBLEM = "urn:turnout:problem:"
AHEAD = "1h"


def post(api: httpx.Client, body: object, **headers: str) -> httpx.Response:
    return api.post("/tasks", json=body, headers=headers)


def kind(reply: httpx.Response) -> tuple[int, str]:
    assert reply.headers["Content-Type"] == "application/problem+json", reply.text
    return reply.status_code, reply.json()["type"].removeprefix(PROBLEM)


@pytest.fixture
def later(add: Adder) -> Callable[..., int]:
    """Adds a task that lies an hour ahead."""
    return lambda handler="echo", payload=None, **more: add(handler, payload, delay=AHEAD, **more)


def test_a_task_is_answered_with_its_id_and_its_address(api: httpx.Client, topic: str) -> None:
    reply = post(api, {"topic": topic, "handler": "echo", "run_at": "2030-01-31T08:00:00+01:00"})
    assert reply.status_code == 202
    task_id = reply.json()["id"]
    assert 0 < task_id < 2**53
    shown = api.get(reply.headers["Location"]).json()
    assert (shown["id"], shown["state"], shown["run_at"]) == (task_id, "scheduled", "2030-01-31T07:00:00Z")


def test_a_key_makes_a_task_unique_in_its_topic(api: httpx.Client, topic: str) -> None:
    body = {"topic": topic, "handler": "echo", "payload": {"a": 1, "b": 2}, "delay": AHEAD, "id": "order-7"}
    first = post(api, body)
    assert (first.status_code, first.json()["is_repeat"]) == (202, False)
    again = post(api, {**body, "payload": {"b": 2, "a": 1}})
    assert (again.status_code, again.json()) == (200, {"id": first.json()["id"], "is_repeat": True})
    other = post(api, {**body, "payload": {"a": 2}})
    assert kind(other) == (409, "key-reused")
    elsewhere = post(api, {**body, "topic": f"{topic}-2"})
    assert elsewhere.status_code == 202


def test_an_idempotency_key_is_a_key(api: httpx.Client, topic: str) -> None:
    body = {"topic": topic, "handler": "echo", "delay": AHEAD}
    first = post(api, body, **{"Idempotency-Key": "k1"})
    again = post(api, body, **{"Idempotency-Key": "k1"})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert kind(post(api, {**body, "id": "k2"}, **{"Idempotency-Key": "k1"})) == (422, "value-refused")
    assert kind(post(api, body, **{"Idempotency-Key": "a b"})) == (422, "value-refused")


def test_a_thousand_tasks_are_added_in_one_call_and_known_again(api: httpx.Client, topic: str) -> None:
    body = [{"topic": topic, "handler": "echo", "payload": each, "delay": AHEAD} for each in range(1_000)]
    first = post(api, body, **{"Idempotency-Key": "batch"})
    assert (first.status_code, first.json()["accepted"]) == (202, 1_000)
    ids = [each["id"] for each in first.json()["tasks"]]
    assert len(set(ids)) == 1_000
    again = post(api, body, **{"Idempotency-Key": "batch"})
    assert (again.status_code, [each["id"] for each in again.json()["tasks"]]) == (200, ids)
    assert api.get(f"/tasks/topics/{topic}").json()["depth"] == 1_000
    changed = post(api, [{**body[0], "payload": "x"}, *body[1:3]], **{"Idempotency-Key": "batch"})
    assert changed.status_code == 409
    assert [("problem" in each) for each in changed.json()["tasks"]] == [True, False, False]
    assert kind(post(api, [*body, body[0]])) == (413, "body-too-large")


def test_of_a_batch_with_faults_nothing_is_added_and_each_fault_is_named(
    api: httpx.Client, topic: str
) -> None:
    good = {"topic": topic, "handler": "echo", "delay": AHEAD}
    reply = post(api, [good, {**good, "delay": "soon"}, good, {**good, "topic": "a/b"}])
    assert kind(reply) == (422, "batch-refused")
    assert [(each["index"], each["field"]) for each in reply.json()["faults"]] == [(1, "/delay")]
    reply = post(api, [good, {**good, "topic": "a/b"}, {**good, "handler": "nobody"}])
    assert [(each["index"], each["field"]) for each in reply.json()["faults"]] == [
        (1, "/topic"),
        (2, "/handler"),
    ]
    assert api.get(f"/tasks/topics/{topic}").json()["created"] == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"handler": "nobody"}, "/handler"),
        ({"handler": ""}, "/handler"),
        ({"handler": "echo", "url": "https://example.com/"}, "/url"),
        ({"topic": ""}, "/topic"),
        ({"topic": "t" * 101}, "/topic"),
        ({"run_at": "9999-12-31T23:59:59Z"}, "/run_at"),
        ({"run_at": -1}, "/run_at"),
        ({"run_at": 1e12}, "/run_at"),
        ({"run_at": "tomorrow"}, "/run_at"),
        ({"delay": -1}, "/delay"),
        ({"delay": "90 s"}, "/delay"),
        ({"delay": 5, "run_at": 2_000_000_000}, "/delay"),
        ({"payload": "x" * 262_144}, "/payload"),
        ({"id": ""}, "/id"),
        ({"id": "k" * 1_025}, "/id"),
        ({"timeout": 0}, "/timeout"),
        ({"timeout": "2d"}, "/timeout"),
        ({"result_ttl": "2w3d400d"}, "/result_ttl"),
        ({"retry": {"failures": 0}}, "/retry/failures"),
        ({"retry": {"first": "2h"}}, "/retry/first"),
        ({"context": {"a": "x" * 3_000}}, "/context"),
        ({"method": "POST"}, "/method"),
        ({"on_failure": "nobody"}, "/on_failure"),
        ({"on_success": "http://169.254.169.254/"}, "/on_success"),
    ],
)
def test_a_value_outside_the_limits_is_named(api: httpx.Client, topic: str, change: Json, field: str) -> None:
    reply = post(api, {"topic": topic, "handler": "echo", **change})
    status, name = kind(reply)
    assert status == 422, reply.text
    assert name in ("value-refused", "handler-unknown")
    assert reply.json()["field"] == field


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        b"null",
        b"[]",
        b'{"topic": "t", "handler": "echo", "payload": NaN}',
        b'{"topic": "t", "handler": "echo", "payload": "\\ud800"}',
        b'{"topic": "t", "handler": "echo", "payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"topic": "t", "topic": "u", "handler": "echo"}',
        b'{"topic": "t", "handler": "echo", "prio": 1}',
        b'{"topic": 7, "handler": "echo"}',
        b'{"topic": "t", "handler": "echo", "payload": "\xff"}',
        b'{"handler": "echo"}',
    ],
)
def test_a_body_that_is_no_task_is_refused(api: httpx.Client, body: bytes) -> None:
    reply = api.post("/tasks", content=body, headers={"Content-Type": "application/json"})
    assert kind(reply) == (400, "body-invalid")


def test_what_is_too_large_or_of_another_kind_is_refused(api: httpx.Client) -> None:
    big = json.dumps({"topic": "t", "handler": "echo", "payload": "x" * 8_000_000})
    assert kind(api.post("/tasks", content=big, headers={"Content-Type": "application/json"}))[0] == 413
    assert kind(api.post("/tasks", content="a=1", headers={"Content-Type": "text/plain"}))[0] == 415
    assert kind(api.put("/tasks")) == (405, "method-not-allowed")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/tasks/1", (404, "task-unknown")),
        ("POST", "/tasks/1/cancel", (404, "task-unknown")),
        ("GET", f"/tasks/{'9' * 17}", (400, "request-invalid")),
        ("GET", "/tasks/one", (400, "request-invalid")),
        ("GET", "/tasks/1?wait=1d", (400, "request-invalid")),
        ("GET", "/tasks/1?wait=a", (422, "value-refused")),
        ("GET", "/tasks", (400, "request-invalid")),
        ("GET", "/tasks?topic=t&state=lost", (400, "request-invalid")),
        ("GET", "/tasks?topic=t&limit=0", (400, "request-invalid")),
        ("GET", "/tasks?topic=t&since=then", (422, "value-refused")),
        ("POST", "/tasks/1/burn", (404, "path-unknown")),
        ("GET", "/tasks/1/cancel", (405, "method-not-allowed")),
        ("GET", "/tasks/topics/t/pause", (405, "method-not-allowed")),
        ("GET", "/tasks/topics", (404, "path-unknown")),
        ("GET", "/tasks/topics/a%20b", (400, "request-invalid")),
        ("GET", "/due", (405, "method-not-allowed")),
        ("POST", "/due", (415, "media-type-unsupported")),
        ("GET", "/sweep", (405, "method-not-allowed")),
    ],
)
def test_what_is_not_there_is_said(
    api: httpx.Client, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert kind(api.request(method, path)) == expected


def test_an_alarm_that_cannot_be_is_refused(api: httpx.Client) -> None:
    assert kind(api.post("/due", json={"shard": 32, "second": 1}))[0] == 422
    assert api.post("/due", json={"shard": 31, "second": 1_700_000_000}).json() == {"published": 0}


def test_pages_go_on_where_they_ended_while_tasks_are_added(
    api: httpx.Client, topic: str, later: Callable[..., int]
) -> None:
    ids = sorted((later(payload=each) for each in range(7)), reverse=True)
    first = api.get("/tasks", params={"topic": topic, "limit": 3}).json()
    later()
    second = api.get("/tasks", params={"topic": topic, "limit": 3, "before": first["before"]}).json()
    third = api.get("/tasks", params={"topic": topic, "limit": 3, "before": second["before"]}).json()
    assert [each["id"] for page in (first, second, third) for each in page["tasks"]] == ids
    assert third["before"] is None
    assert "payload" not in first["tasks"][0]


def test_tasks_are_listed_by_state_and_time(api: httpx.Client, topic: str, later: Callable[..., int]) -> None:
    kept, gone = later(), later()
    api.post(f"/tasks/{gone}/cancel")

    def listed(**params: str) -> list[int]:
        return [each["id"] for each in api.get("/tasks", params={"topic": topic, **params}).json()["tasks"]]

    now = datetime.now(UTC)
    assert listed(state="waiting") == [kept]
    assert listed(state="cancelled") == [gone]
    assert sorted(listed(since=(now - timedelta(minutes=9)).isoformat())) == [kept, gone]
    assert listed(until=(now - timedelta(minutes=9)).isoformat()) == []


def test_a_task_is_cancelled_and_redriven_and_its_books_balance(
    api: httpx.Client, topic: str, later: Callable[..., int]
) -> None:
    task_id = later()
    assert api.post(f"/tasks/{task_id}/cancel").json()["state"] == "cancelled"
    assert kind(api.post(f"/tasks/{task_id}/cancel")) == (409, "transition-refused")
    assert kind(api.post(f"/tasks/{task_id}/run")) == (409, "transition-refused")
    assert kind(api.post(f"/tasks/{task_id}/release")) == (409, "transition-refused")
    books = api.get(f"/tasks/topics/{topic}").json()
    assert (books["created"], books["cancelled"], books["depth"]) == (1, 1, 0)
    assert api.post(f"/tasks/{task_id}/redrive").json()["state"] == "queued"
    assert api.get(f"/tasks/topics/{topic}").json()["cancelled"] == 0
    api.post(f"/tasks/{task_id}/cancel")
    assert api.post(f"/tasks/{task_id}/retry").json()["state"] == "queued"
    assert api.post(f"/tasks/{later()}/run").json()["state"] == "queued"


def test_a_purge_says_first_how_many_it_would_cancel(
    api: httpx.Client, topic: str, later: Callable[..., int]
) -> None:
    ids = [later() for _ in range(5)]
    assert api.post(f"/tasks/topics/{topic}/purge", json={}).json() == {"topic": topic, "waiting": 5}
    assert kind(api.post(f"/tasks/topics/{topic}/purge", json={"confirm": 4})) == (409, "count-differs")
    done = api.post(f"/tasks/topics/{topic}/purge", json={"confirm": 5}).json()
    assert done == {"topic": topic, "cancelled": 5, "is_partial": False}
    assert {api.get(f"/tasks/{each}").json()["state"] for each in ids} == {"cancelled"}


def test_a_topic_is_paused_and_resumed(api: httpx.Client, topic: str) -> None:
    assert api.post(f"/tasks/topics/{topic}/pause").json()["is_paused"] is True
    assert api.get(f"/tasks/topics/{topic}").json()["is_paused"] is True
    assert api.post(f"/tasks/topics/{topic}/resume").json() == {
        "topic": topic,
        "woken": 0,
        "is_partial": False,
    }
    assert api.get(f"/tasks/topics/{topic}").json()["is_paused"] is False


def test_the_trace_of_the_request_travels_along(api: httpx.Client, topic: str) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body: dict[str, Any] = {"topic": topic, "handler": "echo", "delay": AHEAD, "context": {"user": "7"}}
    task_id = post(api, body, traceparent=trace).json()["id"]
    assert api.get(f"/tasks/{task_id}").json()["context"] == {"traceparent": trace, "user": "7"}


async def test_the_books_balance_behind_it(
    local_cloud: LocalCloud, topic: str, later: Callable[..., int]
) -> None:
    later(), later()
    async with Connections(read(Settings, local_cloud.environment)) as connections:
        books = await FirestoreTaskStore(connections.firestore()).books(topic)
    assert (books.balance, books.unended) == (True, 2)

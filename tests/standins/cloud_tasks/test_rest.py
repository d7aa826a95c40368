"""REST by hand: what curl, Terraform and clients without a library send, and what a browser may not."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from emulators.cloud_tasks import CloudTasks
from tests.standins.cloud_tasks.conftest import PARENT, Target

QUEUE = f"{PARENT}/queues/by-hand"


class Rest:
    """Calls of the API, as curl makes them."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def __call__(
        self, verb: str, path: str, body: Any = None, *, expect: int = 200, **options: Any
    ) -> dict[str, Any]:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        async with self._session.request(verb, f"{self.url}{path}", data=data, **options) as answer:
            read: dict[str, Any] = await answer.json()
            assert answer.status == expect, read
            return read


@pytest.fixture
async def rest(tasks: CloudTasks) -> AsyncIterator[Rest]:
    async with aiohttp.ClientSession() as session:
        made = Rest(session, tasks.ports.url)
        await made("POST", f"/v2/{PARENT}/queues", {"name": QUEUE})
        yield made


async def test_names_and_values_are_those_of_the_json_mapping(rest: Rest, target: Target) -> None:
    body = {
        "task": {"httpRequest": {"url": target.url, "body": base64.b64encode(b"hi").decode()}},
        "responseView": "FULL",
    }
    made = await rest("POST", f"/v2/{QUEUE}/tasks", body)
    assert made["httpRequest"] == {
        "url": target.url,
        "httpMethod": "POST",
        "headers": {"User-Agent": "Google-Cloud-Tasks"},
        "body": "aGk=",
    }
    assert made["dispatchDeadline"] == "600s"
    assert made["view"] == "FULL"
    (arrived,) = await target.requests(1)
    assert arrived.body == b"hi"


async def test_a_patch_with_a_mask_as_terraform_sends_it(rest: Rest) -> None:
    changed = await rest(
        "PATCH",
        f"/v2/{QUEUE}?updateMask=rateLimits.maxDispatchesPerSecond,retryConfig",
        {"rateLimits": {"maxDispatchesPerSecond": 3}, "retryConfig": {"maxAttempts": 5, "minBackoff": "2s"}},
    )
    assert changed["rateLimits"] == {
        "maxDispatchesPerSecond": 3.0,
        "maxBurstSize": 10,
        "maxConcurrentDispatches": 1000,
    }
    assert changed["retryConfig"] == {
        "maxAttempts": 5,
        "minBackoff": "2s",
        "maxBackoff": "3600s",
        "maxDoublings": 16,
    }


async def test_errors_have_the_shape_of_googles_apis(rest: Rest) -> None:
    error = (await rest("GET", f"/v2/{QUEUE}-none", expect=404))["error"]
    assert error == {
        "code": 404,
        "message": "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize.",
        "status": "NOT_FOUND",
    }


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"task": {"colour": "red"}}', b'{"task": 5}', b"\xff"])
async def test_a_body_that_is_not_understood_is_refused_and_named(rest: Rest, body: bytes) -> None:
    error = (await rest("POST", f"/v2/{QUEUE}/tasks", body, expect=400))["error"]
    assert error["status"] == "INVALID_ARGUMENT"
    assert error["message"].startswith("Invalid JSON payload received.")


@pytest.mark.parametrize("path", ["/v2/nothing", f"/v2/{QUEUE}:explode", f"/v2beta3/{QUEUE}/tasks"])
async def test_what_is_not_a_method_is_not_found(tasks: CloudTasks, path: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(f"{tasks.ports.url}{path}") as answer:
        assert answer.status == 404
        assert f"The requested URL {path} was not found" in await answer.text()


# BufferTask


async def target_queue(rest: Rest, target: Target, **more: Any) -> None:
    host, port = target.url.removeprefix("http://").split(":")
    override = {"scheme": "HTTP", "host": host, "port": port, "pathOverride": {"path": "/buffered"}}
    await rest(
        "PATCH", f"/v2/{QUEUE}?updateMask=httpTarget", {"httpTarget": {"uriOverride": override, **more}}
    )


@pytest.mark.parametrize("version", ["v2", "v2beta3"])
async def test_any_request_becomes_a_task(rest: Rest, target: Target, version: str) -> None:
    await target_queue(rest, target)
    headers = {"X-Own": "1", "Authorization": "Bearer mine", "Content-Type": "text/plain"}
    made = await rest("PUT", f"/{version}/{QUEUE}/tasks:buffer", b"as it is", headers=headers)
    assert set(made) == {"task"}
    (arrived,) = await target.requests(1)
    assert (arrived.method, arrived.path, arrived.body) == ("PUT", "/buffered", b"as it is")
    assert (arrived.headers["X-Own"], arrived.headers["Content-Type"]) == ("1", "text/plain")
    assert "Authorization" not in arrived.headers


async def test_a_buffered_task_may_have_an_id_and_is_json_by_default(rest: Rest, target: Target) -> None:
    await target_queue(rest, target)
    path = f"/v2/{QUEUE}/tasks/mine:buffer"
    made = await rest("POST", path, b'{"n": 1}', headers={"Content-Type": ""})
    assert made["task"]["name"] == f"{QUEUE}/tasks/mine"
    (arrived,) = await target.requests(1)
    assert arrived.headers["Content-Type"] == "application/json"
    await rest("POST", path, b"{}", expect=409)


async def test_an_http_body_message_is_taken_out_of_its_envelope(rest: Rest, target: Target) -> None:
    await target_queue(rest, target)
    data = base64.b64encode(b"inside").decode()
    await rest("POST", f"/v2/{QUEUE}/tasks:buffer", {"body": {"contentType": "text/plain", "data": data}})
    (arrived,) = await target.requests(1)
    assert (arrived.body, arrived.headers["Content-Type"]) == (b"inside", "text/plain")


async def test_a_queue_without_a_target_buffers_nothing(rest: Rest) -> None:
    error = (await rest("POST", f"/v2/{QUEUE}/tasks:buffer", b"x", expect=400))["error"]
    assert "must have an HTTP target" in error["message"]


# The clock


async def test_a_turned_clock_brings_what_is_due_by_it(rest: Rest, target: Target) -> None:
    before = (await rest("GET", "/clock"))["now"]
    tomorrow = (datetime.fromisoformat(before) + timedelta(days=1)).isoformat()
    made = await rest(
        "POST", f"/v2/{QUEUE}/tasks", {"task": {"httpRequest": {"url": target.url}, "scheduleTime": tomorrow}}
    )
    await rest("POST", "/clock", {"aheadSeconds": 43_200})
    assert (await rest("GET", f"/v2/{made['name']}"))["name"] == made["name"]
    after = (await rest("POST", "/clock", {"aheadSeconds": 43_200}))["now"]
    assert datetime.fromisoformat(after) >= datetime.fromisoformat(tomorrow)
    await target.requests(1)


@pytest.mark.parametrize("body", [{}, {"aheadSeconds": -1}, {"aheadSeconds": 1e9}, {"aheadSeconds": "1"}, []])
async def test_a_clock_is_turned_ahead_and_nothing_else(rest: Rest, body: Any) -> None:
    await rest("POST", "/clock", body, expect=400)


# Browsers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "rebound.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
async def test_another_site_reaches_nothing_through_a_browser(rest: Rest, headers: dict[str, str]) -> None:
    await rest("POST", f"/v2/{QUEUE}:pause", headers={"X-Turnout-Page": "1", **headers}, expect=403)
    assert (await rest("GET", f"/v2/{QUEUE}"))["state"] == "RUNNING"


async def test_another_site_reads_nothing(rest: Rest) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    await rest("GET", f"/v2/{QUEUE}", headers=headers, expect=403)


async def test_an_action_of_the_page_needs_its_header(rest: Rest) -> None:
    path = f"/v2/{QUEUE}:pause"
    await rest("POST", path, headers={"Origin": rest.url}, expect=403)
    await rest("POST", path, headers={"Sec-Fetch-Site": "same-origin"}, expect=403)
    await rest("POST", path, headers={"X-Turnout-Page": "1", "Origin": rest.url})
    assert (await rest("GET", f"/v2/{QUEUE}"))["state"] == "PAUSED"


async def test_the_page_allows_nothing_from_elsewhere(tasks: CloudTasks) -> None:
    async with aiohttp.ClientSession() as session, session.get(tasks.ports.url) as page:
        assert page.content_type == "text/html"
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert "unsafe" not in page.headers["Content-Security-Policy"]

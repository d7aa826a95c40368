"""Callbacks to real servers on this machine: what they answer, and what becomes of the attempt."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from tests.deadlines import WAIT_SECONDS_MAX
from tests.pure.tasks.factories import NOON, a_task
from turnout.base.clock import SystemClock
from turnout.tasks.callbacks.addresses import Allowed
from turnout.tasks.callbacks.calling import CallbackFailed, CallbackRunner
from turnout.tasks.callbacks.signing import Signing
from turnout.tasks.running import Fail, Retry, Run
from turnout.tasks.settings import TaskSettings
from turnout.tasks.work import Call

SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
LOCAL = Allowed(frozenset({"127.0.0.1"}))
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Target:
    """A server that answers as it is told."""

    answer: Answer
    port: int = 0
    requests: list[tuple[web.Request, bytes]] = field(default_factory=list)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request, await request.read()))
        return await self.answer(request)


async def fine(_: web.Request) -> web.StreamResponse:
    return web.Response(text="fine")


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    made = Target(fine)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


def runner(allowed: Allowed = LOCAL, **changes: Any) -> CallbackRunner:
    return CallbackRunner(Signing.read(SECRET), allowed, TaskSettings(), clock=SystemClock(), **changes)


async def call(
    target: Target, by: CallbackRunner | None = None, *, url: str = "", payload: object = None, **given: Any
) -> dict[str, Any]:
    """Calls the target with a task of its own, and returns what is kept."""
    by = by or runner()
    work = Call(url=url or f"http://127.0.0.1:{target.port}/hook?a=b", **given)
    task = a_task(77, handler="", call=work, payload=payload, context={"traceparent": "00-a-b-01"})
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            kept: dict[str, Any] = json.loads(await by.run(Run(task, 1, NOON)))
            return kept
    finally:
        await by.close()


def answering(status: int, text: str = "", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=headers)

    return answer


async def test_the_payload_arrives_signed_and_the_answer_is_kept(target: Target) -> None:
    kept = await call(target, payload={"a": 1}, headers={"X-Team": "mine"})
    assert kept == {"status": 200, "body": "fine", "is_cut": False}
    ((request, body),) = target.requests
    assert (request.method, request.path_qs, body) == ("POST", "/hook?a=b", b'{"a":1}')
    headers = request.headers
    assert headers["Host"] == f"127.0.0.1:{target.port}"
    assert headers["Content-Type"] == "application/json"
    assert (headers["X-Team"], headers["traceparent"]) == ("mine", "00-a-b-01")
    assert (headers["ce-id"], headers["webhook-id"], headers["ce-specversion"]) == ("77", "77", "1.0")
    assert headers["webhook-signature"].startswith("v1,")
    assert "Authorization" not in headers


async def test_a_get_has_no_body(target: Target) -> None:
    await call(target, method="GET", payload={"a": 1})
    ((request, body),) = target.requests
    assert (request.method, body, "Content-Type" in request.headers) == ("GET", b"", False)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
async def test_a_clients_fault_is_final(target: Target, status: int) -> None:
    target.answer = answering(status, "no")
    with pytest.raises(Fail, match=f"{status}: no"):
        await call(target)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 599])
async def test_other_faults_are_tried_again(target: Target, status: int) -> None:
    target.answer = answering(status)
    with pytest.raises(CallbackFailed, match=str(status)):
        await call(target)


@pytest.mark.parametrize(("given", "seconds"), [("7", 7.0), ("999999999999", 86_400.0)])
async def test_a_busy_target_says_when_to_come_again_to_a_day(
    target: Target, given: str, seconds: float
) -> None:
    for status in (429, 503):
        target.answer = answering(status, **{"Retry-After": given})
        with pytest.raises(Retry) as retry:
            await call(target)
        assert retry.value.after_seconds == seconds


async def test_a_retry_after_as_a_date_is_obeyed_and_nonsense_is_not(target: Target) -> None:
    target.answer = answering(503, **{"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"})
    with pytest.raises(Retry) as retry:
        await call(target)
    assert retry.value.after_seconds == 86_400
    target.answer = answering(503, **{"Retry-After": "-5 seconds"})
    with pytest.raises(CallbackFailed):
        await call(target)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(target: Target, status: int) -> None:
    target.answer = answering(status, Location=f"http://127.0.0.1:{target.port}/elsewhere")
    with pytest.raises(CallbackFailed, match="redirect"):
        await call(target)
    assert len(target.requests) == 1


async def test_of_an_endless_answer_the_beginning_is_kept(target: Target) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"\x01" * 65_536)
            sent += 65_536

    target.answer = endless
    kept = await call(target)
    assert kept["is_cut"] is True
    assert len(json.dumps(kept)) <= TaskSettings().task_result_bytes_max
    assert sent < 20_000_000


async def test_a_gzip_bomb_stays_packed(target: Target) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)

    async def bombing(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    target.answer = bombing
    kept = await call(target)
    assert kept["is_cut"] is True
    assert len(kept["body"]) <= 16_384


async def test_an_answer_that_drips_is_ended_by_the_tasks_timeout(target: Target) -> None:
    async def dripping(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b".")
            await asyncio.sleep(0.01)

    target.answer = dripping
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await call(target)


async def test_what_is_no_http_is_a_failure(target: Target) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" * 1_000)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(CallbackFailed, match="no answer"):
            await call(target, url=f"http://127.0.0.1:{port}/")
    with pytest.raises(CallbackFailed, match="no answer"):
        await call(target, url=f"http://127.0.0.1:{port}/")


def looking_up(*answers: Sequence[str]) -> tuple[list[str], Callable[[str, int], Awaitable[Sequence[str]]]]:
    """A name server that answers differently each time, and the names that it was asked for."""
    asked: list[str] = []

    async def look_up(host: str, _: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return asked, look_up


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"], []]
)
async def test_a_name_that_leads_inside_is_refused_for_good(target: Target, addresses: list[str]) -> None:
    _, look_up = looking_up(addresses)
    with pytest.raises(Fail, match="not called"):
        await call(target, runner(Allowed(), look_up=look_up), url="http://innocent.example.com/")
    assert target.requests == []


async def test_a_name_is_looked_up_once_and_its_very_address_is_called(target: Target) -> None:
    """A second look-up would lead elsewhere: that is how a name is rebound between the check and the call."""
    asked, look_up = looking_up(["127.0.0.1"], ["8.8.8.8"])
    allowed = Allowed(frozenset({f"rebound.example.com:{target.port}"}))
    kept = await call(
        target, runner(allowed, look_up=look_up), url=f"http://rebound.example.com:{target.port}/hook"
    )
    assert kept["body"] == "fine"
    assert asked == ["rebound.example.com"]
    assert target.requests[0][0].headers["Host"] == f"rebound.example.com:{target.port}"


async def test_proxies_of_the_environment_are_not_used(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await call(target))["status"] == 200


async def test_a_target_that_is_allowed_no_more_is_refused_for_good(target: Target) -> None:
    with pytest.raises(Fail, match="not called"):
        await call(target, runner(Allowed()))
    assert target.requests == []

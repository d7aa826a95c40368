"""A hot function's requests go past the framework's layers from the second on; nothing else changes for anybody."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from functions_framework import aio
from starlette.applications import Starlette
from starlette.types import Message, Scope

from functions.http.direct import Direct

ROOT = Path(__file__).parents[2]
SOURCE = """
import functions_framework.aio
from functions.http.cors import cross_origin
from functions.http.deadline import SharedDeadline
from functions.http.direct import directly
from functions.http.methods import take_every_method
from functions.http.replies import Accepted, answering
from functions.http.request import expect_method, read_body
from turnout.base.errors import ValueRefused

take_every_method()
deadline = SharedDeadline(0.2)

@functions_framework.aio.http
@directly
@cross_origin
@answering({})
async def greet(request):
    expect_method(request, "POST")
    body = await read_body(request, 100, deadline)
    if body == b"refused":
        raise ValueRefused("It is refused.")
    if body == b"crash":
        raise RuntimeError("planted")
    return Accepted({"path": request.scope["path"], "body": body.decode()})
"""
#: Of HTTP, of WebDAV, and of nobody.
METHODS = (
    *("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"),
    *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "PURGE"),
    *("BREW", "POSTS"),
)

AppMaker = Callable[[str, Path], Starlette]


@pytest.fixture
def make_app(monkeypatch: pytest.MonkeyPatch) -> AppMaker:
    """Builds the application of a function as the framework does: `make_app("vote", path)`."""
    monkeypatch.setattr(aio, "Route", vars(aio)["Route"])  # the source binds it to another class
    monkeypatch.setattr(sys, "path", list(sys.path))  # the framework adds the source's folder

    def make(target: str, source: Path) -> Starlette:
        monkeypatch.delitem(sys.modules, source.stem, raising=False)
        app: Starlette = aio.create_asgi_app(target, str(source))  # type: ignore[no-untyped-call]
        return app

    return make


@pytest.fixture
def app(tmp_path: Path, make_app: AppMaker) -> Starlette:
    source = tmp_path / "greeter.py"
    source.write_text(SOURCE, encoding="utf-8")
    return make_app("greet", source)


def client_of(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("POST", "/", b"hello"),
        ("POST", "/vote", b"hello"),
        ("POST", "/a/b/%C3%A4?c=d", b""),
        ("POST", "/vote", b"refused"),
        ("POST", "/vote", b"crash"),
        ("POST", "/vote", b"x" * 101),
        ("GET", "/robots.txt", b""),
        *((method, "/vote", b"") for method in METHODS),
    ],
)
async def test_the_answer_is_the_same_through_the_framework_and_past_it(
    app: Starlette, client: httpx.AsyncClient, method: str, path: str, content: bytes
) -> None:
    through = await client.request(method, path, content=content)
    await client.post("/vote", content=b"hello")
    assert isinstance(app.middleware_stack, Direct)
    past = await client.request(method, path, content=content)
    assert (past.status_code, past.content) == (through.status_code, through.content)
    assert past.headers == through.headers


async def test_the_handler_is_put_in_front_once(app: Starlette, client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await client.post("/vote", content=b"hello")
    stack = app.middleware_stack
    assert isinstance(stack, Direct)
    assert not isinstance(stack._otherwise, Direct)


@pytest.mark.parametrize("first", [None, "/nowhere/at/all"])
@pytest.mark.parametrize(
    ("target", "path", "allowed"),
    [
        ("vote", "/", "POST, OPTIONS"),
        ("vote", "/vote", "POST, OPTIONS"),
        ("vote", "/vote/finals", "POST, OPTIONS"),
        ("vote", "/votes", "POST, OPTIONS"),
        ("results", "/results/finals", "GET, HEAD, OPTIONS"),
        ("polls", "/polls", "GET, HEAD, POST, OPTIONS"),
        ("polls", "/polls/finals", "GET, HEAD, PATCH, OPTIONS"),
        ("persist", "/persist", "POST, OPTIONS"),
    ],
)
async def test_every_other_method_is_told_in_a_problem_what_is_allowed(
    make_app: AppMaker, target: str, path: str, allowed: str, first: str | None
) -> None:
    """Of the very functions that are deployed: from an instance's first request on, and past the framework's layers."""
    async with client_of(make_app(target, ROOT / "functions" / "main.py")) as client:
        if first is not None:
            assert (await client.post(first)).status_code in (404, 405)
        for method in set(METHODS) - set(allowed.split(", ")):
            reply = await client.request(method, path)
            assert (reply.status_code, reply.headers["allow"]) == (405, allowed), method
            assert reply.headers["content-type"] == "application/problem+json"
            assert method == "HEAD" or reply.json()["type"] == "urn:turnout:problem:method-not-allowed"


@pytest.mark.parametrize("first", [None, b"hello"])
async def test_a_body_that_comes_too_slowly_is_not_waited_for(
    app: Starlette, client: httpx.AsyncClient, first: bytes | None
) -> None:
    if first is not None:
        await client.post("/", content=first)
    sent: list[Message] = []

    async def trickle() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def note(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [],
    }
    await app(scope, trickle, note)
    headers = dict(sent[0]["headers"])
    assert sent[0]["status"] == 408
    assert headers[b"connection"] == b"close"
    assert headers[b"content-type"] == b"application/problem+json"
    assert b"urn:turnout:problem:body-too-slow" in sent[1]["body"]

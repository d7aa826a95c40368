"""A hot function's requests go past the framework's layers from the second on; nothing else changes for anybody."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from functions_framework.aio import create_asgi_app
from starlette.applications import Starlette

from functions.http.direct import Direct

SOURCE = """
import functions_framework.aio
from functions.http.direct import directly
from functions.http.cors import cross_origin
from functions.http.replies import Accepted, answering
from functions.http.request import expect_method
from turnout.base.errors import PathUnknown

@functions_framework.aio.http
@directly
@cross_origin
@answering({})
async def greet(request):
    expect_method(request, "POST")
    body = b"".join([part async for part in request.stream()])
    if body == b"unknown":
        raise PathUnknown("/nowhere")
    if body == b"crash":
        raise RuntimeError("planted")
    return Accepted({"path": request.scope["path"], "body": body.decode()})
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Starlette:
    source = tmp_path / "main.py"
    source.write_text(SOURCE, encoding="utf-8")
    monkeypatch.setattr(sys, "path", list(sys.path))  # the framework adds the source's folder
    monkeypatch.delitem(sys.modules, "main", raising=False)
    app: Starlette = create_asgi_app("greet", str(source))  # type: ignore[no-untyped-call]
    return app


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("POST", "/", b"hello"),
        ("POST", "/vote", b"hello"),
        ("POST", "/a/b/%C3%A4?c=d", b""),
        ("POST", "/vote", b"unknown"),
        ("POST", "/vote", b"crash"),
        ("GET", "/vote", b""),
        ("HEAD", "/vote", b""),
        ("GET", "/robots.txt", b""),
        ("TRACE", "/vote", b""),
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

"""The gateway: one base address, routed by path, streamed both ways."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from emulators.gateway import gateway
from tests.local_cloud.helpers import serving

Client = aiohttp.ClientSession
NAME = web.AppKey("name", str)
SEEN = web.AppKey("seen", asyncio.Event)


async def echo(request: web.Request) -> web.StreamResponse:
    if request.path == "/results/live":
        return await drip(request)
    body = await request.read()
    answer = web.json_response(
        {
            "function": request.app[NAME],
            "method": request.method,
            "path": request.raw_path,
            "length": len(body),
            "headers": [[name.lower(), value] for name, value in request.headers.items()],
        },
        status=418,
        headers={"X-Own": "1", "Connection": "X-Private", "X-Private": "1"},
    )
    answer.headers.add("Set-Cookie", "a=1")
    answer.headers.add("Set-Cookie", "b=2")
    return answer


async def drip(request: web.Request) -> web.StreamResponse:
    """The second part waits for the client to have seen the first."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"first")
    await request.app[SEEN].wait()
    if "cut" in request.query:
        assert request.transport is not None
        request.transport.abort()
        return response
    await response.write(b"second")
    return response


def function(name: str) -> web.Application:
    application = web.Application(client_max_size=1 << 24, handler_args={"auto_decompress": False})
    application[NAME] = name
    application[SEEN] = asyncio.Event()
    application.router.add_route("*", "/{path:(?s:.*)}", echo)
    return application


@pytest.fixture
async def results() -> web.Application:
    return function("results")


@pytest.fixture
async def client(results: web.Application) -> AsyncIterator[Client]:
    async with contextlib.AsyncExitStack() as stack:
        urls = {
            "vote": await stack.enter_async_context(serving(function("vote"))),
            "results": await stack.enter_async_context(serving(results)),
            "polls": "http://127.0.0.1:9",
        }
        address = await stack.enter_async_context(serving(gateway(urls)))
        yield await stack.enter_async_context(Client(base_url=address, auto_decompress=False))


@pytest.mark.parametrize(
    ("path", "name"), [("/vote", "vote"), ("/votes", "vote"), ("/results/p?format=csv", "results")]
)
async def test_a_path_reaches_its_function(client: Client, path: str, name: str) -> None:
    async with client.get(path) as answer:
        said = await answer.json()
    assert (said["function"], said["path"], said["method"]) == (name, path, "GET")


@pytest.mark.parametrize("path", ["/", "/nothing", "/voter", "/persist"])
async def test_an_unknown_path_gets_a_problem_document(client: Client, path: str) -> None:
    async with client.post(path) as answer:
        assert answer.status == 404
        assert answer.content_type == "application/problem+json"
        assert (await answer.json(content_type=None))["status"] == 404


async def test_a_function_that_is_down_gets_a_problem_document(client: Client) -> None:
    async with client.get("/polls") as answer:
        assert answer.status == 502
        assert "polls cannot be reached" in (await answer.json(content_type=None))["detail"]


async def test_status_and_headers_come_back_without_those_of_one_connection(client: Client) -> None:
    async with client.post("/vote", data=b"x" * 10) as answer:
        assert answer.status == 418
        assert answer.headers["X-Own"] == "1"
        assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
        assert "X-Private" not in answer.headers


async def test_headers_go_on_and_say_where_from(client: Client) -> None:
    sent = {
        "X-Forwarded-For": "192.0.2.1",
        "Idempotency-Key": "k",
        "Connection": "X-Mine",
        "X-Mine": "1",
        "TE": "gzip",
    }
    async with client.post("/vote", data=b"x" * 10, headers=sent) as answer:
        headers = dict((await answer.json())["headers"])
    assert headers["x-forwarded-for"] == "192.0.2.1, 127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == headers["host"]
    assert headers["idempotency-key"] == "k"
    assert headers["content-length"] == "10"
    assert not {"x-mine", "te"} & set(headers)


async def test_nothing_is_added_that_the_client_did_not_send(client: Client) -> None:
    skip = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
    async with client.post("/vote", data=b"{}", skip_auto_headers=skip) as answer:
        headers = dict((await answer.json())["headers"])
    assert not {each.lower() for each in skip} & set(headers)


async def test_a_chunked_body_goes_on_chunked(client: Client) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 10_000

    async with client.post("/votes", data=parts()) as answer:
        said = await answer.json()
    assert said["length"] == 1_000_000
    assert dict(said["headers"])["transfer-encoding"] == "chunked"


async def test_a_compressed_body_goes_on_as_it_is(client: Client) -> None:
    async with client.post("/vote", data=b"no gzip", headers={"Content-Encoding": "gzip"}) as answer:
        said = await answer.json()
    assert said["length"] == len(b"no gzip")
    assert dict(said["headers"])["content-encoding"] == "gzip"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "DELETE", "PURGE"])
async def test_every_method_goes_on(client: Client, method: str) -> None:
    async with client.request(method, "/vote") as answer:
        assert answer.status == 418
        if method != "HEAD":
            assert (await answer.json())["method"] == method


async def test_escaped_paths_go_on_as_they_are(client: Client) -> None:
    path = "/results/a%2Fb%20%C3%A9%0A%01?q=%26"
    async with client.get(URL(path, encoded=True)) as answer:
        assert (await answer.json())["path"] == path


async def test_an_answer_is_streamed(client: Client, results: web.Application) -> None:
    async with client.get("/results/live") as answer:
        assert await answer.content.readexactly(5) == b"first"
        results[SEEN].set()
        assert await answer.content.read() == b"second"


async def test_an_answer_that_breaks_off_breaks_off_for_the_client(
    client: Client, results: web.Application
) -> None:
    async with client.get("/results/live?cut") as answer:
        assert await answer.content.readexactly(5) == b"first"
        results[SEEN].set()
        with pytest.raises(aiohttp.ClientError):
            await answer.content.read()


async def test_a_request_for_another_host_stays_here(client: Client) -> None:
    base = client._base_url
    assert base is not None
    reader, writer = await asyncio.open_connection(base.host, base.port)
    writer.write(b"GET http://127.0.0.1:9/vote HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n")
    said = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert said.startswith(b"HTTP/1.1 418 ")
    assert b'"function": "vote"' in said

"""One base address for all functions: routes by path as the load balancer does, and streams both ways.

It listens on the loopback interface alone, and there private functions are reachable like public ones: no IAM exists
locally. It runs as a process of its own: `python -m emulators.gateway PORT '{"vote": "http://127.0.0.1:20001", …}'`.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from emulators.processes import LOOPBACK
from turnout.deployment import Function, function_for_path

#: Answered by the gateway itself, to those who ask whether it is up.
UP_PATH = "/.up"
CONNECTIONS_PER_FUNCTION_MAX = 512
CONNECT_SECONDS_MAX = 5.0
SILENCE_SECONDS_MAX = 75.0
LINE_BYTES_MAX = 16_384
SHUTDOWN_SECONDS = 3.0

HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

Headers = CIMultiDict[str] | CIMultiDictProxy[str]
Route = Callable[[str], Function | None]

_SESSION: web.AppKey[aiohttp.ClientSession] = web.AppKey("session", aiohttp.ClientSession)


def gateway(function_urls: Mapping[str, str], route: Route = function_for_path) -> web.Application:
    """The gateway as an application; `function_urls` maps a function's name to its base address."""
    upstreams = {name: URL(url) for name, url in function_urls.items()}

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == UP_PATH:
            return web.Response(text="Ok")
        function = route(request.path)
        if function is None or function.name not in upstreams:
            return problem(HTTPStatus.NOT_FOUND, "not-found", "No function has this path.")
        return await _forward(request, upstreams[function.name], function.name)

    application = web.Application(handler_args={"max_line_size": LINE_BYTES_MAX, "auto_decompress": False})
    application.router.add_route(
        "*", "/{path:(?s:.*)}", handle
    )  # an escaped line break is part of a path, too
    application.cleanup_ctx.append(_client)
    return application


def problem(status: HTTPStatus, kind: str, detail: str) -> web.Response:
    """A problem document (RFC 9457) of the gateway's own."""
    document = {
        "type": f"urn:turnout:problem:{kind}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
    }
    return web.Response(
        status=status,
        body=msgspec.json.encode(document),
        headers={"Content-Type": "application/problem+json"},
    )


async def _client(application: web.Application) -> AsyncIterator[None]:
    connector = aiohttp.TCPConnector(
        limit=0, limit_per_host=CONNECTIONS_PER_FUNCTION_MAX, keepalive_timeout=4.0
    )
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=CONNECT_SECONDS_MAX, sock_read=SILENCE_SECONDS_MAX
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        max_line_size=LINE_BYTES_MAX,
        max_field_size=LINE_BYTES_MAX,
    ) as session:
        application[_SESSION] = session
        yield


async def _forward(request: web.Request, upstream: URL, name: str) -> web.StreamResponse:
    # Path and query alone are the client's: a request for "http://elsewhere/vote" goes to the function all the same.
    path, query = request.rel_url.raw_path, request.rel_url.raw_query_string
    target = URL.build(
        scheme=upstream.scheme,
        host=upstream.host or "",
        port=upstream.port,
        path=path,
        query_string=query,
        encoded=True,
    )
    try:
        answer = await request.app[_SESSION].request(
            request.method,
            target,
            headers=_onward(request),
            data=request.content if request.body_exists else None,
            allow_redirects=False,
        )
    except TimeoutError:
        return problem(
            HTTPStatus.GATEWAY_TIMEOUT, "function-silent", f"The function {name} did not answer in time."
        )
    except (aiohttp.ClientError, OSError):
        return problem(
            HTTPStatus.BAD_GATEWAY, "function-down", f"The function {name} cannot be reached; see its log."
        )
    async with answer:
        return await _hand_back(request, answer)


def _onward(request: web.Request) -> CIMultiDict[str]:
    headers = _end_to_end(request.headers)
    sender = request.remote or LOOPBACK
    before = request.headers.get("X-Forwarded-For")
    headers["X-Forwarded-For"] = f"{before}, {sender}" if before else sender
    headers["X-Forwarded-Proto"] = request.scheme
    headers["X-Forwarded-Host"] = request.host
    return headers


async def _hand_back(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(
        status=answer.status, reason=answer.reason, headers=_end_to_end(answer.headers)
    )
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    except (aiohttp.ClientError, TimeoutError):
        # The status is sent already: cutting the connection is the one way to tell the client.
        if request.transport is not None:
            request.transport.abort()
    return response


def _end_to_end(headers: Headers) -> CIMultiDict[str]:
    """The headers without those of one connection, named by the standard or by the Connection header itself."""
    named = {each.strip().lower() for each in ",".join(headers.getall("Connection", [])).split(",")}
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP | named
    )


async def serve(port: int, function_urls: Mapping[str, str]) -> None:
    """Serves until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stopped.set)
    runner = web.AppRunner(gateway(function_urls), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
        await stopped.wait()
    finally:
        await runner.cleanup()


def main(port: str, function_urls: str) -> None:
    """The process: on uvloop where there is one."""
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415  # not on every platform

        uvloop.install()
    asyncio.run(serve(int(port), msgspec.json.decode(function_urls, type=dict[str, str])))


if __name__ == "__main__":
    main(*sys.argv[1:])

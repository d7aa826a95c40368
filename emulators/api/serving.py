"""A stand-in's two ports: gRPC on one, REST and its page on the other, on the loopback interface."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from emulators.api.method import Method
from emulators.api.over_grpc import STOP_SECONDS, grpc_server
from emulators.api.over_rest import BODY_BYTES_MAX, error, rest_handler
from emulators.errors import ProcessUnstartable
from emulators.processes import LOOPBACK, free_port, port_is_free

#: What a page of ours sends with each action; a form or a script of another site cannot.
PAGE_HEADER = "X-Turnout-Page"
SHUTDOWN_SECONDS = 1.0
#: Nothing from elsewhere, nothing inline.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Ports:
    """Where a stand-in listens."""

    grpc: int
    rest: int

    @property
    def grpc_host(self) -> str:
        """Host and port of gRPC, as the clients' variables have them."""
        return f"{LOOPBACK}:{self.grpc}"

    @property
    def url(self) -> str:
        """The base address of REST and of the page."""
        return f"http://{LOOPBACK}:{self.rest}"


def choose_ports(name: str, grpc: int = 0, rest: int = 0) -> Ports:
    """The ports asked for, or free ones; `ProcessUnstartable` if one is taken."""
    for port in (grpc, rest):
        if port and not port_is_free(port):
            raise ProcessUnstartable(name, f"port {port} is taken; choose another one")
    first = grpc or free_port({rest})
    return Ports(first, rest or free_port({first}))


@contextlib.asynccontextmanager
async def serving(
    services: Mapping[str, Sequence[Method]], ports: Ports, pages: Iterable[web.RouteDef] = ()
) -> AsyncIterator[None]:
    """Serves the tables of a stand-in, and its pages, until the block ends."""
    application = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[own_pages_only])
    application.add_routes(pages)
    application.router.add_route(
        "*", "/{path:(?s:.*)}", rest_handler([each for methods in services.values() for each in methods])
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    server = grpc_server(services, ports.grpc_host)
    await runner.setup()
    try:
        await server.start()
        await web.TCPSite(runner, LOOPBACK, ports.rest).start()
        yield
    finally:
        await server.stop(STOP_SECONDS)
        await runner.cleanup()


@web.middleware
async def own_pages_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses what a browser sends on behalf of another site; curl and clients send none of these headers.

    A name that another site points at this machine is refused as well: the host must be one of this machine's own.
    """
    if (request.url.host or "") not in (LOOPBACK, "localhost", "::1"):
        return error(HTTPStatus.FORBIDDEN, "PERMISSION_DENIED", "This server answers to 127.0.0.1 alone.")
    browser = "Origin" in request.headers or "Sec-Fetch-Site" in request.headers
    if browser and request.method not in ("GET", "HEAD"):
        origin = request.headers.get("Origin", "")
        if origin != f"{request.scheme}://{request.host}" or PAGE_HEADER not in request.headers:
            return error(HTTPStatus.FORBIDDEN, "PERMISSION_DENIED", "Other sites may not call this server.")
    answer = await handler(request)
    answer.headers.update(PAGE_HEADERS)
    return answer

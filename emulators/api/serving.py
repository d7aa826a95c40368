"""A stand-in's two ports: gRPC on one, REST and its page on the other."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import grpc
from aiohttp import web

from emulators.api.guard import keeping_other_sites_out
from emulators.api.method import Method
from emulators.api.over_grpc import MESSAGE_BYTES_MAX, STOP_SECONDS, grpc_server
from emulators.api.over_rest import answering, rest_handler
from emulators.errors import ProcessUnstartable
from emulators.processes import LOOPBACK, free_port, port_is_free

SHUTDOWN_SECONDS = 1.0


@dataclass(frozen=True)
class Ports:
    """Where a stand-in listens; 0 takes a free port."""

    grpc: int
    rest: int
    host: str = LOOPBACK

    @property
    def grpc_host(self) -> str:
        """Host and port of gRPC, as the clients' variables have them."""
        return f"{_in_url(self.host)}:{self.grpc}"

    @property
    def url(self) -> str:
        """The base address of REST and of the page."""
        return f"http://{_in_url(self.host)}:{self.rest}"


def choose_ports(name: str, grpc: int = 0, rest: int = 0) -> Ports:
    """The ports asked for, or free ones; `ProcessUnstartable` if one is taken."""
    for port in (grpc, rest):
        if port and not port_is_free(port):
            raise _taken(name, port)
    first = grpc or free_port({rest})
    return Ports(first, rest or free_port({first}))


@contextlib.asynccontextmanager
async def serving(
    name: str, services: Mapping[str, Sequence[Method]], ports: Ports, pages: Iterable[web.RouteDef] = ()
) -> AsyncIterator[Ports]:
    """Serves the tables of a stand-in, and its pages, until the block ends; where it listens.

    `ProcessUnstartable` if a port is taken.
    """
    application = web.Application(
        client_max_size=MESSAGE_BYTES_MAX, middlewares=[keeping_other_sites_out(ports.host), answering]
    )
    application.add_routes(pages)
    application.router.add_route(
        "*", "/{path:(?s:.*)}", rest_handler([each for methods in services.values() for each in methods])
    )
    async with contextlib.AsyncExitStack() as stack:
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        server = grpc_server(services)
        stack.push_async_callback(server.stop, STOP_SECONDS)
        grpc_port = await _listen_grpc(name, server, ports)
        yield replace(ports, grpc=grpc_port, rest=await _listen_rest(name, runner, ports))


async def _listen_rest(name: str, runner: web.AppRunner, ports: Ports) -> int:
    try:
        await web.TCPSite(runner, ports.host, ports.rest).start()
    except OSError as error:
        raise _taken(name, ports.rest) from error
    port: int = runner.addresses[0][1]
    return port


async def _listen_grpc(name: str, server: grpc.aio.Server, ports: Ports) -> int:
    try:
        port: int = server.add_insecure_port(ports.grpc_host)
    except RuntimeError as error:
        raise _taken(name, ports.grpc) from error
    await server.start()
    return port


def _taken(name: str, port: int) -> ProcessUnstartable:
    return ProcessUnstartable(name, f"port {port} is taken; choose another one")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host

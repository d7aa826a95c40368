"""Serves the stand-ins to Terraform from this process: it is told where they listen, and starts none of its own."""

import json
import os
import tempfile
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from tests.infrastructure.terraform_offline.protocol import METHODS, PACKAGE, message
from tests.infrastructure.terraform_offline.provider import Provider, World
from tests.infrastructure.terraform_offline.schema import load, names

PROTOCOL = 6
CALLS_AT_ONCE = 8
STOP_SECONDS = 0.0


@contextmanager
def serving(world: World) -> Iterator[dict[str, str]]:
    """The variables under which Terraform uses the stand-ins, for as long as they are served."""
    with tempfile.TemporaryDirectory() as folder, futures.ThreadPoolExecutor(CALLS_AT_ONCE) as threads:
        servers = {name: _server(name, world, Path(folder) / name, threads) for name in names()}
        reattach = {
            f"registry.terraform.io/hashicorp/{name}": {
                "Protocol": "grpc",
                "ProtocolVersion": PROTOCOL,
                "Pid": os.getpid(),
                # Not Terraform's to end.
                "Test": True,
                "Addr": {"Network": "unix", "String": str(Path(folder) / name)},
            }
            for name in servers
        }
        try:
            yield {"TF_REATTACH_PROVIDERS": json.dumps(reattach), "CHECKPOINT_DISABLE": "1"}
        finally:
            for each in [server.stop(STOP_SECONDS) for server in servers.values()]:
                each.wait()


def _server(name: str, world: World, socket: Path, threads: futures.ThreadPoolExecutor) -> grpc.Server:
    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    server = grpc.server(threads, options=unlimited)
    server.add_generic_rpc_handlers((_service(Provider(load(name), world)), *_plugin_services()))
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    return server


def _service(provider: Provider) -> Any:
    def handler(method: str) -> Any:
        takes, answers = (message[name] for name in METHODS[method])
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _: provider.answer(method, request),
            request_deserializer=takes.FromString,
            response_serializer=answers.SerializeToString,
        )

    return grpc.method_handlers_generic_handler(
        f"{PACKAGE}.Provider", {method: handler(method) for method in METHODS}
    )


def _plugin_services() -> list[Any]:
    """What the library beneath Terraform's plugins asks for: an end, which is not its to decide, and what is printed."""

    def shutdown(request: bytes, _: Any) -> bytes:
        return request

    def nothing(_: bytes, __: Any) -> Iterator[bytes]:
        return iter(())

    controller = grpc.unary_unary_rpc_method_handler(shutdown)
    stdio = grpc.unary_stream_rpc_method_handler(nothing)
    return [
        grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": controller}),
        grpc.method_handlers_generic_handler("plugin.GRPCStdio", {"StreamStdio": stdio}),
    ]

"""A table of methods over gRPC, for Google's own clients."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.message import Message

from emulators.api.method import Method
from emulators.api.refused import Refused

STOP_SECONDS = 2.0

logger = logging.getLogger(__name__)


def grpc_server(services: Mapping[str, Sequence[Method]], address: str) -> grpc.aio.Server:
    """A server that is not started yet: service names such as `google.cloud.scheduler.v1.CloudScheduler`."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(name, {each.name: _handler(each) for each in methods})
            for name, methods in services.items()
        )
    )
    server.add_insecure_port(address)
    return server


def _handler(method: Method) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        _answering(method),
        request_deserializer=method.request.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


def _answering(method: Method) -> Callable[[Any, Any], Awaitable[Message]]:
    async def answer(request: Any, context: Any) -> Message:
        try:
            return await method.handle(request)
        except Refused as refused:
            await context.abort(refused.code, refused.message)
            raise
        except Exception:
            logger.exception("%s failed", method.name)
            await context.abort(grpc.StatusCode.INTERNAL, "Internal error encountered.")
            raise

    return answer

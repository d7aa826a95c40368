"""A table of methods over gRPC, for Google's own clients."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.message import Message

from emulators.api.method import Method
from emulators.api.refused import Refused, internal

STOP_SECONDS = 2.0
#: The largest call of all: a BatchCreateTasks of Cloud Tasks may hold a hundred tasks of a megabyte.
MESSAGE_BYTES_MAX = 110 << 20
#: Further calls get RESOURCE_EXHAUSTED at once.
CALLS_AT_ONCE_MAX = 10_000
OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # A second stand-in on the same port is a fault, not a companion.
    ("grpc.so_reuseport", 0),
)

logger = logging.getLogger(__name__)


def grpc_server(services: Mapping[str, Sequence[Method]]) -> grpc.aio.Server:
    """A server without a port, not started yet; services are named as `google.cloud.tasks.v2.CloudTasks`."""
    server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=CALLS_AT_ONCE_MAX)
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(name, {each.name: _handler(each) for each in methods})
            for name, methods in services.items()
        )
    )
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
            await _abort(context, refused)
            raise
        except Exception:
            logger.exception("%s failed", method.name)
            await _abort(context, internal())
            raise

    return answer


async def _abort(context: Any, refused: Refused) -> None:
    details = (("grpc-status-details-bin", refused.status().SerializeToString()),) if refused.details else ()
    await context.abort(grpc.StatusCode[refused.code.name], refused.message, details)

"""gRPC channels to Google's services and their emulators, and what a failed call means.

The stubs beneath the client libraries are used: they retry nothing by themselves (a repeated bare `Increment` could
count twice), and build no wrapper object per message, which costs most of the client's CPU on the hot paths.
"""

from typing import Any

import grpc
import grpc.aio

from turnout.base.errors import OutcomeUnknown, ServiceUnavailable

#: Pull responses and large commits exceed gRPC's 4 MiB; Pub/Sub's own limit is 10 MB.
MESSAGE_BYTES_MAX = 32 * 1024 * 1024
OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # A service that was away is tried again soon; the code's own back-off bounds the calls.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)

#: After these the write may have gone through.
OUTCOME_UNKNOWN = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)


def open_channel(transport: Any, emulator_host: str) -> grpc.aio.Channel:
    """A channel to an emulator, or to the service of a client library's transport class with default credentials.

    Open it in the process and event loop that use it: gRPC does not survive a fork.
    """
    if emulator_host:
        return grpc.aio.insecure_channel(emulator_host, options=OPTIONS)
    return transport.create_channel(transport.DEFAULT_HOST, options=OPTIONS)


def unary(channel: grpc.aio.Channel, method: str, request: Any, response: Any) -> Any:
    """The stub of a unary method, for protobuf message classes."""
    return channel.unary_unary(
        method, request_serializer=request.SerializeToString, response_deserializer=response.FromString
    )


def streaming(channel: grpc.aio.Channel, method: str, request: Any, response: Any) -> Any:
    """The stub of a method that answers with a stream."""
    return channel.unary_stream(
        method, request_serializer=request.SerializeToString, response_deserializer=response.FromString
    )


def fault(service: str, error: grpc.aio.AioRpcError) -> ServiceUnavailable:
    """What a failed call means: the outcome is unknown, or the call was refused."""
    why = f"{error.code().name}: {error.details()}"
    return (OutcomeUnknown if error.code() in OUTCOME_UNKNOWN else ServiceUnavailable)(service, why)

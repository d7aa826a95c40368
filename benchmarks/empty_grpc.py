"""`python -m benchmarks.empty_grpc`: a gRPC server that answers CreateTask with an empty task, and does nothing else.

What a call takes of it is what any call over gRPC takes in Python, at this hour on this machine: the floor of the stand-in's.
"""

import asyncio
import sys
from typing import Any

import grpc
import uvloop

from emulators.cloud_tasks import messages

SERVICE = "google.cloud.tasks.v2.CloudTasks"


async def serve() -> None:
    """Says the port on standard output, and answers until it is ended."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))

    async def create_task(_request: Any, _context: Any) -> Any:
        return messages.Task()

    handler = grpc.unary_unary_rpc_method_handler(
        create_task,
        request_deserializer=messages.CreateTaskRequest.FromString,
        response_serializer=messages.Task.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"CreateTask": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"127.0.0.1:{port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())

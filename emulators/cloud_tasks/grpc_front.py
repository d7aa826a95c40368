"""The API over gRPC: Google's own clients, unchanged, talk to it."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from emulators.cloud_tasks import messages
from emulators.cloud_tasks.errors import Code, Refused
from emulators.cloud_tasks.service import Service

logger = logging.getLogger(__name__)

Method = Callable[[Any], Awaitable[Any]]
_STATUS = {Code[each.name]: each for each in grpc.StatusCode if each.name in Code.__members__}
#: A BatchCreateTasks may hold a hundred tasks of a megabyte.
MESSAGE_BYTES_MAX = 110 * 1024 * 1024
#: Further calls get RESOURCE_EXHAUSTED at once.
CALLS_AT_ONCE_MAX = 10_000


def grpc_server(service: Service) -> Any:
    """A server with all methods, to which ports can be added."""
    server = grpc.aio.server(
        maximum_concurrent_rpcs=CALLS_AT_ONCE_MAX,
        options=[
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
            # A second stand-in on the same port is a fault, not a companion.
            ("grpc.so_reuseport", 0),
        ],
    )
    for name, methods in _methods(service).items():
        handlers = {
            method: grpc.unary_unary_rpc_method_handler(
                _handler(call),
                request_deserializer=request.FromString,
                response_serializer=_serialized,
            )
            for method, (request, call) in methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    return server


def _methods(service: Service) -> dict[str, dict[str, tuple[Any, Method]]]:
    return {
        "google.cloud.tasks.v2.CloudTasks": {
            "ListQueues": (messages.ListQueuesRequest, service.list_queues),
            "GetQueue": (messages.GetQueueRequest, service.get_queue),
            "CreateQueue": (messages.CreateQueueRequest, service.create_queue),
            "UpdateQueue": (messages.UpdateQueueRequest, service.update_queue),
            "DeleteQueue": (messages.DeleteQueueRequest, service.delete_queue),
            "PurgeQueue": (messages.PurgeQueueRequest, service.purge_queue),
            "PauseQueue": (messages.PauseQueueRequest, service.pause_queue),
            "ResumeQueue": (messages.ResumeQueueRequest, service.resume_queue),
            "GetIamPolicy": (messages.GetIamPolicyRequest, service.get_iam_policy),
            "SetIamPolicy": (messages.SetIamPolicyRequest, service.set_iam_policy),
            "TestIamPermissions": (messages.TestIamPermissionsRequest, service.test_iam_permissions),
            "ListTasks": (messages.ListTasksRequest, service.list_tasks),
            "GetTask": (messages.GetTaskRequest, service.get_task),
            "CreateTask": (messages.CreateTaskRequest, service.create_task),
            "DeleteTask": (messages.DeleteTaskRequest, service.delete_task),
            "RunTask": (messages.RunTaskRequest, service.run_task),
            "BatchCreateTasks": (messages.BatchCreateTasksRequest, service.batch_create_tasks),
            "BatchDeleteTasks": (messages.BatchDeleteTasksRequest, service.batch_delete_tasks),
            "GetCmekConfig": (messages.GetCmekConfigRequest, service.get_cmek_config),
            "UpdateCmekConfig": (messages.UpdateCmekConfigRequest, service.update_cmek_config),
        },
        "google.cloud.location.Locations": {
            "ListLocations": (messages.ListLocationsRequest, service.list_locations),
            "GetLocation": (messages.GetLocationRequest, service.get_location),
        },
        "google.longrunning.Operations": {
            "GetOperation": (messages.GetOperationRequest, service.get_operation),
        },
    }


def _serialized(message: Any) -> bytes:
    serialized: bytes = message.SerializeToString()
    return serialized


def _handler(call: Method) -> Callable[[Any, Any], Awaitable[Any]]:
    async def handle(request: Any, context: Any) -> Any:
        try:
            return await call(request)
        except Refused as fault:
            details = (("grpc-status-details-bin", fault.status().SerializeToString()),)
            trailing = details if fault.details else ()
            await context.abort(_STATUS[fault.code], fault.message, trailing)
        except Exception:
            logger.exception("a call failed by a fault of the stand-in")
            await context.abort(grpc.StatusCode.INTERNAL, "A fault of the stand-in; its log has the details.")
        return None

    return handle

"""Cloud Tasks: calls of a URL at a moment, each made once for its name."""

from datetime import datetime
from typing import Any

import grpc
import grpc.aio
from google.cloud.tasks_v2 import types
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport

from turnout.gcp.channels import fault, open_channel, unary

SERVICE = "Cloud Tasks"
CreateTaskRequest = types.CreateTaskRequest.pb()
Task = types.Task.pb()

CALL_SECONDS = 10.0
#: A call may take so long before it counts as failed; Cloud Tasks allows 15 s to 30 min.
DISPATCH_SECONDS = 60


def open_cloud_tasks_channel(emulator_host: str) -> grpc.aio.Channel:
    """A channel to Cloud Tasks. Google's client knows no variable for an emulator: the host is a setting of ours."""
    return open_channel(CloudTasksGrpcAsyncIOTransport, emulator_host)


class CloudTasksQueue:
    """A queue whose tasks POST to one URL."""

    def __init__(self, channel: grpc.aio.Channel, queue: str, url: str, *, account: str = "") -> None:
        """`queue` is a full name; the calls carry an identity token of the service `account`, if one is given."""
        self._queue = queue
        self._url = url
        self._account = account
        self._metadata = (("x-goog-request-params", f"parent={queue}"),)
        self._create = unary(channel, "/google.cloud.tasks.v2.CloudTasks/CreateTask", CreateTaskRequest, Task)

    async def call_at(self, moment: datetime, name: str, body: bytes) -> None:
        """Has the URL called at a moment, with JSON; a name that was used before stays as it is.

        Cloud Tasks holds a name back for up to a day after its task has run: that is the same answer.
        """
        request = CreateTaskRequest(parent=self._queue)
        task = request.task
        task.name = f"{self._queue}/tasks/{name}"
        task.schedule_time.FromDatetime(moment)
        task.dispatch_deadline.seconds = DISPATCH_SECONDS
        self._fill(task.http_request, body)
        try:
            await self._create(request, timeout=CALL_SECONDS, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise fault(SERVICE, error) from error

    def _fill(self, request: Any, body: bytes) -> None:
        request.url = self._url
        request.http_method = types.HttpMethod.POST
        request.headers["Content-Type"] = "application/json"
        request.body = body
        if self._account:
            request.oidc_token.service_account_email = self._account
            # The service's own address, without a path.
            request.oidc_token.audience = "/".join(self._url.split("/")[:3])

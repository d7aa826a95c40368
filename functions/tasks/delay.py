"""`POST /delay/task/add` and `/delay/task/pull`: private, for callers of the delay-queue service. Always 200 with `dm_error`."""

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from functions.http.cors import preflight
from functions.http.replies import json_reply
from functions.http.request import expect_method, read_body
from functions.tasks import instance
from functions.tasks.problems import answering_tasks
from turnout.base.errors import PathUnknown

BODY_BYTES_MAX = 1_000_000


@functions_framework.aio.http
@answering_tasks
async def delay(request: Request) -> Response:
    """Stores a task, or hands its content out. The media type is not looked at, as that service does not."""
    path = request.scope["path"].strip("/").removeprefix("delay").strip("/")
    if path not in ("task/add", "task/pull"):
        raise PathUnknown(request.scope["path"])
    if request.method == "OPTIONS":
        return preflight("POST, OPTIONS")
    expect_method(request, "POST")
    body = await read_body(request, BODY_BYTES_MAX, instance.body_deadline())
    delaying = instance.delaying()
    return json_reply(await (delaying.add(body) if path == "task/add" else delaying.pull(body)))

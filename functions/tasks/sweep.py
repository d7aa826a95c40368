"""`POST /sweep`: private, for Cloud Scheduler."""

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from functions.http.cors import preflight
from functions.http.replies import json_reply
from functions.http.request import expect_method
from functions.tasks import instance
from functions.tasks.problems import answering_tasks
from turnout.base.errors import PathUnknown


@functions_framework.aio.http
@answering_tasks
async def sweep(request: Request) -> Response:
    """Publishes what is overdue: its alarm or message was lost, or its worker died."""
    if request.scope["path"].strip("/") not in ("", "sweep"):
        raise PathUnknown(request.scope["path"])
    if request.method == "OPTIONS":
        return preflight("POST, OPTIONS")
    expect_method(request, "POST")
    return json_reply(await instance.waking().sweep())

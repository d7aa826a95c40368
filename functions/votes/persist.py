"""`POST /persist`: private, for Cloud Scheduler."""

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from functions.http.cors import preflight
from functions.http.replies import json_reply
from functions.http.request import expect_method, schedule_time
from functions.votes import instance
from functions.votes.problems import answering_votes
from turnout.base.clock import SystemClock
from turnout.base.errors import PathUnknown

FAILED = 503


@functions_framework.aio.http
@answering_votes
async def persist(request: Request) -> Response:
    """Persists every poll's tally for the scheduled moment; however often or late it is called, totals never go back."""
    if request.scope["path"].strip("/") not in ("", "persist"):
        raise PathUnknown(request.scope["path"])
    if request.method == "OPTIONS":
        return preflight("POST, OPTIONS")
    expect_method(request, "POST")
    report = await instance.persistence().persist_all(schedule_time(request, SystemClock().now()))
    return json_reply(report, status=FAILED if report.failed else 200)

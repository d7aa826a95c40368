"""`POST /due`: private, for the alarms of Cloud Tasks."""

import functions_framework.aio
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from functions.http.cors import preflight
from functions.http.replies import json_reply
from functions.http.request import expect_method, read_json
from functions.tasks import instance
from functions.tasks.problems import answering_tasks
from turnout.base.errors import PathUnknown, ValueRefused
from turnout.tasks.alarms import HOPS_MAX, Alarm
from turnout.tasks.ids import SHARDS

BODY_BYTES_MAX = 1_024

_alarm = msgspec.json.Decoder(Alarm)


@functions_framework.aio.http
@answering_tasks
async def due(request: Request) -> Response:
    """Publishes the tasks of an alarm's second; any fault lets Cloud Tasks ring it again."""
    if request.scope["path"].strip("/") not in ("", "due"):
        raise PathUnknown(request.scope["path"])
    if request.method == "OPTIONS":
        return preflight("POST, OPTIONS")
    expect_method(request, "POST")
    alarm = await read_json(request, _alarm, BODY_BYTES_MAX, instance.body_deadline())
    if not (0 <= alarm.shard < SHARDS and 0 <= alarm.hops <= HOPS_MAX and alarm.second >= 0):
        raise ValueRefused("This is not an alarm: its shard, second or hops are out of range.")
    return json_reply({"published": await instance.waking().ring(alarm)})

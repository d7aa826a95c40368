"""BufferTask: whatever HTTP request comes becomes a task for the target that its queue names. It is in REST alone."""

import base64
import binascii
import json

from aiohttp import web

from emulators.api.over_rest import json_response, written
from emulators.cloud_tasks.errors import InvalidArgument
from emulators.cloud_tasks.messages import METHODS, HttpRequest
from emulators.cloud_tasks.service import Service

#: Google's samples call it by v2beta3.
_PATH = "/{version:v2|v2beta3}/{queue:projects/[^/]+/locations/[^/]+/queues/[^/:]+}/tasks"
_BODY_METHODS = frozenset(("POST", "PUT", "PATCH"))
#: Headers of the call that are the connection's or the API's, and no part of the buffered request.
_NOT_BUFFERED = frozenset(
    [
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "origin",
        "referer",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    ]
)
_NOT_BUFFERED_PREFIXES = ("sec-fetch-", "sec-ch-", "x-goog-", "x-cloudtasks-")
_ENVELOPE = frozenset(("contentType", "content_type", "data", "extensions"))


def buffer_routes(service: Service) -> list[web.RouteDef]:
    """The method's routes, with an id and without."""

    async def buffer(request: web.Request) -> web.Response:
        queue, task_id = request.match_info["queue"], request.match_info.get("id", "")
        task = await service.buffer_task(queue, task_id, await _request_of(request))
        return json_response({"task": written(task, request)})

    return [
        web.route("*", _PATH + ":buffer", buffer),
        web.route("*", _PATH + "/{id:[^/:]+}:buffer", buffer),
    ]


async def _request_of(request: web.Request) -> HttpRequest:
    if request.method not in METHODS:
        raise InvalidArgument(f"{request.method} is not a method that a task can have.")
    body, content_type = await request.read(), request.headers.get("Content-Type", "")
    if envelope := _http_body(body):
        body, content_type = envelope
    made = HttpRequest(
        http_method=METHODS[request.method], body=body if request.method in _BODY_METHODS else b""
    )
    for key, value in request.headers.items():
        if key.lower() not in _NOT_BUFFERED and not key.lower().startswith(_NOT_BUFFERED_PREFIXES):
            made.headers[key] = value
    for key in [key for key in made.headers if key.lower() == "content-type"]:
        del made.headers[key]
    made.headers["Content-Type"] = content_type or "application/json"
    return made


def _http_body(raw: bytes) -> tuple[bytes, str] | None:
    """The body and its type in `{"body": HttpBody}`, which clients made from the discovery document send; else None."""
    if not raw.lstrip().startswith(b"{"):
        return None
    try:
        read = json.loads(raw)
        inner = read["body"]
        if set(read) != {"body"} or not set(inner) <= _ENVELOPE or "data" not in inner:
            return None
        # Both alphabets are read, as protobuf's JSON mapping does.
        data = base64.b64decode(inner["data"].replace("-", "+").replace("_", "/"), validate=True)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        return None
    return data, str(inner.get("contentType") or inner.get("content_type") or "")

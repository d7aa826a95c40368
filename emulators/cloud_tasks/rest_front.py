"""The API over HTTP and JSON, as the service maps it: for curl, Terraform, and clients of other languages."""

import base64
import binascii
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from google.protobuf import json_format

from emulators.cloud_tasks import messages
from emulators.cloud_tasks.errors import HTTP_STATUS, Code, InvalidArgument, Refused
from emulators.cloud_tasks.messages import METHODS, HttpRequest
from emulators.cloud_tasks.service import Service

logger = logging.getLogger(__name__)

Method = Callable[[Any], Awaitable[Any]]
_LOCATION = "projects/[^/]+/locations/[^/]+"
_QUEUE = f"{_LOCATION}/queues/[^/:]+"
_TASK = f"{_QUEUE}/tasks/[^/:]+"
#: https://cloud.google.com/apis/docs/system-parameters, and what Google's REST transports add.
_SYSTEM_PARAMETERS = frozenset(
    [
        "$alt",
        "alt",
        "$.xgafv",
        "access_token",
        "callback",
        "fields",
        "key",
        "oauth_token",
        "prettyPrint",
        "quotaUser",
        "uploadType",
        "upload_protocol",
    ]
)
_BODY_METHODS = frozenset(("POST", "PUT", "PATCH"))
_BUFFER = re.compile(rf"({_QUEUE})/tasks(?:/([^/:]+))?:buffer")
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


class NoSuchMethod(Refused):
    """A path and verb that are no method of the API."""

    def __init__(self, verb: str, path: str) -> None:
        super().__init__(Code.NOT_FOUND, f"{verb} {path} is not a method of the Cloud Tasks API, v2.")


@dataclass(frozen=True, slots=True)
class _Route:
    verb: str
    path: re.Pattern[str]
    #: Where the path's name goes in the request, as `queue.name`.
    name_field: str
    #: Where the body goes: a field, `*` for the request itself, or empty for no body.
    body_field: str
    request: Any
    call: Method


def rest_routes(service: Service) -> list[web.RouteDef]:
    """The routes of the API, for an application whose errors `answering` turns into JSON."""
    routes = _routes(service)

    async def call(request: web.Request) -> web.Response:
        path = request.match_info["path"]
        if found := _BUFFER.fullmatch(path):
            return await _buffer(service, found[1], found[2] or "", request)
        for route in routes:
            if route.verb == request.method and (matched := route.path.fullmatch(path)):
                message = await _read(route, matched[1], request)
                return json_response(_written(await route.call(message), request.query))
        raise NoSuchMethod(request.method, request.path)

    async def buffer(request: web.Request) -> web.Response:
        found = _BUFFER.fullmatch(request.match_info["path"])
        if found is None:
            raise NoSuchMethod(request.method, request.path)
        return await _buffer(service, found[1], found[2] or "", request)

    # Google's samples of BufferTask call it by v2beta3.
    return [web.route("*", "/v2/{path:.*}", call), web.route("*", "/v2beta3/{path:.*}", buffer)]


@web.middleware
async def answering(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turns what is refused into the service's JSON errors."""
    try:
        return await handler(request)
    except Refused as fault:
        return error_response(fault)
    except web.HTTPException:
        raise
    except Exception:
        logger.exception("a call failed by a fault of the stand-in")
        return error_response(Refused(Code.INTERNAL, "A fault of the stand-in; its log has the details."))


def error_response(fault: Refused) -> web.Response:
    """An error as Google's APIs write it."""
    status = HTTP_STATUS[fault.code]
    error: dict[str, Any] = {"code": status, "message": fault.message, "status": fault.code.name}
    if fault.details:
        error["details"] = [json_format.MessageToDict(each) for each in fault.status().details]
    return json_response({"error": error}, status=status)


def json_response(content: Any, status: int = 200) -> web.Response:
    """A JSON answer, as Google's APIs format it."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return web.Response(
        text=text, status=status, content_type="application/json", headers={"Cache-Control": "private"}
    )


def _routes(service: Service) -> list[_Route]:
    def route(verb: str, path: str, name_field: str, request: Any, call: Method, body: str = "") -> _Route:
        return _Route(verb, re.compile(path), name_field, body, request, call)

    location, queue, task = f"({_LOCATION})", f"({_QUEUE})", f"({_TASK})"
    post = "*"
    return [
        route("POST", f"{queue}/tasks", "parent", messages.CreateTaskRequest, service.create_task, post),
        route("GET", f"{queue}/tasks", "parent", messages.ListTasksRequest, service.list_tasks),
        route("GET", task, "name", messages.GetTaskRequest, service.get_task),
        route("DELETE", task, "name", messages.DeleteTaskRequest, service.delete_task),
        route("POST", f"{task}:run", "name", messages.RunTaskRequest, service.run_task, post),
        route(
            "POST",
            f"{queue}/tasks:batchCreate",
            "parent",
            messages.BatchCreateTasksRequest,
            service.batch_create_tasks,
            post,
        ),
        route(
            "POST",
            f"{queue}/tasks:batchDelete",
            "parent",
            messages.BatchDeleteTasksRequest,
            service.batch_delete_tasks,
            post,
        ),
        route(
            "POST", f"{location}/queues", "parent", messages.CreateQueueRequest, service.create_queue, "queue"
        ),
        route("GET", f"{location}/queues", "parent", messages.ListQueuesRequest, service.list_queues),
        route("GET", queue, "name", messages.GetQueueRequest, service.get_queue),
        route("PATCH", queue, "queue.name", messages.UpdateQueueRequest, service.update_queue, "queue"),
        route("DELETE", queue, "name", messages.DeleteQueueRequest, service.delete_queue),
        route("POST", f"{queue}:purge", "name", messages.PurgeQueueRequest, service.purge_queue, post),
        route("POST", f"{queue}:pause", "name", messages.PauseQueueRequest, service.pause_queue, post),
        route("POST", f"{queue}:resume", "name", messages.ResumeQueueRequest, service.resume_queue, post),
        route(
            "POST",
            f"{queue}:getIamPolicy",
            "resource",
            messages.GetIamPolicyRequest,
            service.get_iam_policy,
            post,
        ),
        route(
            "POST",
            f"{queue}:setIamPolicy",
            "resource",
            messages.SetIamPolicyRequest,
            service.set_iam_policy,
            post,
        ),
        route(
            "POST",
            f"{queue}:testIamPermissions",
            "resource",
            messages.TestIamPermissionsRequest,
            service.test_iam_permissions,
            post,
        ),
        route(
            "GET", f"({_LOCATION}/cmekConfig)", "name", messages.GetCmekConfigRequest, service.get_cmek_config
        ),
        route(
            "PATCH",
            f"({_LOCATION}/cmekConfig)",
            "cmek_config.name",
            messages.UpdateCmekConfigRequest,
            service.update_cmek_config,
            "cmek_config",
        ),
        route(
            "GET",
            f"({_LOCATION}/operations/[^/]+)",
            "name",
            messages.GetOperationRequest,
            service.get_operation,
        ),
        route(
            "GET", "(projects/[^/]+)/locations", "name", messages.ListLocationsRequest, service.list_locations
        ),
        route("GET", location, "name", messages.GetLocationRequest, service.get_location),
    ]


async def _read(route: _Route, name: str, request: web.Request) -> Any:
    """The request message: the body, the query and the path, in this order."""
    message = route.request()
    if route.body_field:
        target = message if route.body_field == "*" else getattr(message, route.body_field)
        _parse(await _json_body(request), target)
        if route.body_field != "*":
            getattr(message, route.body_field).SetInParent()
    query: dict[str, Any] = {}
    for key in request.query:
        if key not in _SYSTEM_PARAMETERS:
            values = request.query.getall(key)
            query[key] = values if len(values) > 1 else values[0]
    if query:
        _parse(query, message)
    *parents, leaf = route.name_field.split(".")
    target = message
    for parent in parents:
        target = getattr(target, parent)
    setattr(target, leaf, name)
    return message


async def _json_body(request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    if not raw.strip():
        return {}
    try:
        read = json.loads(raw)
    except ValueError as error:
        raise InvalidArgument(f"Invalid JSON payload received. {error}.") from None
    if not isinstance(read, dict):
        raise InvalidArgument("Invalid JSON payload received. Root element must be a message.")
    return read


def _parse(content: Mapping[str, Any], message: Any) -> None:
    try:
        json_format.ParseDict(content, message)
    except json_format.ParseError as error:
        raise InvalidArgument(f"Invalid JSON payload received. {error}") from None


def _written(message: Any, query: Mapping[str, str]) -> dict[str, Any]:
    numbers = "enum-encoding=int" in query.get("$alt", "")
    written: dict[str, Any] = json_format.MessageToDict(message, use_integers_for_enums=numbers)
    return written


async def _buffer(service: Service, queue: str, task_id: str, request: web.Request) -> web.Response:
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
    task = await service.buffer_task(queue, task_id, made)
    return json_response({"task": _written(task, request.query)})


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

"""A table of methods as REST with JSON, for curl, Terraform and other languages."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from google.protobuf import json_format
from google.protobuf.message import Message

from emulators.api.method import Method
from emulators.api.refused import Refused, internal, invalid

#: Parameters of every Google API, which no request has a field for: https://cloud.google.com/apis/docs/system-parameters
SYSTEM_PARAMETERS = frozenset(
    [
        "$.xgafv",
        "$alt",
        "access_token",
        "alt",
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
INTEGER_ENUMS = "json;enum-encoding=int"

logger = logging.getLogger(__name__)


def rest_handler(methods: Iterable[Method]) -> Handler:
    """A handler for every path: finds the method, reads the request, and answers in JSON as the service does."""
    table = [(each, each.route.pattern) for each in methods]

    async def handle(request: web.Request) -> web.Response:
        method, value = _found(table, request)
        answer = await method.handle(await _message(method, value, request))
        return json_response(written(answer, request))

    return handle


@web.middleware
async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what is refused, and what fails, into Google's error documents."""
    try:
        return await handler(request)
    except Refused as refused:
        return error_response(refused)
    except web.HTTPException:
        raise
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        return error_response(internal())


def error_response(refused: Refused) -> web.Response:
    """Google's error document."""
    status = refused.http_status
    error: dict[str, Any] = {"code": status.value, "message": refused.message, "status": refused.code.name}
    if refused.details:
        error["details"] = [json_format.MessageToDict(each) for each in refused.status().details]
    return json_response({"error": error}, status)


def json_response(document: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """A JSON answer, as Google's APIs format it."""
    return web.Response(
        status=status,
        body=msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n",
        headers={"Content-Type": "application/json; charset=UTF-8"},
    )


def written(message: Message, request: web.Request) -> dict[str, Any]:
    """A message in JSON, with enums as the request asks for them."""
    as_numbers = INTEGER_ENUMS in (request.query.get("$alt"), request.query.get("alt"))
    document: dict[str, Any] = json_format.MessageToDict(message, use_integers_for_enums=as_numbers)
    return document


def _found(table: Sequence[tuple[Method, re.Pattern[str]]], request: web.Request) -> tuple[Method, str]:
    allowed = set()
    for method, pattern in table:
        matched = pattern.fullmatch(request.path)
        if matched is None:
            continue
        if method.route.verb == request.method:
            return method, matched.group(1) if matched.groups() else ""
        allowed.add(method.route.verb)
    if allowed:
        raise web.HTTPMethodNotAllowed(request.method, sorted(allowed))
    raise web.HTTPNotFound(text=f"The requested URL {request.path} was not found on this server.\n")


async def _message(method: Method, value: str, request: web.Request) -> Message:
    document: dict[str, Any] = {}
    route = method.route
    body = await request.read()
    if body.strip() and not route.body:
        raise invalid("Invalid JSON payload received. This method takes no body.")
    if route.body:
        document = _decoded(body)
        if route.body != "*":
            document = {route.body: document}
    for name in request.query:
        if name not in SYSTEM_PARAMETERS:
            values = [_typed(text) for text in request.query.getall(name)]
            _put(document, name.split("."), values if len(values) > 1 else values[0])
    if route.field:
        _put(document, route.field.split("."), value)
    return _parsed(document, method.request())


def _decoded(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise invalid(f"Invalid JSON payload received. {fault}") from fault
    if not isinstance(document, dict):
        raise invalid("Invalid JSON payload received. The body must be a JSON object.")
    return document


def _typed(text: str) -> Any:
    return {"true": True, "false": False}.get(text, text)


def _put(document: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        inner = document.setdefault(name, {})
        if not isinstance(inner, dict):
            raise invalid(f'Invalid value at "{name}".')
        document = inner
    document[path[-1]] = value


def _parsed(document: Mapping[str, Any], message: Message) -> Message:
    try:
        return json_format.ParseDict(document, message)
    except (json_format.ParseError, ValueError, TypeError) as fault:
        raise invalid(f"Invalid JSON payload received. {fault}") from fault

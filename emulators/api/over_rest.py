"""A table of methods as REST with JSON, for curl, Terraform and other languages."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import Message

from emulators.api.method import Method
from emulators.api.refused import Refused, invalid

#: The largest body: a job of Cloud Scheduler may have 1 MB, and its bytes travel in base64.
BODY_BYTES_MAX = 4 << 20
#: Parameters of every Google API: https://cloud.google.com/apis/docs/system-parameters
SYSTEM_PARAMETERS = frozenset(
    {"$alt", "alt", "key", "prettyPrint", "fields", "quotaUser", "access_token", "oauth_token", "$.xgafv"}
)
INTEGER_ENUMS = "json;enum-encoding=int"

logger = logging.getLogger(__name__)


def rest_handler(methods: Iterable[Method]) -> Any:
    """A handler for every path: finds the method, reads the request, and answers in JSON as the service does."""
    table = [(each, each.route.pattern) for each in methods]

    async def handle(request: web.Request) -> web.Response:
        try:
            method, value = _found(table, request)
            answer = await method.handle(await _message(method, value, request))
        except Refused as refused:
            return error(refused.http_status, refused.code.name, refused.message)
        except web.HTTPException:
            raise
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            return error(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", "Internal error encountered.")
        return _answer(answer, request)

    return handle


def error(status: HTTPStatus, name: str, message: str) -> web.Response:
    """Google's error document."""
    return _json(status, {"error": {"code": status.value, "message": message, "status": name}})


def _json(status: HTTPStatus, document: Mapping[str, Any]) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n",
        headers={"Content-Type": "application/json; charset=UTF-8", "X-Content-Type-Options": "nosniff"},
    )


def _answer(message: Message, request: web.Request) -> web.Response:
    as_numbers = INTEGER_ENUMS in (request.query.get("$alt"), request.query.get("alt"))
    return _json(HTTPStatus.OK, json_format.MessageToDict(message, use_integers_for_enums=as_numbers))


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
    for name, text in request.query.items():
        if name not in SYSTEM_PARAMETERS:
            _put(document, name.split("."), _typed(text))
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

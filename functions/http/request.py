"""Requests: the body within its limits of size and time, and its media type."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from functions.http.deadline import SharedDeadline
from turnout.base.errors import (
    BodyTooLarge,
    BodyTooSlow,
    MediaTypeUnsupported,
    MethodNotAllowed,
    RequestInvalid,
    ValueRefused,
)
from turnout.base.strict_json import decode, refuse_repeated_fields

T = TypeVar("T")

SCHEDULE_TIME = "X-CloudScheduler-ScheduleTime"

#: How far Cloud Scheduler's clock may be ahead. A moment far ahead would keep every later run from persisting.
SCHEDULE_AHEAD_MAX = timedelta(hours=1)
IDEMPOTENCY_KEY_CHARACTERS_MAX = 256
UTF8_NAMES = ("utf-8", "utf8", "us-ascii")


def expect_method(request: Request, *allowed: str) -> str:
    """The request's method, if it is one of those allowed."""
    if request.method not in allowed:
        raise MethodNotAllowed(request.method, (*allowed, "OPTIONS"))
    return request.method


def header(request: Request, name: bytes) -> str | None:
    """A header, by its name in lower case; Starlette's own look-up decodes every header each time."""
    for each, value in request.scope["headers"]:
        if each == name:
            text: str = value.decode("latin-1")
            return text
    return None


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key, if there is one; `ValueRefused` if it is not 1 to 256 visible ASCII characters."""
    given = header(request, b"idempotency-key")
    if given is None:
        return None
    if not 1 <= len(given) <= IDEMPOTENCY_KEY_CHARACTERS_MAX or not all("!" <= each <= "~" for each in given):
        raise ValueRefused(
            f"An Idempotency-Key has 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} visible ASCII characters.",
            field="Idempotency-Key",
        )
    return given


def whole_number(request: Request, name: str, otherwise: int, *, least: int, most: int) -> int:
    """A parameter of the query; `RequestInvalid` if it is not a whole number within its bounds."""
    given = request.query_params.get(name)
    if given is None:
        return otherwise
    plain = given.isascii() and given.isdecimal() and len(given) <= len(str(most))
    if not (plain and least <= int(given) <= most):
        raise RequestInvalid(f"The parameter {name!r} is {least:,} to {most:,}.", field=name)
    return int(given)


async def read_body(request: Request, bytes_max: int, deadline: SharedDeadline) -> bytes:
    """The whole body, however it is cut.

    `BodyTooLarge` as soon as it exceeds the limit, whether or not it says how long it is; `BodyTooSlow` if it is not all
    there by the deadline.
    """
    declared = header(request, b"content-length") or ""
    if declared.isdecimal() and int(declared[:20]) > bytes_max:
        raise BodyTooLarge(bytes_max, "bytes")
    try:
        return await deadline.bound(_receive_body(request, bytes_max))
    except TimeoutError:
        raise BodyTooSlow(deadline.seconds_max) from None


async def _receive_body(request: Request, bytes_max: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > bytes_max:
            raise BodyTooLarge(bytes_max, "bytes")
        if not message.get("more_body", False):
            return b"".join((*chunks, chunk)) if chunks else chunk
        chunks.append(chunk)


def media_type(request: Request, supported: Sequence[str]) -> str:
    """The body's media type, if it is supported and its charset is UTF-8."""
    given = header(request, b"content-type") or ""
    if given in supported:
        return given
    kind, *parameters = [part.strip().lower() for part in given.split(";")]
    charsets = [each.partition("=")[2].strip('"') for each in parameters if each.startswith("charset=")]
    if kind not in supported or any(charset not in UTF8_NAMES for charset in charsets):
        raise MediaTypeUnsupported(given, supported)
    return kind


async def read_json(
    request: Request, decoder: msgspec.json.Decoder[T], bytes_max: int, deadline: SharedDeadline
) -> T:
    """The body as JSON of one shape."""
    media_type(request, ("application/json",))
    body = await read_body(request, bytes_max, deadline)
    decoded = decode(body, decoder)
    refuse_repeated_fields(body)
    return decoded


def schedule_time(request: Request, otherwise: datetime) -> datetime:
    """The moment that Cloud Scheduler meant to call at; a forced run may not say."""
    given = request.headers.get(SCHEDULE_TIME)
    if given is None:
        return otherwise
    moment = _moment(given)
    if moment is None:
        raise RequestInvalid(f"{SCHEDULE_TIME} is not an RFC 3339 moment.", field=SCHEDULE_TIME)
    if moment > otherwise + SCHEDULE_AHEAD_MAX:
        raise RequestInvalid(f"{SCHEDULE_TIME} lies in the future.", field=SCHEDULE_TIME)
    return moment


def _moment(given: str) -> datetime | None:
    """The moment in UTC; None if there is none, as without an offset or beyond the years 1 to 9999."""
    try:
        moment = datetime.fromisoformat(given)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None

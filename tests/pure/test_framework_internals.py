"""What `functions/http` uses of Starlette and functions-framework beyond what they promise: an upgrade may change it.

Each test names one such thing, and says on failure which module stands on it. They are few, and all of them are here.
"""

import inspect
from collections.abc import Callable
from typing import Any

import functions_framework.aio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Message, Scope

from functions.http.cors import CROSS_ORIGIN, cross_origin
from functions.http.methods import EveryMethod
from functions.http.replies import Accepted

DIRECT = "functions/http/direct.py puts a handler in front of the framework's layers: see Starlette.__call__"
REPLIES = "Accepted in functions/http/replies.py skips Response.__init__: see what Response keeps, and reads when it is sent"
CORS = "functions/http/cors.py adds to the list Response.raw_headers: see Response.init_headers and Response.headers"
METHODS = "functions/http/methods.py gives the framework another Route: see functions_framework.aio, and Route.matches"
REQUEST = "functions/http/request.py reads scope['headers'] and Request.receive: see starlette.requests"

Sent = list[Message]


def scope_of(method: str = "POST", path: str = "/vote") -> Scope:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"x-one", b"1")],
    }


async def nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def sent_by(app: Callable[..., Any], scope: Scope) -> Sent:
    sent: Sent = []

    async def note(message: Message) -> None:
        sent.append(message)

    await app(scope, nothing, note)
    return sent


async def test_an_application_calls_what_its_middleware_stack_is_at_that_moment() -> None:
    app = Starlette()
    assert vars(app).get("middleware_stack", "gone") is None, DIRECT

    async def in_front(scope: Scope, receive: object, send: object) -> None:
        calls.append(scope)

    calls: list[Scope] = []
    app.middleware_stack = in_front
    await sent_by(app, scope_of())
    assert len(calls) == 1, DIRECT


async def test_a_request_that_came_through_the_layers_knows_its_application_and_the_built_stack() -> None:
    seen: list[Request] = []

    async def look(request: Request) -> Response:
        seen.append(request)
        return Response()

    app = Starlette(routes=[Route("/vote", look, methods=["POST"])])
    await sent_by(app, scope_of())
    assert seen[0].app is app, DIRECT
    assert callable(app.middleware_stack), DIRECT


async def test_a_request_needs_a_scope_and_a_receive_and_a_response_is_an_application() -> None:
    scope = scope_of()
    request = Request(scope, nothing)
    assert request.scope is scope, DIRECT
    assert request.scope["headers"] == [(b"x-one", b"1")], REQUEST
    assert request.receive is nothing, REQUEST
    sent = await sent_by(Response(b"x"), scope)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"], DIRECT


def test_a_response_keeps_no_more_than_an_accepted_one_sets() -> None:
    # A new attribute of Starlette's would be missed when an Accepted one is sent.
    usual = Response(b"{}", 202, media_type="application/json")
    assert set(vars(Accepted({}))) == set(vars(usual)) - {"media_type"}, REPLIES
    assert sorted(Accepted({}).raw_headers) == sorted(usual.raw_headers), REPLIES


async def test_an_accepted_response_is_sent_as_any_other() -> None:
    usual = await sent_by(Response(b'{"a":1}', 202, media_type="application/json"), scope_of())
    accepted = await sent_by(Accepted({"a": 1}), scope_of())
    for message in (*usual, *accepted):
        message["headers"] = sorted(message.get("headers", []))
    assert accepted == usual, REPLIES


@pytest.mark.parametrize("reply", [Response(), Response(status_code=204), Accepted({})])
async def test_what_is_added_to_the_raw_headers_is_sent(reply: Response) -> None:
    async def answer(_: Request) -> Response:
        return reply

    sent = await sent_by(await cross_origin(answer)(Request(scope_of())), scope_of())
    assert set(CROSS_ORIGIN) <= set(sent[0]["headers"]), CORS
    assert reply.headers["access-control-allow-origin"] == "*", CORS


def test_the_framework_makes_its_routes_by_a_name_that_can_be_bound() -> None:
    assert issubclass(vars(functions_framework.aio)["Route"], Route), METHODS
    source = inspect.getsource(functions_framework.aio._create_asgi_app_with_function)
    assert source.count("Route(") == source.count("methods=") > 0, METHODS


def test_a_route_without_methods_matches_every_method() -> None:
    async def look(_: Request) -> Response:
        return Response()

    route = EveryMethod("/{path:path}", look, methods=["GET", "POST"])
    for method in ("GET", "TRACE", "BREW"):
        assert route.matches(scope_of(method))[0] is Match.FULL, METHODS
    own_path = EveryMethod("/robots.txt", look, methods=["GET"])
    assert own_path.matches(scope_of("GET", "/robots.txt"))[0] is Match.FULL, METHODS
    assert own_path.matches(scope_of("TRACE", "/robots.txt"))[0] is Match.PARTIAL, METHODS

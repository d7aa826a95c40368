"""Requests straight from the server to a handler, past the framework's layers.

functions-framework puts six layers of Starlette between uvicorn and a function (two error handlers, an execution id, a
router with four routes, an exception wrapper, a result converter): half of the time of a small request. Turnout's
handlers name every fault and log the trace by themselves, so a hot function needs none of them.
"""

from functools import wraps

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from functions.http.replies import Handler


class Direct:
    """Serves POST by the handler, and the rest (the framework's own paths among it) as before."""

    def __init__(self, handler: Handler, otherwise: ASGIApp) -> None:
        self._handler = handler
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or another event of ASGI."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._otherwise(scope, receive, send)
            return
        reply = await self._handler(Request(scope, receive))
        await reply(scope, receive, send)


def directly(handler: Handler) -> Handler:
    """Lets a function's first request, which comes through all layers, take the handler in front of them."""

    @wraps(handler)
    async def answer(request: Request) -> Response:
        app = request.app
        if not isinstance(app.middleware_stack, Direct):
            app.middleware_stack = Direct(handler, app.middleware_stack)
        return await handler(request)

    return answer

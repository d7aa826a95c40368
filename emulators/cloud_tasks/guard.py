"""Keeps other web sites out: a page that somebody visits must not reach the stand-in through their browser."""

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from emulators.cloud_tasks.errors import Code, Refused
from emulators.cloud_tasks.rest_front import error_response

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: What the stand-in's own pages send with each action; another site cannot without being asked about (CORS).
PAGE_HEADER = "X-Turnout-Page"
_OWN_SITES = ("same-origin", "none")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def guard(bound_host: str) -> Middleware:
    """A middleware for a server that is bound to a host."""

    @web.middleware
    async def keep_out(request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = _fault(request, bound_host)
        answer = error_response(Refused(Code.PERMISSION_DENIED, fault)) if fault else await handler(request)
        answer.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        answer.headers.setdefault("X-Content-Type-Options", "nosniff")
        answer.headers.setdefault("Referrer-Policy", "no-referrer")
        answer.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return answer

    return keep_out


def _fault(request: web.Request, bound_host: str) -> str:
    """Why a request is not let in; empty if it is. Clients that are not browsers send neither Origin nor Sec-Fetch-Site."""
    if not _is_own_host(request.host, bound_host):
        return f"The host {request.host} is not this stand-in's: use its address, or localhost."
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        return f"A page of {origin} asks, which is another site than this stand-in."
    # A link to the page from elsewhere is fine; whatever else another site asks for is not.
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in _OWN_SITES and request.headers.get("Sec-Fetch-Mode") != "navigate":
        return "Another site asks for this in a browser."
    if site not in _OWN_SITES and request.method not in ("GET", "HEAD"):
        return "Another site sends a form in a browser."
    return ""


def _is_own_host(host: str, bound_host: str) -> bool:
    # A name that somebody else's DNS leads here (rebinding) is neither an address nor localhost.
    name = urlsplit(f"//{host}").hostname or ""
    if name in ("localhost", bound_host) or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        # In a network of containers the stand-in has a name of its choosing, without dots.
        return bound_host in ("0.0.0.0", "::") and "." not in name  # noqa: S104  # compared, not bound
    return True

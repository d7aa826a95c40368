"""Keeps other web sites out: a page that somebody visits must not reach a stand-in through their browser."""

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from emulators.api.over_rest import error_response
from emulators.api.refused import Code, Refused

#: What our own pages send with each action; a form or a script of another site cannot without being asked about (CORS).
PAGE_HEADER = "X-Turnout-Page"
#: Nothing from elsewhere, nothing inline.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_READS = ("GET", "HEAD")
_OWN_SITES = ("same-origin", "none")


def keeping_other_sites_out(bound_host: str) -> Middleware:
    """A middleware for a server that is bound to a host."""

    @web.middleware
    async def keep_out(request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = _fault(request, bound_host)
        answer = error_response(Refused(Code.PERMISSION_DENIED, fault)) if fault else await handler(request)
        answer.headers.update(PAGE_HEADERS)
        return answer

    return keep_out


def _fault(request: web.Request, bound_host: str) -> str:
    """Why a request is not let in; empty if it is. Clients that are not browsers send neither Origin nor Sec-Fetch-Site."""
    if not _is_own_host(request.host, bound_host):
        return f"The host {request.host} is not this stand-in's: use its address, or localhost."
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if origin is None and site is None:
        return ""
    reads = request.method in _READS
    # A link to the page from elsewhere is fine; whatever else another site asks for is not.
    follows_link = reads and request.headers.get("Sec-Fetch-Mode") == "navigate"
    foreign = (origin is not None and urlsplit(origin).netloc != request.host) or (
        site is not None and site not in _OWN_SITES
    )
    if foreign and not follows_link:
        return "Other sites may not call this stand-in through a browser."
    if not reads and PAGE_HEADER not in request.headers:
        return f"What its own page does in a browser bears the header {PAGE_HEADER}."
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

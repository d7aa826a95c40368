"""The request that an attempt sends: the task's definition, the queue's overrides, and the service's own headers."""

import functools
import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from emulators.cloud_tasks import limits
from emulators.cloud_tasks.engine import Dispatch
from emulators.cloud_tasks.messages import METHOD_NAMES, METHODS, UriOverride

CLOUD_PLATFORM_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_HTTP = UriOverride.Scheme.Value("HTTP")
_IF_NOT_EXISTS = UriOverride.UriOverrideEnforceMode.Value("IF_NOT_EXISTS")
_BODY_METHODS = frozenset(METHODS[name] for name in ("POST", "PUT", "PATCH"))
#: Many tasks go to one URL.
_URLS_KEPT = 256
#: What Cloud Tasks encodes "for safety and compatibility" is not said; these may stand in a URL as they are (RFC 3986).
_SAFE = "%/:=&?~#+!$,;'@()*[]"


@dataclass(frozen=True, slots=True)
class IdToken:
    """An OIDC token that is wanted."""

    email: str
    audience: str


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An OAuth token that is wanted."""

    email: str
    scope: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it goes out, but for the token."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    deadline_seconds: float
    token: IdToken | AccessToken | None = None


class NoTarget(Exception):
    """An attempt that cannot be made, since nothing says where to."""


def outgoing(dispatch: Dispatch, definition: Any, queue: Any, app_engine_url: str) -> Outgoing:
    """The request of an attempt; `NoTarget` for an App Engine task when no `app_engine_url` is given."""
    if dispatch.app_engine:
        return _to_app_engine(dispatch, definition, app_engine_url)
    request = definition.http_request
    target = queue.http_target
    method = target.http_method or request.http_method
    url = (
        overridden(request.url, target.uri_override)
        if queue.HasField("http_target")
        else encoded(request.url)
    )
    headers = {
        key: value for key, value in request.headers.items() if not key.lower().startswith("x-cloudtasks-")
    }
    headers.update(_task_headers("X-CloudTasks-", dispatch, ""))
    made = Outgoing(
        method=METHOD_NAMES[method],
        url=url,
        headers=headers,
        body=request.body if method in _BODY_METHODS else b"",
        deadline_seconds=definition.dispatch_deadline.ToMilliseconds() / 1000,
    )
    return replace(made, token=_token(target, url) or _token(request, url))


def _to_app_engine(dispatch: Dispatch, definition: Any, app_engine_url: str) -> Outgoing:
    request = definition.app_engine_http_request
    if not app_engine_url:
        raise NoTarget(
            f"App Engine tasks go to {request.app_engine_routing.host} in the cloud; say where your application "
            "runs here with --app-engine-url."
        )
    reason = "App Error" if dispatch.previous > 0 else "Instance Unavailable"
    headers = {key: value for key, value in request.headers.items() if key.lower() != "content-length"}
    headers.update(_task_headers("X-AppEngine-", dispatch, reason))
    return Outgoing(
        method=METHOD_NAMES[request.http_method],
        url=encoded(app_engine_url.rstrip("/") + request.relative_uri),
        headers=headers,
        body=request.body,
        deadline_seconds=definition.dispatch_deadline.ToMilliseconds() / 1000
        or limits.DEADLINE_SECONDS_DEFAULT,
    )


def _task_headers(prefix: str, dispatch: Dispatch, retry_reason: str) -> dict[str, str]:
    seconds, micros = divmod(dispatch.schedule_us, limits.SECOND_US)
    headers = {
        prefix + "QueueName": dispatch.queue.rpartition("/")[2],
        prefix + "TaskName": dispatch.task_id,
        prefix + "TaskRetryCount": str(dispatch.retry_count),
        prefix + "TaskExecutionCount": str(dispatch.execution_count),
        prefix + "TaskETA": f"{seconds}.{micros:06d}",
    }
    if dispatch.previous >= 0:
        headers[prefix + "TaskPreviousResponse"] = str(dispatch.previous)
        headers[prefix + "TaskRetryReason"] = retry_reason
    return headers


def _token(source: Any, url: str) -> IdToken | AccessToken | None:
    if source.HasField("oidc_token"):
        token = source.oidc_token
        return IdToken(token.service_account_email, token.audience or url)
    if source.HasField("oauth_token"):
        token = source.oauth_token
        return AccessToken(token.service_account_email, token.scope or CLOUD_PLATFORM_SCOPE)
    return None


def overridden(url: str, override: Any) -> str:
    """A task's URL under its queue's override, encoded; an empty one has only what the override says, by HTTPS if no scheme."""
    parts = urlsplit(url)
    only_missing = override.uri_override_enforce_mode == _IF_NOT_EXISTS
    scheme, host, port, path, query = _cut(parts)
    if override.HasField("scheme") and not (only_missing and scheme):
        scheme = "http" if override.scheme == _HTTP else "https"
    if override.HasField("host") and not (only_missing and host):
        host = override.host
    if override.HasField("port") and not (only_missing and port):
        port = str(override.port) if override.port else ""
    if override.HasField("path_override") and not (only_missing and path):
        path = override.path_override.path
    if override.HasField("query_override") and not (only_missing and query):
        query = override.query_override.query_params
    if (scheme, host, port, path, query) == _cut(parts):
        return encoded(url)
    if path and not path.startswith("/"):
        path = "/" + path
    userinfo = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    netloc = userinfo + _bracketed(host) + (f":{port}" if port else "")
    return encoded(urlunsplit((scheme or "https", netloc, path, query.removeprefix("?"), "")))


def _cut(parts: SplitResult) -> tuple[str, str, str, str, str]:
    host, port = parts.netloc.rpartition("@")[2], ""
    if found := re.fullmatch(r"(.*):(\d*)", host):
        host, port = found[1], found[2]
    return parts.scheme, host, port, parts.path, parts.query


def _bracketed(host: str) -> str:
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host  # noqa: PLR2004  # IPv6
    except ValueError:
        return host


@functools.lru_cache(maxsize=_URLS_KEPT)
def encoded(url: str) -> str:
    """A URL whose characters may all stand in one; what is percent-encoded stays, even where it is wrong."""
    return quote(url, safe=_SAFE)

"""What a task must be to be accepted, and how it is stored."""

import re
import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from emulators.cloud_tasks import limits
from emulators.cloud_tasks.configuration import complete_task_retries
from emulators.cloud_tasks.errors import InvalidArgument
from emulators.cloud_tasks.messages import METHOD_NAMES, METHODS, POST, Task

HTTP_USER_AGENT = "Google-Cloud-Tasks"
APP_ENGINE_USER_AGENT = "AppEngine-Google; (+http://code.google.com/appengine)"
_BODY_METHODS = frozenset(METHODS[name] for name in ("POST", "PUT", "PATCH"))
_APP_ENGINE_BODY_METHODS = frozenset(METHODS[name] for name in ("POST", "PUT"))
_REPLACED = frozenset({"host", "content-length", "user-agent"})
_REPLACED_PREFIXES = ("x-google-", "x-appengine-")
#: What cannot stand in a header of HTTP/1.1 (RFC 9110, 5.1 and 5.5).
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def accepted(given: Any, name: str, now_us: int, http_target: Any, project: str) -> Any:
    """A task as it is stored, checked and with the service's defaults; `http_target` is its queue's, or None.

    What only the service sets is left out: the counts and attempts are kept beside it.
    """
    task = Task(name=name)
    if given.HasField("http_request"):
        task.http_request.CopyFrom(given.http_request)
        _complete_http(task.http_request, http_target)
    elif given.HasField("app_engine_http_request"):
        task.app_engine_http_request.CopyFrom(given.app_engine_http_request)
        _complete_app_engine(task.app_engine_http_request, project)
    else:
        raise InvalidArgument("Task.httpRequest or Task.appEngineHttpRequest is required.")
    _set_deadline(task, given)
    task.schedule_time.FromMicroseconds(_schedule_us(given, now_us))
    task.create_time.FromSeconds(now_us // limits.SECOND_US)
    if given.HasField("retry_config"):
        task.retry_config.CopyFrom(given.retry_config)
        complete_task_retries(task.retry_config)
    if task.ByteSize() > limits.STORED_TASK_BYTES_MAX:
        raise InvalidArgument("Task size too large")
    return task


def _complete_http(request: Any, http_target: Any) -> None:
    _check_url(request.url, http_target)
    request.http_method = request.http_method or POST
    if request.body and request.http_method not in _BODY_METHODS:
        raise InvalidArgument(
            f"HTTP request body is not allowed with HttpMethod {METHOD_NAMES.get(request.http_method, request.http_method)}; "
            "only with POST, PUT and PATCH."
        )
    _complete_headers(request.headers, HTTP_USER_AGENT)
    if http_target is not None:
        for override in http_target.header_overrides:
            _put_header(request.headers, override.header.key, override.header.value)
    for token in ("oauth_token", "oidc_token"):
        if request.HasField(token) and not getattr(request, token).service_account_email:
            raise InvalidArgument("A token needs serviceAccountEmail.")


def _check_url(url: str, http_target: Any) -> None:
    if not url:
        # A queue that names the host sends its tasks there, whatever they say.
        if http_target is not None and http_target.uri_override.host:
            return
        raise InvalidArgument("HttpRequest.url is required.")
    if not url.lower().startswith(("http://", "https://")):
        raise InvalidArgument("HttpTarget.url must start with 'http://' or 'https://'.")
    if len(url) > limits.URL_CHARACTERS_MAX:
        raise InvalidArgument(
            f"HttpRequest.url is {len(url)} characters long; the longest is {limits.URL_CHARACTERS_MAX}."
        )


def _complete_app_engine(request: Any, project: str) -> None:
    request.http_method = request.http_method or POST
    if request.body and request.http_method not in _APP_ENGINE_BODY_METHODS:
        raise InvalidArgument("App Engine tasks may have a body with POST and PUT only.")
    request.relative_uri = request.relative_uri or "/"
    if not request.relative_uri.startswith("/") or " " in request.relative_uri:
        raise InvalidArgument("AppEngineHttpRequest.relativeUri must begin with '/' and hold no spaces.")
    if len(request.relative_uri) > limits.URL_CHARACTERS_MAX:
        raise InvalidArgument(
            f"AppEngineHttpRequest.relativeUri is longer than {limits.URL_CHARACTERS_MAX} characters."
        )
    own_agent = next((value for key, value in request.headers.items() if key.lower() == "user-agent"), "")
    agent = APP_ENGINE_USER_AGENT
    _complete_headers(request.headers, f"{own_agent} {agent}" if own_agent else agent)
    if request.body:
        request.headers["Content-Length"] = str(len(request.body))
        if not any(key.lower() == "content-type" for key in request.headers):
            request.headers["Content-Type"] = "application/octet-stream"
    routing = request.app_engine_routing
    parts = (routing.instance, routing.version, routing.service, f"{project}.appspot.com")
    routing.host = ".".join(part for part in parts if part)


def _complete_headers(headers: Any, user_agent: str) -> None:
    """Takes out what the service replaces, and sets its own; the spelling of the others stays as it was [G]."""
    for key, value in list(headers.items()):
        if not _HEADER_NAME.fullmatch(key) or not _HEADER_VALUE.fullmatch(value):
            raise InvalidArgument(f"The header {key!r} is not a valid HTTP header.")
        if key.lower() in _REPLACED or key.lower().startswith(_REPLACED_PREFIXES):
            del headers[key]
    if sum(len(key) + len(value) for key, value in headers.items()) >= limits.HEADERS_BYTES_MAX:
        raise InvalidArgument("The size of the headers must be less than 80KB.")
    headers["User-Agent"] = user_agent


def _put_header(headers: Any, name: str, value: str) -> None:
    if name.lower() in _REPLACED or name.lower().startswith(_REPLACED_PREFIXES):
        return
    for key in [key for key in headers if key.lower() == name.lower()]:
        del headers[key]
    headers[name] = value


def _set_deadline(task: Any, given: Any) -> None:
    is_http = task.HasField("http_request")
    if not given.HasField("dispatch_deadline"):
        if is_http:
            task.dispatch_deadline.FromSeconds(limits.DEADLINE_SECONDS_DEFAULT)
        return
    deadline_ms = given.dispatch_deadline.ToMilliseconds()
    if not is_http and deadline_ms == 0:
        return
    longest = limits.DEADLINE_SECONDS_MAX if is_http else limits.APP_ENGINE_DEADLINE_SECONDS_MAX
    if not limits.DEADLINE_SECONDS_MIN * 1000 <= deadline_ms <= longest * 1000:
        shown = "30m" if is_http else "24h15s"
        raise InvalidArgument(f"Task.dispatchDeadline must be between [15s, {shown}].")
    task.dispatch_deadline.FromMilliseconds(deadline_ms)


def _schedule_us(given: Any, now_us: int) -> int:
    if not given.HasField("schedule_time"):
        return now_us
    schedule_us: int = given.schedule_time.ToMicroseconds()
    if schedule_us > now_us + limits.SCHEDULE_AHEAD_US_MAX:
        raise InvalidArgument(
            f"The Task.scheduleTime, {_pacific(schedule_us)}, is too far in the future. "
            "Schedule time must be no more than 720h in the future."
        )
    return max(schedule_us, now_us)


def _pacific(moment_us: int) -> str:
    """RFC 3339 in the zone of Mountain View, as the service says moments in messages [G]."""
    return (_EPOCH + timedelta(microseconds=moment_us)).astimezone(_pacific_zone()).isoformat()


def _pacific_zone() -> tzinfo:
    try:
        return zoneinfo.ZoneInfo("America/Los_Angeles")
    except zoneinfo.ZoneInfoNotFoundError:
        return UTC


def service_account_of(task: Any) -> str:
    """The service account whose token a task's request is to bear; empty if none."""
    request = task.http_request
    for token in ("oauth_token", "oidc_token"):
        if request.HasField(token):
            return str(getattr(request, token).service_account_email)
    return ""

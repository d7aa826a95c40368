"""A task that somebody wants to be done, and what may be asked for."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from turnout.base.clock import moment
from turnout.base.errors import TurnoutError, ValueRefused
from turnout.tasks.callbacks.addresses import Allowed, check_url
from turnout.tasks.callbacks.headers import check_headers
from turnout.tasks.errors import HandlerUnknown
from turnout.tasks.ports import HandlerLimits, KnownHandlers
from turnout.tasks.retrying import TaskRetry
from turnout.tasks.settings import TaskSettings
from turnout.tasks.telling import is_url
from turnout.tasks.work import RESULT_TTL_SECONDS_DEFAULT, TIMEOUT_SECONDS_DEFAULT, Call, Work

#: Topics and handlers: what a document's name and a message's attribute can hold.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
NAMES = "letters, digits, points, hyphens and underscores, 100 at most, beginning with a letter or digit"
KEY_BYTES_MAX = 1_024
CONTEXT_BYTES_MAX = 2_048
TIMEOUT_SECONDS_MAX = 86_400.0
RESULT_TTL_SECONDS_MAX = 366 * 86_400.0
#: W3C's traceparent has 55.
TRACE_CHARACTERS_MAX = 100
#: The handler of tasks that only come due: they are published, or pulled.
BUILT_IN_DUE = "turnout.due"
METHODS = ("POST", "PUT", "PATCH", "GET", "DELETE")


class NewTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that somebody wants to be done: by a handler, or by a call of a URL."""

    topic: str
    handler: str = ""
    call: Call | None = None
    #: Any JSON.
    payload: msgspec.Raw
    #: None: now.
    run_at: datetime | None = None
    #: Makes the task unique in its topic for as long as it is kept.
    key: str | None = None
    #: None: as its handler says, or the default.
    retry: TaskRetry | None = None
    timeout_seconds: float | None = None
    result_ttl_seconds: float = RESULT_TTL_SECONDS_DEFAULT
    context: Mapping[str, str] = {}
    #: Who is told when it has succeeded or failed: a URL, or a handler's name.
    on_success: str = ""
    on_failure: str = ""

    def with_trace(self, trace: str) -> "NewTask":
        """The same with W3C's traceparent, unless it brings one."""
        return msgspec.structs.replace(
            self, context={"traceparent": trace[:TRACE_CHARACTERS_MAX], **self.context}
        )

    def work(self, limits: HandlerLimits, *, added_at: datetime, origin: str) -> Work:
        """What is stored of it."""
        return Work(
            topic=self.topic,
            handler=self.handler,
            call=self.call,
            payload=self.payload,
            added_at=added_at,
            origin=origin,
            key=self.key,
            retry=limits.retry if self.retry is None else self.retry,
            timeout_seconds=limits.timeout_seconds if self.timeout_seconds is None else self.timeout_seconds,
            result_ttl_seconds=self.result_ttl_seconds,
            context=self.context,
            on_success=self.on_success,
            on_failure=self.on_failure,
        )


class Checking:
    """Says what is wrong with a new task."""

    def __init__(self, handlers: KnownHandlers, allowed: Allowed, settings: TaskSettings) -> None:
        self._handlers = handlers
        self._allowed = allowed
        self._settings = settings

    def limits(self, new: NewTask) -> HandlerLimits:
        """What its handler says of its tasks."""
        found = self._handlers.limits(new.handler) if new.call is None else None
        return found or HandlerLimits(TIMEOUT_SECONDS_DEFAULT, TaskRetry())

    def fault_of(self, new: NewTask, now: datetime) -> TurnoutError | None:
        """The first fault."""
        try:
            self._check(new, now)
        except (ValueRefused, HandlerUnknown) as fault:
            return fault
        return None

    def _check(self, new: NewTask, now: datetime) -> None:
        _expect(NAME.fullmatch(new.topic) is not None, "topic", f"A topic is {NAMES}.")
        self._check_doer(new)
        self._check_sizes(new)
        self._check_times(new, now)
        for field, by in (("on_success", new.on_success), ("on_failure", new.on_failure)):
            if is_url(by):
                check_url(by, self._allowed, field=f"/{field}")
            elif by:
                self._check_handler(by, field)

    def _check_doer(self, new: NewTask) -> None:
        if new.call is None:
            self._check_handler(new.handler, "handler")
            return
        _expect(not new.handler, "url", "A task has a handler or a URL, not both.")
        check_url(new.call.url, self._allowed, field="/url")
        _expect(new.call.method in METHODS, "method", f"A method is one of {', '.join(METHODS)}.")
        check_headers(new.call.headers, field="/headers")

    def _check_handler(self, name: str, field: str) -> None:
        _expect(NAME.fullmatch(name) is not None, field, f"A handler's name is {NAMES}.")
        if name != BUILT_IN_DUE and self._handlers.limits(name) is None:
            raise HandlerUnknown(name, self._handlers.names(), field=f"/{field}")

    def _check_sizes(self, new: NewTask) -> None:
        payload_bytes, payload_bytes_max = len(bytes(new.payload)), self._settings.task_payload_bytes_max
        _expect(
            payload_bytes <= payload_bytes_max,
            "payload",
            f"A payload has at most {payload_bytes_max:,} bytes of JSON, not {payload_bytes:,}.",
        )
        _expect(
            new.key is None or 0 < len(new.key.encode()) <= KEY_BYTES_MAX,
            "id",
            f"A key has 1 to {KEY_BYTES_MAX:,} bytes.",
        )
        context_bytes = sum(len(name.encode()) + len(value.encode()) for name, value in new.context.items())
        _expect(
            context_bytes <= CONTEXT_BYTES_MAX,
            "context",
            f"A context has at most {CONTEXT_BYTES_MAX:,} bytes, not {context_bytes:,}.",
        )

    def _check_times(self, new: NewTask, now: datetime) -> None:
        days_max = self._settings.task_days_ahead_max
        latest = now + timedelta(days=days_max)
        _expect(
            new.run_at is None or new.run_at <= latest,
            "run_at",
            f"A task's moment lies at most {days_max:,} days ahead: by {moment(latest)}.",
        )
        _expect(
            new.timeout_seconds is None or 0 < new.timeout_seconds <= TIMEOUT_SECONDS_MAX,
            "timeout",
            f"A timeout is more than 0 and at most {TIMEOUT_SECONDS_MAX:,.0f} seconds.",
        )
        _expect(
            0 <= new.result_ttl_seconds <= RESULT_TTL_SECONDS_MAX,
            "result_ttl",
            "A result is kept for a year at most.",
        )


def _expect(holds: bool, field: str, why: str) -> None:  # noqa: FBT001  # the condition itself
    if not holds:
        raise ValueRefused(why, field=f"/{field}")

"""Work: what somebody asked for. It is written once, with its task, and never changes."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from turnout.tasks.retrying import TaskRetry

#: What a task is given if neither its caller nor its handler says otherwise.
TIMEOUT_SECONDS_DEFAULT = 60.0
RESULT_TTL_SECONDS_DEFAULT = 3 * 86_400.0


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A URL that is called with the payload, in the place of a handler."""

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = {}


class Work(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for."""

    topic: str
    #: The name of a Python handler; empty if a URL is called.
    handler: str = ""
    call: Call | None = None
    #: Any JSON.
    payload: msgspec.Raw
    added_at: datetime
    #: Names the call that added it: who repeats the call knows by it that the task is its own.
    origin: str
    #: What makes the task unique in its topic.
    key: str | None = None
    retry: TaskRetry = TaskRetry()
    #: One attempt.
    timeout_seconds: float = TIMEOUT_SECONDS_DEFAULT
    #: How long the task is kept after it has ended.
    result_ttl_seconds: float = RESULT_TTL_SECONDS_DEFAULT
    #: What travels along: trace, user.
    context: Mapping[str, str] = {}
    #: Who is told, once, when it has succeeded or failed: a URL, or a handler's name.
    on_success: str = ""
    on_failure: str = ""

    @property
    def by(self) -> str:
        """Who does it: the handler's name, or the URL."""
        return self.handler if self.call is None else self.call.url

"""Headers: which ones a caller may add to its callback, and what every callback carries."""

import re
from collections.abc import Mapping
from datetime import datetime

from turnout.base.clock import moment
from turnout.base.errors import ValueRefused
from turnout.tasks.task import Task

HEADERS_MAX = 32
HEADERS_BYTES_MAX = 8_192
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
#: No control character, so that no value begins another header; and nothing that ends differ about.
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?|")
#: The connection's own, and those that Turnout vouches for.
RESERVED = frozenset(
    {
        *(
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "keep-alive",
            "te",
            "trailer",
            "upgrade",
        ),
        *("expect", "accept-encoding", "traceparent", "tracestate", "content-encoding", "forwarded", "via"),
    }
)
RESERVED_STARTS = ("webhook-", "ce-", "proxy-", "x-forwarded-", "x-google-", "x-turnout-", "metadata-")
SOURCE = "/turnout/tasks"
TYPE = "turnout.task"


def check_headers(headers: Mapping[str, str], *, field: str) -> None:
    """`ValueRefused` if a header may not be added by a caller."""
    size_bytes = sum(len(name) + len(value) for name, value in headers.items())
    if len(headers) > HEADERS_MAX or size_bytes > HEADERS_BYTES_MAX:
        raise ValueRefused(
            f"At most {HEADERS_MAX} headers of {HEADERS_BYTES_MAX:,} bytes are sent.", field=field
        )
    for name, value in headers.items():
        lower = name.lower()
        if _TOKEN.fullmatch(name) is None:
            raise ValueRefused(f"{name[:40]!r} is not a header's name.", field=field)
        if lower in RESERVED or lower.startswith(RESERVED_STARTS):
            raise ValueRefused(f"The header {name[:40]} is set by Turnout itself; leave it out.", field=field)
        if _VALUE.fullmatch(value) is None:
            raise ValueRefused(
                f"The value of {name[:40]} has characters outside of visible ASCII.", field=field
            )


def callback_headers(task: Task, now: datetime) -> dict[str, str]:
    """What every callback of a task carries: CloudEvents in binary mode (1.0), and its trace."""
    trace = task.work.context.get("traceparent", "")
    return {
        "ce-specversion": "1.0",
        "ce-id": str(task.id),
        "ce-type": TYPE,
        "ce-source": f"{SOURCE}/{task.work.topic}",
        "ce-time": moment(now),
        "x-turnout-attempt": str(task.progress.attempt),
        **({"traceparent": trace} if trace else {}),
    }

"""Tasks as the service shows them: the stored definition, with what has happened to it."""

from typing import Any

from emulators.api.refused import Code
from emulators.cloud_tasks.changes import TaskRecord
from emulators.cloud_tasks.messages import BASIC, FULL, Task

#: google/rpc/code.proto's HTTP mapping, read backwards.
_CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    409: Code.ABORTED,
    429: Code.RESOURCE_EXHAUSTED,
    500: Code.INTERNAL,
    501: Code.UNIMPLEMENTED,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}
#: A class of statuses without a code of its own.
_OTHERS = {4: Code.FAILED_PRECONDITION, 5: Code.INTERNAL}


def shown(definition: bytes | Any, record: TaskRecord, view: int) -> Any:
    """A task in a view: BASIC leaves the body out, and is what an unspecified view means."""
    task = Task()
    if isinstance(definition, bytes):
        task.ParseFromString(definition)
    else:
        task.CopyFrom(definition)
    if view == FULL:
        task.view = FULL
    else:
        task.view = BASIC
        request = task.http_request if task.HasField("http_request") else task.app_engine_http_request
        request.ClearField("body")
    task.schedule_time.FromMicroseconds(record.schedule_us)
    if record.dispatch_count:
        _show_attempts(task, record)
    return task


def _show_attempts(task: Any, record: TaskRecord) -> None:
    task.dispatch_count = record.dispatch_count
    task.response_count = record.response_count
    # "Only dispatch_time will be set" (reference of Task.first_attempt).
    task.first_attempt.dispatch_time.FromMicroseconds(record.first_dispatch_us)
    last = task.last_attempt
    last.schedule_time.FromMicroseconds(record.last_schedule_us)
    last.dispatch_time.FromMicroseconds(record.last_dispatch_us)
    if record.last_response_us:
        last.response_time.FromMicroseconds(record.last_response_us)
        code, text = response_status(record.previous)
        last.response_status.code = code
        last.response_status.message = text


def response_status(status: int) -> tuple[int, str]:
    """An answer's status as Attempt.response_status says it: a canonical code, and a text with both."""
    code = _CODES.get(status) or _OTHERS.get(status // 100, Code.UNKNOWN)
    return int(code), f"{code.name}({int(code)}): HTTP status code {status}"

"""Declaring: `@task("resize")` makes a function a handler, with the type of its payload and its limits.

The function stays as it is: it can be called and tested without a queue.
"""

import inspect
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar, get_type_hints

import msgspec

from turnout.tasks.handlers.context import Context
from turnout.tasks.new_task import NAME, TIMEOUT_SECONDS_MAX
from turnout.tasks.retrying import TaskRetry
from turnout.tasks.times import read_duration
from turnout.tasks.work import TIMEOUT_SECONDS_DEFAULT

F = TypeVar("F", bound=Callable[..., Any])

MARK = "__turnout_task__"


class RunsIn(StrEnum):
    """Where a handler runs: an async one in the worker's loop, a plain one in a thread or in a process of its own."""

    LOOP = "loop"
    THREAD = "thread"
    PROCESS = "process"


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A handler."""

    name: str
    function: Callable[..., Any]
    runs_in: RunsIn
    timeout_seconds: float
    retry: TaskRetry
    #: The parameters' names; None: the function has none of the kind.
    payload_parameter: str | None
    payload_type: Any
    context_parameter: str | None

    def read(self, payload: bytes) -> Any:
        """The payload in the annotated type; `msgspec.ValidationError` names the field's path."""
        return msgspec.json.decode(payload, type=self.payload_type)

    def arguments(self, payload: bytes, context: Context) -> dict[str, Any]:
        """What the function is called with."""
        given: dict[str, Any] = {}
        if self.payload_parameter is not None:
            given[self.payload_parameter] = self.read(payload)
        if self.context_parameter is not None:
            given[self.context_parameter] = context
        return given


def task(
    name: str,
    *,
    timeout: float | str = TIMEOUT_SECONDS_DEFAULT,
    retry: TaskRetry | None = None,
    process: bool = False,
) -> Callable[[F], F]:
    """Declares a handler: a function of the payload, the `Context`, both or neither; what it returns is any JSON.

    `timeout` and `retry` hold for tasks that are added without their own. `process`: a plain function runs in a process
    of its own, which is killed when the time is up, or when it eats its memory.
    """
    if NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not a handler's name: 100 letters, digits, points, hyphens at most")
    timeout_seconds = read_duration(timeout, field="timeout")
    if not 0 < timeout_seconds <= TIMEOUT_SECONDS_MAX:
        raise ValueError(f"the timeout of {name} is more than 0 and at most {TIMEOUT_SECONDS_MAX:g} seconds")

    def declare(function: F) -> F:
        is_async = inspect.iscoroutinefunction(function)
        if is_async and process:
            raise ValueError(f"{name} is async and runs in the worker's loop: leave `process` out")
        if process and "<locals>" in function.__qualname__:
            raise ValueError(f"{name} runs in a process of its own, which imports it: define it in a module")
        payload, kind, context = _parameters(name, function)
        declared = Declared(
            name=name,
            function=function,
            runs_in=RunsIn.LOOP if is_async else RunsIn.PROCESS if process else RunsIn.THREAD,
            timeout_seconds=timeout_seconds,
            retry=retry or TaskRetry(),
            payload_parameter=payload,
            payload_type=kind,
            context_parameter=context,
        )
        setattr(function, MARK, declared)
        return function

    return declare


def _parameters(name: str, function: Callable[..., Any]) -> tuple[str | None, Any, str | None]:
    """The payload's parameter with its type, and the context's."""
    hints = get_type_hints(function)
    payloads: list[str] = []
    contexts: list[str] = []
    for each in inspect.signature(function).parameters.values():
        (contexts if hints.get(each.name) is Context else payloads).append(each.name)
    if len(payloads) > 1 or len(contexts) > 1:
        raise ValueError(
            f"the handler {name} takes one payload and one Context at most; make its payload a class with fields"
        )
    kind = hints.get(payloads[0], Any) if payloads else Any
    return (payloads[0] if payloads else None), kind, (contexts[0] if contexts else None)

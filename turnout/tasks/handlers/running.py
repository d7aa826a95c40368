"""Running handlers: async ones in the loop, plain ones in threads or processes; each failure is its own task's alone."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from turnout.base.errors import ServiceUnavailable
from turnout.tasks.handlers.context import Attempted, Context
from turnout.tasks.handlers.declaring import Declared, RunsIn
from turnout.tasks.handlers.finding import Handlers
from turnout.tasks.handlers.processes import Processes
from turnout.tasks.running import Fail, Run

log = structlog.get_logger()

_encode = msgspec.json.Encoder().encode


class ResultUnusable(Exception):
    """A handler returned what is not JSON."""


class HandlerRunner:
    """Runs tasks by their handlers.

    A thread cannot be ended from outside: one whose time is up is abandoned, and goes on until its function returns.
    When `abandoned_max` of them do, `on_exhausted` is called: the worker ends, and another begins afresh.
    """

    def __init__(
        self,
        handlers: Handlers,
        processes: Processes,
        *,
        threads_max: int,
        abandoned_max: int,
    ) -> None:
        self.on_exhausted: Callable[[], None] = lambda: None
        self._handlers = handlers
        self._processes = processes
        self._threads = asyncio.Semaphore(threads_max)
        self._abandoned_max = abandoned_max
        self._abandoned = 0

    async def run(self, run: Run) -> str:
        """Does a task's work and returns its result, as the text of any JSON."""
        work = run.task.work
        declared = self._handlers.get(work.handler)
        if declared is None:
            # Not for good: a deployment that brings it may be under way.
            raise ServiceUnavailable(f"The handler {work.handler}", "this worker has none of that name")
        context = Context(attempted(run), run.report)
        payload = bytes(work.payload)
        arguments = _arguments(declared, payload, context)
        if declared.runs_in is RunsIn.PROCESS:
            return await self._processes.run(declared, payload, context.facts)
        try:
            if declared.runs_in is RunsIn.LOOP:
                result = await _in_loop(declared, arguments)
            else:
                async with self._threads:
                    result = await self._in_thread(declared, arguments)
        finally:
            context.cancel()
        return encoded(result)

    async def _in_thread(self, declared: Declared, arguments: dict[str, Any]) -> Any:
        """In a daemon thread of its own: one that hangs keeps neither a pool's place nor the process from ending."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            if done.cancelled():
                self._abandoned -= 1
            elif error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

        def call() -> None:
            result, error = None, None
            try:
                result = declared.function(**arguments)
            except BaseException as raised:  # noqa: BLE001  # SystemExit and the like are the task's failure too
                error = _failure(raised)
            # The loop may be gone when a hanging function returns.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, result, error)

        threading.Thread(target=call, name=f"task-{declared.name}", daemon=True).start()
        try:
            return await done
        except asyncio.CancelledError:
            if done.cancelled():
                self._abandon(declared)
            raise

    def _abandon(self, declared: Declared) -> None:
        self._abandoned += 1
        log.warning("a handler's thread was abandoned", handler=declared.name, abandoned=self._abandoned)
        if self._abandoned >= self._abandoned_max:
            self.on_exhausted()


def attempted(run: Run) -> Attempted:
    """The facts of an attempt."""
    work = run.task.work
    return Attempted(
        id=run.task.id,
        topic=work.topic,
        attempt=run.attempt,
        deadline=run.deadline,
        idempotency_key=run.idempotency_key,
        trace=work.context.get("traceparent", ""),
        context=work.context,
    )


def encoded(result: object) -> str:
    """A result as JSON; `ResultUnusable` if it cannot be."""
    try:
        return _encode(result).decode()
    except (TypeError, ValueError, RecursionError, OverflowError, msgspec.MsgspecError) as error:
        raise ResultUnusable(f"what the handler returned is not JSON: {error}") from None


def _arguments(declared: Declared, payload: bytes, context: Context) -> dict[str, Any]:
    try:
        return declared.arguments(payload, context)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Fail(f"the payload is not what {declared.name} takes: {error}") from None


async def _in_loop(declared: Declared, arguments: dict[str, Any]) -> Any:
    try:
        return await declared.function(**arguments)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RuntimeError("the handler cancelled itself") from None
    except (SystemExit, KeyboardInterrupt) as raised:
        raise _failure(raised) from raised


def _failure(raised: BaseException) -> Exception:
    """What a handler raised, as a failure of its own task alone: neither an exit nor what a future cannot hold."""
    if isinstance(raised, Exception) and not isinstance(raised, StopIteration):
        return raised
    return RuntimeError(f"the handler raised {raised!r}")

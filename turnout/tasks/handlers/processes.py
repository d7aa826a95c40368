"""Processes of their own for handlers that ask for one: killed when their time is up, bounded in memory."""

import asyncio
import importlib
import multiprocessing
import resource
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from turnout.tasks.handlers.context import Attempted, Context
from turnout.tasks.handlers.declaring import MARK, Declared
from turnout.tasks.running import Fail, Retry, Snooze

if TYPE_CHECKING:
    from pebble import ProcessPool

MEBIBYTE = 1024 * 1024
STOP_SECONDS = 2.0


class Outcome(msgspec.Struct, frozen=True):
    """What became of a call: exceptions with arguments of their own do not travel between processes."""

    result: str = ""
    raised: str = ""
    why: str = ""
    seconds: float = 0.0


class HandlerDied(Exception):
    """A handler's process ended before its function did."""


class HandlerRaised(Exception):
    """A handler raised in its process; the text names what."""


class Processes:
    """A pool of processes, started with the first handler that asks for one. Each runs one handler at a time."""

    def __init__(self, processes_max: int, *, memory_mb_max: int = 0) -> None:
        """`memory_mb_max`: the address space of one, in MiB; 0: no limit."""
        self._processes_max = processes_max
        self._memory_mb_max = memory_mb_max
        self._pool: ProcessPool | None = None

    async def run(self, declared: Declared, payload: bytes, facts: Attempted) -> str:
        """The result as JSON. If the call is cancelled, its process is killed."""
        # Workers without such handlers do without the library.
        from pebble import ProcessExpired  # noqa: PLC0415

        function = declared.function
        future = self._started().schedule(
            call, args=(function.__module__, function.__qualname__, payload, msgspec.json.encode(facts))
        )
        try:
            told: bytes = await asyncio.wrap_future(future)
        except ProcessExpired as died:
            raise HandlerDied(f"its process ended with exit code {died.exitcode}") from None
        return _told(msgspec.json.decode(told, type=Outcome))

    def close(self) -> None:
        """Kills what runs."""
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join(STOP_SECONDS)
            self._pool = None

    def _started(self) -> "ProcessPool":
        if self._pool is None:
            from pebble import ProcessPool  # noqa: PLC0415

            # Spawned: neither gRPC nor the loop's threads survive a fork.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPool(
                self._processes_max,
                initializer=bound_memory,
                initargs=(self._memory_mb_max,),
                context=context,
            )
        return self._pool


def bound_memory(memory_mb_max: int) -> None:
    """In the process: what it asks for beyond this is refused, which raises `MemoryError`."""
    if memory_mb_max:
        limit = memory_mb_max * MEBIBYTE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def call(module: str, name: str, payload: bytes, facts: bytes) -> bytes:
    """In the process: calls a handler."""
    return msgspec.json.encode(_outcome(lambda: _call(module, name, payload, facts)))


def _call(module: str, name: str, payload: bytes, facts: bytes) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    declared: Declared = getattr(found, MARK)
    context = Context(msgspec.json.decode(facts, type=Attempted))
    return declared.function(**declared.arguments(payload, context))


def _outcome(function: Callable[[], Any]) -> Outcome:
    try:
        return Outcome(result=msgspec.json.encode(function()).decode())
    except Retry as retry:
        return Outcome(raised="retry", why=str(retry), seconds=retry.after_seconds)
    except Snooze as snooze:
        return Outcome(raised="snooze", seconds=snooze.seconds)
    except Fail as fail:
        return Outcome(raised="fail", why=str(fail))
    except BaseException as error:  # noqa: BLE001  # an exit is the task's failure too
        return Outcome(raised="error", why=f"{type(error).__name__}: {error}")


def _told(outcome: Outcome) -> str:
    match outcome.raised:
        case "":
            return outcome.result
        case "retry":
            raise Retry(outcome.seconds, outcome.why)
        case "snooze":
            raise Snooze(outcome.seconds)
        case "fail":
            raise Fail(outcome.why)
        case _:
            raise HandlerRaised(outcome.why)

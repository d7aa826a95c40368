"""Handlers of every kind, well-behaved and not."""

import asyncio
import os
import sys
import time
from pathlib import Path

import msgspec

from turnout.tasks.handlers import Context, Fail, Retry, Snooze, task
from turnout.tasks.retrying import TaskRetry


class Order(msgspec.Struct):
    id: int
    lines: list[str] = []


@task("async", timeout="30s", retry=TaskRetry(failures_max=3))
async def in_the_loop(payload: Order, context: Context) -> dict[str, object]:
    return {"id": payload.id, "key": context.idempotency_key, "values": dict(context.values)}


@task("thread")
def in_a_thread(payload: Order) -> int:
    return payload.id


@task("process", process=True)
def in_a_process(payload: Order, context: Context) -> dict[str, object]:
    return {"id": payload.id, "pid": os.getpid(), "attempt": context.attempt, "key": context.idempotency_key}


@task("nothing")
async def nothing() -> None:
    """Neither payload nor context."""


@task("any")
async def anything(payload):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201  # one without annotations
    return payload


@task("not-json")
async def not_json() -> object:
    return object()


@task("endless")
async def endless() -> object:
    loop: list[object] = []
    loop.append(loop)
    return loop


@task("exits")
async def exits() -> None:
    sys.exit(3)


@task("exits-in-a-thread")
def exits_in_a_thread() -> None:
    sys.exit(3)


@task("stops")
def stops() -> None:
    raise StopIteration


@task("cancels-itself")
async def cancels_itself() -> None:
    raise asyncio.CancelledError


@task("sleeps")
def sleeps(payload: float, context: Context) -> bool:
    until = time.monotonic() + payload
    while time.monotonic() < until and not context.is_cancelled:
        time.sleep(0.01)
    return context.is_cancelled


@task("hangs-in-a-process", process=True)
def hangs_in_a_process(payload: str) -> None:
    Path(payload).write_text(str(os.getpid()), encoding="utf-8")
    while True:
        time.sleep(0.1)


@task("dies", process=True)
def dies() -> None:
    os.kill(os.getpid(), 9)


@task("eats", process=True)
def eats() -> int:
    return len(bytearray(4 * 1024**3))


@task("exits-in-a-process", process=True)
def exits_in_a_process() -> None:
    sys.exit(3)


@task("raises-in-a-process", process=True)
def raises_in_a_process(payload: str) -> None:
    raise {
        "retry": Retry("5m", "later"),
        "fail": Fail("never"),
        "snooze": Snooze(90),
        "other": RuntimeError("oops"),
    }[payload]

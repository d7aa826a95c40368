"""Handlers that the local cloud's tasks run."""

import asyncio
import os
import time

import msgspec

from turnout.tasks.handlers import Context, Fail, Retry, task


class Sizes(msgspec.Struct):
    width: int
    height: int = 10


@task("area")
async def area(payload: Sizes) -> int:
    return payload.width * payload.height


@task("echo")
def echo(payload: object, context: Context) -> dict[str, object]:
    """In a thread."""
    return {"payload": payload, "attempt": context.attempt, "key": context.idempotency_key}


@task("apart", process=True)
def apart(payload: int) -> dict[str, int]:
    """In a process of its own."""
    return {"double": payload * 2, "pid": os.getpid()}


@task("kills", process=True)
def kills() -> None:
    os._exit(7)


@task("flaky")
async def flaky(payload: int, context: Context) -> str:
    """Fails so often, then succeeds."""
    if context.attempt <= payload:
        raise Retry(0.1, f"attempt {context.attempt} is too early")
    return f"attempt {context.attempt}"


@task("hopeless")
async def hopeless(payload: str) -> None:
    raise Fail(payload)


@task("raises")
def raises() -> None:
    raise RuntimeError("it always does")


@task("slow")
async def slow(payload: float, context: Context) -> str:
    context.progress("half way")
    await asyncio.sleep(payload)
    return "slept"


@task("hangs", timeout="500ms")
def hangs(context: Context) -> None:
    while not context.is_cancelled:
        time.sleep(0.05)

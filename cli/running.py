"""Runs a command's coroutine to its end, or until Ctrl-C or SIGTERM: then it is cancelled, and cleans up."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(command: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result; `asyncio.CancelledError` if a signal ended it."""
    return asyncio.run(_run(command))


def run_until_signal(command: Coroutine[Any, Any, None]) -> None:
    """Runs what goes on until a person ends it: to be ended is its good end."""
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_run(command))


async def _run(command: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_running_loop()
    task = loop.create_task(command)
    for each in ENDING_SIGNALS:
        # A second signal cancels the clean-up as well; what has a guard is ended by it.
        loop.add_signal_handler(each, task.cancel)
    try:
        return await task
    finally:
        for each in ENDING_SIGNALS:
            loop.remove_signal_handler(each)

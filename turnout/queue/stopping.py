"""Stopping: a request to end that every wait of a consumer listens to."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


class Stopping:
    """Whether somebody said stop."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()

    def __bool__(self) -> bool:
        return self._asked.is_set()

    def ask(self) -> None:
        """Says stop."""
        self._asked.set()

    async def wait(self) -> None:
        """Returns when somebody says stop."""
        await self._asked.wait()

    async def unless(self, awaitable: Awaitable[T], *, grace_seconds: float = 0.0) -> T | None:
        """The result; None if it has not come when the grace after a stop is over. Then it is cancelled."""
        work = asyncio.ensure_future(awaitable)
        asked = asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
            if grace_seconds and not work.done():
                await asyncio.wait({work}, timeout=grace_seconds)
            return work.result() if work.done() else None
        finally:
            await cancel_all([work, asked])


async def cancel_all(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancels tasks, and waits until they have ended."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

"""Retrying as a value: how often, for how long, and with which waits a call is tried again."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import msgspec

from turnout.base.chance import Chance
from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable

T = TypeVar("T")


def _unheard(_fault: Exception) -> None:
    """Nobody wants to know of failed attempts."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When to try again. Without `attempts_max` and `deadline_seconds` it is endless: for loops that must go on."""

    #: The first wait, and the longest, before jitter. 0 tries again at once.
    first_seconds: float = 0.0
    max_seconds: float = 0.0
    #: Attempts in all, the first one included.
    attempts_max: int | None = None
    #: No attempt begins later than this after the first one began.
    deadline_seconds: float | None = None

    def waits(self, chance: Chance) -> Iterator[float]:
        """The waits between attempts, in seconds, without end.

        Exponential with equal jitter: each lies between half and the whole of a doubling step, so that those who failed
        together do not come back together, and none comes back at once.
        """
        step = self.first_seconds
        while True:
            yield step * (0.5 + chance() / 2)
            step = min(step * 2, self.max_seconds)

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        clock: Clock,
        chance: Chance,
        retry_on: type[Exception] = ServiceUnavailable,
        on_failure: Callable[[Exception], None] = _unheard,
    ) -> T:
        """The first result of `attempt`; when attempts or time are used up, the last fault.

        Only faults of the type `retry_on` are tried again; each is told to `on_failure` before the wait.
        """
        began_at = clock.monotonic()
        for number, wait_seconds in enumerate(self.waits(chance), start=1):
            try:
                return await attempt()
            except retry_on as fault:
                if number == self.attempts_max or self._is_late(clock.monotonic() + wait_seconds - began_at):
                    raise
                on_failure(fault)
            await asyncio.sleep(wait_seconds)
        raise AssertionError("the waits have no end")

    def _is_late(self, seconds: float) -> bool:
        return self.deadline_seconds is not None and seconds >= self.deadline_seconds

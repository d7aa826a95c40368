"""A deadline that many requests share: one timer for all of them."""

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: Ticks within the deadline. What is due is found at a tick: up to a tenth before its time is over, and never later.
TICKS = 10


class SharedDeadline:
    """Bounds any number of waits, each by the same seconds from its own beginning.

    A timer for each (`asyncio.timeout`) would cost every vote a twentieth of its time. And it would be over at once for
    a process that stood still for a while, though all that it waits for lies in its sockets: ticks pass only while the
    event loop runs, so that such a process goes on where it was.
    """

    def __init__(self, seconds_max: float) -> None:
        self.seconds_max = seconds_max
        self._ticks = 0
        #: The tasks that wait, the earliest first, each with the tick before its beginning.
        self._waiting: dict[asyncio.Task[Any], int] = {}
        self._timer: asyncio.TimerHandle | None = None
        #: The tasks that were cancelled here, and have not noticed it yet.
        self._late: set[asyncio.Task[Any]] = set()

    @coroutine
    def bound(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """The work's result; `TimeoutError` if it is not there in time. A task bounds one thing at a time."""
        steps = work.__await__()
        try:
            # A body that came with its headers is there at once, and needs no deadline: a thirtieth of a vote's time.
            waits_for = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine runs in a task
        self._waiting[task] = self._ticks
        if self._timer is None:
            self._wait_for_tick()
        try:
            return (yield from _going_on(steps, waits_for))
        except asyncio.CancelledError:
            # As `asyncio.timeout` does: a cancellation by somebody else goes on its way.
            if task in self._late and not task.uncancel():
                raise TimeoutError from None
            raise
        finally:
            del self._waiting[task]
            self._late.discard(task)

    def _wait_for_tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.seconds_max / TICKS, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._ticks += 1
        for task, began in self._waiting.items():
            if self._ticks - began < TICKS:
                break
            if task not in self._late:
                self._late.add(task)
                task.cancel()
        if self._waiting:
            self._wait_for_tick()


def _going_on(steps: Generator[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """What `yield from` would do, but for the first step, which has been taken."""
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as fault:  # noqa: BLE001  # it goes to the work, as all that is thrown into a coroutine
                waits_for = steps.throw(fault)
            else:
                waits_for = steps.send(sent)
    except StopIteration as end:
        result: T = end.value
        return result

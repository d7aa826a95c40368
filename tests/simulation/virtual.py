"""Virtual time and mortal processes: an event loop that never waits, and tasks that can be killed without clean-up."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

#: When every simulation begins.
BEGINNING = datetime(2026, 11, 20, 12, tzinfo=UTC)
#: Tasks of a process that may have ended before they are forgotten.
ENDED_TASKS_MAX = 100


class RunStuck(Exception):
    """Nothing will ever happen again, or too much happened."""


class VirtualSelector(selectors.SelectSelector):
    """Advances the time where a real one would wait."""

    def __init__(self, turns_max: int) -> None:
        super().__init__()
        self.seconds = 0.0
        self._turns = 0
        self._turns_max = turns_max

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns += 1
        if timeout is None:
            raise RunStuck("everything waits for something that never comes")
        if self._turns > self._turns_max:
            raise RunStuck(f"it has not ended after {self._turns_max:,} turns of the loop")
        self.seconds += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is the selector's; tasks belong to the process that started them."""

    def __init__(self, turns_max: int) -> None:
        self._virtual = VirtualSelector(turns_max)
        super().__init__(self._virtual)
        self.set_task_factory(_belong)

    def time(self) -> float:
        return self._virtual.seconds


class LoopClock:
    """The time of a loop, as a process sees it that may be wrong about the moment."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, off_seconds: float = 0.0) -> None:
        self._loop = loop
        self._off_seconds = off_seconds

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self._loop.time() + self._off_seconds)

    def monotonic(self) -> float:
        return self._loop.time()


class Process:
    """What lives and dies as one: an instance, a drain task, a persist run. Its clock may be wrong."""

    def __init__(self, name: str, *, clock_off_seconds: float = 0.0) -> None:
        self.name = name
        self.alive = True
        #: What a kernel does at its death: connections break.
        self.at_death: list[Callable[[], None]] = []
        self.clock = LoopClock(asyncio.get_running_loop(), off_seconds=clock_off_seconds)
        #: Until when it stands still, as a machine that is suspended does; its timers run out meanwhile.
        self.paused_until = 0.0
        self._tasks: list[asyncio.Task[Any]] = []

    def pause(self, seconds: float) -> None:
        """Stops every task where it stands; all go on together, and learn only then what time it is."""
        self.paused_until = asyncio.get_running_loop().time() + seconds

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        context = copy_context()
        context.run(_present.set, self)
        return asyncio.get_running_loop().create_task(work, context=context)

    def kill(self) -> None:
        """Ends every task. What their clean-up does reaches nobody: the ports of the dead do nothing."""
        if not self.alive:
            return
        self.alive = False
        for task in list(self._tasks):
            task.cancel()
        for break_connection in self.at_death:
            break_connection()

    def adopt(self, task: asyncio.Task[Any]) -> None:
        if len(self._tasks) > ENDED_TASKS_MAX:
            self._tasks = [each for each in self._tasks if not each.done()]
        self._tasks.append(task)

    async def ended(self) -> None:
        """Waits until none of its tasks is left."""
        while left := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(left)


_present: ContextVar[Process | None] = ContextVar("process", default=None)


class Pausable(Coroutine[Any, Any, T]):
    """A coroutine that goes on only when its process is not paused; what it is sent meanwhile waits."""

    def __init__(self, work: Coroutine[Any, Any, T], process: Process) -> None:
        self._work = work
        self._process = process
        self._pause: Generator[Any, None, None] | None = None
        self._thrown: BaseException | None = None

    def send(self, value: Any) -> Any:
        loop = asyncio.get_running_loop()
        while self._process.alive and self._process.paused_until > loop.time():
            if self._pause is None:
                self._pause = asyncio.sleep(self._process.paused_until - loop.time()).__await__()
            try:
                return self._pause.send(None)
            except StopIteration:
                self._pause = None
        self._pause = None
        thrown, self._thrown = self._thrown, None
        return self._work.send(value) if thrown is None else self._work.throw(thrown)

    def throw(self, fault: Any, value: Any = None, trace: Any = None) -> Any:
        if self._process.alive and self._process.paused_until > asyncio.get_running_loop().time():
            # The wait was cancelled, and its fault comes out when the process goes on.
            self._pause, self._thrown = None, fault
            return self.send(None)
        self._pause = None
        return self._work.throw(fault)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return (yield from self._work.__await__())


def _belong(loop: asyncio.AbstractEventLoop, work: Any, **given: Any) -> asyncio.Task[Any]:
    context = given.get("context")
    process = _present.get() if context is None else context.get(_present)
    task: asyncio.Task[Any] = asyncio.Task(
        work if process is None else Pausable(work, process), loop=loop, **given
    )
    if process is not None:
        process.adopt(task)
    return task


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("a port in memory waited where it should not")

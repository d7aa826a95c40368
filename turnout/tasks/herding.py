"""Herding: what a person does with many tasks of a topic at once, in bounded time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from turnout.base.chance import NewId
from turnout.base.clock import Clock
from turnout.tasks.commits import Commits, Made
from turnout.tasks.errors import CountDiffers, TransitionRefused
from turnout.tasks.ports import TaskStore
from turnout.tasks.steering import Steering
from turnout.tasks.task import Change, State, Stored, watched
from turnout.tasks.timetable import Timetable

PAGE_TASKS = 200
#: One call works for so long, and says then that there may be more.
SECONDS_MAX = 40.0


class Herded(msgspec.Struct, frozen=True):
    """What was done: tasks changed, and whether there may be more (call again)."""

    tasks: int
    is_partial: bool = False


class Herding:
    """Changes many tasks. Who is changed by somebody else meanwhile is left as it is."""

    def __init__(
        self,
        store: TaskStore,
        commits: Commits,
        timetable: Timetable,
        steering: Steering,
        *,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._store = store
        self._commits = commits
        self._timetable = timetable
        self._steering = steering
        self._clock = clock
        self._new_id = new_id

    async def pause(self, topic: str) -> None:
        """Tasks of a topic wait from now on; what runs is finished. Workers know it within `TURNOUT_TOPIC_CACHE_SECONDS`."""
        await self._store.set_paused(topic, self._clock.now())

    async def resume(self, topic: str) -> Herded:
        """Tasks of a topic run again: those that a worker has put aside meanwhile are woken."""
        await self._store.set_paused(topic, None)
        return await self._each(topic, State.WAITING, self._wake)

    async def count(self, topic: str, state: State) -> int:
        """How many tasks of a topic are in a state."""
        return await self._store.count(topic, state)

    async def purge(self, topic: str, expected: int) -> Herded:
        """Cancels all tasks of a topic that wait; `CountDiffers` if there are more of them than the person expects."""
        waiting = await self._store.count(topic, State.WAITING)
        if waiting > expected:
            raise CountDiffers(topic, expected, waiting)
        return await self._each(topic, State.WAITING, lambda each: self._steer(self._steering.cancel, each))

    async def redrive(self, topic: str, *, from_id: int = 0, before_id: int | None = None) -> Herded:
        """Begins all failed tasks of a topic again, those with ids in a range."""
        return await self._each(
            topic,
            State.FAILED,
            lambda each: self._steer(self._steering.redrive, each),
            from_id=from_id,
            before_id=before_id,
        )

    async def _each(
        self,
        topic: str,
        state: State,
        change: Callable[[Stored], Awaitable[bool]],
        *,
        from_id: int = 0,
        before_id: int | None = None,
    ) -> Herded:
        until, changed = self._clock.monotonic() + SECONDS_MAX, 0
        async for page in self._pages(topic, state, from_id, before_id):
            changed += sum(await asyncio.gather(*map(change, page)))
            if self._clock.monotonic() >= until:
                return Herded(changed, is_partial=True)
        return Herded(changed)

    async def _pages(
        self, topic: str, state: State, from_id: int, before_id: int | None
    ) -> AsyncIterator[list[Stored]]:
        while page := await self._store.page(
            topic, limit=PAGE_TASKS, state=state, before_id=before_id, from_id=from_id
        ):
            yield page
            before_id = page[-1].task.id

    async def _wake(self, stored: Stored) -> bool:
        progress, now = stored.task.progress, self._clock.now()
        if progress.run_at > now or progress.due_at is None or progress.due_at <= now:
            return False
        change = Change(stored, watched(stored.task, due_at=now, stamp=self._new_id()))
        outcome = await self._commits.make(change)
        if isinstance(outcome, Made):
            await self._timetable.arrange([outcome.stored])
        return isinstance(outcome, Made)

    async def _steer(self, verb: Callable[[int], Awaitable[Stored]], stored: Stored) -> bool:
        try:
            await verb(stored.task.id)
        except TransitionRefused:
            return False
        return True

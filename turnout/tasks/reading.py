"""Reading: one task, a wait for its end, a page of a topic's."""

import asyncio

import msgspec

from turnout.base.clock import Clock
from turnout.tasks.errors import TaskUnknown
from turnout.tasks.ports import TaskStore
from turnout.tasks.task import State, Stored
from turnout.tasks.views import TopicView, topic_view

#: While somebody waits for a task's end, it is read again after these seconds, growing to the last.
LOOK_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
WAIT_SECONDS_MAX = 30.0
#: Callers that wait in one process; who comes on top of them is answered at once.
WAITING_MAX = 1_000


class Page(msgspec.Struct, frozen=True):
    """Tasks, newest first, and from which id the next page goes on; None: that was the last."""

    tasks: list[Stored]
    before: int | None


class TaskReader:
    """Answers questions about tasks."""

    def __init__(self, store: TaskStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting = 0

    async def get(self, task_id: int) -> Stored:
        """A task; `TaskUnknown` if there is none, or none any more."""
        found = (await self._store.get([task_id])).get(task_id)
        if found is None:
            raise TaskUnknown(task_id)
        return found

    async def wait(self, task_id: int, seconds: float) -> Stored:
        """A task when it has ended, or as it is when the time is up."""
        until = self._clock.monotonic() + min(seconds, WAIT_SECONDS_MAX)
        found = await self.get(task_id)
        if self._waiting >= WAITING_MAX:
            return found
        self._waiting += 1
        try:
            looks = iter(LOOK_SECONDS)
            pause_seconds = 0.0
            while not found.task.state.is_final:
                left_seconds = until - self._clock.monotonic()
                if left_seconds <= 0:
                    break
                pause_seconds = next(looks, pause_seconds)
                await asyncio.sleep(min(pause_seconds, left_seconds))
                found = await self.get(task_id)
        finally:
            self._waiting -= 1
        return found

    async def page(
        self, topic: str, *, limit: int, state: State | None, before_id: int | None, from_id: int
    ) -> Page:
        """A page of a topic's tasks, newest first; tasks that are added meanwhile shift nothing."""
        tasks = await self._store.page(topic, limit=limit, state=state, before_id=before_id, from_id=from_id)
        return Page(tasks, tasks[-1].task.id if len(tasks) == limit else None)

    async def topic(self, topic: str) -> TopicView:
        """A topic's books, and whether it is paused."""
        entries, is_paused = await asyncio.gather(self._store.entries(topic), self._store.is_paused(topic))
        return topic_view(topic, entries, is_paused=is_paused)

"""What tasks need from the world, beside the queue's topics and subscriptions.

`turnout/gcp/tasks/` implements it on Google's services, `turnout/memory/tasks.py` in memory; one contract suite judges
both. Every method may raise `ServiceUnavailable`; one that writes may raise its subtype `OutcomeUnknown`. None retries
by itself.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from turnout.tasks.alarms import Alarm
from turnout.tasks.books import Books, Entries
from turnout.tasks.retrying import TaskRetry
from turnout.tasks.task import Change, State, Stored


class HandlerLimits(msgspec.Struct, frozen=True):
    """What tasks of a handler are given if their callers say nothing."""

    timeout_seconds: float
    retry: TaskRetry


class KnownHandlers(Protocol):
    """The handlers that there are, as far as who takes tasks in knows."""

    def limits(self, name: str) -> HandlerLimits | None:
        """What a handler says of its tasks; None: there is no such handler."""
        ...

    def names(self) -> Sequence[str]:
        """All names."""
        ...


class Named(msgspec.Struct, frozen=True):
    """The task that a key belongs to in its topic."""

    topic: str
    key: str
    task_id: int


def expect_each_once(changes: Sequence[Change]) -> None:
    """`ValueError` if a commit changes a task twice: it is put together otherwise."""
    if len({change.after.id for change in changes}) < len(changes):
        raise ValueError("one commit changes each task once")


class TaskStore(Protocol):
    """The tasks, the keys that are taken, and the books."""

    async def commit(self, changes: Sequence[Change], *, book_shard: int) -> Sequence[int]:
        """Writes changes, each of another task, with what they add to the books.

        Returns the new versions, in order; then those of the tasks that were born with them, in the same order.
        All or nothing. `TasksChanged`: one of them was made from a version that is no longer there, or a new task's id
        or key exists; nothing was written.
        """
        ...

    async def get(self, task_ids: Sequence[int]) -> dict[int, Stored]:
        """The tasks that exist among these ids, all as of one moment."""
        ...

    async def named(self, topic: str, keys: Sequence[str]) -> list[Named]:
        """The keys that are taken in a topic, among these."""
        ...

    def due(self, shard: int, *, since: int, until: int, limit: int | None = None) -> AsyncIterator[Stored]:
        """A shard's tasks that somebody must look at in the Unix seconds from `since` to before `until`, earliest first."""
        ...

    async def page(
        self,
        topic: str,
        *,
        limit: int,
        state: State | None = None,
        before_id: int | None = None,
        from_id: int = 0,
    ) -> list[Stored]:
        """A topic's tasks, newest first: with ids from `from_id` to below `before_id`, all states or one.

        The next page is of what lies before the last one's id: tasks that are added meanwhile shift nothing.
        """
        ...

    async def books(self, topic: str) -> Books:
        """Both sides of a topic's books, read at one moment."""
        ...

    async def count(self, topic: str, state: State) -> int:
        """How many tasks of a topic are in a state, counted one by one."""
        ...

    async def entries(self, topic: str) -> Entries:
        """What a topic's books hold."""
        ...

    async def is_paused(self, topic: str) -> bool:
        """Whether a topic's tasks wait until somebody resumes it."""
        ...

    async def set_paused(self, topic: str, paused_at: datetime | None) -> None:
        """Pauses a topic, since a moment; or resumes it."""
        ...


class Alarms(Protocol):
    """What rings later."""

    async def set(self, alarm: Alarm) -> None:
        """Sets an alarm. One that was set before, or has rung, stays as it is."""
        ...

"""The tasks' ports in memory."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from turnout.tasks.alarms import Alarm, second_of
from turnout.tasks.books import Books, Entries, entries_by_topic
from turnout.tasks.errors import TasksChanged
from turnout.tasks.ids import shard_of
from turnout.tasks.ports import Named, expect_each_once
from turnout.tasks.task import Change, State, Stored


class MemoryTaskStore:
    """The tasks, the keys that are taken, and the books."""

    def __init__(self) -> None:
        self._tasks: dict[int, Stored] = {}
        self._keys: dict[tuple[str, str], int] = {}
        self._books: dict[str, dict[int, Entries]] = {}
        self._paused: set[str] = set()
        self._writes = 0

    async def commit(self, changes: Sequence[Change], *, book_shard: int) -> Sequence[int]:
        """Writes changes, all or nothing."""
        born = [Change(None, change.born) for change in changes if change.born is not None]
        expect_each_once((*changes, *born))
        keys = [_key_of(change) for change in changes if change.before is None]
        taken = [key for key in keys if key is not None]
        if len(set(taken)) < len(taken) or any(key in self._keys for key in taken):
            raise TasksChanged("A key is taken.")
        for change in (*changes, *born):
            present = self._tasks.get(change.after.id)
            expected = None if change.before is None else change.before.version
            if (None if present is None else present.version) != expected:
                raise TasksChanged(f"Task {change.after.id} is not what it was.")
        versions = [self._write(change) for change in (*changes, *born)]
        for topic, entries in entries_by_topic(changes).items():
            shards = self._books.setdefault(topic, {})
            shards[book_shard] = shards.get(book_shard, Entries()).plus(entries)
        return versions

    async def get(self, task_ids: Sequence[int]) -> dict[int, Stored]:
        """The tasks that exist among these ids."""
        return {task_id: self._tasks[task_id] for task_id in task_ids if task_id in self._tasks}

    async def named(self, topic: str, keys: Sequence[str]) -> list[Named]:
        """The keys that are taken in a topic, among these."""
        return [
            Named(topic, key, self._keys[topic, key])
            for key in dict.fromkeys(keys)
            if (topic, key) in self._keys
        ]

    async def due(
        self, shard: int, *, since: int, until: int, limit: int | None = None
    ) -> AsyncIterator[Stored]:
        """A shard's tasks that somebody must look at in these seconds."""
        found = [
            (second, stored.task.id, stored)
            for stored in self._tasks.values()
            if stored.task.progress.due_at is not None
            and shard_of(stored.task.id) == shard
            and since <= (second := second_of(stored.task.progress.due_at)) < until
        ]
        for _, _, stored in sorted(found, key=lambda each: each[:2])[:limit]:
            yield stored

    async def page(
        self,
        topic: str,
        *,
        limit: int,
        state: State | None = None,
        before_id: int | None = None,
        from_id: int = 0,
    ) -> list[Stored]:
        """A topic's tasks, newest first."""
        found = [
            stored
            for task_id, stored in self._tasks.items()
            if stored.task.work.topic == topic
            and (state is None or stored.task.state is state)
            and from_id <= task_id
            and (before_id is None or task_id < before_id)
        ]
        return sorted(found, key=lambda stored: -stored.task.id)[:limit]

    async def books(self, topic: str) -> Books:
        """Both sides of a topic's books."""
        total = await self.entries(topic)
        tasks = [stored.task for stored in self._tasks.values() if stored.task.work.topic == topic]
        return Books(total, sum(not task.state.is_final for task in tasks))

    async def count(self, topic: str, state: State) -> int:
        """How many tasks of a topic are in a state."""
        tasks = [stored.task for stored in self._tasks.values()]
        return sum(task.work.topic == topic and task.state is state for task in tasks)

    async def entries(self, topic: str) -> Entries:
        """What a topic's books hold."""
        total = Entries()
        for entries in self._books.get(topic, {}).values():
            total = total.plus(entries)
        return total

    async def is_paused(self, topic: str) -> bool:
        """Whether a topic's tasks wait until somebody resumes it."""
        return topic in self._paused

    async def set_paused(self, topic: str, paused_at: datetime | None) -> None:
        """Pauses a topic, since a moment; or resumes it."""
        if paused_at is None:
            self._paused.discard(topic)
        else:
            self._paused.add(topic)

    def _write(self, change: Change) -> int:
        self._writes += 1
        self._tasks[change.after.id] = Stored(change.after, self._writes)
        key = _key_of(change)
        if key is not None:
            self._keys[key] = change.after.id
        return self._writes


class MemoryAlarms:
    """The alarms that were set, each once."""

    def __init__(self) -> None:
        self.by_name: dict[str, Alarm] = {}

    async def set(self, alarm: Alarm) -> None:
        """Sets an alarm, unless it was set before."""
        self.by_name.setdefault(alarm.name, alarm)


def _key_of(change: Change) -> tuple[str, str] | None:
    work = change.after.work
    return None if work.key is None else (work.topic, work.key)

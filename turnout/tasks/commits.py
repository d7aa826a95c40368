"""Commits: changes of many tasks travel together, and each learns whether it was made.

A commit is atomic, with the books. If one change in it was made from a version that is no longer there, nothing is
written: the tasks are read, what has lost is told so, and the rest is committed again. If the answer is lost, the very
same changes are committed again: what has gone through is known by its stamp.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from turnout.base.chance import Chance
from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable
from turnout.queue.batcher import Batcher, BatcherBounds
from turnout.tasks.errors import TasksChanged
from turnout.tasks.ports import TaskStore
from turnout.tasks.settings import COMMIT_BYTES_MAX, TaskSettings
from turnout.tasks.task import Change, Stored

#: What a change takes of a commit beside its payload and result, at most: ten errors are the most of it.
CHANGE_BYTES = 4_096


class Made(msgspec.Struct, frozen=True):
    """The change was made, and what was to be born with it is there."""

    stored: Stored
    born: Stored | None = None


class Lost(msgspec.Struct, frozen=True):
    """Somebody else changed the task before; or a new one's id or key is taken, and `present` is who has the id."""

    present: Stored | None


class _Item:
    """A change on its way, and what became of it."""

    __slots__ = ("change", "outcome")

    def __init__(self, change: Change) -> None:
        self.change = change
        self.outcome: Made | Lost | None = None


class _Gathering:
    """Changes of one commit: each of another task, none with another's key, and no more than a commit takes."""

    def __init__(self, tasks_max: int) -> None:
        self._tasks_max = tasks_max
        self._items: dict[int, _Item] = {}
        self._ids: set[int] = set()
        self._keys: set[tuple[str, str]] = set()
        self._bytes = 0

    def fits(self, items: Sequence[_Item]) -> bool:
        (item,) = items
        task = item.change.after
        return (
            len(self._items) < self._tasks_max
            and self._ids.isdisjoint(_ids_of(item.change))
            and (task.work.topic, task.work.key) not in self._keys
            and self._bytes + _bytes_of(item.change) <= COMMIT_BYTES_MAX
        )

    def add(self, items: Sequence[_Item]) -> None:
        (item,) = items
        work = item.change.after.work
        self._items[item.change.after.id] = item
        self._ids.update(_ids_of(item.change))
        self._bytes += _bytes_of(item.change)
        if work.key is not None:
            self._keys.add((work.topic, work.key))

    def pack(self) -> list[_Item]:
        return list(self._items.values())


class Commits:
    """Makes changes; what arrives together is committed together."""

    def __init__(self, store: TaskStore, settings: TaskSettings, *, clock: Clock, chance: Chance) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._chance = chance
        bounds = BatcherBounds(
            enough_items=settings.commit_tasks_max,
            pending_items_max=settings.pending_tasks_max,
            flushes_in_flight_max=settings.commits_in_flight_max,
        )
        self.batcher: Batcher[_Item, list[_Item]] = Batcher(
            partial(_Gathering, settings.commit_tasks_max), self._flush, bounds
        )

    async def make(self, change: Change) -> Made | Lost:
        """Makes a change, or learns who was faster.

        `ServiceUnavailable`: the store does not answer; the change may have been made, as it may if the caller is
        cancelled. `QueueUnavailable`: too much waits; it was not.
        """
        item = _Item(change)
        # Shielded: who gives up waiting, because its lease ends meanwhile, leaves at once.
        await asyncio.shield(self.batcher.add([item]))
        if item.outcome is None:
            raise AssertionError("a flush says of each change what became of it")
        return item.outcome

    async def _flush(self, items: list[_Item]) -> None:
        left = {item.change.after.id: item for item in items}

        async def attempt() -> None:
            while left:
                changes = [item.change for item in left.values()]
                book_shard = int(self._chance() * self._settings.task_book_shards)
                try:
                    versions = await self._store.commit(changes, book_shard=book_shard)
                except TasksChanged as refusal:
                    if not await self._sort_out(left):
                        # What stood in the way is gone again.
                        raise ServiceUnavailable("The tasks' store", str(refusal)) from refusal
                else:
                    _note_made(list(left.values()), versions)
                    left.clear()

        await self._settings.write_retry.run(attempt, clock=self._clock, chance=self._chance)

    async def _sort_out(self, left: dict[int, _Item]) -> int:
        """Takes out what cannot be made, or was made by a commit whose answer was lost; returns how many that are."""
        before = len(left)
        wanted = [task_id for item in left.values() for task_id in _ids_of(item.change)]
        present = await self._store.get(wanted)
        taken = await self._taken_keys([item.change for item in left.values()])
        for task_id, item in list(left.items()):
            work = item.change.after.work
            outcome = _outcome(item.change, present)
            if outcome is None and item.change.before is None and (work.topic, work.key) in taken:
                outcome = Lost(None)
            if outcome is not None:
                left.pop(task_id).outcome = outcome
        return before - len(left)

    async def _taken_keys(self, changes: Sequence[Change]) -> set[tuple[str, str | None]]:
        wanted: dict[str, list[str]] = {}
        for change in changes:
            work = change.after.work
            if change.before is None and work.key is not None:
                wanted.setdefault(work.topic, []).append(work.key)
        return {
            (named.topic, named.key)
            for topic, keys in wanted.items()
            for named in await self._store.named(topic, keys)
        }


def _ids_of(change: Change) -> tuple[int, ...]:
    return (change.after.id,) if change.born is None else (change.after.id, change.born.id)


def _note_made(items: Sequence[_Item], versions: Sequence[int]) -> None:
    births = [item.change.born for item in items if item.change.born is not None]
    born = {
        task.id: Stored(task, version) for task, version in zip(births, versions[len(items) :], strict=True)
    }
    for item, version in zip(items, versions[: len(items)], strict=True):
        change = item.change
        item.outcome = Made(
            Stored(change.after, version), None if change.born is None else born[change.born.id]
        )


def _outcome(change: Change, found: Mapping[int, Stored]) -> Made | Lost | None:
    """What became of a change, as the store shows it; None: it can be made still."""
    present = found.get(change.after.id)
    born = None if change.born is None else found.get(change.born.id)
    if change.before is None:
        if present is None:
            return None
        # It may have run already: its origin stays, while a stamp does not.
        is_own = present.task.work.origin == change.after.work.origin
        return Made(present) if is_own else Lost(present)
    if present is not None and present.version == change.before.version:
        # The id of what is to be born may be another's: whoever makes the change again draws another one.
        return None if born is None else Lost(present)
    if present is not None and present.task.progress.stamp == change.after.progress.stamp:
        return Made(present, born)
    return Lost(present)


def _bytes_of(change: Change) -> int:
    task = change.after
    payload_bytes = 0 if change.before is not None else len(bytes(task.work.payload))
    if change.born is not None:
        payload_bytes += len(bytes(change.born.work.payload)) + CHANGE_BYTES
    result_bytes = len((task.progress.result or "").encode())
    errors_bytes = sum(len(attempt.error) for attempt in task.progress.attempts) * 4
    return payload_bytes + result_bytes + errors_bytes + CHANGE_BYTES

"""Planted bugs of tasks: each stands in for a part of the code, and the simulation must find it."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

import msgspec

from turnout.base.errors import OutcomeUnknown
from turnout.tasks.books import Books, Entries
from turnout.tasks.ports import Named, TaskStore
from turnout.tasks.task import Change, State, Stored, Task
from turnout.tasks.timetable import Timetable


class Plant:
    """No bug: every part as it is."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def store(self, inner: TaskStore) -> TaskStore:
        return inner

    def timetable(self, inner: Timetable) -> Timetable:
        return inner


class _Passing:
    """A store that passes everything on."""

    def __init__(self, inner: TaskStore) -> None:
        self._inner = inner

    async def commit(self, changes: Sequence[Change], *, book_shard: int) -> Sequence[int]:
        return await self._inner.commit(changes, book_shard=book_shard)

    async def get(self, task_ids: Sequence[int]) -> dict[int, Stored]:
        return await self._inner.get(task_ids)

    async def named(self, topic: str, keys: Sequence[str]) -> list[Named]:
        return await self._inner.named(topic, keys)

    async def due(
        self, shard: int, *, since: int, until: int, limit: int | None = None
    ) -> AsyncIterator[Stored]:
        async for stored in self._inner.due(shard, since=since, until=until, limit=limit):
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
        return await self._inner.page(topic, limit=limit, state=state, before_id=before_id, from_id=from_id)

    async def books(self, topic: str) -> Books:
        return await self._inner.books(topic)

    async def count(self, topic: str, state: State) -> int:
        raise NotImplementedError

    async def entries(self, topic: str) -> Entries:
        return await self._inner.entries(topic)

    async def is_paused(self, topic: str) -> bool:
        return await self._inner.is_paused(topic)

    async def set_paused(self, topic: str, paused_at: datetime | None) -> None:
        await self._inner.set_paused(topic, paused_at)


class _Rewriting(_Passing):
    """A store whose changes are rewritten before they are committed."""

    async def commit(self, changes: Sequence[Change], *, book_shard: int) -> Sequence[int]:
        rewritten = [await self.rewritten(change) for change in changes]
        return await super().commit(rewritten, book_shard=book_shard)

    async def rewritten(self, change: Change) -> Change:
        raise NotImplementedError


class SettlesWithoutPrecondition(Plant):
    """What becomes of an attempt is written over whatever is there."""

    class Store(_Rewriting):
        async def rewritten(self, change: Change) -> Change:
            before = change.before
            if before is None or before.task.state is not State.RUNNING:
                return change
            if change.after.state is State.RUNNING:
                return change
            present = (await self.get([change.after.id])).get(change.after.id, before)
            return Change(Stored(present.task, present.version), change.after, change.born)

    def store(self, inner: TaskStore) -> TaskStore:
        return self.Store(inner)


class FencesByStateOnly(Plant):
    """A change is made if the task is in the state that it was made from, whatever happened between."""

    class Store(_Rewriting):
        async def rewritten(self, change: Change) -> Change:
            if change.before is None:
                return change
            present = (await self.get([change.after.id])).get(change.after.id)
            if present is None or present.task.state is not change.before.task.state:
                return change
            return Change(Stored(present.task, present.version), change.after, change.born)

    def store(self, inner: TaskStore) -> TaskStore:
        return self.Store(inner)


class RescuesByAge(Plant):
    """What has run for two seconds is taken for abandoned, though its lease lives."""

    class Store(_Passing):
        async def get(self, task_ids: Sequence[int]) -> dict[int, Stored]:
            found = await super().get(task_ids)
            return {task_id: self._aged(stored) for task_id, stored in found.items()}

        def _aged(self, stored: Stored) -> Stored:
            progress = stored.task.progress
            if progress.began_at is None:
                return stored
            old = msgspec.structs.replace(progress, lease_until=progress.began_at + timedelta(seconds=2))
            return Stored(Task(stored.task.id, stored.task.work, old), stored.version)

    def store(self, inner: TaskStore) -> TaskStore:
        return self.Store(inner)


class ForgetsCrashes(Plant):
    """A task that is tried again begins to count its crashes anew."""

    class Store(_Rewriting):
        async def rewritten(self, change: Change) -> Change:
            if change.before is None or change.after.state is not State.WAITING:
                return change
            progress = msgspec.structs.replace(change.after.progress, crashes=0)
            return Change(change.before, Task(change.after.id, change.after.work, progress), change.born)

    def store(self, inner: TaskStore) -> TaskStore:
        return self.Store(inner)


class TakesLostAnswersForDone(Plant):
    """A commit whose answer was lost counts as made."""

    class Store(_Passing):
        async def commit(self, changes: Sequence[Change], *, book_shard: int) -> Sequence[int]:
            try:
                return await super().commit(changes, book_shard=book_shard)
            except OutcomeUnknown:
                return [0] * (len(changes) + sum(change.born is not None for change in changes))

    def store(self, inner: TaskStore) -> TaskStore:
        return self.Store(inner)


class PublishesBeforeTheCommit(Plant):
    """A task is published while it is on its way to the store."""

    class Store(_Passing):
        def __init__(self, inner: TaskStore, plant: "PublishesBeforeTheCommit") -> None:
            super().__init__(inner)
            self._plant = plant

        async def commit(self, changes: Sequence[Change], *, book_shard: int) -> Sequence[int]:
            new = [Stored(change.after, 0) for change in changes if change.before is None]
            if new and self._plant.timetables:
                await self._plant.timetables[-1].arrange(new)
            return await super().commit(changes, book_shard=book_shard)

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.timetables: list[Timetable] = []

    def timetable(self, inner: Timetable) -> Timetable:
        self.timetables.append(inner)
        return inner

    def store(self, inner: TaskStore) -> TaskStore:
        return self.Store(inner, self)


class LosesSightOfWhatRuns(Plant):
    """Nobody is to look at a task that runs: a worker that dies takes it along."""

    class Store(_Rewriting):
        async def rewritten(self, change: Change) -> Change:
            if change.after.state is not State.RUNNING:
                return change
            progress = msgspec.structs.replace(change.after.progress, due_at=None)
            return Change(change.before, Task(change.after.id, change.after.work, progress), change.born)

    def store(self, inner: TaskStore) -> TaskStore:
        return self.Store(inner)


class TellsInACommitOfItsOwn(Plant):
    """Who wants to know is told after the commit that ends the task, and not in it."""

    class Store(_Passing):
        async def commit(self, changes: Sequence[Change], *, book_shard: int) -> Sequence[int]:
            born = [Change(None, change.born) for change in changes if change.born is not None]
            apart = [Change(change.before, change.after) for change in changes]
            versions = list(await super().commit(apart, book_shard=book_shard))
            for each in born:
                versions += await super().commit([each], book_shard=book_shard)
            return versions

    def store(self, inner: TaskStore) -> TaskStore:
        return self.Store(inner)


class RunsEarly(Plant):
    """A task's moment is taken to be when it was added."""

    class Store(_Rewriting):
        async def rewritten(self, change: Change) -> Change:
            return change

        async def due(
            self, shard: int, *, since: int, until: int, limit: int | None = None
        ) -> AsyncIterator[Stored]:
            # Everything that waits is found, and said to be due.
            async for stored in self._inner.due(shard, since=0, until=until + 10_000, limit=limit):
                yield stored

        async def get(self, task_ids: Sequence[int]) -> dict[int, Stored]:
            found = await super().get(task_ids)
            return {task_id: self._due(stored) for task_id, stored in found.items()}

        def _due(self, stored: Stored) -> Stored:
            task = stored.task
            if task.state is not State.WAITING:
                return stored
            early = msgspec.structs.replace(task.progress, run_at=task.work.added_at)
            return Stored(Task(task.id, task.work, early), stored.version)

    def store(self, inner: TaskStore) -> TaskStore:
        return self.Store(inner)


PLANTS: tuple[type[Plant], ...] = (
    SettlesWithoutPrecondition,
    FencesByStateOnly,
    RescuesByAge,
    ForgetsCrashes,
    TakesLostAnswersForDone,
    PublishesBeforeTheCommit,
    LosesSightOfWhatRuns,
    TellsInACommitOfItsOwn,
    RunsEarly,
)

"""Waking: what an alarm does when it rings, and what the sweep finds that nobody woke."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from turnout.base.chance import NewId
from turnout.base.clock import Clock
from turnout.tasks.alarms import Alarm, second_of
from turnout.tasks.commits import Commits, Made
from turnout.tasks.ids import SHARDS
from turnout.tasks.ports import TaskStore
from turnout.tasks.settings import TaskSettings
from turnout.tasks.task import Change, Stored, watched
from turnout.tasks.timetable import Timetable

log = structlog.get_logger()


class Swept(msgspec.Struct, frozen=True):
    """What a sweep found."""

    published: int
    #: Whether there may be more than it has looked at.
    is_partial: bool


class Waking:
    """Publishes the tasks that are due."""

    def __init__(
        self,
        store: TaskStore,
        commits: Commits,
        timetable: Timetable,
        settings: TaskSettings,
        *,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._store = store
        self._commits = commits
        self._timetable = timetable
        self._settings = settings
        self._clock = clock
        self._new_id = new_id

    async def ring(self, alarm: Alarm) -> int:
        """Publishes all tasks of an alarm's second, and returns how many; of a chain, sets the next alarm.

        They are published a second early at most: a worker waits for a task's moment. Any fault: let it ring again,
        since a task that is published twice is claimed once.
        """
        if alarm.hops:
            await self._timetable.set(Alarm(alarm.shard, alarm.second, alarm.hops - 1))
            return 0
        published = 0
        batch: list[Stored] = []
        async for stored in self._store.due(alarm.shard, since=alarm.second, until=alarm.second + 1):
            batch.append(stored)
            if len(batch) == self._settings.due_tasks_max:
                await self._timetable.publish(batch)
                published += len(batch)
                batch = []
        await self._timetable.publish(batch)
        return published + len(batch)

    async def sweep(self) -> Swept:
        """Publishes what is overdue in any shard: its alarm or its message was lost, or its worker died."""
        before = self._clock.now() - timedelta(seconds=self._settings.sweep_after_seconds)
        shards = [await self._sweep_shard(shard, before) for shard in range(SHARDS)]
        found = Swept(sum(each.published for each in shards), any(each.is_partial for each in shards))
        if found.published:
            log.warning("overdue tasks were published", tasks=found.published, is_partial=found.is_partial)
        return found

    async def _sweep_shard(self, shard: int, before: datetime) -> Swept:
        limit = self._settings.due_tasks_max
        overdue = [
            each async for each in self._store.due(shard, since=0, until=second_of(before), limit=limit)
        ]
        outcomes = await asyncio.gather(*(self._commits.make(self._look_again(each)) for each in overdue))
        # Who was faster than the sweep has looked after the task.
        made: Sequence[Stored] = [each.stored for each in outcomes if isinstance(each, Made)]
        await self._timetable.publish(made)
        return Swept(len(made), len(overdue) == limit)

    def _look_again(self, overdue: Stored) -> Change:
        """Puts off the next look for as long as the task has waited: a long backlog is not published again and again."""
        settings, now, progress = self._settings, self._clock.now(), overdue.task.progress
        waited_seconds = (now - (progress.lease_until or progress.run_at)).total_seconds()
        again_seconds = min(
            max(waited_seconds, settings.sweep_after_seconds), settings.sweep_again_seconds_max
        )
        due_at = now + timedelta(seconds=again_seconds)
        return Change(overdue, watched(overdue.task, due_at=due_at, stamp=self._new_id()))

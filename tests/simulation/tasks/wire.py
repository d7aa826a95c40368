"""The wire to the tasks' store and alarms: calls are lost, doubled, delayed and overtaken."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from tests.simulation.tasks.cloud import TaskCloud
from tests.simulation.virtual import at_once
from tests.simulation.wire import Wire
from turnout.tasks.alarms import Alarm
from turnout.tasks.books import Books, Entries
from turnout.tasks.ports import Named
from turnout.tasks.settings import TaskSettings
from turnout.tasks.task import Change, State, Stored

TaskWire = Wire[TaskCloud, TaskSettings]


class WiredTaskStore:
    """The store."""

    def __init__(self, wire: TaskWire) -> None:
        self._wire = wire

    async def commit(self, changes: Sequence[Change], *, book_shard: int) -> Sequence[int]:
        wire, changes = self._wire, list(changes)
        if len(changes) > wire.settings.commit_tasks_max:
            wire.cloud.violate(f"a commit of {len(changes)} tasks")
        what = ", ".join(f"{each.after.id % 100_000} {each.after.state}" for each in changes)
        return await wire.call(
            "store",
            f"commit [{what}]",
            lambda: wire.cloud.commit(changes, book_shard, wire.process),
            writes=True,
        )

    async def get(self, task_ids: Sequence[int]) -> dict[int, Stored]:
        ids, store = list(task_ids), self._wire.cloud.store
        return await self._wire.call(
            "store",
            f"get {[each % 100_000 for each in ids]}",
            lambda: at_once(store.get(ids)),
            writes=False,
        )

    async def named(self, topic: str, keys: Sequence[str]) -> list[Named]:
        keys, store = list(keys), self._wire.cloud.store
        return await self._wire.call(
            "store", f"keys {keys}", lambda: at_once(store.named(topic, keys)), writes=False
        )

    async def due(
        self, shard: int, *, since: int, until: int, limit: int | None = None
    ) -> AsyncIterator[Stored]:
        store = self._wire.cloud.store

        async def found() -> list[Stored]:
            return [each async for each in store.due(shard, since=since, until=until, limit=limit)]

        if self._wire.weather.healed:
            # A sweep looks into every shard; in calm weather that is not worth an event for each.
            for each in at_once(found()):
                yield each
            return
        for each in await self._wire.call("store", f"due in {shard}", lambda: at_once(found()), writes=False):
            yield each

    async def page(
        self,
        topic: str,
        *,
        limit: int,
        state: State | None = None,
        before_id: int | None = None,
        from_id: int = 0,
    ) -> list[Stored]:
        raise NotImplementedError

    async def count(self, topic: str, state: State) -> int:
        raise NotImplementedError

    async def entries(self, topic: str) -> Entries:
        store = self._wire.cloud.store
        return await self._wire.call(
            "store", f"entries of {topic}", lambda: at_once(store.entries(topic)), writes=False
        )

    async def is_paused(self, topic: str) -> bool:
        store = self._wire.cloud.store
        return await self._wire.call(
            "store", f"is {topic} paused", lambda: at_once(store.is_paused(topic)), writes=False
        )

    async def set_paused(self, topic: str, paused_at: datetime | None) -> None:
        store = self._wire.cloud.store
        await self._wire.call(
            "store",
            f"pause {topic}" if paused_at else f"resume {topic}",
            lambda: at_once(store.set_paused(topic, paused_at)),
            writes=True,
        )

    async def books(self, topic: str) -> Books:
        store = self._wire.cloud.store
        return await self._wire.call(
            "store", f"books {topic}", lambda: at_once(store.books(topic)), writes=False
        )


class WiredAlarms:
    """The alarms."""

    def __init__(self, wire: TaskWire) -> None:
        self._wire = wire

    async def set(self, alarm: Alarm) -> None:
        wire = self._wire
        await wire.call(
            "alarms", f"set {alarm.name}", lambda: at_once(wire.cloud.alarms.set(alarm)), writes=True
        )

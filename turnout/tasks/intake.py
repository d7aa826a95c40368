"""The intake: tasks are checked, stored, and only then promised."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from turnout.base.chance import Chance, NewId
from turnout.base.clock import Clock
from turnout.base.errors import BatchRefused, ServiceUnavailable, ValueRefused
from turnout.queue.batcher import RETRY_AFTER_SECONDS
from turnout.queue.errors import QueueUnavailable
from turnout.tasks.commits import Commits, Made
from turnout.tasks.errors import KeyReused, TopicFull
from turnout.tasks.ids import draw_task_ids
from turnout.tasks.new_task import Checking, NewTask
from turnout.tasks.ports import TaskStore
from turnout.tasks.settings import TaskSettings
from turnout.tasks.task import Change, Stored, Task, added
from turnout.tasks.timetable import Timetable
from turnout.tasks.topics import Topics
from turnout.tasks.work import Work

#: Tasks in one call.
CALL_TASKS_MAX = 1_000
#: While a caller waits for room in a full topic, it is looked after so often.
FULL_LOOK_SECONDS = 1.0
#: Draws of an id before the store is taken for broken.
DRAWS_MAX = 8


class Accepted(msgspec.Struct, frozen=True):
    """A promise: the task is stored, and will end in one final state. `is_repeat`: its key was known, with this work."""

    task_id: int
    is_repeat: bool = False


class TaskIntake:
    """Adds tasks."""

    def __init__(
        self,
        store: TaskStore,
        commits: Commits,
        timetable: Timetable,
        topics: Topics,
        checking: Checking,
        settings: TaskSettings,
        *,
        clock: Clock,
        chance: Chance,
        new_id: NewId,
    ) -> None:
        self._store = store
        self._commits = commits
        self._timetable = timetable
        self._topics = topics
        self._checking = checking
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._new_id = new_id

    async def add(self, wanted: Sequence[NewTask]) -> list[Accepted | KeyReused]:
        """Adds up to `CALL_TASKS_MAX` tasks; returns when all are durable.

        `BatchRefused`: some are at fault, and none was added. `TopicFull`: none was added. `QueueUnavailable`: the store did not confirm all; some
        may have been added, which is known again if they have keys. A key that belongs to other work refuses its own
        task alone.
        """
        self._expect_valid(wanted)
        if not wanted:
            return []
        await self._expect_room({new.topic for new in wanted})
        now = self._clock.now()
        ids = draw_task_ids(len(wanted), now, self._chance)
        each = [
            self._add_one(task_id, new, now, self._new_id()) for task_id, new in zip(ids, wanted, strict=True)
        ]
        outcomes = await asyncio.gather(*each, return_exceptions=True)
        # What is durable is woken, though a neighbour's fault may take the promise away.
        await self._timetable.arrange([outcome for outcome in outcomes if isinstance(outcome, Stored)])
        return [_answer(outcome) for outcome in outcomes]

    async def _add_one(
        self, task_id: int, new: NewTask, now: datetime, origin: str
    ) -> Stored | Accepted | KeyReused:
        work = new.work(self._checking.limits(new), added_at=now, origin=origin)
        run_at = now if new.run_at is None else max(new.run_at, now)
        for _ in range(DRAWS_MAX):
            task = added(task_id, work, run_at=run_at, stamp=origin)
            outcome = await self._commits.make(Change(None, task))
            if isinstance(outcome, Made):
                return outcome.stored
            if outcome.present is None:
                known = await self._known(work)
                if known is not None:
                    return known
            # Another task has the id, or the key's task was forgotten at this moment.
            (task_id,) = draw_task_ids(1, self._clock.now(), self._chance)
        raise ServiceUnavailable("The tasks' store", "it refuses every id that is drawn")

    async def _known(self, work: Work) -> Accepted | KeyReused | None:
        """What the key of this work belongs to."""
        key = work.key or ""
        for named in await self._store.named(work.topic, [key]):
            present = (await self._store.get([named.task_id])).get(named.task_id)
            if present is None or _is_same_work(present.task, work):
                return Accepted(named.task_id, is_repeat=True)
            return KeyReused(work.topic, key, named.task_id)
        return None

    def _expect_valid(self, wanted: Sequence[NewTask]) -> None:
        if len(wanted) > CALL_TASKS_MAX:
            raise ValueRefused(f"One call adds at most {CALL_TASKS_MAX:,} tasks, not {len(wanted):,}.")
        now = self._clock.now()
        faults = {
            index: fault
            for index, new in enumerate(wanted)
            if (fault := self._checking.fault_of(new, now)) is not None
        }
        if faults:
            raise BatchRefused(faults, len(wanted), "tasks")

    async def _expect_room(self, topics: Collection[str]) -> None:
        """`TopicFull` if a topic has as many tasks as it may, also after the wait that is allowed."""
        tasks_max = self._settings.topic_tasks_max
        if not tasks_max:
            return
        until = self._clock.monotonic() + self._settings.topic_full_wait_seconds
        for topic in sorted(topics):
            while await self._topics.depth(topic) >= tasks_max:
                if self._clock.monotonic() >= until:
                    raise TopicFull(topic, tasks_max)
                await asyncio.sleep(FULL_LOOK_SECONDS)


def _answer(outcome: Stored | Accepted | KeyReused | BaseException) -> Accepted | KeyReused:
    if isinstance(outcome, Stored):
        return Accepted(outcome.task.id)
    if isinstance(outcome, Accepted | KeyReused):
        return outcome
    if isinstance(outcome, ServiceUnavailable):
        raise QueueUnavailable(
            "The tasks' store did not confirm.", retry_after_seconds=RETRY_AFTER_SECONDS
        ) from outcome
    raise outcome


def _is_same_work(task: Task, work: Work) -> bool:
    """Whether a key was sent with what it was sent with before: a context may differ, as a trace always does."""
    theirs = task.work
    if (theirs.topic, theirs.handler, theirs.call) != (work.topic, work.handler, work.call):
        return False
    # The same JSON may be written in another way.
    return bytes(theirs.payload) == bytes(work.payload) or _value(theirs.payload) == _value(work.payload)


def _value(payload: msgspec.Raw) -> object:
    return msgspec.json.decode(payload)

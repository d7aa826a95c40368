"""The intake: tasks are checked, stored, and only then promised."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from turnout.base.chance import Chance, NewId
from turnout.base.clock import Clock, moment
from turnout.base.errors import BatchRefused, ServiceUnavailable, TurnoutError, ValueRefused
from turnout.queue.batcher import RETRY_AFTER_SECONDS
from turnout.queue.errors import QueueUnavailable
from turnout.tasks.commits import Commits, Made
from turnout.tasks.errors import KeyReused
from turnout.tasks.ids import draw_task_ids
from turnout.tasks.ports import TaskStore
from turnout.tasks.retrying import TaskRetry
from turnout.tasks.settings import TaskSettings
from turnout.tasks.task import Change, Stored, Task, Work, added
from turnout.tasks.timetable import Timetable

#: Tasks in one call.
CALL_TASKS_MAX = 1_000
#: Topics and handlers: what a document's name and a message's attribute can hold.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
KEY_BYTES_MAX = 1_024
CONTEXT_BYTES_MAX = 2_048
TIMEOUT_SECONDS_MAX = 86_400.0
RESULT_TTL_SECONDS_MAX = 366 * 86_400.0
#: Draws of an id before the store is taken for broken.
DRAWS_MAX = 8


class NewTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that somebody wants to be done."""

    topic: str
    handler: str
    #: Any JSON.
    payload: msgspec.Raw
    #: None: now.
    run_at: datetime | None = None
    #: Makes the task unique in its topic for as long as it is kept.
    key: str | None = None
    retry: TaskRetry = TaskRetry()
    timeout_seconds: float = 60.0
    result_ttl_seconds: float = 3 * 86_400.0
    context: Mapping[str, str] = {}


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
        settings: TaskSettings,
        *,
        clock: Clock,
        chance: Chance,
        new_id: NewId,
    ) -> None:
        self._store = store
        self._commits = commits
        self._timetable = timetable
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._new_id = new_id

    async def add(self, wanted: Sequence[NewTask]) -> list[Accepted | KeyReused]:
        """Adds up to `CALL_TASKS_MAX` tasks; returns when all are durable.

        `BatchRefused`: some are at fault, and none was added. `QueueUnavailable`: the store did not confirm all; some
        may have been added, which is known again if they have keys. A key that belongs to other work refuses its own
        task alone.
        """
        self._expect_valid(wanted)
        if not wanted:
            return []
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
        work = _work_of(new, added_at=now, origin=origin)
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
        faults: dict[int, TurnoutError] = {}
        for index, new in enumerate(wanted):
            fault = self._fault_of(new)
            if fault is not None:
                faults[index] = fault
        if faults:
            raise BatchRefused(faults, len(wanted), "tasks")

    def _fault_of(self, new: NewTask) -> ValueRefused | None:
        settings = self._settings
        payload_bytes, payload_bytes_max = len(bytes(new.payload)), settings.task_payload_bytes_max
        context_bytes = sum(len(name.encode()) + len(value.encode()) for name, value in new.context.items())
        latest = self._clock.now() + timedelta(days=settings.task_days_ahead_max)
        names = (
            "letters, digits, points, hyphens and underscores, 100 at most, beginning with a letter or digit"
        )
        checks = (
            (NAME.fullmatch(new.topic) is not None, "topic", f"A topic is {names}."),
            (NAME.fullmatch(new.handler) is not None, "handler", f"A handler's name is {names}."),
            (
                payload_bytes <= payload_bytes_max,
                "payload",
                f"A payload has at most {payload_bytes_max:,} bytes of JSON, not {payload_bytes:,}.",
            ),
            (
                new.key is None or 0 < len(new.key.encode()) <= KEY_BYTES_MAX,
                "id",
                f"A key has 1 to {KEY_BYTES_MAX:,} bytes.",
            ),
            (
                new.run_at is None or new.run_at <= latest,
                "run_at",
                f"A task's moment lies at most {settings.task_days_ahead_max:,} days ahead: by {moment(latest)}.",
            ),
            (
                0 < new.timeout_seconds <= TIMEOUT_SECONDS_MAX,
                "timeout",
                f"A timeout is more than 0 and at most {TIMEOUT_SECONDS_MAX:,.0f} seconds.",
            ),
            (
                0 <= new.result_ttl_seconds <= RESULT_TTL_SECONDS_MAX,
                "result_ttl",
                "A result is kept for a year at most.",
            ),
            (
                context_bytes <= CONTEXT_BYTES_MAX,
                "context",
                f"A context has at most {CONTEXT_BYTES_MAX:,} bytes, not {context_bytes:,}.",
            ),
        )
        return next((ValueRefused(why, field=f"/{name}") for holds, name, why in checks if not holds), None)


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


def _work_of(new: NewTask, *, added_at: datetime, origin: str) -> Work:
    return Work(
        topic=new.topic,
        handler=new.handler,
        payload=new.payload,
        added_at=added_at,
        origin=origin,
        key=new.key,
        retry=new.retry,
        timeout_seconds=new.timeout_seconds,
        result_ttl_seconds=new.result_ttl_seconds,
        context=new.context,
    )


def _is_same_work(task: Task, work: Work) -> bool:
    """Whether a key was sent with what it was sent with before: a context may differ, as a trace always does."""
    theirs = task.work
    same = (theirs.handler, bytes(theirs.payload)) == (work.handler, bytes(work.payload))
    return same and theirs.topic == work.topic

"""Claiming: of all who hold a message of a task, one runs it. The fence is the version that the claim is made from."""

import asyncio
from datetime import datetime, timedelta

import structlog

from turnout.base.chance import NewId
from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable
from turnout.queue.errors import QueueUnavailable
from turnout.tasks import task as tasks
from turnout.tasks.commits import Commits, Lost, Made
from turnout.tasks.holding import Holding, LeaseLost
from turnout.tasks.ports import TaskStore
from turnout.tasks.settings import TaskSettings
from turnout.tasks.task import Change, Standing, State, Stored, Task, standing
from turnout.tasks.telling import Telling
from turnout.tasks.timetable import Timetable
from turnout.tasks.topics import Topics

log = structlog.get_logger()

#: Looks at a task that others change all the time, before its message is released.
LOOKS_MAX = 8
#: At a shutdown: for giving back what runs. It comes off the time in which the consumer releases its messages.
GIVE_BACK_SECONDS = 0.3
#: Beyond what is published ahead and what clocks differ by: an alarm rings at the beginning of its second.
WAIT_MARGIN_SECONDS = 1.0
STORE = "The tasks' store"


class Claiming:
    """Claims tasks for one worker."""

    def __init__(
        self,
        worker: str,
        store: TaskStore,
        commits: Commits,
        timetable: Timetable,
        topics: Topics,
        telling: Telling,
        settings: TaskSettings,
        *,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._worker = worker
        self._store = store
        self._commits = commits
        self._timetable = timetable
        self._topics = topics
        self._telling = telling
        self._settings = settings
        self._clock = clock
        self._new_id = new_id

    async def claim(self, seen: Stored) -> Holding | None:
        """Claims a task when it can be claimed; None: there is nothing to run, or it is woken again later.

        A message may be old: what it carries is tried, and read only if the fence says that it has changed.
        """
        is_read = False
        for _ in range(LOOKS_MAX):
            wait_seconds = self._wait_seconds(seen.task)
            if wait_seconds is None:
                return None
            if wait_seconds > self._wait_seconds_max:
                if is_read:
                    await self._timetable.arrange([seen])
                    return None
                present = (await self._store.get([seen.task.id])).get(seen.task.id)
                if present is None:
                    return None
                seen, is_read = present, True
                continue
            await asyncio.sleep(wait_seconds)
            if seen.task.state is State.WAITING and await self._topics.is_paused(seen.task.work.topic):
                outcome = await self._commits.make(self._parked(seen))
                if isinstance(outcome, Made):
                    return None
            else:
                asked_at = self._clock.monotonic()
                outcome = await self._make(seen, asked_at)
                if isinstance(outcome, Made):
                    return await self._held(outcome, asked_at)
            if outcome.present is None:
                return None
            seen, is_read = outcome.present, True
        raise ServiceUnavailable(STORE, f"task {seen.task.id} changes faster than it can be claimed")

    async def give_back(self, holding: Holding) -> None:
        """At a shutdown a task that runs goes to another worker at once, and it is no crash."""
        stamp = self._new_id()
        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                await holding.make(lambda task: tasks.released(task, now=self._clock.now(), stamp=stamp))
        except (TimeoutError, LeaseLost, ServiceUnavailable, QueueUnavailable) as error:
            log.warning(
                "a task was not given back; it is taken over when its lease ends",
                task=holding.stored.task.id,
                why=str(error) or "no time was left",
            )

    async def _make(self, seen: Stored, asked_at: float) -> Made | Lost:
        """Makes a claim. If it is called off meanwhile, what goes through nevertheless is given back."""
        change = self._telling.change(seen, self._running(seen.task, self._clock.now()))
        making = asyncio.ensure_future(self._commits.make(change))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            await self._call_off(making, asked_at)
            raise

    async def _call_off(self, making: "asyncio.Future[Made | Lost]", asked_at: float) -> None:
        """Gives back what a claim brings that nobody wants any more, all within `GIVE_BACK_SECONDS`."""
        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                outcome = await asyncio.shield(making)
                if isinstance(outcome, Made) and outcome.stored.task.state is State.RUNNING:
                    await self.give_back(self._holding(outcome.stored, asked_at))
        except (TimeoutError, ServiceUnavailable, QueueUnavailable):
            # Nobody knows what came of it; a lease that was taken ends by itself.
            making.add_done_callback(_forget)

    @property
    def _wait_seconds_max(self) -> float:
        settings = self._settings
        return settings.publish_ahead_seconds + settings.clocks_off_seconds + WAIT_MARGIN_SECONDS

    def _wait_seconds(self, task: Task) -> float | None:
        """How long until a task can be claimed; 0: now; None: it has ended."""
        progress, now, off_seconds = task.progress, self._clock.now(), self._settings.clocks_off_seconds
        match standing(task, now, clocks_off_seconds=off_seconds):
            case Standing.ENDED:
                return None
            case Standing.AHEAD:
                return (progress.run_at - now).total_seconds()
            case Standing.HELD if progress.lease_until is not None:
                return (progress.lease_until - now).total_seconds() + off_seconds
            case _:
                return 0.0

    def _running(self, task: Task, now: datetime) -> Task:
        lease_until = now + timedelta(seconds=self._settings.task_lease_seconds)
        stamp = self._new_id()
        if task.state is State.RUNNING:
            return tasks.taken_over(task, worker=self._worker, now=now, lease_until=lease_until, stamp=stamp)
        # A sleep may end a moment before the clock says so.
        claimed_at = max(now, task.progress.run_at)
        return tasks.claimed(task, worker=self._worker, now=claimed_at, lease_until=lease_until, stamp=stamp)

    def _parked(self, seen: Stored) -> Change:
        """A task of a paused topic is looked at again after a long while, or when the topic is resumed."""
        due_at = self._clock.now() + timedelta(seconds=self._settings.sweep_again_seconds_max)
        return Change(seen, tasks.watched(seen.task, due_at=due_at, stamp=self._new_id()))

    async def _held(self, made: Made, asked_at: float) -> Holding | None:
        if made.stored.task.state is not State.RUNNING:
            # It has crashed too often, and somebody may want to know.
            await self._timetable.arrange([] if made.born is None else [made.born])
            return None
        holding = self._holding(made.stored, asked_at)
        if holding.lease_seconds_left <= 0:
            raise ServiceUnavailable(STORE, "the answer to a claim came when its lease had ended")
        return holding

    def _holding(self, claimed: Stored, asked_at: float) -> Holding:
        return Holding(
            claimed,
            asked_at,
            self._commits,
            self._settings,
            self._telling,
            clock=self._clock,
            new_id=self._new_id,
        )


def _forget(making: "asyncio.Future[Made | Lost]") -> None:
    """What nobody waits for any more has been logged where it failed."""
    if not making.cancelled():
        making.exception()

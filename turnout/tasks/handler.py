"""The handler of leased messages: claim ▸ run ▸ settle, each task apart, their commits together."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from turnout.base.chance import Chance, NewId
from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable
from turnout.queue.errors import MessageUnreadable, QueueUnavailable
from turnout.queue.leases import Leases
from turnout.queue.message import Message
from turnout.queue.stopping import cancel_all
from turnout.tasks import task as tasks
from turnout.tasks.commits import Commits, Made
from turnout.tasks.holding import Holding, LeaseLost
from turnout.tasks.messages import read_message
from turnout.tasks.ports import TaskStore
from turnout.tasks.running import Fail, Retry, Run, Runner, Snooze
from turnout.tasks.settings import TaskSettings
from turnout.tasks.task import Change, Standing, State, Stored, Task, standing
from turnout.tasks.timetable import Timetable

log = structlog.get_logger()

#: Looks at a task that others change all the time, before its message is released.
LOOKS_MAX = 8
#: At a shutdown: for giving back what runs. It comes off the time in which the consumer releases its messages.
GIVE_BACK_SECONDS = 0.4
#: Beyond what is published ahead and what clocks differ by: an alarm rings at the beginning of its second.
WAIT_MARGIN_SECONDS = 1.0

Transition = Callable[[Task], Task]


class TaskHandler:
    """Runs the tasks of a lane's messages side by side. A task is run by whoever claims it, once for each claim."""

    def __init__(
        self,
        worker: str,
        store: TaskStore,
        commits: Commits,
        timetable: Timetable,
        runner: Runner,
        settings: TaskSettings,
        *,
        clock: Clock,
        chance: Chance,
        new_id: NewId,
    ) -> None:
        self._worker = worker
        self._store = store
        self._commits = commits
        self._timetable = timetable
        self._runner = runner
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._new_id = new_id

    async def handle(self, messages: Sequence[Message], leases: Leases) -> None:
        """Handles messages; each is acknowledged when its task has ended, or when another wake-up is seen to."""
        working: dict[asyncio.Task[None], list[Message]] = {}
        for carried, same in (await self._read(messages, leases)).values():
            working[asyncio.create_task(self._handle(carried))] = same
        fault: ServiceUnavailable | QueueUnavailable | None = None
        try:
            while working:
                done, _ = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
                handled: list[Message] = []
                # In the order of the messages: a set of asyncio's has another one in each run.
                for each in [one for one in working if one in done]:
                    same = working.pop(each)
                    try:
                        each.result()
                    except (ServiceUnavailable, QueueUnavailable) as error:
                        fault = error
                    else:
                        handled += same
                # What ended together is acknowledged together.
                await leases.acknowledge(handled)
        finally:
            await cancel_all(list(working))
        if fault is not None:
            raise ServiceUnavailable("The tasks' store or queue", str(fault)) from fault

    async def _read(
        self, messages: Sequence[Message], leases: Leases
    ) -> dict[int, tuple[Stored, list[Message]]]:
        """The tasks that messages carry, each in its newest version, with all messages that carry it."""
        carried: dict[int, tuple[Stored, list[Message]]] = {}
        for message in messages:
            try:
                stored = read_message(message.data)
            except MessageUnreadable as fault:
                await leases.bury(message, str(fault))
                continue
            newest, same = carried.get(stored.task.id, (stored, []))
            newest = max(newest, stored, key=lambda each: each.version)
            carried[stored.task.id] = (newest, [*same, message])
        return carried

    async def _handle(self, carried: Stored) -> None:
        holding = await self._claim(carried)
        if holding is not None:
            await self._run(holding)

    async def _claim(self, seen: Stored) -> Holding | None:
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
            asked_at, now = self._clock.monotonic(), self._clock.now()
            outcome = await self._commits.make(Change(seen, self._running(seen.task, now)))
            if isinstance(outcome, Made):
                return self._held(outcome.stored, asked_at)
            if outcome.present is None:
                return None
            seen, is_read = outcome.present, True
        raise ServiceUnavailable(
            "The tasks' store", f"task {seen.task.id} changes faster than it can be claimed"
        )

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

    def _held(self, claimed: Stored, asked_at: float) -> Holding | None:
        if claimed.task.state is not State.RUNNING:
            return None  # it has crashed too often
        holding = Holding(
            claimed, asked_at, self._commits, self._settings, clock=self._clock, new_id=self._new_id
        )
        if holding.lease_seconds_left <= 0:
            raise ServiceUnavailable(
                "The tasks' store", "the answer to a claim came when its lease had ended"
            )
        return holding

    async def _run(self, holding: Holding) -> None:
        """Runs a claimed task while its lease lives, and settles it."""
        keeping = asyncio.create_task(holding.keep())
        running = asyncio.create_task(self._transition_after(holding.stored.task))
        try:
            await asyncio.wait((keeping, running), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                keeping.result()
            transition = running.result()
            # The lease is kept until the settlement is through.
            settled = await self._settle(holding, transition)
            await self._timetable.arrange([settled])
        except LeaseLost as lost:
            log.warning("a task is not run here any more", task=holding.stored.task.id, why=str(lost))
        except asyncio.CancelledError:
            await cancel_all([running])
            await self._give_back(holding)
            raise
        finally:
            await cancel_all([keeping, running])

    async def _settle(self, holding: Holding, transition: Transition) -> Stored:
        """Settles a task; what was done is not given up while the lease lives."""
        pauses = self._settings.endless_retry.waits(self._chance)
        while True:
            try:
                return await holding.make(transition)
            except (ServiceUnavailable, QueueUnavailable):
                if holding.lease_seconds_left <= 0:
                    raise
                await asyncio.sleep(next(pauses))

    async def _transition_after(self, task: Task) -> Transition:
        """Runs a task to its end or its deadline, and says what becomes of it."""
        deadline = self._clock.now() + timedelta(seconds=task.work.timeout_seconds)
        run = Run(task, task.progress.attempt, deadline)
        try:
            async with asyncio.timeout(task.work.timeout_seconds):
                result = await self._runner.run(run)
        except Snooze as snooze:
            seconds, stamp = snooze.seconds, self._new_id()
            return lambda task: tasks.snoozed(task, seconds, now=self._clock.now(), stamp=stamp)
        except Fail as fail:
            return self._failed(str(fail), is_final=True)
        except Retry as retry:
            return self._failed(str(retry), after_seconds=retry.after_seconds)
        except TimeoutError:
            return self._failed(f"it has not ended within {task.work.timeout_seconds:g} s")
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is a failure of its own task alone
            return self._failed(f"{type(error).__name__}: {error}")
        return self._succeeded(result)

    def _succeeded(self, result: str) -> Transition:
        size_bytes, bytes_max = len(result.encode()), self._settings.task_result_bytes_max
        if size_bytes > bytes_max:
            return self._failed(
                f"its result has {size_bytes:,} bytes of JSON, and {bytes_max:,} are kept: "
                "store it elsewhere and return where",
                is_final=True,
            )
        # One stamp for all tries of a settlement: by it the one that went through is known.
        stamp = self._new_id()
        return lambda task: tasks.succeeded(task, result, now=self._clock.now(), stamp=stamp)

    def _failed(
        self, error: str, *, after_seconds: float | None = None, is_final: bool = False
    ) -> Transition:
        stamp = self._new_id()
        return lambda task: tasks.failed(
            task,
            error,
            now=self._clock.now(),
            chance=self._chance,
            stamp=stamp,
            after_seconds=after_seconds,
            is_final=is_final,
        )

    async def _give_back(self, holding: Holding) -> None:
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

"""Attempting: one claimed task runs while its lease lives, and is settled."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog

from turnout.base.chance import Chance, NewId
from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable
from turnout.queue.errors import QueueUnavailable
from turnout.queue.stopping import cancel_all
from turnout.tasks import task as tasks
from turnout.tasks.claiming import Claiming
from turnout.tasks.holding import Holding, LeaseLost
from turnout.tasks.running import Fail, Retry, Run, Runner, Snooze
from turnout.tasks.settings import TaskSettings
from turnout.tasks.task import State, Task
from turnout.tasks.timetable import Timetable

log = structlog.get_logger()

Transition = Callable[[Task], Task]


class Attempting:
    """Runs claimed tasks."""

    def __init__(
        self,
        claiming: Claiming,
        timetable: Timetable,
        runner: Runner,
        settings: TaskSettings,
        *,
        clock: Clock,
        chance: Chance,
        new_id: NewId,
    ) -> None:
        self._claiming = claiming
        self._timetable = timetable
        self._runner = runner
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._new_id = new_id

    async def attempt(self, holding: Holding) -> None:
        """Runs a claimed task while its lease lives, and settles it."""
        keeping = asyncio.create_task(holding.keep())
        running = asyncio.create_task(self._transition_after(holding))
        try:
            await asyncio.wait((keeping, running), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                keeping.result()
            transition = running.result()
            # The lease is kept until the settlement is through.
            await self._settle(holding, transition)
            born = [] if holding.born is None else [holding.born]
            await self._timetable.arrange([holding.stored, *born])
        except LeaseLost as lost:
            log.warning("a task is not run here any more", task=holding.stored.task.id, why=str(lost))
        except asyncio.CancelledError:
            await cancel_all([running])
            # Once it is settled, only its next wake-up is under way: the sweep, or its message, sees to that.
            if holding.stored.task.state is State.RUNNING:
                await self._claiming.give_back(holding)
            raise
        finally:
            await cancel_all([keeping, running])

    async def _settle(self, holding: Holding, transition: Transition) -> None:
        """Settles a task; what was done is not given up while the lease lives."""
        pauses = self._settings.endless_retry.waits(self._chance)
        while True:
            try:
                await holding.make(transition)
            except (ServiceUnavailable, QueueUnavailable):
                if holding.lease_seconds_left <= 0:
                    raise
                await asyncio.sleep(next(pauses))
            else:
                return

    async def _transition_after(self, holding: Holding) -> Transition:
        """Runs a task to its end or its deadline, and says what becomes of it."""
        task = holding.stored.task
        deadline = self._clock.now() + timedelta(seconds=task.work.timeout_seconds)
        run = Run(task, task.progress.attempt, deadline, holding.report)
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

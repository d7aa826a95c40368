"""Holding: the lease of one task that runs here, from its claim to its settlement."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog

from turnout.base.chance import NewId
from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable
from turnout.queue.errors import QueueUnavailable
from turnout.tasks.commits import Commits, Lost, Made
from turnout.tasks.settings import TaskSettings
from turnout.tasks.task import State, Stored, Task, extended
from turnout.tasks.telling import Telling

log = structlog.get_logger()

#: Renewals in the time of one lease: two may fail before it ends under the handler's hands.
RENEWALS_PER_LEASE = 3
#: Of what a handler says of its progress, so much is kept.
NOTE_CHARACTERS_MAX = 200
STORE = "The tasks' store"
NOT_RENEWED = "a lease could not be renewed before it ended"


class LeaseLost(Exception):
    """The task is not this worker's any more: it was cancelled, or taken over."""


class Holding:
    """A task that this worker has claimed. Its versions follow each other here; whoever is overtaken reads again."""

    def __init__(
        self,
        claimed: Stored,
        leased_at: float,
        commits: Commits,
        settings: TaskSettings,
        telling: Telling,
        *,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self.stored = claimed
        #: What was born with the last change: a telling.
        self.born: Stored | None = None
        #: How far the handler says it is; it is stored with the next renewal.
        self.note = ""
        self._telling = telling
        self._claimed = claimed.task.progress
        #: When the lease began, by the clock that never jumps: the answer to the claim may have taken its time.
        self._leased_at = leased_at
        self._commits = commits
        self._settings = settings
        self._clock = clock
        self._new_id = new_id

    @property
    def lease_seconds_left(self) -> float:
        """For how long nobody else runs the task, whatever their clocks say."""
        return self._leased_at + self._settings.task_lease_seconds - self._clock.monotonic()

    async def keep(self) -> None:
        """Renews the lease; never returns.

        `LeaseLost`: the task is somebody else's. `ServiceUnavailable`: the lease has ended before it could be renewed.
        """
        pause_seconds = self._settings.task_lease_seconds / RENEWALS_PER_LEASE
        while True:
            await asyncio.sleep(min(pause_seconds, max(self.lease_seconds_left, 0.0)))
            if self.lease_seconds_left <= 0:
                raise ServiceUnavailable(STORE, NOT_RENEWED)
            try:
                async with asyncio.timeout(self.lease_seconds_left):
                    await self._renew()
            except (ServiceUnavailable, QueueUnavailable) as error:
                log.warning(
                    "a task's lease was not renewed; it is tried again before it ends", error=str(error)
                )
            except TimeoutError:
                raise ServiceUnavailable(STORE, NOT_RENEWED) from None

    def report(self, note: str) -> None:
        """How far the handler says it is; stored with the next renewal."""
        self.note = note[:NOTE_CHARACTERS_MAX]

    async def make(self, transition: Callable[[Task], Task]) -> Stored:
        """Makes a change of the task if it is this worker's still; `LeaseLost` says that it is not, and changes nothing.

        A renewal, or the sweep, may have written another version meanwhile: while the attempt is ours, so is the task.
        """
        while True:
            before = self.stored
            outcome = await self._commits.make(self._telling.change(before, transition(before.task)))
            if isinstance(outcome, Made):
                self.stored, self.born = outcome.stored, outcome.born
                return outcome.stored
            self.stored = self._own(outcome)

    async def _renew(self) -> None:
        asked_at = self._clock.monotonic()
        lease_until = self._clock.now() + timedelta(seconds=self._settings.task_lease_seconds)
        stamp = self._new_id()
        await self.make(lambda task: extended(task, lease_until=lease_until, stamp=stamp, note=self.note))
        self._leased_at = asked_at

    def _own(self, outcome: Lost) -> Stored:
        present = outcome.present
        if present is None:
            raise LeaseLost("it is kept no longer")
        progress = present.task.progress
        if (progress.state, progress.worker, progress.attempt) != (
            State.RUNNING,
            self._claimed.worker,
            self._claimed.attempt,
        ):
            raise LeaseLost(
                f"it is {progress.state}, by attempt {progress.attempt} of {progress.worker or 'nobody'}"
            )
        return present

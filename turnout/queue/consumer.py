"""The drain: lanes side by side, until the queue has been idle for a while or somebody says stop."""

import asyncio
import zlib
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar

import msgspec
import structlog

from turnout.base.backoff import waits
from turnout.base.errors import ServiceUnavailable
from turnout.queue.leases import Holdings
from turnout.votes.handler import Lane, Progress
from turnout.votes.poll_cache import PollCache
from turnout.votes.ports import Chance, Clock, Counters, DeadLetters, DrainLog, DrainRecord, Message, Queue
from turnout.votes.settings import Settings

log = structlog.get_logger()

T = TypeVar("T")

#: The longest single wait for a message: short enough to see that the queue is idle, long enough to cost little.
LEASE_WAIT_SECONDS_MAX = 5.0
LEASE_WAIT_SECONDS_MIN = 0.2
#: At a stop, a lease may be on its way to the drain: whoever gives up at once holds it till its deadline.
LEASE_GRACE_SECONDS = 1.0
#: A queue that answers `empty` at once is asked again after this.
EMPTY_PAUSE_SECONDS = 0.05
#: What remains of the shutdown's time for releasing and the last record, after the lanes were given the rest.
RELEASE_SECONDS = 2.0
#: Heartbeats that may fail in a row before the lanes stop leasing: certification relies on it.
HEARTBEATS_MISSED_MAX = 2


class Drain:
    """One drain task: any number of them, in any number of executions, count side by side."""

    def __init__(
        self,
        drain_id: str,
        *,
        queue: Queue,
        counters: Counters,
        polls: PollCache,
        dead_letters: DeadLetters,
        drain_log: DrainLog,
        settings: Settings,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self.progress = Progress()
        self._id = drain_id
        self._queue = queue
        self._drain_log = drain_log
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._stopping = asyncio.Event()
        self._monotonic = asyncio.get_running_loop().time
        self._holdings = Holdings(
            queue,
            ack_deadline_seconds=settings.ack_deadline_seconds,
            lease_seconds_max=settings.lease_seconds_max,
            monotonic=self._monotonic,
        )
        first_lane = first_lane_number(settings.execution, settings.task_index, settings.lanes)
        self._lanes = [
            Lane(
                first_lane + number,
                counters=counters,
                polls=polls,
                dead_letters=dead_letters,
                holdings=self._holdings,
                progress=self.progress,
                settings=settings,
                clock=clock,
                chance=chance,
            )
            for number in range(settings.lanes)
        ]
        self._busy_at = self._monotonic()
        self._beat_at = self._monotonic()
        self._first_leased_at = float("inf")
        #: The fault of the last lease, if it failed.
        self._unanswered: ServiceUnavailable | None = None
        now = clock()
        self._record = DrainRecord(id=drain_id, started_at=now, seen_at=now)

    def stop(self) -> None:
        """Stops leasing; what is held is finished, or released when the time is up."""
        self._stopping.set()

    async def run(self) -> Progress:
        """Drains until the queue was idle for `idle_seconds`, or `stop` was called and what was held is settled.

        `ServiceUnavailable`: the queue did not answer to the last; whatever was leased is settled all the same.
        """
        await self._unless_stopping(self._first_beat())
        # Idle time begins now that the drain may lease: a slow first record must not end it before it has looked.
        self._busy_at = self._monotonic()
        lanes = [asyncio.create_task(self._work(lane)) for lane in self._lanes]
        background = [
            asyncio.create_task(self._beat()),
            asyncio.create_task(self._holdings.keep(self._is_on_record)),
        ]
        ended_of_itself = False
        try:
            await self._until_settled(lanes)
            ended_of_itself = not self._stopping.is_set()
        finally:
            await _cancel_all([*lanes, *background])
            await self._leave(ended_of_itself=ended_of_itself)
        if ended_of_itself and self._unanswered is not None:
            # A queue that does not answer is not idle: whoever reads the exit code should know.
            raise self._unanswered
        return self.progress

    async def _until_settled(self, lanes: list[asyncio.Task[None]]) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            running: set[asyncio.Task[None]] = set(lanes)
            while running and not stopping.done():
                done, _ = await asyncio.wait({*running, stopping}, return_when=asyncio.FIRST_COMPLETED)
                for lane in done & running:
                    lane.result()  # a lane ends only when the queue is idle; a fault in its code ends the drain
                running -= done
            if running:
                await asyncio.wait(running, timeout=self._settings.shutdown_seconds - RELEASE_SECONDS)
        finally:
            await _cancel_all([stopping])

    async def _work(self, lane: Lane) -> None:
        """Lease ▸ count ▸ acknowledge, again and again; what fails is released, after a pause that grows."""
        settings = self._settings
        pauses = waits(settings.backoff_first_seconds, settings.backoff_max_seconds, self._chance)
        while not self._stopping.is_set() and self._idle_seconds() < settings.idle_seconds:
            messages: list[Message] = []
            try:
                messages = await self._lease()
                await lane.count_lease(messages)
                if messages:
                    self.progress.busy_seconds = self._monotonic() - self._first_leased_at
            except ServiceUnavailable as error:
                log.warning(
                    "a lease was not counted and is released", messages=len(messages), error=str(error)
                )
                # First the pause, then the release: the messages would come back at once and fail again.
                await self._unless_stopping(asyncio.sleep(next(pauses)))
                self.progress.released += len(messages)
                self._note_holding()
                await self._holdings.release([message.receipt for message in messages])
            else:
                pauses = waits(settings.backoff_first_seconds, settings.backoff_max_seconds, self._chance)
                if not messages:
                    await self._unless_stopping(asyncio.sleep(EMPTY_PAUSE_SECONDS))

    async def _lease(self) -> list[Message]:
        settings = self._settings
        if not self._is_on_record():
            raise ServiceUnavailable("The drain's record", "it was not written in time, so nothing is leased")
        remaining = settings.idle_seconds - self._idle_seconds()
        # No wait outlasts a heartbeat: certification knows how long after its last record a drain may still lease.
        longest_seconds = min(LEASE_WAIT_SECONDS_MAX, settings.heartbeat_seconds)
        wait_seconds = min(longest_seconds, max(LEASE_WAIT_SECONDS_MIN, remaining))
        asked_at = self._clock()
        try:
            messages = await self._unless_stopping(
                self._queue.lease(settings.lease_messages_max, wait_seconds=wait_seconds),
                grace_seconds=LEASE_GRACE_SECONDS,
            )
        except ServiceUnavailable as error:
            # The answer may be lost, and its messages leased to nobody until their deadline.
            self._note(leased_at=self._clock())
            self._unanswered = error
            raise
        self._unanswered = None
        if messages:
            self._first_leased_at = min(self._first_leased_at, self._monotonic())
            self._holdings.take(message.receipt for message in messages)
            self._note_holding()
        elif messages is None:
            self._note(leased_at=self._clock())
        else:
            self._note(empty_at=asked_at)
        return messages or []

    async def _unless_stopping(self, awaitable: Awaitable[T], *, grace_seconds: float = 0.0) -> T | None:
        """Awaits, or gives up when the drain is to stop and the grace is over. A lease given up comes back at its deadline."""
        work = asyncio.ensure_future(awaitable)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if grace_seconds and not work.done():
                await asyncio.wait({work}, timeout=grace_seconds)
            return work.result() if work.done() else None
        finally:
            await _cancel_all([work, stopping])

    def _idle_seconds(self) -> float:
        if len(self._holdings):
            self._note_holding()
        return self._monotonic() - self._busy_at

    def _note_holding(self) -> None:
        """A lease is held now: a later record says so, for a release may fail and keep its messages out of sight."""
        self._busy_at = self._monotonic()
        self._note(leased_at=self._clock())

    def _is_on_record(self) -> bool:
        """Whether its record is young enough for certification to count on."""
        return self._monotonic() - self._beat_at <= HEARTBEATS_MISSED_MAX * self._settings.heartbeat_seconds

    async def _first_beat(self) -> None:
        """Nothing is leased before the drain is on record: certification counts on knowing every drain."""
        settings = self._settings
        pauses = waits(settings.backoff_first_seconds, settings.backoff_max_seconds, self._chance)
        for attempt in range(1, settings.commit_attempts_max + 1):
            try:
                await self._say()
                break
            except ServiceUnavailable as error:
                if attempt == settings.commit_attempts_max:
                    raise
                log.warning("the drain's first record was not written", error=str(error))
                await asyncio.sleep(next(pauses))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat_seconds)
            try:
                await self._say()
            except ServiceUnavailable as error:
                log.warning("heartbeat failed", error=str(error))

    async def _say(self) -> None:
        began = self._monotonic()
        if len(self._holdings):
            self._note_holding()
        self._note(seen_at=self._clock())
        await self._drain_log.record(self._record)
        self._beat_at = began

    def _note(self, **fields: object) -> None:
        self._record = msgspec.structs.replace(self._record, **fields)

    async def _leave(self, *, ended_of_itself: bool) -> None:
        """Gives back what is held, and says so: in bounded time, for the process may be killed soon."""
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                self.progress.released += len(self._holdings)
                if len(self._holdings):
                    self._note_holding()
                await self._holdings.release_all()
                if ended_of_itself:
                    self._note(ended_at=self._clock())
                await self._say()
        except (TimeoutError, ServiceUnavailable) as error:
            log.warning("the drain's end was not recorded", error=str(error) or "no time was left")


def first_lane_number(execution: str, task_index: int, lanes: int) -> int:
    """Where a task's lanes begin: tasks of one execution lie side by side, executions anywhere."""
    return zlib.crc32(execution.encode()) % 1_000 + task_index * lanes


async def _cancel_all(tasks: Iterable[asyncio.Future[Any]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

"""The consumer: lanes side by side, each lease ▸ handle ▸ acknowledge, until the queue is idle or somebody says stop.

What a family adds is a handler. Leasing, extending, releasing, heartbeats, idleness, dead letters and shutdown are here
and in the modules beside it, the same for all.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import structlog

from turnout.base.chance import Chance
from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable
from turnout.queue.dead_letters import DeadLetterTopic
from turnout.queue.heartbeat import Heartbeat
from turnout.queue.leases import Leases
from turnout.queue.message import Message
from turnout.queue.ports import ConsumerLog, Subscription, Topic
from turnout.queue.progress import ConsumerProgress
from turnout.queue.settings import QueueSettings
from turnout.queue.stopping import Stopping, cancel_all

log = structlog.get_logger()

#: The longest single wait for a message: short enough to see that the queue is idle, long enough to cost little.
LEASE_WAIT_SECONDS_MAX = 5.0
LEASE_WAIT_SECONDS_MIN = 0.2
#: At a stop, a lease may be on its way to the consumer: whoever gives up at once holds it till its deadline.
LEASE_GRACE_SECONDS = 1.0
#: A queue that answers `empty` at once is asked again after this.
EMPTY_PAUSE_SECONDS = 0.05
#: What remains of the shutdown's time for releasing and the last record, half of it at most; the lanes have the rest.
RELEASE_SECONDS_MAX = 2.0


class Handler(Protocol):
    """What a family does with leased messages. A lane has a handler of its own, which is never called twice at once."""

    async def handle(self, messages: Sequence[Message], leases: Leases) -> None:
        """Handles messages, and acknowledges each through `leases` once its effect is durable, never before.

        A message may come again at any time, to any handler: its effect must be the same as if it had come once. One
        that cannot be read is buried through `leases`, with the reason. `ServiceUnavailable`: what is still held of
        these messages is released after a pause. Any other fault ends the consumer.
        """
        ...


@runtime_checkable
class LingeringHandler(Handler, Protocol):
    """A handler whose `handle` may return while it still works on messages, so that its lane leases more meanwhile.

    What lingers is its own to acknowledge or release. It raises the faults that `handle` would have raised of it, but
    `ServiceUnavailable`, which it has seen to.
    """

    async def finish(self) -> None:
        """Returns when nothing is under way any more; its lane leases no more."""
        ...

    async def abandon(self) -> None:
        """Gives up what is under way, in less than a second."""
        ...


class Consumer:
    """One consumer of a subscription: any number of them, in any number of processes, work side by side."""

    def __init__(
        self,
        consumer_id: str,
        handlers: Sequence[Handler],
        *,
        subscription: Subscription,
        dead_letters: Topic,
        consumer_log: ConsumerLog,
        settings: QueueSettings,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self.progress = ConsumerProgress()
        self._handlers = handlers
        self._subscription = subscription
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._stopping = Stopping()
        self._leases = Leases(
            subscription,
            DeadLetterTopic(dead_letters),
            self.progress,
            ack_deadline_seconds=settings.ack_deadline_seconds,
            lease_seconds_max=settings.lease_seconds_max,
            clock=clock,
        )
        self._heartbeat = Heartbeat(
            consumer_id, consumer_log, self._leases, settings, clock=clock, chance=chance
        )
        self._first_leased_at = float("inf")
        #: The fault of the last lease, if it failed.
        self._unanswered: ServiceUnavailable | None = None

    @property
    def held(self) -> int:
        """Messages that it holds now."""
        return len(self._leases)

    @property
    def _release_seconds(self) -> float:
        return min(RELEASE_SECONDS_MAX, self._settings.shutdown_seconds / 2)

    def stop(self) -> None:
        """Stops leasing; what is held is finished, or released when the time is up."""
        self._stopping.ask()

    async def run(self) -> ConsumerProgress:
        """Consumes until nothing was held for `idle_seconds`, or `stop` was called and what was held is settled.

        `ServiceUnavailable`: the queue did not answer to the last; whatever was leased is settled all the same.
        """
        await self._stopping.unless(self._heartbeat.begin())
        # Idle time begins now that it may lease: a slow first record must not end it before it has looked.
        self._leases.begin_idle()
        lanes = [asyncio.create_task(self._work(handler)) for handler in self._handlers]
        background = [
            asyncio.create_task(self._heartbeat.keep()),
            asyncio.create_task(self._leases.keep(lambda: self._heartbeat.is_fresh)),
        ]
        ended_of_itself = False
        try:
            await self._until_settled(lanes)
            ended_of_itself = not self._stopping
        finally:
            await cancel_all([*lanes, *background])
            await self._leave(ended_of_itself=ended_of_itself)
        if ended_of_itself and self._unanswered is not None:
            # A queue that does not answer is not idle: whoever reads the exit code should know.
            raise self._unanswered
        return self.progress

    async def _until_settled(self, lanes: list[asyncio.Task[None]]) -> None:
        asked = asyncio.create_task(self._stopping.wait())
        try:
            running: set[asyncio.Task[None]] = set(lanes)
            while running and not asked.done():
                done, _ = await asyncio.wait({*running, asked}, return_when=asyncio.FIRST_COMPLETED)
                for lane in done & running:
                    lane.result()  # a lane ends only when the queue is idle; a fault in its code ends the consumer
                running -= done
            if running:
                lanes_seconds = self._settings.shutdown_seconds - self._release_seconds
                await asyncio.wait(running, timeout=lanes_seconds)
        finally:
            await cancel_all([asked])

    async def _work(self, handler: Handler) -> None:
        """A lane: all that its handler began is finished, or given up when the time is up."""
        try:
            await self._lease_and_handle(handler)
            if isinstance(handler, LingeringHandler):
                await handler.finish()
        finally:
            if isinstance(handler, LingeringHandler):
                await handler.abandon()

    async def _lease_and_handle(self, handler: Handler) -> None:
        """Lease ▸ handle, again and again; what fails is released, after a pause that grows."""
        retry = self._settings.endless_retry
        pauses = retry.waits(self._chance)
        while not self._stopping and self._leases.idle_seconds < self._settings.idle_seconds:
            messages: list[Message] = []
            try:
                messages = await self._lease()
                if messages:
                    await handler.handle(messages, self._leases)
                    self.progress.busy_seconds = self._clock.monotonic() - self._first_leased_at
            except ServiceUnavailable as error:
                log.warning(
                    "messages were not handled and are released", messages=len(messages), error=str(error)
                )
                # First the pause, then the release: the messages would come back at once and fail again.
                await self._stopping.unless(asyncio.sleep(next(pauses)))
                await self._leases.release(messages)
            else:
                pauses = retry.waits(self._chance)
                if not messages:
                    await self._stopping.unless(asyncio.sleep(EMPTY_PAUSE_SECONDS))

    async def _lease(self) -> list[Message]:
        settings = self._settings
        if not self._heartbeat.is_fresh:
            raise ServiceUnavailable(
                "The consumer's record", "it was not written in time, so nothing is leased"
            )
        asked_at = self._clock.now()
        try:
            messages = await self._stopping.unless(
                self._subscription.lease(settings.lease_messages_max, wait_seconds=self._wait_seconds()),
                grace_seconds=LEASE_GRACE_SECONDS,
            )
        except ServiceUnavailable as error:
            # The answer may be lost, and its messages leased to nobody until their deadline.
            self._leases.note_hidden()
            self._unanswered = error
            raise
        self._unanswered = None
        if messages is None:
            self._leases.note_hidden()
            return []
        if messages:
            self._first_leased_at = min(self._first_leased_at, self._clock.monotonic())
            self.progress.messages += len(messages)
            self._leases.take(messages)
        else:
            self._heartbeat.saw_empty(asked_at)
        return messages

    def _wait_seconds(self) -> float:
        """How long to wait for a message: until the queue counts as idle, within bounds.

        No wait outlasts a heartbeat: certification knows how long after its last record a consumer may still lease.
        """
        remaining = self._settings.idle_seconds - self._leases.idle_seconds
        longest = min(LEASE_WAIT_SECONDS_MAX, self._settings.heartbeat_seconds)
        return min(longest, max(LEASE_WAIT_SECONDS_MIN, remaining))

    async def _leave(self, *, ended_of_itself: bool) -> None:
        """Gives back what is held, and says so: in bounded time, for the process may be killed soon."""
        try:
            async with asyncio.timeout(self._release_seconds):
                await self._leases.release_all()
                await self._heartbeat.end(of_itself=ended_of_itself)
        except (TimeoutError, ServiceUnavailable) as error:
            log.warning("the consumer's end was not recorded", error=str(error) or "no time was left")

"""The drain: a consumer of bundles whose lanes count votes."""

import msgspec

from turnout.base.chance import Chance
from turnout.base.clock import Clock
from turnout.queue.consumer import Consumer
from turnout.queue.ports import ConsumerLog, Subscription, Topic
from turnout.votes.handler import Counted, VoteHandler
from turnout.votes.poll_cache import PollCache
from turnout.votes.ports import Counters
from turnout.votes.settings import VoteSettings


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What a drain has done so far."""

    messages: int
    bundles: int
    votes: int
    duplicates: int
    dead_letters: int
    commits: int
    conflicts: int
    released: int
    #: From the first lease to the last acknowledgement.
    busy_seconds: float


class Drain:
    """One drain task: any number of them, in any number of executions, count side by side."""

    def __init__(
        self,
        drain_id: str,
        first_lane: int,
        *,
        subscription: Subscription,
        dead_letters: Topic,
        consumer_log: ConsumerLog,
        counters: Counters,
        polls: PollCache,
        settings: VoteSettings,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._counted = Counted()
        handlers = [
            VoteHandler(
                first_lane + number,
                counters=counters,
                polls=polls,
                counted=self._counted,
                settings=settings,
                clock=clock,
                chance=chance,
            )
            for number in range(settings.lanes)
        ]
        self.consumer = Consumer(
            drain_id,
            handlers,
            subscription=subscription,
            dead_letters=dead_letters,
            consumer_log=consumer_log,
            settings=settings,
            clock=clock,
            chance=chance,
        )

    @property
    def progress(self) -> Progress:
        """What it has done so far."""
        return Progress(
            **msgspec.structs.asdict(self.consumer.progress), **msgspec.structs.asdict(self._counted)
        )

    def stop(self) -> None:
        """Stops leasing; what is held is finished, or released when the time is up."""
        self.consumer.stop()

    async def run(self) -> Progress:
        """Drains until the queue is idle or `stop` was called; `ServiceUnavailable` as of the consumer."""
        await self.consumer.run()
        return self.progress

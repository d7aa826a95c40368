"""Publishing: batches go to a topic with retries, behind a circuit breaker."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from turnout.base.breaker import Breaker
from turnout.base.chance import Chance
from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable
from turnout.queue.batcher import RETRY_AFTER_SECONDS, Batcher, BatcherBounds, Gathering
from turnout.queue.errors import QueueUnavailable
from turnout.queue.message import Outgoing
from turnout.queue.ports import Topic
from turnout.queue.settings import QueueSettings

log = structlog.get_logger()

Item = TypeVar("Item")


class Publishing:
    """Publishes to one topic until it is confirmed, or the deadline has passed."""

    def __init__(self, topic: Topic, settings: QueueSettings, *, clock: Clock, chance: Chance) -> None:
        self._topic = topic
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._breaker = Breaker(
            failures_max=settings.breaker_failures_max,
            open_seconds=settings.breaker_open_seconds,
            trials_max=settings.breaker_trials_max,
            clock=clock,
        )

    def expect_open(self) -> None:
        """`QueueUnavailable` while the breaker refuses: callers need not wait to learn it."""
        refused_for = self._breaker.refuses_for_seconds()
        if refused_for:
            raise QueueUnavailable("The queue does not answer.", retry_after_seconds=refused_for)

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Returns when the messages are durable; `QueueUnavailable` when the deadline has passed.

        Each attempt sends the very same messages, so that one whose answer was lost can be told by the ids within.
        """
        settings = self._settings
        deadline = self._clock.monotonic() + settings.publish_deadline_seconds

        async def attempt() -> None:
            remaining = deadline - self._clock.monotonic()
            self._breaker.begin()
            try:
                await self._topic.publish(
                    messages, timeout_seconds=min(settings.publish_attempt_seconds, remaining)
                )
            except ServiceUnavailable:
                self._breaker.failed()
                raise
            self._breaker.succeeded()

        try:
            await settings.publish_retry.run(attempt, clock=self._clock, chance=self._chance)
        except ServiceUnavailable as error:
            log.warning("publish failed", messages=len(messages), error=str(error))
            raise QueueUnavailable(
                "The queue did not confirm.", retry_after_seconds=RETRY_AFTER_SECONDS
            ) from error


def publishing_batcher(
    gather: Callable[[], Gathering[Item, Sequence[Outgoing]]],
    topic: Topic,
    bounds: BatcherBounds,
    settings: QueueSettings,
    *,
    clock: Clock,
    chance: Chance,
) -> Batcher[Item, Sequence[Outgoing]]:
    """A batcher whose batches are published: what is gathered is packed into messages that fit into one request."""
    publishing = Publishing(topic, settings, clock=clock, chance=chance)
    return Batcher(gather, publishing.publish, bounds, gate=publishing.expect_open)

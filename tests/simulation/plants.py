"""Planted bugs of whatever stands on the queue: each stands between the consumer and the wire.

A family adds its own, and takes over those of here that it can meet, by inheriting from both. The simulation must find each.
"""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.simulation.simulation import InvariantViolated, Outcome
from turnout.base.errors import OutcomeUnknown
from turnout.queue.message import Message, Outgoing
from turnout.queue.ports import ConsumerLog, Subscription, Topic

P = TypeVar("P")


class QueuePlant:
    """No bug: every port of the queue as it is."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def topic(self, inner: Topic) -> Topic:
        return inner

    def subscription(self, inner: Subscription) -> Subscription:
        return inner

    def consumer_log(self, inner: ConsumerLog) -> ConsumerLog:
        return inner


class PassingSubscription:
    """A subscription that passes everything on."""

    def __init__(self, inner: Subscription) -> None:
        self._inner = inner

    async def lease(self, messages_max: int, *, wait_seconds: float) -> list[Message]:
        return await self._inner.lease(messages_max, wait_seconds=wait_seconds)

    async def acknowledge(self, ack_ids: Sequence[str]) -> None:
        await self._inner.acknowledge(ack_ids)

    async def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        await self._inner.extend(ack_ids, seconds)

    async def release(self, ack_ids: Sequence[str]) -> None:
        await self._inner.release(ack_ids)


class AcknowledgesBeforeHandling(QueuePlant):
    """What is leased is deleted at once, as Google's own migration sample does."""

    class Early(PassingSubscription):
        async def lease(self, messages_max: int, *, wait_seconds: float) -> list[Message]:
            messages = await super().lease(messages_max, wait_seconds=wait_seconds)
            if messages:
                await super().acknowledge([message.ack_id for message in messages])
            return messages

        async def acknowledge(self, ack_ids: Sequence[str]) -> None:
            pass

    def subscription(self, inner: Subscription) -> Subscription:
        return self.Early(inner)


class AcknowledgesWhatItGivesUp(QueuePlant):
    """What could not be handled is deleted instead of released."""

    class GivingUp(PassingSubscription):
        async def release(self, ack_ids: Sequence[str]) -> None:
            await self.acknowledge(ack_ids)

    def subscription(self, inner: Subscription) -> Subscription:
        return self.GivingUp(inner)


class PromisesWhatItDoesNotKnow(QueuePlant):
    """A publish whose answer was lost is confirmed."""

    class Hopeful:
        def __init__(self, inner: Topic) -> None:
            self._inner = inner

        async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:
            try:
                await self._inner.publish(messages, timeout_seconds=timeout_seconds)
            except OutcomeUnknown:
                return

    def topic(self, inner: Topic) -> Topic:
        return self.Hopeful(inner)


class NamesMessagesAnew(QueuePlant):
    """Each attempt to publish has ids of its own. A family says how a message is renamed."""

    def renamed(self, message: Outgoing, new_id: str) -> Outgoing:
        raise NotImplementedError

    class Renaming:
        def __init__(self, inner: Topic, plant: "NamesMessagesAnew") -> None:
            self._inner = inner
            self._plant = plant

        async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:
            new_id = self._plant.chance.getrandbits
            renamed = [self._plant.renamed(each, f"{new_id(128):032x}") for each in messages]
            await self._inner.publish(renamed, timeout_seconds=timeout_seconds)

    def topic(self, inner: Topic) -> Topic:
        return self.Renaming(inner, self)


def is_found(run: Callable[[int, type[P]], Outcome], plant: type[P], seeds: int) -> bool:
    """Whether one of so many seeds violates an invariant with this bug; a crash is no violation, and rises."""
    for seed in range(seeds):
        try:
            run(seed, plant)
        except InvariantViolated:
            return True
    return False

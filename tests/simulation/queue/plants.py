"""Planted bugs of the queue: each stands between the consumer and the wire, and the simulation must find it."""

import random
from collections.abc import Sequence
from datetime import datetime

import msgspec

from tests.simulation.queue.sums import Numbers, SumCloud, read
from turnout.base.errors import OutcomeUnknown
from turnout.queue.message import Message, Outgoing
from turnout.queue.ports import ConsumerLog, ConsumerRecord, Subscription, Topic


class Plant:
    """No bug: every port as it is."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def topic(self, inner: Topic) -> Topic:
        return inner

    def subscription(self, inner: Subscription) -> Subscription:
        return inner

    def consumer_log(self, inner: ConsumerLog) -> ConsumerLog:
        return inner

    def cloud(self, cloud: SumCloud) -> SumCloud:
        return cloud


class _Passing:
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


class AcknowledgesBeforeHandling(Plant):
    """What is leased is deleted at once."""

    class Early(_Passing):
        async def lease(self, messages_max: int, *, wait_seconds: float) -> list[Message]:
            messages = await super().lease(messages_max, wait_seconds=wait_seconds)
            if messages:
                await super().acknowledge([message.ack_id for message in messages])
            return messages

    def subscription(self, inner: Subscription) -> Subscription:
        return self.Early(inner)


class AcknowledgesWhatItGivesUp(Plant):
    """What could not be handled is deleted instead of released."""

    class GivingUp(_Passing):
        async def release(self, ack_ids: Sequence[str]) -> None:
            await self.acknowledge(ack_ids)

    def subscription(self, inner: Subscription) -> Subscription:
        return self.GivingUp(inner)


class NeverExtends(Plant):
    """Leases end under the handlers' hands."""

    class Letting(_Passing):
        async def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
            pass

    def subscription(self, inner: Subscription) -> Subscription:
        return self.Letting(inner)


class SaysItHeldNothing(Plant):
    """The records do not tell when a consumer may have hidden messages."""

    class Forgetful:
        def __init__(self, inner: ConsumerLog) -> None:
            self._inner = inner

        async def record(self, consumer: ConsumerRecord) -> None:
            await self._inner.record(msgspec.structs.replace(consumer, leased_at=None))

        async def since(self, moment: datetime) -> list[ConsumerRecord]:
            return await self._inner.since(moment)

    def consumer_log(self, inner: ConsumerLog) -> ConsumerLog:
        return self.Forgetful(inner)


class SaysThatItEnded(Plant):
    """Every record says that its consumer leases no more."""

    class Early:
        def __init__(self, inner: ConsumerLog) -> None:
            self._inner = inner

        async def record(self, consumer: ConsumerRecord) -> None:
            await self._inner.record(msgspec.structs.replace(consumer, ended_at=consumer.seen_at))

        async def since(self, moment: datetime) -> list[ConsumerRecord]:
            return await self._inner.since(moment)

    def consumer_log(self, inner: ConsumerLog) -> ConsumerLog:
        return self.Early(inner)


class PromisesWhatItDoesNotKnow(Plant):
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


class NamesMessagesAnew(Plant):
    """Each attempt to publish has ids of its own."""

    class Renaming:
        def __init__(self, inner: Topic, chance: random.Random) -> None:
            self._inner = inner
            self._chance = chance

        async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:
            renamed = [
                Outgoing(
                    msgspec.json.encode(
                        msgspec.structs.replace(read(each.data), id=f"{self._chance.getrandbits(128):032x}")
                    )
                )
                for each in messages
            ]
            await self._inner.publish(renamed, timeout_seconds=timeout_seconds)

    def topic(self, inner: Topic) -> Topic:
        return self.Renaming(inner, self.chance)


class AddsWhateverComes(Plant):
    """The handler does not know what it has added."""

    def cloud(self, cloud: SumCloud) -> SumCloud:
        def add(carried: Numbers) -> None:
            cloud.added[carried.id] = (*cloud.added.get(carried.id, ()), *carried.numbers)

        cloud.add = add  # type: ignore[method-assign]
        return cloud


PLANTS: tuple[type[Plant], ...] = (
    AcknowledgesBeforeHandling,
    AcknowledgesWhatItGivesUp,
    NeverExtends,
    SaysItHeldNothing,
    SaysThatItEnded,
    PromisesWhatItDoesNotKnow,
    NamesMessagesAnew,
    AddsWhateverComes,
)

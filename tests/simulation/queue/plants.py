"""Planted bugs of the queue, seen by a family of two lines: the simulation must find each."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from tests.simulation import plants
from tests.simulation.queue.sums import Numbers, SumCloud, read
from turnout.queue.message import Outgoing
from turnout.queue.ports import ConsumerLog, ConsumerRecord, Subscription


class Plant(plants.QueuePlant):
    """No bug: every part as it is."""

    def cloud(self, cloud: SumCloud) -> SumCloud:
        return cloud


class AcknowledgesBeforeHandling(plants.AcknowledgesBeforeHandling, Plant):
    pass


class AcknowledgesWhatItGivesUp(plants.AcknowledgesWhatItGivesUp, Plant):
    pass


class PromisesWhatItDoesNotKnow(plants.PromisesWhatItDoesNotKnow, Plant):
    pass


class NamesMessagesAnew(plants.NamesMessagesAnew, Plant):
    def renamed(self, message: Outgoing, new_id: str) -> Outgoing:
        return Outgoing(msgspec.json.encode(msgspec.structs.replace(read(message.data), id=new_id)))


class NeverExtends(Plant):
    """Leases end under the handlers' hands."""

    class Letting(plants.PassingSubscription):
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

"""Planted bugs of votes: each stands between the core and the wire, and the simulation must find it."""

import random
from collections.abc import Sequence
from datetime import datetime

import msgspec

from tests.factories import messages_of
from tests.simulation import plants
from turnout.base.errors import OutcomeUnknown
from turnout.queue.message import Outgoing
from turnout.queue.ports import ConsumerLog, ConsumerRecord
from turnout.votes.bundle import decode
from turnout.votes.fold import Posting
from turnout.votes.poll import Poll
from turnout.votes.ports import Counters, Tallies
from turnout.votes.tally import Books, Tally


class Plant(plants.QueuePlant):
    """No bug: every part as it is."""

    def counters(self, inner: Counters) -> Counters:
        return inner

    def tallies(self, inner: Tallies) -> Tallies:
        return inner


class _Counters:
    def __init__(self, inner: Counters, chance: random.Random) -> None:
        self._inner = inner
        self._chance = chance

    async def commit(self, posting: Posting) -> None:
        await self._inner.commit(posting)

    async def existing(self, names: Sequence[str]) -> set[str]:
        return await self._inner.existing(names)

    async def tally(self, poll: Poll) -> Tally:
        return await self._inner.tally(poll)

    async def books(self, poll: Poll) -> Books:
        return await self._inner.books(poll)


class AcknowledgesBeforeCounting(plants.AcknowledgesBeforeHandling, Plant):
    pass


class AcknowledgesWhatItGivesUp(plants.AcknowledgesWhatItGivesUp, Plant):
    pass


class PromisesWhatItDoesNotKnow(plants.PromisesWhatItDoesNotKnow, Plant):
    pass


class NamesBundlesAnew(plants.NamesMessagesAnew, Plant):
    def renamed(self, message: Outgoing, new_id: str) -> Outgoing:
        return messages_of([msgspec.structs.replace(decode(message.data), id=new_id)])[0]


class IncrementsWithoutLedger(Plant):
    """The shard alone is written."""

    class Bare(_Counters):
        async def commit(self, posting: Posting) -> None:
            await self._inner.commit(Posting(deltas=posting.deltas))

    def counters(self, inner: Counters) -> Counters:
        return self.Bare(inner, self.chance)


class CommitsLedgerAndShardApart(Plant):
    """Two commits: what happens between them is lost, or counted twice."""

    class Apart(_Counters):
        async def commit(self, posting: Posting) -> None:
            await self._inner.commit(Posting(bundles=posting.bundles, keys=posting.keys))
            await self._inner.commit(Posting(deltas=posting.deltas))

    def counters(self, inner: Counters) -> Counters:
        return self.Apart(inner, self.chance)


class ForgetsKeys(Plant):
    """Bundles are in the ledger, but keys are not: a key votes again."""

    class Keyless(_Counters):
        async def commit(self, posting: Posting) -> None:
            bundles = tuple(msgspec.structs.replace(bundle, keys=0) for bundle in posting.bundles)
            await self._inner.commit(Posting(bundles=bundles, deltas=posting.deltas))

    def counters(self, inner: Counters) -> Counters:
        return self.Keyless(inner, self.chance)


class ChoosesItsShardAnew(Plant):
    """Every attempt of a commit goes to a random shard."""

    class Wandering(_Counters):
        async def commit(self, posting: Posting) -> None:
            deltas = tuple(
                msgspec.structs.replace(delta, shard=self._chance.randrange(4)) for delta in posting.deltas
            )
            await self._inner.commit(msgspec.structs.replace(posting, deltas=deltas))

    def counters(self, inner: Counters) -> Counters:
        return self.Wandering(inner, self.chance)


class TakesUnknownForCounted(Plant):
    """A commit whose answer was lost is believed to have gone through."""

    class Trusting(_Counters):
        async def commit(self, posting: Posting) -> None:
            try:
                await self._inner.commit(posting)
            except OutcomeUnknown:
                return

    def counters(self, inner: Counters) -> Counters:
        return self.Trusting(inner, self.chance)


class CertifiesWithoutWaitingForLeases(Plant):
    """Every drain is believed to have held nothing since it began, and to have begun long ago."""

    class Blind:
        def __init__(self, inner: ConsumerLog) -> None:
            self._inner = inner

        async def record(self, consumer: ConsumerRecord) -> None:
            await self._inner.record(consumer)

        async def since(self, moment: datetime) -> list[ConsumerRecord]:
            long_ago = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
            return [
                msgspec.structs.replace(record, started_at=long_ago, leased_at=None, ended_at=record.seen_at)
                for record in await self._inner.since(moment)
            ]

    def consumer_log(self, inner: ConsumerLog) -> ConsumerLog:
        return self.Blind(inner)


class LetsOlderReadsReplaceLater(Plant):
    """A tally is stored as if it had been read just before it is written."""

    class Backdating:
        def __init__(self, inner: Tallies) -> None:
            self._inner = inner

        async def get(self, poll_id: str) -> Tally | None:
            return await self._inner.get(poll_id)

        async def put(self, tally: Tally, poll: Poll, slot: datetime) -> bool:
            current = await self._inner.history(poll.id, 1)
            if current:
                (newest, before) = current[0]
                moment = datetime.resolution
                slot = max(slot, newest + moment)
                tally = msgspec.structs.replace(tally, as_of=max(tally.as_of, before.as_of + moment))
            return await self._inner.put(tally, poll, slot)

        async def history(self, poll_id: str, limit: int) -> list[tuple[datetime, Tally]]:
            return await self._inner.history(poll_id, limit)

    def tallies(self, inner: Tallies) -> Tallies:
        return self.Backdating(inner)


PLANTS: tuple[type[Plant], ...] = (
    AcknowledgesBeforeCounting,
    AcknowledgesWhatItGivesUp,
    IncrementsWithoutLedger,
    CommitsLedgerAndShardApart,
    ForgetsKeys,
    ChoosesItsShardAnew,
    TakesUnknownForCounted,
    NamesBundlesAnew,
    PromisesWhatItDoesNotKnow,
    CertifiesWithoutWaitingForLeases,
    LetsOlderReadsReplaceLater,
)

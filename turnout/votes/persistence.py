"""Persistence: live totals become persisted tallies; a closed poll's last one is certified."""

import asyncio
from datetime import datetime, timedelta

import msgspec
import structlog

from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable, TurnoutError
from turnout.queue.drained import relevant_since, settled_at, why_not_drained
from turnout.queue.ports import ConsumerLog
from turnout.votes.errors import NotCertifiable, PollUnknown
from turnout.votes.poll import Poll, State
from turnout.votes.ports import Counters, PollStore, Tallies
from turnout.votes.settings import VoteSettings
from turnout.votes.tally import Tally

log = structlog.get_logger()

#: For how long after a poll was marked as certified the runs look whether its tally is, too.
FINISHING_MAX = timedelta(days=1)


class PersistReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one persist run did; the polls by id."""

    slot: datetime
    persisted: tuple[str, ...] = ()
    #: A later read is there already, or the slot is taken: nothing changed.
    unchanged: tuple[str, ...] = ()
    certified: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class Persistence:
    """Persists tallies. However often, late or doubled it runs, totals never go back."""

    def __init__(
        self,
        polls: PollStore,
        counters: Counters,
        consumer_log: ConsumerLog,
        tallies: Tallies,
        settings: VoteSettings,
        *,
        clock: Clock,
    ) -> None:
        self._polls = polls
        self._counters = counters
        self._consumer_log = consumer_log
        self._tallies = tallies
        self._settings = settings
        self._clock = clock

    async def persist_all(self, slot: datetime) -> PersistReport:
        """Persists every poll that is not certified, as of one scheduled moment; certifies those that are final."""
        places = asyncio.Semaphore(self._settings.persist_in_flight_max)
        outcomes: dict[str, list[str]] = {"persisted": [], "unchanged": [], "certified": [], "failed": []}

        async def persist_one(poll: Poll) -> None:
            async with places:
                outcomes[await self._outcome(poll, slot)].append(poll.id)

        # Listed first: a list that fails is one fault, not a group of them.
        polls = [poll async for poll in self._polls.list(self._settings.persist_polls_max)]
        async with asyncio.TaskGroup() as group:
            for poll in polls:
                if _is_due(poll, self._clock.now()):
                    group.create_task(persist_one(poll))
        report = PersistReport(slot=slot, **{name: tuple(sorted(ids)) for name, ids in outcomes.items()})
        log.info("persisted", **{name: len(ids) for name, ids in outcomes.items()}, slot=slot.isoformat())
        return report

    async def certify(self, poll_id: str) -> Poll:
        """Certifies a poll now; `NotCertifiable` says what is missing."""
        poll = await self._polls.get(poll_id)
        if poll is None:
            raise PollUnknown(poll_id)
        if poll.certified_at is not None:
            await self._finish(poll, self._clock.now())
            return poll
        return await self._certify(poll, self._clock.now())

    async def _outcome(self, poll: Poll, slot: datetime) -> str:
        try:
            if poll.certified_at is not None:
                return await self._finish(poll, slot)
            if poll.state(self._clock.now()) is State.CLOSED:
                try:
                    await self._certify(poll, slot)
                except NotCertifiable as why:
                    log.info("not certified", poll=poll.id, why=str(why))
                else:
                    return "certified"
            tally = await self._counters.tally(poll)
            return "persisted" if await self._tallies.put(tally, poll, slot) else "unchanged"
        except TurnoutError as error:
            log.error("poll not persisted", poll=poll.id, error=str(error))
            return "failed"

    async def _certify(self, poll: Poll, slot: datetime) -> Poll:
        now = self._clock.now()
        if poll.state(now) is not State.CLOSED:
            raise NotCertifiable(poll.id, "it has not closed")
        if now < settled_at(poll.closes_at, self._settings):
            raise NotCertifiable(poll.id, "publishes that began before it closed may be under way")
        records = await self._consumer_log.since(relevant_since(poll.closes_at, now, self._settings))
        why_not = why_not_drained(poll.closes_at, records, self._settings)
        if why_not:
            raise NotCertifiable(poll.id, why_not)
        books = await self._counters.books(poll)
        if not books.balance:
            log.error("books do not balance", poll=poll.id, faults=books.faults)
            raise NotCertifiable(poll.id, "its books do not balance: " + "; ".join(books.faults))
        tally = await self._counters.tally(poll)
        if tally.votes != books.shards.votes:
            raise NotCertifiable(poll.id, "votes are still being counted")
        # The poll is marked first: from here on nobody opens it again. A crash before the next line leaves its tally
        # to the next run.
        marked = msgspec.structs.replace(poll, certified_at=now)
        await self._polls.replace(poll, marked)
        await self._put_certified(marked, tally, slot)
        log.info("certified", poll=poll.id, votes=tally.votes, duplicates=tally.duplicates)
        return marked

    async def _finish(self, poll: Poll, slot: datetime) -> str:
        """Certifies the tally of a poll that was marked by a run that ended there."""
        persisted = await self._tallies.get(poll.id)
        if persisted is not None and persisted.certified_at is not None:
            return "unchanged"
        await self._put_certified(poll, await self._counters.tally(poll), slot)
        return "certified"

    async def _put_certified(self, poll: Poll, tally: Tally, slot: datetime) -> None:
        certified = msgspec.structs.replace(tally, certified_at=poll.certified_at)
        if not await self._tallies.put(certified, poll, slot):
            await self._expect_certified(poll, tally)

    async def _expect_certified(self, poll: Poll, tally: Tally) -> None:
        persisted = await self._tallies.get(poll.id)
        if persisted is None:
            raise ServiceUnavailable("Datastore", "a tally was refused though none is there")
        if persisted.certified_at is None or persisted.counts != tally.counts:
            raise NotCertifiable(
                poll.id, "a persisted tally of this slot is there; it is certified with the next one"
            )


def _is_due(poll: Poll, now: datetime) -> bool:
    """Whether a poll's totals may still change, or its certification may be unfinished."""
    if poll.certified_at is not None:
        return now < poll.certified_at + FINISHING_MAX
    return poll.state(now) is not State.SCHEDULED

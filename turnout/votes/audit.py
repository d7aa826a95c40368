"""The audit: proves per poll that shards and ledger agree, and that no persisted tally is ahead of them."""

import asyncio
from datetime import datetime, timedelta

import msgspec
import structlog

from turnout.base.chance import Chance
from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable
from turnout.base.retry import RetryPolicy
from turnout.votes.errors import PollUnknown
from turnout.votes.poll import Poll
from turnout.votes.ports import Counters, PollStore, Tallies
from turnout.votes.settings import VoteSettings
from turnout.votes.tally import Books, Tally

log = structlog.get_logger()

#: An audit only reads, so that it can simply begin again.
READS_AGAIN = RetryPolicy(first_seconds=0.2, max_seconds=2.0, attempts_max=3)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the audit found for one poll, with all figures."""

    books: Books
    persisted: Tally | None
    #: What does not agree, as sentences with figures.
    faults: tuple[str, ...]
    #: The ledger's entries have begun to expire: only the tallies could be compared.
    ledger_expired: bool = False

    @property
    def exact(self) -> bool:
        """Whether everything agrees."""
        return not self.faults


class Audit:
    """Audits polls; it only reads."""

    def __init__(
        self,
        polls: PollStore,
        counters: Counters,
        tallies: Tallies,
        settings: VoteSettings,
        *,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._polls = polls
        self._counters = counters
        self._tallies = tallies
        self._settings = settings
        self._clock = clock
        self._chance = chance

    async def audit(self, poll_id: str) -> Verdict:
        """Audits one poll; `PollUnknown` if there is none."""
        poll = await self._polls.get(poll_id)
        if poll is None:
            raise PollUnknown(poll_id)
        return await self._audit_with_retries(poll)

    async def audit_all(self) -> list[Verdict]:
        """Audits every poll."""
        # Listed first: the list must not stay open for as long as the audits take.
        polls = [poll async for poll in self._polls.list(self._settings.persist_polls_max)]
        places = asyncio.Semaphore(self._settings.persist_in_flight_max)

        async def audit_one(poll: Poll) -> Verdict:
            async with places:
                return await self._audit_with_retries(poll)

        try:
            async with asyncio.TaskGroup() as group:
                audits = [group.create_task(audit_one(poll)) for poll in polls]
        except* ServiceUnavailable as faults:
            raise faults.exceptions[0] from None
        return [audit.result() for audit in audits]

    async def _audit_with_retries(self, poll: Poll) -> Verdict:
        return await READS_AGAIN.run(
            lambda: self._audit(poll),
            clock=self._clock,
            chance=self._chance,
            on_failure=lambda fault: log.warning("audit begins again", poll=poll.id, error=str(fault)),
        )

    async def _audit(self, poll: Poll) -> Verdict:
        # The persisted tally first: it is older than the books, so that votes counted meanwhile are not taken for a fault.
        persisted = await self._tallies.get(poll.id)
        books = await self._counters.books(poll)
        live = await self._counters.tally(poll)
        expired = ledger_may_have_expired(poll, self._clock.now(), self._settings)
        faults = () if expired else books.faults
        if persisted is not None:
            faults += _persisted_faults(persisted, live)
        return Verdict(books=books, persisted=persisted, faults=faults, ledger_expired=expired)


def ledger_may_have_expired(poll: Poll, now: datetime, settings: VoteSettings) -> bool:
    """Whether the first entries of a poll may have gone."""
    lifetime = timedelta(days=settings.poll_days_max, seconds=settings.ledger_margin_seconds)
    return now >= (poll.created_at + lifetime).replace(hour=0, minute=0, second=0, microsecond=0)


def _persisted_faults(persisted: Tally, live: Tally) -> tuple[str, ...]:
    faults = []
    if any(before > now for before, now in zip(persisted.counts, live.counts, strict=False)):
        faults.append("the persisted tally has a choice with more votes than the shards")
    if persisted.votes > live.votes:
        faults.append(f"the persisted tally holds {persisted.votes:,} votes, the shards {live.votes:,}")
    if sum(persisted.counts) != persisted.votes:
        faults.append(
            f"the persisted choices add up to {sum(persisted.counts):,} votes, its total says {persisted.votes:,}"
        )
    if persisted.certified_at is not None and persisted.votes != live.votes:
        faults.append(f"{persisted.votes:,} votes were certified, but the shards hold {live.votes:,}")
    return tuple(faults)

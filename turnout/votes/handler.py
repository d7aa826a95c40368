"""A lane: one loop of lease ▸ fold ▸ count ▸ acknowledge. The counting commit is here, step by step.

A lane owns its shard, so lanes never contend. It acknowledges last: a crash before that redelivers the bundles, and the
ledger stops what was counted.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta

import msgspec
import structlog

from turnout.base.backoff import waits
from turnout.base.errors import AlreadyCounted, BundleUnreadable, PollUnknown, ServiceUnavailable
from turnout.queue.leases import Holdings
from turnout.votes.bundle import Bundle, decode
from turnout.votes.fold import Account, Leased, Posting, batches, fold
from turnout.votes.ledger import expiry
from turnout.votes.poll import Poll
from turnout.votes.poll_cache import PollCache
from turnout.votes.ports import Chance, Clock, Counters, DeadLetters, Message
from turnout.votes.settings import Settings

log = structlog.get_logger()


class Progress(msgspec.Struct):
    """What the lanes of a drain task have done so far."""

    messages: int = 0
    bundles: int = 0
    votes: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    commits: int = 0
    conflicts: int = 0
    released: int = 0
    #: From the first lease to the last acknowledgement.
    busy_seconds: float = 0.0


class Lane:
    """Counts what is leased for it, into its own shard of each poll."""

    def __init__(
        self,
        number: int,
        *,
        counters: Counters,
        polls: PollCache,
        dead_letters: DeadLetters,
        holdings: Holdings,
        progress: Progress,
        settings: Settings,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._number = number
        self._counters = counters
        self._polls = polls
        self._dead_letters = dead_letters
        self._holdings = holdings
        self._progress = progress
        self._settings = settings
        self._clock = clock
        self._chance = chance
        #: Whether the last commit met an entry that exists: then reading first saves a failed commit.
        self._conflicts_are_common = False

    async def count_lease(self, messages: Sequence[Message]) -> None:
        """Counts leased messages and acknowledges them; `ServiceUnavailable`: the rest is still held."""
        self._progress.messages += len(messages)
        accounts: dict[str, Account] = {}
        # Read as they are needed: votes take ten times the memory of their message.
        async with (
            aclosing(self._read(messages, accounts)) as leased,
            aclosing(batches(leased, self._settings.commit_entries_max)) as cut,
        ):
            async for batch in cut:
                posting = await self._count([each.bundle for each in batch], accounts)
                # Acknowledge last: a crash before this line redelivers the votes, and the ledger stops them.
                await self._holdings.acknowledge([each.receipt for each in batch])
                self._progress.bundles += len(posting.bundles)
                self._progress.votes += posting.votes
                self._progress.duplicates += posting.duplicates

    async def _read(
        self, messages: Sequence[Message], accounts: dict[str, Account]
    ) -> AsyncGenerator[Leased, None]:
        """The bundles of the messages; what cannot be read is buried with its reason. Fills in the polls' accounts."""
        polls: dict[str, Poll] = {}
        for message in messages:
            try:
                bundle = decode(message.data)
                poll = polls.get(bundle.poll)
                if poll is None:
                    poll = polls[bundle.poll] = await self._polls.get(bundle.poll)
                    accounts[poll.id] = self._account(poll)
                _check_choices(bundle, poll)
            except (BundleUnreadable, PollUnknown) as fault:
                await self._bury(message, str(fault))
            else:
                yield Leased(message.receipt, bundle)

    async def _bury(self, message: Message, reason: str) -> None:
        # Bury first: a crash between the two buries it twice, which loses nothing.
        await self._dead_letters.bury(message, reason)
        await self._holdings.acknowledge([message.receipt])
        self._progress.dead_letters += 1
        log.error("message dead-lettered", message_id=message.id, reason=reason)

    async def _count(self, bundles: Sequence[Bundle], accounts: dict[str, Account]) -> Posting:
        """Counts bundles in one commit, however often that has to be tried; returns what this call counted."""
        settings = self._settings
        posting = fold(bundles, accounts)
        counted: set[str] = set()
        if self._conflicts_are_common:
            counted = await self._counters.existing(posting.names)
            posting = fold(bundles, accounts, counted)
        self._conflicts_are_common = bool(counted)
        pauses = waits(settings.backoff_first_seconds, settings.backoff_max_seconds, self._chance)
        failures = 0
        while posting.bundles:
            try:
                self._progress.commits += 1
                await self._counters.commit(posting)
                break
            except AlreadyCounted:
                # A bundle came again, a key voted before, or our own commit went through and its answer was lost.
                self._progress.conflicts += 1
                self._conflicts_are_common = True
                known = len(counted)
                counted |= await self._counters.existing(posting.names)
                posting = fold(bundles, accounts, counted)
                failures += len(counted) == known
                if failures >= settings.commit_attempts_max:
                    raise ServiceUnavailable(
                        "The ledger", "it refuses entries that it does not show"
                    ) from None
            except ServiceUnavailable:
                # The outcome may be unknown: the very same writes again; the ledger stops them if they went through.
                failures += 1
                if failures >= settings.commit_attempts_max:
                    raise
                await asyncio.sleep(next(pauses))
        return posting

    def _account(self, poll: Poll) -> Account:
        return Account(
            shard=self._number % poll.shards,
            expire_at=expiry(
                poll,
                lifetime=timedelta(days=self._settings.poll_days_max),
                margin=timedelta(seconds=self._settings.ledger_margin_seconds),
                now=self._clock(),
            ),
        )


def _check_choices(bundle: Bundle, poll: Poll) -> None:
    highest = max((*bundle.counts, *[choice for _, choice in bundle.keyed]))
    if highest >= len(poll.choices):
        raise BundleUnreadable(f"Poll {poll.id} has no choice with index {highest}.")

"""The votes' handler: fold ▸ count ▸ acknowledge. The counting commit is here, step by step.

A lane has a handler of its own, and its own shard of each poll, so that lanes never contend. It acknowledges last: a
crash before that redelivers the bundles, and the ledger stops what was counted.
"""

import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta

import msgspec

from turnout.base.chance import Chance
from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable
from turnout.queue.leases import Leases
from turnout.queue.message import Message
from turnout.votes.bundle import Bundle, decode
from turnout.votes.errors import AlreadyCounted, BundleUnreadable, PollUnknown
from turnout.votes.fold import Account, Leased, Posting, batches, fold
from turnout.votes.ledger import expiry
from turnout.votes.poll import Poll
from turnout.votes.poll_cache import PollCache
from turnout.votes.ports import Counters
from turnout.votes.settings import VoteSettings

#: Executions begin their lanes anywhere among so many shards' numbers.
FIRST_LANES = 1_000


class Counted(msgspec.Struct):
    """What the lanes of a drain task have counted so far."""

    bundles: int = 0
    votes: int = 0
    duplicates: int = 0
    commits: int = 0
    conflicts: int = 0


class VoteHandler:
    """Counts bundles into one shard of each poll."""

    def __init__(
        self,
        lane: int,
        *,
        counters: Counters,
        polls: PollCache,
        counted: Counted,
        settings: VoteSettings,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._lane = lane
        self._counters = counters
        self._polls = polls
        self._counted = counted
        self._settings = settings
        self._clock = clock
        self._chance = chance
        #: Whether the last commit met an entry that exists: then reading first saves a failed commit.
        self._conflicts_are_common = False

    async def handle(self, messages: Sequence[Message], leases: Leases) -> None:
        """Counts leased messages and acknowledges them; `ServiceUnavailable`: the rest is still held."""
        # Read as they are needed: votes take ten times the memory of their message.
        async with (
            aclosing(self._read(messages, leases)) as leased,
            aclosing(batches(leased, self._settings.commit_entries_max)) as cut,
        ):
            async for batch in cut:
                posting = await self._count(batch)
                # Acknowledge last: a crash before this line redelivers the votes, and the ledger stops them.
                await leases.acknowledge([each.message for each in batch])
                self._counted.bundles += len(posting.bundles)
                self._counted.votes += posting.votes
                self._counted.duplicates += posting.duplicates

    async def _read(self, messages: Sequence[Message], leases: Leases) -> AsyncGenerator[Leased, None]:
        """The bundles of the messages, with their polls' accounts; what cannot be read is buried with its reason."""
        accounts: dict[str, tuple[Poll, Account]] = {}
        for message in messages:
            try:
                bundle = decode(message.data)
                if bundle.poll not in accounts:
                    poll = await self._polls.get(bundle.poll)
                    accounts[bundle.poll] = (poll, self._account(poll))
                poll, account = accounts[bundle.poll]
                _check_choices(bundle, poll)
            except (BundleUnreadable, PollUnknown) as fault:
                await leases.bury(message, str(fault))
            else:
                yield Leased(message, bundle, account)

    async def _count(self, batch: Sequence[Leased]) -> Posting:
        """Counts bundles in one commit, however often that has to be tried; returns what this call counted."""
        bundles: list[Bundle] = [each.bundle for each in batch]
        accounts = {each.bundle.poll: each.account for each in batch}
        posting = fold(bundles, accounts)
        existing: set[str] = set()
        if self._conflicts_are_common:
            existing = await self._counters.existing(posting.names)
            posting = fold(bundles, accounts, existing)
        self._conflicts_are_common = bool(existing)
        contradictions = 0
        while posting.bundles:
            try:
                await self._commit(posting)
                break
            except AlreadyCounted:
                # A bundle came again, a key voted before, or our own commit went through and its answer was lost.
                self._counted.conflicts += 1
                self._conflicts_are_common = True
                found = await self._counters.existing(posting.names)
                if found <= existing:
                    contradictions += 1
                if contradictions >= self._settings.commit_attempts_max:
                    raise ServiceUnavailable(
                        "The ledger", "it refuses entries that it does not show"
                    ) from None
                existing |= found
                posting = fold(bundles, accounts, existing)
        return posting

    async def _commit(self, posting: Posting) -> None:
        """The very same writes again when the outcome is unknown; the ledger stops them if they went through."""

        async def attempt() -> None:
            self._counted.commits += 1
            await self._counters.commit(posting)

        await self._settings.write_retry.run(attempt, clock=self._clock, chance=self._chance)

    def _account(self, poll: Poll) -> Account:
        return Account(
            shard=self._lane % poll.shards,
            expire_at=expiry(
                poll,
                lifetime=timedelta(days=self._settings.poll_days_max),
                margin=timedelta(seconds=self._settings.ledger_margin_seconds),
                now=self._clock.now(),
            ),
        )


def first_lane_number(execution: str, task_index: int, lanes: int) -> int:
    """Where a task's lanes begin: tasks of one execution lie side by side, executions anywhere."""
    return zlib.crc32(execution.encode()) % FIRST_LANES + task_index * lanes


def _check_choices(bundle: Bundle, poll: Poll) -> None:
    highest = max((*bundle.counts, *[choice for _, choice in bundle.keyed]))
    if highest >= len(poll.choices):
        raise BundleUnreadable(f"Poll {poll.id} has no choice with index {highest}.")

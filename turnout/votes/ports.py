"""The ports: what the verbs need from the world, each the size of its use.

`turnout/gcp/` has them on Google's services, `turnout/memory/` in memory; one contract suite judges both. Every
method may raise `ServiceUnavailable`; one that writes may raise its subtype `OutcomeUnknown`.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from turnout.votes.bundle import Bundle
from turnout.votes.fold import Posting
from turnout.votes.poll import Poll
from turnout.votes.tally import Books, Tally

#: The present, in UTC.
Clock = Callable[[], datetime]
#: A new id: 32 hex digits, never twice.
NewId = Callable[[], str]
#: A float in [0, 1): jitter.
Chance = Callable[[], float]


class Message(msgspec.Struct, frozen=True):
    """A leased message. `receipt` names this lease of it: another lease of the same message has another one."""

    receipt: str
    id: str
    data: bytes
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    published_at: datetime | None = None


class Publisher(Protocol):
    """The topic, as the intake needs it."""

    async def publish(self, bundles: Sequence[Bundle], *, timeout_seconds: float) -> None:
        """Publishes bundles, a message each, all or none. Returns when they are durable; never retries by itself."""
        ...


class Queue(Protocol):
    """The pull subscription, as the drain needs it."""

    async def lease(self, messages_max: int, *, wait_seconds: float) -> list[Message]:
        """Leases up to `messages_max` messages; waits up to `wait_seconds` for the first. Empty does not mean drained."""
        ...

    async def acknowledge(self, receipts: Sequence[str]) -> None:
        """Deletes leased messages. One whose lease has ended may come back nevertheless."""
        ...

    async def extend(self, receipts: Sequence[str], seconds: int) -> None:
        """Sets the leases' deadlines to `seconds` from now."""
        ...

    async def release(self, receipts: Sequence[str]) -> None:
        """Ends leases at once: the messages can be leased again."""
        ...


class DeadLetters(Protocol):
    """The dead-letter topic."""

    async def bury(self, message: Message, reason: str) -> None:
        """Publishes a message's data there, with the reason as an attribute."""
        ...


class Redrive(Protocol):
    """The votes' topic, for dead letters that are sent again as they are."""

    async def put(self, data: bytes, attributes: dict[str, str]) -> None:
        """Publishes one message; returns when it is durable."""
        ...


class Polls(Protocol):
    """The polls' settings."""

    async def get(self, poll_id: str) -> Poll | None:
        """The poll, or None."""
        ...

    async def create(self, poll: Poll) -> None:
        """Stores a new poll; `PollExists` if there is one with its id."""
        ...

    async def replace(self, old: Poll, new: Poll) -> None:
        """Replaces a poll that still is `old`; `PollChanged` if it is not."""
        ...

    def list(self, limit: int) -> AsyncIterator[Poll]:
        """The polls, newest first, `limit` at most."""
        ...


class Counters(Protocol):
    """The sharded counters and the ledger, in one database: they are written in one commit."""

    async def commit(self, posting: Posting) -> None:
        """Writes a posting, all or nothing; `AlreadyCounted` if any of its entries exists. Never retries by itself."""
        ...

    async def existing(self, names: Sequence[str]) -> set[str]:
        """Which of these ledger entries exist."""
        ...

    async def tally(self, poll: Poll) -> Tally:
        """The sum of a poll's shards, read at one moment."""
        ...

    async def books(self, poll: Poll) -> Books:
        """Both sides of a poll's books, read at one moment."""
        ...


class DrainRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a drain says of itself, as of `seen_at`."""

    id: str
    started_at: datetime
    seen_at: datetime
    #: The last moment at which it held a lease, and the last at which it saw the queue empty.
    leased_at: datetime | None = None
    empty_at: datetime | None = None
    #: When it ended of itself, holding nothing; None while it runs, and for ever if it was killed.
    ended_at: datetime | None = None


class DrainLog(Protocol):
    """The drains' records: from them follows whether the queue is drained."""

    async def record(self, drain: DrainRecord) -> None:
        """Writes a drain's record over its earlier one."""
        ...

    async def since(self, moment: datetime) -> list[DrainRecord]:
        """The drains that were seen at or after a moment."""
        ...


class Tallies(Protocol):
    """The persisted tallies and their history."""

    async def get(self, poll_id: str) -> Tally | None:
        """The persisted tally, or None."""
        ...

    async def put(self, tally: Tally, poll: Poll, slot: datetime) -> bool:
        """Persists a tally and its place in the history, in one transaction; False: a later one is there, nothing changed.

        The tally must be a later read than the persisted one, and the slot a later one than the newest of the history.
        """
        ...

    async def history(self, poll_id: str, limit: int) -> list[tuple[datetime, Tally]]:
        """The newest slots with their tallies, in the order of time."""
        ...

"""What votes need from the world, beside the queue. `turnout/gcp/` implements it on Google's services, `turnout/memory/` in memory.

One contract suite judges both. Every method may raise `ServiceUnavailable`; one that writes may raise its subtype
`OutcomeUnknown`.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

from turnout.votes.fold import Posting
from turnout.votes.poll import Poll
from turnout.votes.tally import Books, Tally


class PollStore(Protocol):
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

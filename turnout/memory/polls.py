"""The polls' settings and the drains' records."""

from collections.abc import AsyncIterator
from datetime import datetime

from turnout.base.errors import PollChanged, PollExists
from turnout.votes.poll import Poll
from turnout.votes.ports import DrainRecord


class MemoryPolls:
    """The polls' settings."""

    def __init__(self) -> None:
        self._polls: dict[str, Poll] = {}

    async def get(self, poll_id: str) -> Poll | None:
        """The poll, or None."""
        return self._polls.get(poll_id)

    async def create(self, poll: Poll) -> None:
        """Stores a new poll."""
        if poll.id in self._polls:
            raise PollExists(poll.id)
        self._polls[poll.id] = poll

    async def replace(self, old: Poll, new: Poll) -> None:
        """Replaces a poll that still is `old`."""
        if self._polls.get(old.id) != old:
            raise PollChanged(old.id)
        self._polls[old.id] = new

    async def list(self, limit: int) -> AsyncIterator[Poll]:
        """The polls, newest first."""
        newest_first = sorted(self._polls.values(), key=lambda poll: poll.created_at, reverse=True)
        for poll in newest_first[:limit]:
            yield poll


class MemoryDrainLog:
    """The drains' records."""

    def __init__(self) -> None:
        self._records: dict[str, DrainRecord] = {}

    async def record(self, drain: DrainRecord) -> None:
        """Writes a drain's record over its earlier one."""
        self._records[drain.id] = drain

    async def since(self, moment: datetime) -> list[DrainRecord]:
        """The drains that were seen at or after a moment."""
        return [record for record in self._records.values() if record.seen_at >= moment]

"""A cache of poll settings: an instance reads a poll every few seconds, not with every vote.

Nothing older than `poll_cache_seconds` is ever used, so that a close by hand is exact. A poll in use is read again at
half that age, in the background: a vote waits for a read only when its poll is new to the instance.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

import structlog

from turnout.base.errors import PollUnknown, ServiceUnavailable
from turnout.votes.poll import POLL_ID, Poll
from turnout.votes.ports import Polls

log = structlog.get_logger()

#: That a poll does not exist is believed for a shorter time: it may be created any moment.
UNKNOWN_SECONDS_MAX = 1.0


class PollCache:
    """The polls as of a few seconds ago, at most `polls_max` of them."""

    def __init__(
        self, polls: Polls, *, seconds: float, polls_max: int, monotonic: Callable[[], float]
    ) -> None:
        self._polls = polls
        self._seconds = seconds
        self._polls_max = polls_max
        self._monotonic = monotonic
        self._read: OrderedDict[str, tuple[float, Poll | None]] = OrderedDict()
        self._reads: dict[str, asyncio.Task[Poll | None]] = {}

    async def get(self, poll_id: str) -> Poll:
        """The poll; `PollUnknown` if there is none, `ServiceUnavailable` if it cannot be read."""
        found = self._read.get(poll_id)
        if found is not None:
            read_at, poll = found
            age = self._monotonic() - read_at
            if poll is not None and age < self._seconds:
                if age > self._seconds / 2:
                    self._begin_read(poll_id)
                return poll
            if poll is None and age < min(self._seconds, UNKNOWN_SECONDS_MAX):
                raise PollUnknown(poll_id)
        if not POLL_ID.fullmatch(poll_id):
            raise PollUnknown(poll_id)
        # Shielded: callers share the read, and one that goes away must not take it along.
        poll = await asyncio.shield(self._begin_read(poll_id))
        if poll is None:
            raise PollUnknown(poll_id)
        return poll

    def is_fresh(self, poll_id: str) -> bool:
        """Whether what is known of a poll is young enough to be used now: a read may have taken too long."""
        found = self._read.get(poll_id)
        return found is not None and self._monotonic() - found[0] < self._seconds

    def _begin_read(self, poll_id: str) -> asyncio.Task[Poll | None]:
        reading = self._reads.get(poll_id)
        if reading is None:
            reading = asyncio.get_running_loop().create_task(self._read_now(poll_id))
            self._reads[poll_id] = reading
            reading.add_done_callback(lambda done: self._ended(poll_id, done))
        return reading

    def _ended(self, poll_id: str, reading: asyncio.Task[Poll | None]) -> None:
        self._reads.pop(poll_id, None)
        if not reading.cancelled() and isinstance(reading.exception(), ServiceUnavailable):
            log.warning("poll not read", poll=poll_id, error=str(reading.exception()))

    async def _read_now(self, poll_id: str) -> Poll | None:
        began_at = self._monotonic()  # before the read: what it returns is at least as new as this
        poll = await self._polls.get(poll_id)
        self._read[poll_id] = (began_at, poll)
        self._read.move_to_end(poll_id)
        while len(self._read) > self._polls_max:
            self._read.popitem(last=False)
        return poll

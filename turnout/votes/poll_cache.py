"""A cache of poll settings: an instance reads a poll every few seconds, not with every vote.

Nothing older than `poll_cache_seconds` is ever used, so that a close by hand is exact. A poll in use is read again at
half that age, in the background: a vote waits for a read only when its poll is new to the instance.
"""

from turnout.base.clock import Clock
from turnout.base.single_flight import SingleFlight
from turnout.votes.errors import PollUnknown
from turnout.votes.poll import POLL_ID, Poll
from turnout.votes.ports import PollStore
from turnout.votes.settings import VoteSettings

#: That a poll does not exist is believed for a shorter time: it may be created any moment.
UNKNOWN_SECONDS_MAX = 1.0


class PollCache:
    """The polls as of a few seconds ago."""

    def __init__(self, polls: PollStore, settings: VoteSettings, *, clock: Clock) -> None:
        self._seconds = settings.poll_cache_seconds
        self._reads = SingleFlight[str, Poll | None](
            polls.get, keys_max=settings.poll_cache_polls_max, clock=clock
        )

    async def get(self, poll_id: str) -> Poll:
        """The poll; `PollUnknown` if there is none, `ServiceUnavailable` if it cannot be read."""
        reading = self._reads.last(poll_id)
        if reading is not None:
            poll = reading.value
            age = self._reads.age_seconds(reading)
            if poll is not None and age < self._seconds:
                if age > self._seconds / 2:
                    self._reads.begin(poll_id)
                return poll
            if poll is None and age < min(self._seconds, UNKNOWN_SECONDS_MAX):
                raise PollUnknown(poll_id)
        if not POLL_ID.fullmatch(poll_id):
            raise PollUnknown(poll_id)
        poll = await self._reads.refresh(poll_id)
        if poll is None:
            raise PollUnknown(poll_id)
        return poll

    def is_fresh(self, poll_id: str) -> bool:
        """Whether what is known of a poll is young enough to be used now: a read may have taken too long."""
        reading = self._reads.last(poll_id)
        return reading is not None and self._reads.age_seconds(reading) < self._seconds

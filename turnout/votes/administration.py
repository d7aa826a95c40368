"""Administration: polls are created, listed, opened, closed and certified."""

from datetime import timedelta

import msgspec
import structlog

from turnout.base.clock import Clock
from turnout.base.errors import ValueRefused
from turnout.votes.errors import PollUnknown
from turnout.votes.persistence import Persistence
from turnout.votes.poll import NewPoll, Poll, PollChange, State, change_poll, poll_of
from turnout.votes.ports import PollStore
from turnout.votes.settings import VoteSettings

log = structlog.get_logger()


class PollView(msgspec.Struct, frozen=True, kw_only=True):
    """A poll as its owner reads it."""

    poll: Poll
    state: State


class Administration:
    """What a poll's owner may do."""

    def __init__(
        self, polls: PollStore, persistence: Persistence, settings: VoteSettings, *, clock: Clock
    ) -> None:
        self._polls = polls
        self._persistence = persistence
        self._settings = settings
        self._clock = clock
        self._lifetime = timedelta(days=settings.poll_days_max)

    async def create(self, plan: NewPoll) -> PollView:
        """Creates a poll; `PollExists`, or `ValueRefused` with the field at fault."""
        poll = poll_of(
            plan,
            now=self._clock.now(),
            shards_default=self._settings.poll_shards_default,
            lifetime=self._lifetime,
        )
        await self._polls.create(poll)
        log.info("poll created", poll=poll.id)
        return self._view(poll)

    async def get(self, poll_id: str) -> PollView:
        """A poll, as it stands in the database."""
        return self._view(await self._poll(poll_id))

    async def list(self, limit: int) -> list[PollView]:
        """The newest polls."""
        return [self._view(poll) async for poll in self._polls.list(limit)]

    async def change(self, poll_id: str, change: PollChange) -> PollView:
        """Changes a poll; a close by hand takes effect when every instance has heard of it."""
        if change.state is State.CERTIFIED:
            if change != PollChange(state=State.CERTIFIED):
                raise ValueRefused("Certify a poll by itself, with no other change.", field="/state")
            return self._view(await self._persistence.certify(poll_id))
        old = await self._poll(poll_id)
        now = self._clock.now()
        settled_at = now + timedelta(seconds=self._settings.poll_cache_seconds)
        new = change_poll(old, change, now=now, settled_at=settled_at, lifetime=self._lifetime)
        await self._polls.replace(old, new)
        log.info("poll changed", poll=poll_id, state=new.state(now).value)
        return self._view(new)

    async def _poll(self, poll_id: str) -> Poll:
        poll = await self._polls.get(poll_id)
        if poll is None:
            raise PollUnknown(poll_id)
        return poll

    def _view(self, poll: Poll) -> PollView:
        return PollView(poll=poll, state=poll.state(self._clock.now()))

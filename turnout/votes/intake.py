"""The intake: a ballot becomes a vote, the vote goes into a bundle, and its publish is awaited."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

import msgspec

from turnout.base.chance import Chance, NewId
from turnout.base.clock import Clock
from turnout.base.errors import BatchRefused, ServiceUnavailable, TurnoutError
from turnout.queue.batcher import Batcher, BatcherBounds
from turnout.queue.message import Outgoing
from turnout.queue.ports import Topic
from turnout.queue.publishing import publishing_batcher
from turnout.votes.ballot import Ballot
from turnout.votes.bundling import Bundling
from turnout.votes.errors import KeyMissing, PollUnknown
from turnout.votes.poll import OnePer, Poll
from turnout.votes.poll_cache import PollCache
from turnout.votes.ports import PollStore
from turnout.votes.settings import VoteSettings
from turnout.votes.vote import Hasher, Vote

#: Votes on their way into bundles.
VoteBatcher = Batcher[Vote, Sequence[Outgoing]]


class Receipt(msgspec.Struct, frozen=True):
    """What a voter gets for a vote that is safe in the queue. The same Idempotency-Key gets the same `vote_id`."""

    vote_id: str
    poll: str
    choice: str
    accepted_at: datetime


class Intake:
    """Accepts votes. It holds no vote once it is answered."""

    def __init__(
        self,
        polls: PollCache,
        batcher: VoteBatcher,
        hasher: Hasher,
        *,
        clock: Clock,
        new_vote_id: Callable[[], str],
    ) -> None:
        self._polls = polls
        self._batcher = batcher
        self._hasher = hasher
        self._clock = clock
        self._new_vote_id = new_vote_id

    async def accept(self, ballot: Ballot, idempotency_key: str | None = None) -> Receipt:
        """Accepts one ballot; returns when Pub/Sub has confirmed it.

        The wait is bounded by the publish's deadline, and not cut short by a caller's own timeout: see `Confirmation`.
        Raises `PollUnknown`, `PollNotOpen`, `PollClosed`, `ChoiceUnknown`, `KeyMissing`; `QueueUnavailable` and
        `ServiceUnavailable`: nothing was promised.
        """
        poll = await self._polls.get(ballot.poll)
        self._expect_fresh(poll.id)
        now = self._clock.now()
        vote = self._admit(ballot, poll, idempotency_key, 0, now)
        await self._batcher.add((vote,))
        return self._receipt(ballot, idempotency_key, 0, now)

    async def accept_all(
        self, ballots: Sequence[Ballot], idempotency_key: str | None = None
    ) -> list[Receipt]:
        """Accepts all ballots in one publish, or none: `BatchRefused` names each fault by its index."""
        votes: list[Vote] = []
        faults: dict[int, TurnoutError] = {}
        polls: dict[str, Poll | TurnoutError] = {}
        for poll_id in dict.fromkeys(ballot.poll for ballot in ballots):
            polls[poll_id] = await self._poll_or_fault(poll_id)
        for poll in polls.values():
            if isinstance(poll, Poll):
                self._expect_fresh(poll.id)
        # One moment for all, after the last wait: a poll that closed meanwhile is closed for all of them.
        now = self._clock.now()
        for index, ballot in enumerate(ballots):
            poll = polls[ballot.poll]
            try:
                if isinstance(poll, TurnoutError):
                    raise poll
                votes.append(self._admit(ballot, poll, idempotency_key, index, now))
            except TurnoutError as fault:
                faults[index] = fault
        if faults:
            raise BatchRefused(faults, len(ballots), "votes")
        await self._batcher.add(votes)
        return [self._receipt(ballot, idempotency_key, index, now) for index, ballot in enumerate(ballots)]

    def _expect_fresh(self, poll_id: str) -> None:
        """Refuses to judge by a poll that was read so slowly that it may have been closed by hand since."""
        if not self._polls.is_fresh(poll_id):
            raise ServiceUnavailable(
                "The polls' store", "it answers too slowly to tell whether the poll is open"
            )

    async def _poll_or_fault(self, poll_id: str) -> Poll | TurnoutError:
        try:
            return await self._polls.get(poll_id)
        except PollUnknown as fault:
            return fault

    def _admit(
        self, ballot: Ballot, poll: Poll, idempotency_key: str | None, index: int, now: datetime
    ) -> Vote:
        poll.admit(now)
        choice = poll.find(ballot.choice)
        return Vote(poll.id, choice, self._key(ballot, poll, idempotency_key, index))

    def _key(self, ballot: Ballot, poll: Poll, idempotency_key: str | None, index: int) -> bytes:
        if poll.one_per is OnePer.VOTER and ballot.voter is None:
            raise KeyMissing(poll.id, "voter", field="/voter")
        if poll.one_per is OnePer.VOTER or (poll.one_per is OnePer.KEY and ballot.voter is not None):
            return self._hasher.voter_key(poll.id, ballot.voter or "")
        if idempotency_key is not None:
            return self._hasher.request_key(poll.id, idempotency_key, index)
        if poll.one_per is OnePer.KEY:
            raise KeyMissing(poll.id, "key", field="Idempotency-Key")
        return b""

    def _receipt(self, ballot: Ballot, idempotency_key: str | None, index: int, now: datetime) -> Receipt:
        if idempotency_key is None:
            vote_id = self._new_vote_id()
        else:
            vote_id = self._hasher.vote_id(ballot.poll, idempotency_key, index)
        return Receipt(vote_id, ballot.poll, ballot.choice, now)


def assemble_intake(
    topic: Topic,
    polls: PollStore,
    hasher: Hasher,
    settings: VoteSettings,
    *,
    clock: Clock,
    chance: Chance,
    new_id: NewId,
    new_vote_id: Callable[[], str],
) -> Intake:
    """The intake of one instance, with its batcher and its cache of polls."""
    batcher = vote_batcher(topic, settings, clock=clock, chance=chance, new_id=new_id)
    cache = PollCache(polls, settings, clock=clock)
    return Intake(cache, batcher, hasher, clock=clock, new_vote_id=new_vote_id)


def vote_batcher(
    topic: Topic, settings: VoteSettings, *, clock: Clock, chance: Chance, new_id: NewId
) -> VoteBatcher:
    """Packs the votes that arrive together into bundles and publishes them."""
    bounds = BatcherBounds(
        enough_items=settings.bundle_votes_max,
        pending_items_max=settings.pending_votes_max,
        flushes_in_flight_max=settings.publishes_in_flight_max,
    )
    gather = partial(Bundling, votes_max=settings.bundle_votes_max, clock=clock, new_id=new_id)
    return publishing_batcher(gather, topic, bounds, settings, clock=clock, chance=chance)

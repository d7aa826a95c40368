"""Bundling: the votes that travel together, as the messages of one publish request."""

from collections.abc import Sequence

from turnout.base.chance import NewId
from turnout.base.clock import Clock
from turnout.queue.message import PUBLISH_MESSAGES_MAX, Outgoing
from turnout.votes.bundle import encode, pack
from turnout.votes.vote import Vote


class Bundling:
    """Votes on their way into bundles of one poll and at most `votes_max` votes each, a message a bundle."""

    def __init__(self, *, votes_max: int, clock: Clock, new_id: NewId) -> None:
        self._votes_max = votes_max
        self._clock = clock
        self._new_id = new_id
        self._votes = 0
        self._of_poll: dict[str, list[Vote]] = {}

    def fits(self, votes: Sequence[Vote]) -> bool:
        """Whether the bundles of all votes are few enough for one request, were all these polls new ones."""
        polls = 1 if len(votes) == 1 else len({vote.poll for vote in votes})
        full_bundles = (self._votes + len(votes)) // self._votes_max
        return len(self._of_poll) + polls + full_bundles <= PUBLISH_MESSAGES_MAX

    def add(self, votes: Sequence[Vote]) -> None:
        """Gathers votes."""
        for vote in votes:
            self._of_poll.setdefault(vote.poll, []).append(vote)
        self._votes += len(votes)

    def pack(self) -> list[Outgoing]:
        """The bundles as messages; they are accepted now."""
        accepted_at_ms = int(self._clock.now().timestamp() * 1000)
        return [
            Outgoing(
                encode(pack(self._new_id(), poll, accepted_at_ms, votes[start : start + self._votes_max]))
            )
            for poll, votes in self._of_poll.items()
            for start in range(0, len(votes), self._votes_max)
        ]

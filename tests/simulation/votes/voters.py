"""The voters of a run: every vote has a choice of its own, so that the final counts tell what became of each."""

from dataclasses import dataclass, field
from enum import Enum

from turnout.votes.ballot import Ballot
from turnout.votes.poll import OnePer, Poll


class Answer(Enum):
    """What a client was told about one attempt to vote."""

    PROMISED = "promised"
    #: The vote was refused before it came near the queue.
    REFUSED = "refused"
    #: 503, a broken connection, or no answer: it may be counted.
    UNKNOWN = "unknown"


@dataclass
class Vote:
    """A vote, however often it is sent; `key` is what makes it unique in its poll, or empty."""

    poll: str
    choice: int
    key: str
    answers: list[Answer] = field(default_factory=list)


@dataclass
class Request:
    """What a client sends, and sends again when it does not know the outcome."""

    ballots: tuple[Ballot, ...]
    idempotency_key: str | None
    votes: tuple[Vote, ...]
    #: Without a key, a client that sends again votes again.
    attempts_max: int

    def answered(self, answer: Answer) -> None:
        for vote in self.votes:
            vote.answers.append(answer)


class Register:
    """All votes that were ever sent, and what the counts of each poll must therefore be."""

    def __init__(self) -> None:
        self._votes: dict[str, list[Vote]] = {}

    def new_vote(self, poll: Poll, key: str) -> Vote:
        votes = self._votes.setdefault(poll.id, [])
        vote = Vote(poll.id, len(votes), key)
        votes.append(vote)
        return vote

    def is_full(self, poll: Poll, votes: int) -> bool:
        return len(self._votes.get(poll.id, [])) + votes > len(poll.choices)

    def promised(self, poll_id: str) -> int:
        return sum(vote.answers.count(Answer.PROMISED) for vote in self._votes.get(poll_id, []))

    def unknown(self, poll_id: str) -> int:
        return sum(vote.answers.count(Answer.UNKNOWN) for vote in self._votes.get(poll_id, []))

    def faults(self, poll_id: str, counts: tuple[int, ...]) -> list[str]:
        """What is wrong with a poll's final counts, as sentences."""
        votes = self._votes.get(poll_id, [])
        faults = [
            f"choice {choice} of poll {poll_id} was never sent, but has {count} votes"
            for choice, count in enumerate(counts)
            if choice >= len(votes) and count
        ]
        groups: dict[str, list[Vote]] = {}
        for vote in votes:
            groups.setdefault(vote.key or f"choice {vote.choice}", []).append(vote)
            if counts[vote.choice] and not _may_count(vote):
                faults.append(
                    f"choice {vote.choice} of poll {poll_id} was counted, but every attempt was refused"
                )
        for key, group in groups.items():
            counted = sum(counts[vote.choice] for vote in group)
            promised = any(Answer.PROMISED in vote.answers for vote in group)
            if counted > 1:
                faults.append(f"{key} was counted {counted} times in poll {poll_id}")
            elif promised and not counted:
                faults.append(f"{key} was promised in poll {poll_id}, but is not counted")
        return faults


def key_of(poll: Poll, ballot: Ballot, idempotency_key: str | None, index: int) -> str:
    """What makes a vote unique in its poll, as the design says it."""
    if poll.one_per is OnePer.VOTER or (poll.one_per is OnePer.KEY and ballot.voter):
        return f"voter {ballot.voter}"
    return f"request {idempotency_key}, {index}" if idempotency_key else ""


def _may_count(vote: Vote) -> bool:
    return any(answer is not Answer.REFUSED for answer in vote.answers)

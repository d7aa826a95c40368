"""What a restore would replace: each poll as it stands in the databases in use, beside the same poll in those that were restored."""

import msgspec

from turnout.votes.ports import Counters, PollStore, Tallies

POLLS_MAX = 10_000


class Standing(msgspec.Struct, frozen=True):
    """A poll's totals in one pair of databases; `persisted` is None where no tally was persisted yet."""

    votes: int
    duplicates: int
    persisted: int | None


class Difference(msgspec.Struct, frozen=True):
    """A poll that a restore changes: None is a poll that there is not."""

    poll: str
    now: Standing | None
    then: Standing | None

    def __str__(self) -> str:
        """What happens to the poll, for a person."""
        if self.now is None:
            return f"{self.poll}: comes back, {_said(self.then)}"
        if self.then is None:
            return f"{self.poll}: is lost, {_said(self.now)}"
        return f"{self.poll}: {_said(self.now)} become {_said(self.then)}"


async def standings(polls: PollStore, counters: Counters, tallies: Tallies) -> dict[str, Standing]:
    """Every poll's totals, by its id."""
    found = {}
    async for poll in polls.list(POLLS_MAX):
        tally = await counters.tally(poll)
        persisted = await tallies.get(poll.id)
        found[poll.id] = Standing(
            tally.votes, tally.duplicates, None if persisted is None else persisted.votes
        )
    return found


def differences(now: dict[str, Standing], then: dict[str, Standing]) -> list[Difference]:
    """The polls that a restore changes, by id."""
    return [
        Difference(poll, now.get(poll), then.get(poll))
        for poll in sorted(now.keys() | then.keys())
        if now.get(poll) != then.get(poll)
    ]


def _said(standing: Standing | None) -> str:
    if standing is None:
        return "nothing"
    persisted = "none" if standing.persisted is None else f"{standing.persisted:,}"
    return f"{standing.votes:,} votes ({standing.duplicates:,} duplicates, {persisted} persisted)"

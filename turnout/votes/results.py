"""Results: a poll's totals as people read them, live from the shards or as persisted."""

from datetime import datetime
from typing import Literal

import msgspec

from turnout.base.clock import Clock
from turnout.base.single_flight import SingleFlight
from turnout.votes.poll import Poll, State
from turnout.votes.poll_cache import PollCache
from turnout.votes.ports import Counters, Tallies
from turnout.votes.settings import VoteSettings
from turnout.votes.tally import Tally

Source = Literal["live", "persisted"]


class ChoiceResult(msgspec.Struct, frozen=True):
    """One choice's votes, and their share of all in percent, to two places."""

    choice: str
    votes: int
    percent: float


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A poll's totals at a moment."""

    poll: str
    title: str
    state: State
    source: Source
    choices: tuple[ChoiceResult, ...]
    votes: int
    duplicates: int
    #: The moment of the read; None: nothing is persisted yet.
    as_of: datetime | None
    opens_at: datetime
    closes_at: datetime
    certified_at: datetime | None


class ResultsReader:
    """Reads results; live ones are read from the shards once in a while, however many ask."""

    def __init__(
        self,
        polls: PollCache,
        counters: Counters,
        tallies: Tallies,
        settings: VoteSettings,
        *,
        clock: Clock,
    ) -> None:
        self._polls = polls
        self._tallies = tallies
        self._clock = clock
        self._cache_seconds = settings.results_cache_seconds
        self._counters = counters
        self._live = SingleFlight[str, Tally](
            self._tally, keys_max=settings.poll_cache_polls_max, clock=clock
        )

    async def read(self, poll_id: str, source: Source) -> Results:
        """A poll's results; `PollUnknown` if there is no such poll."""
        poll = await self._polls.get(poll_id)
        if source == "live":
            tally = await self._live.get(poll.id, age_seconds_max=self._cache_seconds)
            return self._results(poll, tally, source)
        return self._results(poll, await self._tallies.get(poll.id), source)

    async def _tally(self, poll_id: str) -> Tally:
        return await self._counters.tally(await self._polls.get(poll_id))

    def _results(self, poll: Poll, tally: Tally | None, source: Source) -> Results:
        counts = tally.counts if tally else (0,) * len(poll.choices)
        votes = tally.votes if tally else 0
        return Results(
            poll=poll.id,
            title=poll.title,
            state=poll.state(self._clock.now()),
            source=source,
            choices=tuple(
                ChoiceResult(choice, number, round(100 * number / votes, 2) if votes else 0.0)
                for choice, number in zip(poll.choices, counts, strict=True)
            ),
            votes=votes,
            duplicates=tally.duplicates if tally else 0,
            as_of=tally.as_of if tally else None,
            opens_at=poll.opens_at,
            closes_at=poll.closes_at,
            certified_at=poll.certified_at,
        )

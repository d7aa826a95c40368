"""Results: a poll's totals as people read them, live from the shards or as persisted."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec

from turnout.votes.poll import Poll, State
from turnout.votes.poll_cache import PollCache
from turnout.votes.ports import Clock, Counters, Tallies
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
    """Reads results; live ones are read from the shards once in `cache_seconds`, however many ask."""

    def __init__(
        self,
        polls: PollCache,
        counters: Counters,
        tallies: Tallies,
        *,
        cache_seconds: float,
        polls_max: int,
        clock: Clock,
        monotonic: Callable[[], float],
    ) -> None:
        self._polls = polls
        self._counters = counters
        self._tallies = tallies
        self._cache_seconds = cache_seconds
        self._polls_max = polls_max
        self._clock = clock
        self._monotonic = monotonic
        self._tallied: OrderedDict[str, tuple[float, Tally]] = OrderedDict()
        self._readings: dict[str, asyncio.Task[Tally]] = {}

    async def read(self, poll_id: str, source: Source) -> Results:
        """A poll's results; `PollUnknown` if there is no such poll."""
        poll = await self._polls.get(poll_id)
        if source == "live":
            return self._results(poll, await self._live(poll), source)
        return self._results(poll, await self._tallies.get(poll.id), source)

    async def _live(self, poll: Poll) -> Tally:
        found = self._tallied.get(poll.id)
        if found is not None and self._monotonic() < found[0] + self._cache_seconds:
            return found[1]
        reading = self._readings.get(poll.id)
        if reading is None:
            reading = asyncio.get_running_loop().create_task(self._read_now(poll))
            self._readings[poll.id] = reading
            reading.add_done_callback(lambda _: self._readings.pop(poll.id, None))
        # Shielded: readers share the read, and one that goes away must not take it along.
        return await asyncio.shield(reading)

    async def _read_now(self, poll: Poll) -> Tally:
        began_at = self._monotonic()
        tally = await self._counters.tally(poll)
        self._tallied[poll.id] = (began_at, tally)
        self._tallied.move_to_end(poll.id)
        while len(self._tallied) > self._polls_max:
            self._tallied.popitem(last=False)
        return tally

    def _results(self, poll: Poll, tally: Tally | None, source: Source) -> Results:
        counts = tally.counts if tally else (0,) * len(poll.choices)
        votes = tally.votes if tally else 0
        return Results(
            poll=poll.id,
            title=poll.title,
            state=poll.state(self._clock()),
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

"""Results: shares in percent, live ones read once in a while, persisted ones as they stand."""

from datetime import timedelta

import pytest

from tests.factories import DAY, NOON, FixedClock, make_poll, make_settings
from turnout.memory.votes import MemoryCounters, MemoryPollStore, MemoryTallies
from turnout.votes.errors import PollUnknown
from turnout.votes.fold import Delta, Posting
from turnout.votes.poll import Poll, State
from turnout.votes.poll_cache import PollCache
from turnout.votes.results import ChoiceResult, Results, ResultsReader, Source
from turnout.votes.tally import Tally


class Counters(MemoryCounters):
    """Counts its reads."""

    reads = 0

    async def tally(self, poll: Poll) -> Tally:
        self.reads += 1
        return await super().tally(poll)


class Scene:
    """A reader in memory."""

    def __init__(self) -> None:
        settings = make_settings(results_cache_seconds=1.0)
        self.clock = FixedClock()
        self.polls = MemoryPollStore()
        self.counters = Counters(clock=self.clock)
        self.tallies = MemoryTallies()
        cache = PollCache(self.polls, settings, clock=self.clock)
        self.reader = ResultsReader(cache, self.counters, self.tallies, settings, clock=self.clock)

    async def count(self, *counts: int, duplicates: int = 0) -> None:
        delta = Delta("finals", 0, dict(enumerate(counts)), sum(counts), duplicates, bundles=1)
        await self.counters.commit(Posting(deltas=(delta,)))


async def scene() -> Scene:
    here = Scene()
    await here.polls.create(make_poll())
    return here


async def test_live_results_are_the_shards_sums_with_shares_in_percent() -> None:
    here = await scene()
    await here.count(1, 2, 0, duplicates=4)
    assert await here.reader.read("finals", "live") == Results(
        poll="finals",
        title="Finals",
        state=State.OPEN,
        source="live",
        choices=(
            ChoiceResult("Ada", 1, 33.33),
            ChoiceResult("Bob", 2, 66.67),
            ChoiceResult("Eve", 0, 0.0),
        ),
        votes=3,
        duplicates=4,
        as_of=NOON,
        opens_at=NOON,
        closes_at=NOON + DAY,
        certified_at=None,
    )


@pytest.mark.parametrize(("source", "as_of"), [("live", NOON), ("persisted", None)])
async def test_without_votes_every_share_is_nought(source: Source, as_of: object) -> None:
    here = await scene()
    read = await here.reader.read("finals", source)
    assert [(each.votes, each.percent) for each in read.choices] == [(0, 0.0)] * 3
    assert (read.votes, read.duplicates, read.as_of) == (0, 0, as_of)


async def test_live_results_are_read_once_a_second_however_many_ask() -> None:
    here = await scene()
    for seconds in (0.0, 0.5, 0.999, 1.0, 1.5):
        here.clock.seconds = seconds
        await here.count(1)
        last = await here.reader.read("finals", "live")
    assert here.counters.reads == 2
    assert (last.votes, last.as_of) == (4, NOON + timedelta(seconds=1))


async def test_persisted_results_are_the_tally_whatever_the_shards_say() -> None:
    here = await scene()
    await here.count(9)
    tally = Tally(poll="finals", counts=(1, 1, 2), votes=4, duplicates=5, as_of=NOON)
    await here.tallies.put(tally, make_poll(), NOON)
    read = await here.reader.read("finals", "persisted")
    assert [each.percent for each in read.choices] == [25.0, 25.0, 50.0]
    assert (read.source, read.votes, read.duplicates, here.counters.reads) == ("persisted", 4, 5, 0)


async def test_a_poll_that_there_is_not_has_no_results() -> None:
    with pytest.raises(PollUnknown):
        await Scene().reader.read("finals", "live")

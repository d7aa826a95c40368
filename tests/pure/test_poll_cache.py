"""The poll cache: one read for many, and nothing older than it may be."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.factories import FixedClock, make_poll, make_settings
from turnout.base.errors import ServiceUnavailable
from turnout.votes.errors import PollUnknown
from turnout.votes.poll import Poll
from turnout.votes.poll_cache import PollCache


class CountingPolls:
    """A store that counts its reads, and may fail."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.known = {"finals": make_poll()}
        self.failing = False

    async def get(self, poll_id: str) -> Poll | None:
        self.reads.append(poll_id)
        await asyncio.sleep(0)
        if self.failing:
            raise ServiceUnavailable("Firestore", "it is away")
        return self.known.get(poll_id)

    async def create(self, poll: Poll) -> None:
        raise NotImplementedError

    async def replace(self, old: Poll, new: Poll) -> None:
        raise NotImplementedError

    def list(self, limit: int) -> AsyncIterator[Poll]:
        raise NotImplementedError


def make_cache(polls: CountingPolls, clock: FixedClock, polls_max: int = 10) -> PollCache:
    settings = make_settings(poll_cache_seconds=4.0, poll_cache_polls_max=polls_max)
    return PollCache(polls, settings, clock=clock)


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_many_callers_share_one_read() -> None:
    polls, clock = CountingPolls(), FixedClock()
    cache = make_cache(polls, clock)
    await asyncio.gather(*(cache.get("finals") for _ in range(50)))
    await cache.get("finals")
    assert polls.reads == ["finals"]


async def test_a_poll_in_use_is_read_again_at_half_its_age_without_a_wait() -> None:
    polls, clock = CountingPolls(), FixedClock()
    cache = make_cache(polls, clock)
    old = await cache.get("finals")
    polls.known["finals"] = make_poll(title="New")
    clock.seconds = 2.5
    assert await cache.get("finals") is old
    await turn()
    assert (await cache.get("finals")).title == "New"
    assert len(polls.reads) == 2


async def test_nothing_older_than_its_time_is_used_even_if_the_store_is_away() -> None:
    polls, clock = CountingPolls(), FixedClock()
    cache = make_cache(polls, clock)
    await cache.get("finals")
    polls.failing = True
    clock.seconds = 3.9
    await cache.get("finals")
    await turn()
    clock.seconds = 4.0
    assert not cache.is_fresh("finals")
    with pytest.raises(ServiceUnavailable):
        await cache.get("finals")
    polls.failing = False
    assert (await cache.get("finals")).id == "finals"


async def test_an_unknown_poll_is_asked_for_again_within_a_second() -> None:
    polls, clock = CountingPolls(), FixedClock()
    cache = make_cache(polls, clock)
    for _ in range(3):
        with pytest.raises(PollUnknown):
            await cache.get("later")
    assert polls.reads == ["later"]
    polls.known["later"] = make_poll(id="later")
    clock.seconds = 1.0
    assert (await cache.get("later")).id == "later"


async def test_what_is_no_id_is_never_asked_for() -> None:
    polls, clock = CountingPolls(), FixedClock()
    for odd in ("", "UPPER", "../x", "x" * 10_000, "\x00"):
        with pytest.raises(PollUnknown):
            await make_cache(polls, clock).get(odd)
    assert polls.reads == []


async def test_the_cache_is_bounded() -> None:
    polls, clock = CountingPolls(), FixedClock()
    cache = make_cache(polls, clock, polls_max=2)
    for poll in ("a", "b", "c"):
        polls.known[poll] = make_poll(id=poll)
        await cache.get(poll)
    await cache.get("c")
    await cache.get("a")
    assert polls.reads == ["a", "b", "c", "a"]


async def test_a_caller_that_goes_away_takes_no_read_along() -> None:
    polls, clock = CountingPolls(), FixedClock()
    cache = make_cache(polls, clock)
    leaver, stayer = (asyncio.create_task(cache.get("finals")) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    assert (await stayer).id == "finals"

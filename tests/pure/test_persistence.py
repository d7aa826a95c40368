"""Persistence: totals never go back, and a poll is certified when, and only when, all its votes are counted."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.factories import NOON, FixedClock, make_poll, make_settings
from turnout.base.errors import ServiceUnavailable
from turnout.memory.queue import MemoryConsumerLog
from turnout.memory.votes import MemoryCounters, MemoryPollStore, MemoryTallies
from turnout.queue.ports import ConsumerRecord
from turnout.votes.errors import NotCertifiable, PollUnknown
from turnout.votes.fold import Delta, Posting
from turnout.votes.ledger import BundleEntry, bundle_prefix
from turnout.votes.persistence import FINISHING_MAX, Persistence, PersistReport
from turnout.votes.poll import Poll, State
from turnout.votes.tally import Tally

MINUTE = timedelta(minutes=1)
POLL = make_poll(closes_at=NOON + MINUTE)
#: Long enough after the close for every publish and lease to have ended.
LATER = 3_600.0


class Tallies(MemoryTallies):
    """Fails as often as it is told."""

    failures = 0

    async def put(self, tally: Tally, poll: Poll, slot: datetime) -> bool:
        if self.failures:
            self.failures -= 1
            raise ServiceUnavailable("Datastore", "it is away")
        return await super().put(tally, poll, slot)


class Counters(MemoryCounters):
    """Knows how many polls were read at once."""

    reading = 0
    reading_most = 0

    async def tally(self, poll: Poll) -> Tally:
        self.reading += 1
        self.reading_most = max(self.reading_most, self.reading)
        await asyncio.sleep(0)
        self.reading -= 1
        return await super().tally(poll)


class Scene:
    """Persistence in memory, with three votes and a duplicate in the finals."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FixedClock()
        self.polls = MemoryPollStore()
        self.counters = Counters(clock=self.clock)
        self.tallies = Tallies()
        self.log = MemoryConsumerLog()
        self.persistence = Persistence(
            self.polls,
            self.counters,
            self.log,
            self.tallies,
            make_settings(**settings),
            clock=self.clock,
        )

    async def count(self, number: int = 0, poll: Poll = POLL) -> None:
        entry = BundleEntry(f"{bundle_prefix(poll.id)}{number:032x}", poll.id, 3, 1, 0, NOON)
        delta = Delta(poll.id, 1, {0: 2, 1: 1}, votes=3, duplicates=1, bundles=1)
        await self.counters.commit(Posting(bundles=(entry,), deltas=(delta,)))

    async def persist(self) -> PersistReport:
        return await self.persistence.persist_all(self.clock.now())

    async def drain(self) -> None:
        """A consumer that has just seen the queue empty, and ended."""
        now = self.clock.now()
        await self.log.record(
            ConsumerRecord(id="drain", started_at=now, seen_at=now, empty_at=now, ended_at=now)
        )

    async def state(self) -> State:
        poll = await self.polls.get(POLL.id)
        assert poll is not None
        return poll.state(self.clock.now())


async def counted() -> Scene:
    here = Scene()
    await here.polls.create(POLL)
    await here.count()
    return here


async def closed_and_drained() -> Scene:
    here = await counted()
    here.clock.seconds = LATER
    await here.drain()
    return here


async def test_an_open_poll_is_persisted_as_of_the_slot() -> None:
    here = await counted()
    assert (await here.persist()).persisted == ("finals",)
    assert await here.tallies.get("finals") == Tally(
        poll="finals", counts=(2, 1, 0), votes=3, duplicates=1, as_of=NOON
    )


async def test_a_run_that_comes_twice_changes_nothing() -> None:
    here = await counted()
    slot = here.clock.now()
    await here.persist()
    here.clock.seconds += 1
    assert (await here.persistence.persist_all(slot)).unchanged == ("finals",)
    assert len(await here.tallies.history("finals", 10)) == 1


async def test_a_poll_that_has_not_opened_is_left_alone() -> None:
    here = await counted()
    here.clock.seconds = -1
    assert await here.persist() == PersistReport(slot=here.clock.now())
    assert await here.tallies.get("finals") is None


async def test_one_poll_that_cannot_be_persisted_keeps_no_other_from_it() -> None:
    here = await counted()
    await here.polls.create(make_poll(id="semis"))
    here.tallies.failures = 1
    report = await here.persist()
    assert sorted(report.persisted + report.failed) == ["finals", "semis"]
    assert len(report.failed) == 1


async def test_no_more_polls_are_persisted_at_once_than_the_settings_allow() -> None:
    here = Scene(persist_in_flight_max=2)
    for number in range(6):
        await here.polls.create(make_poll(id=f"poll-{number}"))
    assert len((await here.persist()).persisted) == 6
    assert here.counters.reading_most == 2


async def test_no_more_polls_are_taken_on_than_the_settings_allow() -> None:
    here = Scene(persist_polls_max=2)
    for number in range(3):
        await here.polls.create(make_poll(id=f"poll-{number}", created_at=NOON + number * MINUTE))
    assert (await here.persist()).persisted == ("poll-1", "poll-2")


async def test_a_closed_poll_whose_queue_is_drained_is_certified_once() -> None:
    here = await closed_and_drained()
    assert (await here.persist()).certified == ("finals",)
    assert await here.state() is State.CERTIFIED
    tally = await here.tallies.get("finals")
    assert tally is not None
    assert (tally.votes, tally.certified_at) == (3, here.clock.now())
    here.clock.seconds += 60
    assert (await here.persist()).unchanged == ("finals",)


async def test_until_it_can_be_certified_a_closed_poll_is_persisted() -> None:
    here = await counted()
    here.clock.seconds = LATER
    assert (await here.persist()).persisted == ("finals",)
    assert await here.state() is State.CLOSED


async def test_a_poll_by_hand_is_certified_and_a_second_time_is_as_it_was() -> None:
    here = await closed_and_drained()
    first = await here.persistence.certify("finals")
    here.clock.seconds += 60
    assert await here.persistence.certify("finals") == first
    assert first.certified_at == NOON + timedelta(seconds=LATER)
    assert [tally.certified_at for _, tally in await here.tallies.history("finals", 10)] == [
        first.certified_at
    ]


async def test_a_poll_that_there_is_not_cannot_be_certified() -> None:
    with pytest.raises(PollUnknown):
        await Scene().persistence.certify("finals")


async def refusal(here: Scene) -> str:
    with pytest.raises(NotCertifiable) as refused:
        await here.persistence.certify("finals")
    assert await here.state() is not State.CERTIFIED
    assert await here.tallies.get("finals") is None
    return str(refused.value)


async def test_an_open_poll_cannot_be_certified() -> None:
    here = await counted()
    await here.drain()
    here.clock.seconds = MINUTE.total_seconds() - 0.001
    assert "it has not closed" in await refusal(here)


async def test_while_publishes_may_be_under_way_nothing_is_certified() -> None:
    here = Scene(publish_deadline_seconds=10.0)
    await here.polls.create(POLL)
    await here.count()
    # Twice the deadline, and two seconds between clocks.
    here.clock.seconds = MINUTE.total_seconds() + 21.999
    await here.drain()
    assert "publishes that began before it closed" in await refusal(here)
    here.clock.seconds += 0.001
    assert "publishes" not in await refusal(here)


async def test_a_queue_that_nobody_saw_empty_is_not_drained() -> None:
    here = await counted()
    here.clock.seconds = LATER
    assert "nobody has seen the queue empty" in await refusal(here)


async def test_books_that_do_not_balance_are_not_certified_and_say_where() -> None:
    here = await closed_and_drained()
    here.counters.shard("finals", 1).duplicates += 1
    assert "the shards hold 2 duplicates, the ledger 1" in await refusal(here)


async def test_votes_that_come_between_the_two_reads_put_the_certification_off() -> None:
    here = await closed_and_drained()
    books = here.counters.books

    async def and_then_more(poll: Poll) -> Any:
        read = await books(poll)
        await here.count(1)
        return read

    here.counters.books = and_then_more  # type: ignore[method-assign]
    assert "votes are still being counted" in await refusal(here)


async def test_a_run_that_ended_between_mark_and_tally_is_finished_by_the_next() -> None:
    here = await closed_and_drained()
    here.tallies.failures = 1
    assert (await here.persist()).failed == ("finals",)
    assert await here.state() is State.CERTIFIED
    assert await here.tallies.get("finals") is None
    here.clock.seconds += 60
    assert (await here.persist()).certified == ("finals",)
    tally = await here.tallies.get("finals")
    assert tally is not None
    assert (tally.votes, tally.certified_at) == (3, NOON + timedelta(seconds=LATER))


async def test_what_is_left_of_a_certification_is_finished_by_hand_too() -> None:
    here = await closed_and_drained()
    here.tallies.failures = 1
    with pytest.raises(ServiceUnavailable):
        await here.persistence.certify("finals")
    await here.persistence.certify("finals")
    tally = await here.tallies.get("finals")
    assert tally is not None
    assert tally.certified_at is not None


@pytest.mark.parametrize("early_seconds", [1.0, 0.0])
async def test_runs_look_after_a_certified_poll_for_a_day(early_seconds: float) -> None:
    here = await closed_and_drained()
    here.tallies.failures = 1
    await here.persist()
    here.clock.seconds += FINISHING_MAX.total_seconds() - early_seconds
    assert (await here.persist()).certified == (("finals",) if early_seconds else ())


async def test_a_slot_that_is_taken_leaves_the_certified_tally_to_the_next() -> None:
    here = await closed_and_drained()
    slot = here.clock.now()
    marked = Tally(poll="finals", counts=(2, 1, 0), votes=3, duplicates=1, as_of=NOON)
    await here.tallies.put(marked, POLL, slot)
    assert (await here.persistence.persist_all(slot)).failed == ()
    assert await here.state() is State.CERTIFIED
    here.clock.seconds += 60
    assert (await here.persist()).certified == ("finals",)
    tally = await here.tallies.get("finals")
    assert tally is not None
    assert tally.certified_at is not None


class Refusing(Tallies):
    """Takes nothing, and says that something else is there."""

    present: Tally | None = None

    async def put(self, tally: Tally, poll: Poll, slot: datetime) -> bool:
        return False

    async def get(self, poll_id: str) -> Tally | None:
        return self.present


CERTIFIED = Tally(poll="finals", counts=(2, 1, 0), votes=3, duplicates=1, as_of=NOON, certified_at=NOON)


@pytest.mark.parametrize(
    ("present", "fault"),
    [
        (CERTIFIED, None),
        (None, ServiceUnavailable),
        (Tally(poll="finals", counts=(2, 1, 0), votes=3, duplicates=1, as_of=NOON), NotCertifiable),
        (
            Tally(poll="finals", counts=(2, 0, 1), votes=3, duplicates=1, as_of=NOON, certified_at=NOON),
            NotCertifiable,
        ),
    ],
    ids=["the same", "nothing", "not certified", "other counts"],
)
async def test_a_refused_tally_is_fine_only_if_the_same_is_there(
    present: Tally | None, fault: type[Exception] | None
) -> None:
    here = await closed_and_drained()
    refusing = Refusing()
    refusing.present = present
    persistence = Persistence(
        here.polls, here.counters, here.log, refusing, make_settings(), clock=here.clock
    )
    if fault is None:
        assert (await persistence.certify("finals")).certified_at is not None
    else:
        with pytest.raises(fault):
            await persistence.certify("finals")

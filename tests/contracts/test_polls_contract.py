"""The contract of the polls' settings and of the drains' records."""

from datetime import timedelta

import msgspec
import pytest

from tests.contracts.services import NOON, Services, a_poll, at
from turnout.queue.ports import ConsumerRecord
from turnout.votes.errors import PollChanged, PollExists
from turnout.votes.poll import CHOICES_MAX, Poll


async def listed(services: Services, limit: int) -> list[Poll]:
    return [poll async for poll in services.polls.list(limit)]


async def test_a_created_poll_is_read_as_it_was_written(services: Services) -> None:
    poll = msgspec.structs.replace(a_poll(), certified_at=at(0.000001))
    await services.polls.create(poll)

    assert await services.polls.get(poll.id) == poll


async def test_a_poll_with_all_choices_is_read_as_it_was_written(services: Services) -> None:
    poll = a_poll(choices=CHOICES_MAX)
    await services.polls.create(poll)

    assert await services.polls.get(poll.id) == poll


async def test_a_poll_that_was_never_created_is_none(services: Services) -> None:
    assert await services.polls.get("finals") is None


async def test_a_second_poll_with_the_same_id_is_refused_and_changes_nothing(services: Services) -> None:
    await services.polls.create(a_poll())

    with pytest.raises(PollExists):
        await services.polls.create(a_poll(choices=5))

    assert await services.polls.get("finals") == a_poll()


async def test_a_poll_is_replaced(services: Services) -> None:
    old = a_poll()
    new = msgspec.structs.replace(old, title="Renamed", certified_at=NOON)
    await services.polls.create(old)

    await services.polls.replace(old, new)

    assert await services.polls.get(old.id) == new


async def test_a_poll_that_somebody_else_changed_is_not_replaced(services: Services) -> None:
    old = a_poll()
    theirs = msgspec.structs.replace(old, title="Theirs")
    await services.polls.create(old)
    await services.polls.replace(old, theirs)

    with pytest.raises(PollChanged):
        await services.polls.replace(old, msgspec.structs.replace(old, title="Ours"))

    assert await services.polls.get(old.id) == theirs


async def test_a_poll_that_does_not_exist_is_not_replaced(services: Services) -> None:
    with pytest.raises(PollChanged):
        await services.polls.replace(a_poll(), a_poll())

    assert await services.polls.get("finals") is None


async def test_polls_are_listed_newest_first_up_to_the_limit(services: Services) -> None:
    for poll_id, seconds in (("second", 2), ("third", 3), ("first", 1)):
        await services.polls.create(a_poll(poll_id, created_at=at(seconds)))

    assert [poll.id for poll in await listed(services, 10)] == ["third", "second", "first"]
    assert [poll.id for poll in await listed(services, 2)] == ["third", "second"]


async def test_without_polls_the_list_is_empty(services: Services) -> None:
    assert await listed(services, 10) == []


async def test_a_drain_s_later_record_takes_the_place_of_its_earlier_one(services: Services) -> None:
    first = ConsumerRecord(id="drain-1", started_at=NOON, seen_at=NOON)
    later = ConsumerRecord(
        id="drain-1", started_at=NOON, seen_at=at(9), leased_at=at(3), empty_at=at(4.000001), ended_at=at(9)
    )
    await services.consumer_log.record(first)
    assert await services.consumer_log.since(NOON) == [first]

    await services.consumer_log.record(later)

    assert await services.consumer_log.since(NOON) == [later]


async def test_what_a_later_record_leaves_out_is_gone(services: Services) -> None:
    full = ConsumerRecord(id="drain-1", started_at=NOON, seen_at=NOON, leased_at=NOON, empty_at=NOON)
    bare = ConsumerRecord(id="drain-1", started_at=NOON, seen_at=at(1))
    await services.consumer_log.record(full)
    await services.consumer_log.record(bare)

    assert await services.consumer_log.since(NOON) == [bare]


async def test_drains_are_found_by_when_they_were_last_seen(services: Services) -> None:
    records = [
        ConsumerRecord(id=f"drain-{second}", started_at=NOON, seen_at=at(second)) for second in range(4)
    ]
    for record in records:
        await services.consumer_log.record(record)

    since = await services.consumer_log.since(NOON + timedelta(seconds=2))

    assert sorted(record.id for record in since) == ["drain-2", "drain-3"]

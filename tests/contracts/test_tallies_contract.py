"""The contract of the persisted tallies: totals never go back."""

import asyncio

import pytest

from tests.contracts.services import NOON, Services, a_poll, a_tally, at

POLL = a_poll()


async def test_a_poll_that_was_never_persisted_has_no_tally_and_no_history(services: Services) -> None:
    assert await services.tallies.get("finals") is None
    assert await services.tallies.history("finals", 10) == []


async def test_a_tally_is_read_as_it_was_put(services: Services) -> None:
    tally = a_tally(7, as_of=at(0.000001), certified_at=at(2))

    assert await services.tallies.put(tally, POLL, NOON) is True

    assert await services.tallies.get("finals") == tally
    assert await services.tallies.history("finals", 10) == [(NOON, tally)]


async def test_a_later_read_in_a_later_slot_takes_the_place(services: Services) -> None:
    first, later = a_tally(7, as_of=at(1)), a_tally(9, as_of=at(61))
    await services.tallies.put(first, POLL, at(0))

    assert await services.tallies.put(later, POLL, at(60)) is True

    assert await services.tallies.get("finals") == later
    assert await services.tallies.history("finals", 10) == [(at(0), first), (at(60), later)]


@pytest.mark.parametrize(
    ("as_of", "slot", "why"),
    [
        (61, 60, "doubled: the same read in the same slot"),
        (62, 60, "doubled: a later read in the same slot"),
        (30, 120, "late: an older read in a later slot"),
        (61, 120, "the same read in a later slot"),
        (90, 30, "late: a later read in an older slot"),
    ],
)
async def test_a_put_that_is_late_or_doubled_changes_nothing(
    services: Services, as_of: float, slot: float, why: str
) -> None:
    current = a_tally(9, as_of=at(61))
    await services.tallies.put(current, POLL, at(60))

    assert await services.tallies.put(a_tally(5, as_of=at(as_of)), POLL, at(slot)) is False

    assert await services.tallies.get("finals") == current
    assert await services.tallies.history("finals", 10) == [(at(60), current)]


async def test_a_certified_tally_is_not_replaced_by_one_that_is_not(services: Services) -> None:
    certified = a_tally(9, as_of=at(61), certified_at=at(62))
    await services.tallies.put(certified, POLL, at(60))

    assert await services.tallies.put(a_tally(9, as_of=at(90)), POLL, at(120)) is False

    assert await services.tallies.get("finals") == certified


async def test_of_puts_at_once_into_one_slot_one_wins(services: Services) -> None:
    tallies = [a_tally(votes, as_of=at(votes)) for votes in range(1, 5)]

    outcomes = await asyncio.gather(*(services.tallies.put(tally, POLL, NOON) for tally in tallies))

    assert outcomes.count(True) == 1
    assert await services.tallies.get("finals") == tallies[outcomes.index(True)]
    assert len(await services.tallies.history("finals", 10)) == 1


async def test_the_history_gives_the_newest_slots_in_the_order_of_time(services: Services) -> None:
    for minute in range(5):
        tally = a_tally(minute, as_of=at(60 * minute + 1))
        assert await services.tallies.put(tally, POLL, at(60 * minute))

    newest = await services.tallies.history("finals", 2)

    assert [(slot, tally.votes) for slot, tally in newest] == [(at(180), 3), (at(240), 4)]


async def test_polls_keep_apart(services: Services) -> None:
    await services.tallies.put(a_tally(1, as_of=at(1)), POLL, NOON)
    await services.tallies.put(a_tally(2, as_of=at(1), poll="finals-2"), a_poll("finals-2"), NOON)

    finals = await services.tallies.get("finals")
    assert finals is not None
    assert finals.votes == 1
    assert len(await services.tallies.history("finals", 10)) == 1

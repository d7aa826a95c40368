"""The contract of shards and ledger."""

import asyncio

import msgspec
import pytest

from tests.contracts.services import EXPIRY, Services, a_poll, a_posting, bundle_name
from turnout.votes.errors import AlreadyCounted
from turnout.votes.fold import Delta, Posting
from turnout.votes.ledger import BundleEntry, KeyEntry, bundle_prefix, key_prefix

POLL = a_poll()


async def test_a_poll_without_votes_has_a_tally_of_zeros_and_books_that_balance(services: Services) -> None:
    tally = await services.counters.tally(POLL)
    books = await services.counters.books(POLL)

    assert (tally.counts, tally.votes, tally.duplicates) == ((0, 0, 0), 0, 0)
    assert books.balance


async def test_a_tally_adds_up_all_shards(services: Services) -> None:
    await services.counters.commit(a_posting(1, shard=0, counts={0: 5, 2: 1}))
    await services.counters.commit(a_posting(2, shard=3, counts={2: 10}, duplicates=4, keys=("a", "b")))

    tally = await services.counters.tally(POLL)

    assert (tally.counts, tally.votes, tally.duplicates) == ((5, 0, 11), 16, 4)


async def test_postings_to_one_shard_add_up(services: Services) -> None:
    for number in range(3):
        await services.counters.commit(a_posting(number, shard=1, counts={1: 2, number: 1}))

    assert (await services.counters.tally(POLL)).counts == (1, 5, 1)


async def test_a_poll_with_many_choices_is_counted_in_every_one_of_them(services: Services) -> None:
    poll = a_poll(choices=1_300)
    chosen = {0: 1, 399: 2, 400: 3, 401: 4, 799: 5, 800: 6, 1_299: 7}
    await services.counters.commit(a_posting(1, counts=chosen))
    await services.counters.commit(a_posting(2, counts={400: 10}, shard=1))
    await services.counters.commit(a_posting(3, counts=dict.fromkeys(range(1_300), 1)))

    tally = await services.counters.tally(poll)

    expected = [1 + chosen.get(choice, 0) for choice in range(1_300)]
    expected[400] += 10
    assert tally.counts == tuple(expected)
    assert (await services.counters.books(poll)).balance


async def test_one_commit_counts_for_several_polls(services: Services) -> None:
    first, second = a_posting(1), a_posting(2, poll="semifinals", counts={1: 2}, keys=("a",))
    await services.counters.commit(
        Posting(first.bundles + second.bundles, first.keys + second.keys, first.deltas + second.deltas)
    )

    for poll, counts in ((POLL, (1, 0, 0)), (a_poll("semifinals"), (0, 2, 0))):
        assert (await services.counters.tally(poll)).counts == counts
        assert (await services.counters.books(poll)).balance


async def test_polls_whose_names_begin_alike_keep_apart(services: Services) -> None:
    await services.counters.commit(a_posting(1, poll="final", keys=("a", "b"), counts={0: 2}))
    await services.counters.commit(a_posting(2, poll="finals", keys=("a",)))
    await services.counters.commit(a_posting(3, poll="finals-2", keys=("a",)))

    for poll_id, votes in (("final", 2), ("finals", 1), ("finals-2", 1)):
        books = await services.counters.books(a_poll(poll_id))
        assert (books.ledger.votes, books.keys, books.key_entries) == (votes, votes, votes)
        assert books.balance


async def test_a_posting_committed_twice_counts_once(services: Services) -> None:
    await services.counters.commit(a_posting(1))

    with pytest.raises(AlreadyCounted):
        await services.counters.commit(a_posting(1))

    assert (await services.counters.tally(POLL)).votes == 1


@pytest.mark.parametrize("conflict", ["bundle", "key"])
async def test_one_entry_that_exists_rolls_the_whole_commit_back(services: Services, conflict: str) -> None:
    await services.counters.commit(a_posting(1, keys=("a",)))
    new = a_posting(2, keys=("b",), shard=2, counts={1: 1})
    other = a_posting(1 if conflict == "bundle" else 3, keys=("a",) if conflict == "key" else ())
    posting = Posting(new.bundles + other.bundles, new.keys + other.keys, new.deltas + other.deltas)

    with pytest.raises(AlreadyCounted):
        await services.counters.commit(posting)

    assert await services.counters.existing(posting.names) <= {bundle_name(1), key_prefix("finals") + "a"}
    assert (await services.counters.tally(POLL)).counts == (1, 0, 0)
    books = await services.counters.books(POLL)
    assert books.balance
    assert (books.ledger.bundles, books.key_entries) == (1, 1)


async def test_of_two_commits_at_once_of_the_same_bundle_one_counts(services: Services) -> None:
    outcomes = await asyncio.gather(
        *(services.counters.commit(a_posting(1, shard=shard)) for shard in range(2)), return_exceptions=True
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AlreadyCounted", "NoneType"]
    assert (await services.counters.tally(POLL)).votes == 1


async def test_existing_names_those_entries_that_exist_and_no_others(services: Services) -> None:
    await services.counters.commit(a_posting(1, keys=("a",)))
    written = a_posting(1, keys=("a",)).names
    absent = a_posting(2, keys=("b",)).names

    assert await services.counters.existing(written + absent) == set(written)
    assert await services.counters.existing(absent) == set()
    assert await services.counters.existing([]) == set()


async def test_existing_answers_for_more_names_than_one_lookup_takes(services: Services) -> None:
    keys = tuple(f"{number:032x}" for number in range(1_500))
    await services.counters.commit(a_posting(1, keys=keys[::2], counts={0: 750}))
    names = [key_prefix("finals") + key for key in keys]

    assert await services.counters.existing(names) == set(names[::2])


async def test_an_empty_posting_changes_nothing(services: Services) -> None:
    await services.counters.commit(Posting())

    assert (await services.counters.tally(POLL)).votes == 0


async def test_later_reads_bear_later_moments(services: Services) -> None:
    first = await services.counters.tally(POLL)
    await services.counters.commit(a_posting(1))
    later = await services.counters.tally(POLL)

    assert later.as_of > first.as_of


async def test_the_books_of_counted_bundles_balance_and_show_both_sides(services: Services) -> None:
    await services.counters.commit(a_posting(1, keys=("a", "b"), counts={0: 2}, duplicates=1))
    await services.counters.commit(a_posting(2, shard=1, counts={1: 40}))

    books = await services.counters.books(POLL)

    assert books.balance
    assert books.shards == books.ledger
    assert msgspec.structs.astuple(books.shards) == (42, 1, 2)
    assert (books.choices_votes, books.keys, books.key_entries) == (42, 2, 2)


TAMPERINGS = {
    "votes on a shard without an entry": Posting(deltas=(Delta("finals", 0, {0: 3}, 3),)),
    "duplicates on a shard without an entry": Posting(deltas=(Delta("finals", 1, {}, 0, 1),)),
    "a bundle on a shard without an entry": Posting(deltas=(Delta("finals", 1, {}, 0, 0, 1),)),
    "votes taken off a shard": Posting(deltas=(Delta("finals", 0, {0: -1}, -1),)),
    "votes moved to a choice": Posting(deltas=(Delta("finals", 0, {0: 1}),)),
    "an entry without its votes": Posting(
        bundles=(BundleEntry(bundle_prefix("finals") + "f" * 32, "finals", 3, 0, 0, EXPIRY),)
    ),
    "a key without its bundle": Posting(keys=(KeyEntry(key_prefix("finals") + "f" * 32, EXPIRY),)),
    "a bundle without its key": Posting(
        bundles=(BundleEntry(bundle_prefix("finals") + "f" * 32, "finals", 1, 0, 1, EXPIRY),),
        deltas=(Delta("finals", 0, {0: 1}, 1, 0, 1),),
    ),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
async def test_the_books_find_a_tampering(services: Services, tampering: str) -> None:
    await services.counters.commit(a_posting(1, keys=("a", "b"), counts={0: 2}))
    assert (await services.counters.books(POLL)).balance

    await services.counters.commit(TAMPERINGS[tampering])

    books = await services.counters.books(POLL)
    assert not books.balance
    assert books.faults

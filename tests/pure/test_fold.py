"""Folding: whatever comes in whatever order, each bundle and each key counts once."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from hypothesis import given
from hypothesis import strategies as st

from tests.factories import ACCOUNTS, bundles, cut_into_batches, distinct_bundles, hex_id, key_of, lease_of
from turnout.votes.bundle import Bundle
from turnout.votes.fold import Leased, Posting, batches, fold


def totals(postings: list[Posting]) -> dict[str, tuple[int, int, int]]:
    sums: dict[str, tuple[int, int, int]] = {}
    for posting in postings:
        for delta in posting.deltas:
            had = sums.get(delta.poll, (0, 0, 0))
            sums[delta.poll] = (had[0] + delta.votes, had[1] + delta.duplicates, had[2] + delta.bundles)
    return sums


@given(distinct_bundles, st.randoms(use_true_random=False))
def test_repeats_and_order_change_no_total(given_bundles: list[Bundle], chance: object) -> None:
    once = fold(given_bundles, ACCOUNTS)
    twice = [*given_bundles, *given_bundles]
    chance.shuffle(twice)  # type: ignore[attr-defined]
    assert fold(twice, ACCOUNTS) == once


@given(distinct_bundles, st.integers(0, 12))
def test_counting_in_two_commits_is_counting_in_one(given_bundles: list[Bundle], cut: int) -> None:
    first = fold(given_bundles[:cut], ACCOUNTS)
    second = fold(given_bundles[cut:], ACCOUNTS, frozenset(first.names))
    assert totals([first, second]) == totals([fold(given_bundles, ACCOUNTS)])
    assert not set(first.names) & set(second.names)


@given(distinct_bundles)
def test_what_was_counted_is_not_counted_again(given_bundles: list[Bundle]) -> None:
    posting = fold(given_bundles, ACCOUNTS)
    assert fold(given_bundles, ACCOUNTS, frozenset(posting.names)) == Posting()


@given(distinct_bundles)
def test_both_sides_of_the_books_agree(given_bundles: list[Bundle]) -> None:
    posting = fold(given_bundles, ACCOUNTS)
    for delta in posting.deltas:
        entries = [entry for entry in posting.bundles if entry.poll == delta.poll]
        assert delta.votes == sum(entry.votes for entry in entries) == sum(delta.counts.values())
        assert delta.duplicates == sum(entry.duplicates for entry in entries)
        assert delta.bundles == len(entries)
        keys = [key for key in posting.keys if key.name.startswith(f"{delta.poll}:k:")]
        assert sum(entry.keys for entry in entries) == len(keys) == len({key.name for key in keys})
    assert posting.votes + posting.duplicates == sum(bundle.votes for bundle in given_bundles)


def test_of_votes_with_one_key_the_first_accepted_counts() -> None:
    late = Bundle(hex_id(1), "finals", 200, {}, ((key_of(7), 0),))
    early = Bundle(hex_id(2), "finals", 100, {}, ((key_of(7), 1),))
    (delta,) = fold([late, early], ACCOUNTS).deltas
    assert (delta.counts, delta.votes, delta.duplicates, delta.bundles) == ({1: 1}, 1, 1, 2)


def test_a_key_counts_once_in_each_poll() -> None:
    one = Bundle(hex_id(1), "finals", 1, {}, ((key_of(7), 0),))
    other = Bundle(hex_id(2), "semis", 1, {}, ((key_of(7), 0),))
    assert fold([one, other], ACCOUNTS).votes == 2


def test_a_bundle_of_duplicates_alone_is_entered_too() -> None:
    bundle = Bundle(hex_id(1), "finals", 1, {}, ((key_of(7), 0),))
    counted = frozenset({f"finals:k:{key_of(7).hex()}"})
    posting = fold([bundle], ACCOUNTS, counted)
    assert [(entry.votes, entry.duplicates, entry.keys) for entry in posting.bundles] == [(0, 1, 0)]
    assert posting.keys == ()


def test_no_entry_joins_a_key_to_a_choice_or_a_bundle() -> None:
    posting = fold([Bundle(hex_id(1), "finals", 1, {}, ((key_of(7), 2),))], ACCOUNTS)
    assert {*posting.keys[0].__struct_fields__} == {"name", "expire_at"}
    assert "choice" not in " ".join(posting.bundles[0].__struct_fields__)


async def test_a_batch_is_cut_before_more_is_read_than_the_next_bundle() -> None:
    read: list[Leased] = []

    async def leased() -> AsyncIterator[Leased]:
        for index in range(10):
            read.append(lease_of(Bundle(hex_id(index), "finals", 0, {0: 1}), str(index)))
            yield read[-1]

    async with aclosing(batches(leased(), 3)) as cut:
        assert [each.message.ack_id for each in await anext(cut)] == ["0", "1", "2"]
        assert len(read) == 4


@given(st.lists(bundles, max_size=20), st.integers(1, 12))
async def test_batches_lose_nothing_split_no_bundle_and_keep_their_bound(
    given_bundles: list[Bundle], entries_max: int
) -> None:
    leased = [lease_of(bundle, str(index)) for index, bundle in enumerate(given_bundles)]
    cut = await cut_into_batches(leased, entries_max)
    assert [each for batch in cut for each in batch] == leased
    for batch in cut:
        entries = sum(1 + len(each.bundle.keyed) for each in batch)
        assert entries <= entries_max or len(batch) == 1

"""Bundles: what was packed comes out again, and no bytes do harm."""

import itertools
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import NOON, FixedClock, bundles, hex_id, key_of
from turnout.queue.message import expect_one_request
from turnout.votes.bundle import BUNDLE_VOTES_MAX, FORMAT, Bundle, decode, encode, pack
from turnout.votes.bundling import Bundling
from turnout.votes.errors import BundleUnreadable
from turnout.votes.vote import Vote

votes = st.builds(
    Vote,
    st.just("finals"),
    st.integers(0, 9_999),
    st.one_of(st.just(b""), st.binary(min_size=16, max_size=16)),
)


@given(bundles)
def test_a_bundle_comes_out_as_it_went_in(bundle: Bundle) -> None:
    assert decode(encode(bundle)) == bundle


def test_the_bytes_of_a_bundle_are_those_that_queues_hold_already() -> None:
    """MessagePack, an array: id, poll, moment, counts, keyed votes, format. Messages outlive a deployment."""
    bundle = Bundle("ab" * 16, "finals", 5, {1: 2}, ((key_of(1), 0),))
    written = b"\x96" + b"\xd9\x20" + b"ab" * 16 + b"\xa6finals" + b"\x05" + b"\x81\x01\x02"
    written += b"\x91\x92\xc4\x10" + key_of(1) + b"\x00"
    assert encode(bundle) == written + bytes([0xA0 + len(FORMAT)]) + FORMAT.encode()


@given(st.lists(votes, min_size=1, max_size=200))
def test_packing_keeps_every_vote(given_votes: list[Vote]) -> None:
    bundle = pack(hex_id(1), "finals", 5, given_votes)
    assert bundle.votes == len(given_votes)
    assert list(bundle.keyed) == [(vote.key, vote.choice) for vote in given_votes if vote.key]
    for choice in {vote.choice for vote in given_votes}:
        assert bundle.counts.get(choice, 0) == sum(v.choice == choice and not v.key for v in given_votes)


polls_votes = st.lists(
    st.builds(
        Vote,
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 5),
        st.sampled_from([b"", b"0" * 16, b"1" * 16]),
    ),
    min_size=1,
    max_size=30,
)


@given(polls_votes, st.integers(1, 7))
def test_votes_that_travel_together_are_bundled_by_poll_in_their_order(
    given_votes: list[Vote], votes_max: int
) -> None:
    bundling = make_bundling(votes_max)
    bundling.add(given_votes[:10])
    bundling.add(given_votes[10:])
    bundled = [decode(message.data) for message in bundling.pack()]
    assert all(1 <= bundle.votes <= votes_max for bundle in bundled)
    assert len({bundle.id for bundle in bundled}) == len(bundled)
    assert {bundle.accepted_at_ms for bundle in bundled} == {int(NOON.timestamp() * 1000)}
    for poll in "abc":
        of_poll = [vote for vote in given_votes if vote.poll == poll]
        keyed = [each for bundle in bundled if bundle.poll == poll for each in bundle.keyed]
        assert keyed == [(vote.key, vote.choice) for vote in of_poll if vote.key]
        counts = sum((Counter(bundle.counts) for bundle in bundled if bundle.poll == poll), Counter[int]())
        assert counts == Counter(vote.choice for vote in of_poll if not vote.key)


@given(st.lists(st.integers(1, 1_000), min_size=1, max_size=12), st.integers(1, 400), st.integers(1, 1_000))
def test_what_fits_is_never_too_many_messages_for_one_request(
    sizes: list[int], polls: int, votes_max: int
) -> None:
    bundling = make_bundling(votes_max)
    number = 0
    for size in sizes:
        added = [Vote(f"poll-{(number + index) % polls}", 0) for index in range(size)]
        if number == 0 or bundling.fits(added):
            bundling.add(added)
            number += size
    expect_one_request(bundling.pack())


def make_bundling(votes_max: int) -> Bundling:
    ids = itertools.count()
    return Bundling(votes_max=votes_max, clock=FixedClock(), new_id=lambda: hex_id(next(ids)))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_bundle_or_unreadable(data: bytes) -> None:
    _decode_or_refuse(data)


@given(bundles, st.integers(0, 10_000), st.integers(0, 255))
def test_a_mutilated_bundle_does_no_harm(bundle: Bundle, place: int, byte: int) -> None:
    data = bytearray(encode(bundle))
    data[place % len(data)] = byte
    _decode_or_refuse(bytes(data))
    _decode_or_refuse(bytes(data[: place % len(data)]))


anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.binary()
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.one_of(st.text(), st.integers(0, 9)), inner)),
    max_leaves=20,
)


@given(anything)
def test_any_messagepack_is_a_bundle_or_unreadable(value: object) -> None:
    _decode_or_refuse(msgspec.msgpack.encode(value))


def _decode_or_refuse(data: bytes) -> None:
    try:
        bundle = decode(data)
    except BundleUnreadable:
        return
    # What is let through can be counted: it has votes, and each of its choices is possible.
    assert 1 <= bundle.votes <= BUNDLE_VOTES_MAX
    assert all(0 <= choice < 10_000 for choice in [*bundle.counts, *(choice for _, choice in bundle.keyed)])


GOOD = (hex_id(1), "finals", 1, {0: 1}, [(key_of(1), 0)], FORMAT)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, "not hex"),
        (0, hex_id(1).upper()[:-1] + "G"),
        (1, "UPPER"),
        (1, "../x"),
        (2, "late"),
        (3, {}),
        (3, {0: 0}),
        (3, {0: -1}),
        (3, {-1: 1}),
        (3, {10_000: 1}),
        (3, {0: BUNDLE_VOTES_MAX}),
        (3, {0: 2**63}),
        (4, [(b"short", 0)]),
        (4, [(key_of(1), -1)]),
        (4, [(key_of(1), 10_000)]),
        (4, [(key_of(1),)]),
        (5, "turnout/2"),
    ],
)
def test_a_malformed_bundle_is_refused_with_a_reason(place: int, value: object) -> None:
    parts: list[object] = list(GOOD)
    parts[place] = value
    if place == 3 and value == {}:
        parts[4] = []
    with pytest.raises(BundleUnreadable) as refused:
        decode(msgspec.msgpack.encode(parts))
    assert str(refused.value).endswith(".")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(BundleUnreadable):
        decode(b"\x91" * 100_000)

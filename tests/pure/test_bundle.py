"""Bundles: what was packed comes out again, and no bytes do harm."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import bundles, hex_id, key_of
from turnout.base.errors import BundleUnreadable
from turnout.votes.bundle import BUNDLE_VOTES_MAX, FORMAT, Bundle, decode, encode, pack, split_by_poll
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


@given(st.lists(votes, min_size=1, max_size=200))
def test_packing_keeps_every_vote(given_votes: list[Vote]) -> None:
    bundle = pack(hex_id(1), "finals", 5, given_votes)
    assert bundle.votes == len(given_votes)
    assert list(bundle.keyed) == [(vote.key, vote.choice) for vote in given_votes if vote.key]
    for choice in {vote.choice for vote in given_votes}:
        assert bundle.counts.get(choice, 0) == sum(v.choice == choice and not v.key for v in given_votes)


@given(st.lists(st.builds(Vote, st.sampled_from(["a", "b", "c"]), st.integers(0, 5)), max_size=30))
def test_votes_are_parted_by_poll_in_their_order(given_votes: list[Vote]) -> None:
    parted = split_by_poll(given_votes)
    assert {poll: [vote for vote in given_votes if vote.poll == poll] for poll in parted} == parted
    assert sum(map(len, parted.values())) == len(given_votes)


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

"""Keys: unique in their poll, the same when repeated, and telling nothing of whom they stand for."""

from hypothesis import given
from hypothesis import strategies as st

from turnout.votes.vote import KEY_BYTES, Hasher

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
polls = st.sampled_from(["finals", "semis", "f"])
HASHER = Hasher(b"a pepper of this test")


@given(polls, names, polls, names)
def test_a_voter_has_one_key_in_each_poll(poll: str, voter: str, other_poll: str, other: str) -> None:
    same = (poll, voter) == (other_poll, other)
    assert (HASHER.voter_key(poll, voter) == HASHER.voter_key(other_poll, other)) is same
    assert len(HASHER.voter_key(poll, voter)) == KEY_BYTES


@given(polls, names, st.integers(0, 999), names, st.integers(0, 999))
def test_a_request_has_one_key_and_one_vote_id_for_each_place(
    poll: str, key: str, index: int, other: str, other_index: int
) -> None:
    same = (key, index) == (other, other_index)
    assert (HASHER.request_key(poll, key, index) == HASHER.request_key(poll, other, other_index)) is same
    assert (HASHER.vote_id(poll, key, index) == HASHER.vote_id(poll, other, other_index)) is same


@given(polls, names)
def test_voters_requests_and_vote_ids_never_meet(poll: str, text: str) -> None:
    voter, request = HASHER.voter_key(poll, text), HASHER.request_key(poll, text, 0)
    assert voter != request
    assert Hasher(b"another pepper here").voter_key(poll, text) != voter
    assert request.hex() not in HASHER.vote_id(poll, text, 0)

"""Polls: windows, changes and limits."""

import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import DAY, NOON, make_poll
from turnout.base.errors import ValueRefused
from turnout.votes.errors import ChangeRefused, ChoiceUnknown, PollClosed, PollNotOpen
from turnout.votes.poll import NewPoll, OnePer, Poll, PollChange, State, change_poll, check_poll_id, poll_of

LIFETIME = 92 * DAY
TICK = timedelta(microseconds=1)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def plan(**changes: Any) -> Poll:
    wanted = NewPoll(**{"id": "finals", "choices": ["Ada", "Bob"], **changes})
    return poll_of(wanted, now=NOON, shards_default=32, lifetime=LIFETIME)


def change(poll: Poll, now: datetime = NOON, **changes: Any) -> Poll:
    settled_at = now + timedelta(seconds=5)
    return change_poll(poll, PollChange(**changes), now=now, settled_at=settled_at, lifetime=LIFETIME)


@given(moments, moments, moments)
def test_a_vote_is_admitted_from_the_opening_to_just_before_the_close(
    opens_at: datetime, closes_at: datetime, now: datetime
) -> None:
    poll = make_poll(opens_at=opens_at, closes_at=closes_at)
    if now < opens_at:
        with pytest.raises(PollNotOpen):
            poll.admit(now)
    elif now >= closes_at:
        with pytest.raises(PollClosed):
            poll.admit(now)
    else:
        poll.admit(now)
        assert poll.state(now) is State.OPEN


@pytest.mark.parametrize(
    ("at", "state"),
    [
        (NOON - TICK, State.SCHEDULED),
        (NOON, State.OPEN),
        (NOON + DAY - TICK, State.OPEN),
        (NOON + DAY, State.CLOSED),
    ],
)
def test_the_state_follows_from_the_clock(at: datetime, state: State) -> None:
    assert make_poll().state(at) is state
    assert make_poll(certified_at=NOON).state(at) is State.CERTIFIED


def test_a_close_by_hand_takes_effect_when_every_instance_has_heard_of_it() -> None:
    closed = change(make_poll(), state=State.CLOSED)
    assert closed.closes_at == NOON + timedelta(seconds=5)
    later = change(closed, now=NOON + timedelta(seconds=3), state=State.CLOSED)
    assert later.closes_at == closed.closes_at


def test_a_poll_that_never_opened_can_be_closed() -> None:
    closed = change(make_poll(opens_at=NOON + DAY, closes_at=NOON + 2 * DAY), state=State.CLOSED)
    assert closed.state(NOON + DAY) is State.CLOSED


def test_opening_opens_now_and_a_closed_poll_wants_a_new_close() -> None:
    scheduled = make_poll(opens_at=NOON + timedelta(hours=1))
    assert change(scheduled, state=State.OPEN).state(NOON) is State.OPEN
    after = NOON + 2 * DAY
    with pytest.raises(ChangeRefused, match="closes_at"):
        change(make_poll(), now=after, state=State.OPEN)
    with pytest.raises(ChangeRefused):
        change(make_poll(), now=NOON + DAY, state=State.OPEN)
    assert change(make_poll(), now=after, state=State.OPEN, closes_at=after + DAY).state(after) is State.OPEN


def test_a_certified_poll_is_final() -> None:
    with pytest.raises(ChangeRefused):
        change(make_poll(certified_at=NOON), title="New")


def test_a_poll_cannot_be_extended_beyond_what_its_ledger_outlives() -> None:
    assert change(make_poll(), closes_at=NOON + LIFETIME).closes_at == NOON + LIFETIME
    with pytest.raises(ValueRefused) as refused:
        change(make_poll(), closes_at=NOON + LIFETIME + TICK)
    assert refused.value.field == "/closes_at"


@given(st.text())
def test_every_id_is_taken_or_refused_by_its_letters(text: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    good = 1 <= len(text) <= 63 and set(text) <= allowed and text[0] != "-" and text[-1] != "-"
    if good:
        assert check_poll_id(text) == text
    else:
        with pytest.raises(ValueRefused):
            check_poll_id(text)


@given(st.lists(st.text(max_size=120), max_size=5), st.text(max_size=250))
def test_any_text_becomes_a_poll_or_a_refusal(choices: list[str], title: str) -> None:
    try:
        poll = plan(choices=choices, title=title)
    except ValueRefused as refused:
        assert refused.field.startswith(("/choices", "/title"))  # noqa: PT017  # any of the two outcomes will do
        return
    for choice in (*poll.choices, poll.title):
        choice.encode()
        assert unicodedata.is_normalized("NFC", choice)
        assert choice == choice.strip()
    assert len(set(poll.choices)) == len(poll.choices)
    for given_choice, stored in zip(choices, poll.choices, strict=True):
        assert poll.choices[poll.find(given_choice)] == stored


@pytest.mark.parametrize(
    "choice",
    [
        "",
        " ",
        "a ",
        "\x00",
        "a\nb",
        "\u202eabc",
        "\u200f",
        "\ud800",
        "\ue000",
        "\u0378",
        "a\u200b",
        "\ufeffa",
        "a\u00adb",
        "x" * 101,
        "x" * 10_000,
    ],
)
def test_a_choice_that_cannot_be_seen_or_stored_is_refused(choice: str) -> None:
    with pytest.raises(ValueRefused) as refused:
        plan(choices=["Ada", choice])
    assert refused.value.field == "/choices/1"


@pytest.mark.parametrize("choice", ["a.b`c/d", "__x__", "👩‍👩‍👧", "🇨🇭", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "مرحبا", "é", "0", "x" * 100])
def test_other_choices_are_taken_as_they_are(choice: str) -> None:
    poll = plan(choices=["Ada", choice])
    assert poll.find(choice) == 1


def test_another_spelling_of_a_choice_is_the_same_choice() -> None:
    assert plan(choices=["caf\u00e9", "tea"]).find("cafe\u0301") == 0
    with pytest.raises(ValueRefused):
        plan(choices=["caf\u00e9", "cafe\u0301"])
    with pytest.raises(ChoiceUnknown):
        plan().find("ada")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"choices": ["one"]}, "/choices"),
        ({"choices": [f"{n}" for n in range(10_001)]}, "/choices"),
        ({"choices": [f"{n:05}" + "€" * 95 for n in range(2_000)]}, "/choices"),
        ({"shards": 0}, "/shards"),
        ({"shards": 1_001}, "/shards"),
        ({"opens_at": datetime(2026, 1, 1)}, "/opens_at"),  # noqa: DTZ001
        ({"opens_at": NOON, "closes_at": NOON}, "/closes_at"),
        ({"closes_at": NOON + LIFETIME + TICK}, "/closes_at"),
        ({"opens_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))}, "/opens_at"),
        ({"closes_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))}, "/closes_at"),
    ],
)
def test_a_plan_outside_the_limits_names_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueRefused) as refused:
        plan(**changes)
    assert refused.value.field == field


def test_a_plan_is_open_now_and_for_its_whole_lifetime_unless_it_says_otherwise() -> None:
    poll = plan()
    assert (poll.opens_at, poll.closes_at, poll.one_per, poll.shards) == (
        NOON,
        NOON + LIFETIME,
        OnePer.NONE,
        32,
    )
    assert poll.title == "finals"
    assert len(plan(choices=[f"{n}" for n in range(10_000)]).choices) == 10_000


@pytest.mark.parametrize("shards", [1, 1_000])
def test_the_fewest_and_the_most_shards_are_taken(shards: int) -> None:
    assert plan(shards=shards).shards == shards

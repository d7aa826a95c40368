"""Whether the queue is drained: what the drains' records prove, and what they do not."""

from datetime import datetime, timedelta

import pytest

from tests.factories import NOON, make_settings
from turnout.queue.drained import settled_at, why_not_drained
from turnout.queue.ports import ConsumerRecord

SETTINGS = make_settings(ack_deadline_seconds=60, heartbeat_seconds=5.0)
SETTLED = settled_at(NOON, SETTINGS)


def at(seconds: float) -> datetime:
    """A moment, in seconds after no publish can be under way any more."""
    return SETTLED + timedelta(seconds=seconds)


def drain(
    name: str,
    started: float,
    seen: float,
    *,
    leased: float | None = None,
    empty: float | None = None,
    ended: float | None = None,
) -> ConsumerRecord:
    return ConsumerRecord(
        id=name,
        started_at=at(started),
        seen_at=at(seen),
        leased_at=None if leased is None else at(leased),
        empty_at=None if empty is None else at(empty),
        ended_at=None if ended is None else at(ended),
    )


LONG_EMPTY = drain("a", 0, 100, empty=99, ended=100)


@pytest.mark.parametrize(
    ("records", "drained"),
    [
        ([], False),
        ([drain("a", 0, 100, leased=50, ended=100)], False),  # it never saw the queue empty
        ([LONG_EMPTY], True),
        ([drain("a", 0, 59, empty=59, ended=59)], False),  # sooner than a lease can end
        ([drain("a", 0, 200, leased=150, empty=199, ended=200)], False),  # it leased a while ago itself
        ([drain("a", 0, 200, leased=100, empty=199, ended=200)], True),
        ([LONG_EMPTY, drain("b", 0, 80, leased=80)], False),  # b was killed, and may have leased
        ([LONG_EMPTY, drain("b", -100, -50, leased=-50)], True),  # b was killed long before
        ([LONG_EMPTY, drain("b", 0, 120, leased=10)], True),  # b lives, and holds nothing since
        ([LONG_EMPTY, drain("b", 0, 120, leased=119)], False),  # b lives, and holds something
        ([LONG_EMPTY, drain("b", 0, 100)], False),  # a lease of b may have been under way
        (
            [LONG_EMPTY, drain("b", 0, 24, leased=0)],
            True,
        ),  # b was killed: it leased for three heartbeats more
        ([LONG_EMPTY, drain("b", 0, 24.1, leased=0)], False),
        ([LONG_EMPTY, drain("b", 150, 160, leased=160)], False),  # a later lease shows that votes came back
    ],
)
def test_a_queue_is_drained_when_nobody_can_hold_a_lease(
    records: list[ConsumerRecord], *, drained: bool
) -> None:
    assert (why_not_drained(NOON, records, SETTINGS) == "") is drained


def test_a_back_off_before_redelivery_hides_messages_for_as_much_longer() -> None:
    backing_off = make_settings(
        ack_deadline_seconds=60, heartbeat_seconds=5.0, retry_backoff_max_seconds=60.0
    )
    seen_empty = drain("a", 0, 119, empty=119, ended=119)
    assert why_not_drained(NOON, [seen_empty], SETTINGS) == ""
    assert why_not_drained(NOON, [seen_empty], backing_off) != ""
    assert why_not_drained(NOON, [drain("a", 0, 121, empty=121, ended=121)], backing_off) == ""

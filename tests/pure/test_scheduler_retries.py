"""Retries of Cloud Scheduler, held against what was recorded of the service."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulators.cloud_scheduler.retries import Retries

START = datetime(2026, 11, 20, 12, tzinfo=UTC)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def offsets(retries: Retries) -> list[float]:
    """When attempts begin, if each fails at once."""
    at: datetime | None = START
    found: list[float] = []
    while at is not None:
        found.append((at - START).total_seconds())
        at = retries.next_attempt(len(found), START, at)
    return found


@pytest.mark.parametrize(
    ("retries", "expected"),
    [
        (Retries(), [0]),
        (Retries(count=5), [0, 5, 15, 35, 75, 155]),
        (Retries(4, seconds(0), seconds(4), seconds(50), 2), [0, 4, 12, 28, 46]),
        (Retries(5, seconds(0), seconds(4), seconds(100), 1), [0, 4, 12, 22, 34, 48]),
        (Retries(5, seconds(0), seconds(2), seconds(100), 3), [0, 2, 6, 14, 30, 48]),
        (Retries(5, seconds(0), seconds(3), seconds(100), 5), [0, 3, 9, 21, 45, 93]),
        # A duration alone ends before the attempt that would be past it; with a count, both must be used up.
        (Retries(0, seconds(30), seconds(4), seconds(10)), [0, 4, 12, 22]),
        (Retries(3, seconds(20), seconds(4), seconds(10)), [0, 4, 12, 22]),
        (Retries(0, seconds(10)), [0, 5]),
    ],
)
def test_attempts_begin_when_the_service_was_seen_to_begin_them(
    retries: Retries, expected: list[float]
) -> None:
    assert offsets(retries) == expected


@given(
    st.integers(0, 5),
    st.integers(0, 600),
    st.integers(1, 60),
    st.integers(1, 600),
    st.integers(1, 16),
    st.integers(1, 50),
)
def test_waits_never_shrink_and_stay_between_their_bounds(
    count: int, duration: int, low: int, more: int, doublings: int, failures: int
) -> None:
    retries = Retries(count, seconds(duration), seconds(low), seconds(low + more), doublings)
    wait = retries.wait_after(failures)
    assert retries.min_backoff <= wait <= retries.max_backoff
    assert retries.wait_after(failures + 1) >= wait


@given(st.integers(0, 5), st.integers(0, 60), st.integers(1, 20))
def test_there_are_at_least_as_many_retries_as_the_count_says(count: int, duration: int, low: int) -> None:
    found = offsets(Retries(count, seconds(duration), seconds(low), seconds(low * 2)))
    assert len(found) >= count + 1
    assert all(at <= duration for at in found[count + 1 :])

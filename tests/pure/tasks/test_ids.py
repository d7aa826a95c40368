"""Ids of tasks are small enough for JavaScript, sortable by time, and spread over the store."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.tasks.ids import (
    DRAW_MAX,
    EPOCH,
    SHARDS,
    TASK_ID_MAX,
    draw_task_ids,
    drawn_at,
    first_id_at,
    shard_of,
    spread,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LAST = EPOCH + timedelta(milliseconds=2**40 - 1)

chances = st.floats(0, 1, exclude_max=True)
moments = st.integers(0, 2**40 * 1_000 - 1).map(lambda us: EPOCH + timedelta(microseconds=us))


@given(st.integers(1, DRAW_MAX), moments, chances)
def test_an_id_is_read_exactly_by_javascript_and_tells_its_millisecond(
    count: int, now: datetime, chance: float
) -> None:
    ids = draw_task_ids(count, now, lambda: chance)

    assert len(set(ids)) == count
    assert sorted(ids) == list(ids)
    for task_id in (ids[0], ids[-1]):
        assert 0 <= task_id <= TASK_ID_MAX < 2**53
        assert drawn_at(task_id) <= now < drawn_at(task_id) + timedelta(milliseconds=1)
        assert first_id_at(drawn_at(task_id)) <= task_id


@given(moments, chances, chances)
def test_what_is_drawn_a_millisecond_later_is_greater(now: datetime, one: float, other: float) -> None:
    later = now + timedelta(milliseconds=1)
    if later <= LAST:
        assert draw_task_ids(1, now, lambda: one)[0] < draw_task_ids(1, later, lambda: other)[0]


@pytest.mark.parametrize("now", [EPOCH - timedelta(microseconds=1), LAST + timedelta(milliseconds=1)])
def test_a_clock_outside_the_years_of_ids_is_refused(now: datetime) -> None:
    with pytest.raises(ValueError, match="set the clock right"):
        draw_task_ids(1, now, lambda: 0.0)


@pytest.mark.parametrize("count", [0, DRAW_MAX + 1])
def test_a_draw_is_bounded(count: int) -> None:
    with pytest.raises(ValueError, match="one draw gives"):
        draw_task_ids(count, NOON, lambda: 0.0)


def test_neighbours_lie_far_apart_in_the_store() -> None:
    ids = [
        task_id
        for ms in range(40)
        for task_id in draw_task_ids(100, NOON + timedelta(milliseconds=ms), lambda: 0.5)
    ]

    shards = Counter(shard_of(task_id) for task_id in ids)
    prefixes = [spread(task_id) for task_id in ids]

    assert set(shards) == set(range(SHARDS))
    assert max(shards.values()) < 2 * len(ids) / SHARDS
    # Keys that grow with time would be sorted already.
    assert sum(one < other for one, other in pairwise(prefixes)) < 0.7 * len(ids)


def test_a_shard_never_changes() -> None:
    # What is stored under a shard must be found there by every later release.
    assert [shard_of(task_id) for task_id in (0, 1, 891_234_567_890_123, TASK_ID_MAX)] == [0, 23, 9, 24]

"""Alarms are shared by all who need them, rung soon enough, and never relied on when it may be too late."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pure.tasks.factories import NOON, a_task, at
from turnout.tasks import task as tasks
from turnout.tasks.alarms import HOP_SECONDS, Alarm, alarm_of, second_of
from turnout.tasks.ids import shard_of

AHEAD_SECONDS = 2.0
#: Cloud Tasks takes 720 hours.
CLOUD_TASKS_SECONDS_MAX = 720 * 3_600


def alarm(run_at: datetime, now: datetime = NOON) -> Alarm | None:
    return alarm_of(a_task(run_at=run_at), now, ahead_seconds=AHEAD_SECONDS)


def test_tasks_of_a_shard_and_second_share_an_alarm() -> None:
    assert alarm(at(60.1)) == alarm(at(60.9)) == Alarm(shard_of(1), second_of(NOON) + 60)
    assert alarm(at(60.9)) != alarm(at(61))


@pytest.mark.parametrize("seconds", [-5.0, 0.0, 1.0, 2.0, 2.999])
def test_what_is_too_near_relies_on_no_alarm(seconds: float) -> None:
    assert alarm(at(seconds)) is None


@given(st.floats(3, 10 * 366 * 86_400), st.floats(0, 10**6))
def test_a_chain_comes_to_its_second_whoever_asks_and_when(seconds: float, later: float) -> None:
    """Whatever the distance, each hop is one that Cloud Tasks takes, and lies far enough ahead to be relied on."""
    now, run_at = NOON, at(seconds)
    found = alarm(run_at, now)
    assert found is not None
    names = set()
    for hops in range(found.hops, -1, -1):
        hop = Alarm(found.shard, found.second, hops)
        assert timedelta(0) < hop.rings_at - now <= timedelta(seconds=CLOUD_TASKS_SECONDS_MAX)
        now = hop.rings_at
        names.add(hop.name)
    assert now == datetime.fromtimestamp(second_of(run_at), UTC)
    assert found.rings_at - NOON > timedelta(seconds=AHEAD_SECONDS)
    # Who asks later wants a hop of the same chain.
    other = alarm(run_at, NOON + timedelta(seconds=later))
    assert other is None or other.name in names


def test_the_hop_that_is_about_to_ring_is_passed_over() -> None:
    run_at = at(3 * HOP_SECONDS)
    for seconds, hops in ((0.0, 2), (HOP_SECONDS - 2.5, 2), (HOP_SECONDS - 1.5, 1)):
        found = alarm(run_at, at(seconds))
        assert found is not None
        assert found.hops == hops


def test_what_has_ended_needs_no_alarm() -> None:
    ended = tasks.cancelled(a_task(run_at=at(60)), now=NOON, stamp="c")
    assert alarm_of(ended, NOON, ahead_seconds=AHEAD_SECONDS) is None

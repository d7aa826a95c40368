"""Settings of tasks have defaults that fit together, and say so where they do not; retries wait as they say."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.base.environment import read
from turnout.base.errors import SettingsInvalid
from turnout.tasks.retrying import TaskRetry
from turnout.tasks.settings import TaskSettings


def test_the_defaults_fit() -> None:
    assert read(TaskSettings, {}) == TaskSettings()


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"task_lease_seconds": 4.0}, "TURNOUT_TASK_LEASE_SECONDS"),
        ({"sweep_again_seconds_max": 59.0}, "TURNOUT_SWEEP_AGAIN_SECONDS_MAX"),
        ({"pending_tasks_max": 100}, "TURNOUT_PENDING_TASKS_MAX"),
        ({"commit_tasks_max": 1_001}, "TURNOUT_COMMIT_TASKS_MAX"),
    ],
)
def test_bounds_that_do_not_fit_together_are_refused(changes: dict[str, object], variable: str) -> None:
    with pytest.raises(SettingsInvalid, match=variable):
        read(TaskSettings, {}, **changes)


@given(st.integers(1, 1_000), st.floats(0, 1, exclude_max=True))
def test_waits_double_up_to_the_longest_and_never_come_at_once(failures: int, chance: float) -> None:
    retry = TaskRetry(first_seconds=2.0, max_seconds=300.0)
    step = min(2.0 * 2 ** (failures - 1), 300.0)
    assert step / 2 <= retry.wait_seconds(failures, lambda: chance) <= step


def test_the_default_waits_span_some_three_hours() -> None:
    retry = TaskRetry()
    hours = sum(retry.wait_seconds(number, lambda: 0.5) for number in range(1, retry.failures_max)) / 3_600
    assert 2 < hours < 4


def test_a_retry_policy_that_says_more_than_it_can_is_refused() -> None:
    for text in ('{"failures_max": 0}', '{"crashes_max": -1}', '{"first_seconds": -1}', '{"attempts": 3}'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(text, type=TaskRetry)

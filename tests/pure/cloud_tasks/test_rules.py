"""What the engine decides, rule by rule; each fault that other emulators have is asked for by name."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulators.api.refused import Code, Refused
from emulators.cloud_tasks.backoff import Retry
from emulators.cloud_tasks.engine import Options
from emulators.cloud_tasks.messages import Queue, Task
from emulators.cloud_tasks.rate import RampUp, Throttle, TokenBucket
from tests.pure.cloud_tasks.driving import NOON_US, PARENT, QUEUE, SECOND, Driven, refusal

DAY = 86_400


@pytest.fixture
def driven() -> Driven:
    return Driven()


def waits(driven: Driven, statuses: list[int]) -> list[float]:
    """The seconds between one attempt's end and the next one's start."""
    found = []
    for status in statuses:
        (dispatch,) = driven.due()
        ended_us = driven.now_us
        driven.answer(dispatch, status)
        next_us = driven.engine.next_moment()
        assert next_us is not None
        found.append((next_us - ended_us) / SECOND)
        driven.now_us = next_us
    return found


# Back-off and stops


def test_backoff_doubles_then_grows_linearly_then_stays(driven: Driven) -> None:
    driven.queue(
        retry_config__min_backoff=10.0, retry_config__max_backoff=300.0, retry_config__max_doublings=3
    )
    driven.task()
    assert waits(driven, [500] * 9) == [10, 20, 40, 80, 160, 240, 300, 300, 300]


def by_hand(retry: Retry, failures: int) -> int:
    """The back-off as the reference tells it, step by step."""
    interval = retry.backoff_min_us
    for step in range(1, failures):
        interval += interval if step <= retry.doublings_max else retry.backoff_min_us * 2**retry.doublings_max
    return min(interval, retry.backoff_max_us)


@given(
    st.builds(
        Retry,
        attempts_max=st.just(-1),
        duration_us=st.just(0),
        backoff_min_us=st.integers(0, 10**10),
        backoff_max_us=st.integers(1, 10**11),
        doublings_max=st.integers(0, 60),
    ),
    st.integers(1, 90),
)
def test_backoff_is_what_the_reference_tells_step_by_step(retry: Retry, failures: int) -> None:
    assert retry.delay_us(failures) == by_hand(retry, failures)


def test_backoff_of_a_million_failures_is_no_long_number() -> None:
    assert Retry(-1, 0, 100_000, 3600 * SECOND, 2_000_000_000).delay_us(1_000_000) == 3600 * SECOND


def test_backoff_counts_from_the_attempts_end(driven: Driven) -> None:
    driven.queue(retry_config__min_backoff=10.0)
    driven.task()
    (dispatch,) = driven.due()
    driven.turn(7)
    driven.answer(dispatch, 500)
    assert driven.engine.next_moment() == driven.now_us + 10 * SECOND


def ended_after(driven: Driven, attempts_max: int) -> int:
    for attempt in range(1, attempts_max + 1):
        (dispatch,) = driven.due()
        driven.answer(dispatch, 500)
        if not driven.engine.queues[QUEUE].tasks:
            return attempt
        driven.now_us = driven.engine.next_moment() or driven.now_us
    return 0


@pytest.mark.parametrize("attempts_max", [1, 2, 7])
def test_a_task_is_attempted_exactly_as_often_as_it_may_be(driven: Driven, attempts_max: int) -> None:
    driven.queue(retry_config__max_attempts=attempts_max)
    driven.task()
    assert ended_after(driven, 20) == attempts_max


def test_minus_one_attempts_are_no_limit(driven: Driven) -> None:
    driven.queue(retry_config__max_attempts=-1, retry_config__max_backoff=1.0)
    driven.task()
    assert ended_after(driven, 500) == 0


def test_attempts_go_on_until_the_duration_has_passed_as_well(driven: Driven) -> None:
    driven.queue(
        retry_config__max_attempts=2,
        retry_config__max_retry_duration=100.0,
        retry_config__min_backoff=30.0,
        retry_config__max_backoff=30.0,
    )
    driven.task()
    # At 0, 30, 60 and 90 s; at 120 s both limits would be passed.
    assert ended_after(driven, 20) == 4


def test_the_duration_alone_stops_nothing_before_the_attempts(driven: Driven) -> None:
    driven.queue(
        retry_config__max_attempts=5,
        retry_config__max_retry_duration=1.0,
        retry_config__min_backoff=30.0,
        retry_config__max_backoff=30.0,
    )
    driven.task()
    assert ended_after(driven, 20) == 5


def test_unlimited_attempts_stop_after_the_duration(driven: Driven) -> None:
    driven.queue(
        retry_config__max_attempts=-1,
        retry_config__max_retry_duration=100.0,
        retry_config__min_backoff=30.0,
        retry_config__max_backoff=30.0,
    )
    driven.task()
    assert ended_after(driven, 20) == 4


def test_a_tasks_own_retry_configuration_wins(driven: Driven) -> None:
    driven.queue(retry_config__max_attempts=9)
    task = Task()
    task.http_request.url = "http://localhost/"
    task.retry_config.max_attempts = 3
    driven.engine.create_task(QUEUE, task)
    driven.restart()
    assert ended_after(driven, 20) == 3


def test_a_redirect_is_a_failed_attempt_that_counts_as_an_execution(driven: Driven) -> None:
    driven.queue()
    driven.task()
    (_, second) = driven.attempts([302, 200])
    assert (second.retry_count, second.execution_count, second.previous) == (1, 1, 302)


def test_an_answer_of_5xx_and_none_at_all_are_no_executions(driven: Driven) -> None:
    driven.queue()
    driven.task()
    (first,) = driven.due()
    driven.answer(first, 504, answered=False)
    *_, last = driven.attempts([500, 200])
    assert (last.retry_count, last.execution_count) == (2, 0)


def test_a_target_that_asks_for_patience_is_given_it(driven: Driven) -> None:
    driven.queue()
    driven.task()
    (dispatch,) = driven.due()
    driven.answer(dispatch, 503, retry_after_us=20 * SECOND)
    assert driven.engine.next_moment() == driven.now_us + 20 * SECOND


def test_patience_has_an_end(driven: Driven) -> None:
    driven.queue()
    driven.task()
    (dispatch,) = driven.due()
    driven.answer(dispatch, 503, retry_after_us=10**15)
    assert driven.engine.next_moment() == driven.now_us + 3600 * SECOND


# Schedules, lives and names


def test_a_task_is_not_dispatched_before_its_moment(driven: Driven) -> None:
    driven.queue()
    driven.task(delay=60)
    assert driven.due() == []
    driven.turn(59.999999)
    assert driven.due() == []
    driven.turn(0.000001)
    assert len(driven.due()) == 1


def test_a_schedule_in_the_past_is_now(driven: Driven) -> None:
    driven.queue()
    driven.task(delay=-3600)
    assert driven.due()[0].schedule_us == NOON_US


def test_a_schedule_keeps_its_microseconds(driven: Driven) -> None:
    driven.queue()
    task = Task()
    task.http_request.url = "http://localhost/"
    task.schedule_time.FromNanoseconds((NOON_US + 1_234_567) * 1000 + 999)
    live, _ = driven.engine.create_task(QUEUE, task)
    assert live.schedule_us == NOON_US + 1_234_567


def test_720_hours_ahead_are_allowed_and_no_more(driven: Driven) -> None:
    driven.queue()
    driven.task(delay=720 * 3600)
    assert refusal(driven.task, delay=720 * 3600 + 1)[0] is Code.INVALID_ARGUMENT


def test_a_task_lives_31_days(driven: Driven) -> None:
    driven.queue()
    driven.engine.pause_queue(QUEUE)
    name = driven.task()
    driven.turn(30 * DAY)
    later = driven.task()
    driven.turn(DAY)
    assert driven.engine.next_moment() == driven.now_us
    driven.due()
    assert refusal(driven.engine.task, name)[0] is Code.NOT_FOUND
    assert driven.engine.task(later)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_name_is_held_back_for_24_hours_and_then_free(driven: Driven, restarted: bool) -> None:  # noqa: FBT001
    driven.queue()
    driven.task("once")
    driven.attempts([200])
    if restarted:
        driven.restart()
    driven.turn(DAY - 1)
    assert refusal(driven.task, "once")[0] is Code.ALREADY_EXISTS
    driven.turn(1)
    driven.task("once")


@pytest.mark.parametrize("restarted", [False, True])
def test_a_queues_name_is_held_back_for_3_days_and_then_free(driven: Driven, restarted: bool) -> None:  # noqa: FBT001
    driven.queue()
    driven.engine.delete_queue(QUEUE)
    if restarted:
        driven.restart()
    driven.turn(3 * DAY - 1)
    assert refusal(driven.queue)[0] is Code.FAILED_PRECONDITION
    assert refusal(driven.engine.update_queue, Queue(name=QUEUE), [])[0] is Code.FAILED_PRECONDITION
    driven.turn(1)
    driven.queue()


def test_a_new_queue_knows_no_names_of_the_one_before(driven: Driven) -> None:
    driven.queue()
    driven.engine.delete_task(driven.task("once"))
    driven.engine.delete_queue(QUEUE)
    driven.turn(3 * DAY)
    driven.queue()
    driven.task("once")


def test_the_names_that_are_held_back_are_bounded_and_the_oldest_go_first() -> None:
    driven = Driven(Options(ramp_up=False, tombstones_max=2))
    driven.queue()
    for task_id in ("a", "b", "c"):
        driven.engine.delete_task(driven.task(task_id))
    driven.task("a")
    assert refusal(driven.task, "c")[0] is Code.ALREADY_EXISTS


def test_ids_of_the_service_never_meet(driven: Driven) -> None:
    ids = itertools.cycle(["same", "same", "other"])
    driven.engine._ids = lambda: next(ids)
    driven.queue()
    assert driven.task() != driven.task()


# Rates


def test_a_burst_goes_at_once_and_then_the_rate_holds(driven: Driven) -> None:
    driven.queue(rate_limits__max_dispatches_per_second=2.0)
    for _ in range(14):
        driven.task()
    found = driven.run_until(NOON_US + 60 * SECOND)
    assert [(at - NOON_US) / SECOND for at, _ in found] == [0] * 10 + [0.5, 1.0, 1.5, 2.0]


def test_less_than_one_dispatch_a_second_is_a_rate_too(driven: Driven) -> None:
    driven.queue(rate_limits__max_dispatches_per_second=0.01)
    for _ in range(12):
        driven.task()
    found = driven.run_until(NOON_US + 1000 * SECOND)
    assert [(at - NOON_US) / SECOND for at, _ in found[10:]] == [100, 200]


@given(st.floats(0.001, 500), st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=60))
def test_a_bucket_never_gives_more_than_its_burst_and_rate(rate: float, pauses: list[int]) -> None:
    burst = 10
    bucket, now, taken = TokenBucket(rate, burst, 0), 0, []
    for pause in pauses:
        now += pause
        while bucket.ready_us(now) == now:
            bucket.take(now)
            taken.append(now)
    for first, last in itertools.combinations(range(len(taken)), 2):
        allowed = burst + rate * (taken[last] - taken[first]) / SECOND
        assert last - first + 1 <= allowed + 1e-6


@given(st.floats(0.001, 500))
def test_a_bucket_is_ready_when_it_said(rate: float) -> None:
    bucket, now = TokenBucket(rate, 1, 0), 0
    for _ in range(20):
        bucket.take(now)
        promised = bucket.ready_us(now)
        assert promised > now
        assert bucket.ready_us(promised) == promised
        now = promised


def test_no_more_run_at_once_than_may(driven: Driven) -> None:
    driven.queue(rate_limits__max_concurrent_dispatches=3)
    for _ in range(5):
        driven.task()
    running = driven.due()
    assert len(running) == 3
    assert driven.engine.next_moment() is None or driven.engine.next_moment() != driven.now_us
    driven.answer(running[0], 200)
    assert len(driven.due()) == 1


def test_a_changed_rate_holds_at_once(driven: Driven) -> None:
    driven.queue(rate_limits__max_dispatches_per_second=1.0)
    for _ in range(30):
        driven.task()
    assert len(driven.due()) == 10
    changed = Queue(name=QUEUE)
    changed.rate_limits.max_dispatches_per_second = 100
    driven.engine.update_queue(changed, ["rate_limits.max_dispatches_per_second"])
    driven.turn(0.1)
    assert len(driven.due()) == 10


@pytest.mark.parametrize("status", [429, 503])
def test_an_overloaded_target_halves_the_rate(driven: Driven, status: int) -> None:
    driven.queue(rate_limits__max_dispatches_per_second=10.0)
    throttle = driven.engine.queues[QUEUE].throttle
    driven.task()
    (dispatch,) = driven.due()
    driven.answer(dispatch, status)
    assert throttle.factor(driven.now_us) == 0.5
    # The user's settings are not changed.
    assert driven.engine.queue(QUEUE).config.rate_limits.max_dispatches_per_second == 10


def test_mostly_errors_halve_the_rate_and_a_few_do_not() -> None:
    few, many = Throttle(), Throttle()
    for number in range(20):
        few.note(NOON_US + number, failed=number % 3 == 0, overloaded=False)
        many.note(NOON_US + number, failed=number % 3 != 0, overloaded=False)
    assert few.factor(NOON_US + 20) == 1
    assert many.factor(NOON_US + 20) == 0.5


def test_a_throttled_queue_recovers_by_successes_and_by_itself() -> None:
    throttle = Throttle()
    for second in range(4):
        throttle.note(NOON_US + second * SECOND, failed=True, overloaded=True)
    assert throttle.factor(NOON_US + 3 * SECOND) == 1 / 16
    throttle.note(NOON_US + 4 * SECOND, failed=False, overloaded=False)
    assert throttle.factor(NOON_US + 4 * SECOND) == 1 / 8
    assert throttle.factor(NOON_US + 14 * SECOND) == 1 / 4
    assert throttle.factor(NOON_US + 34 * SECOND) == 1


def test_app_engines_429_is_no_overload(driven: Driven) -> None:
    driven.queue()
    task = Task()
    task.app_engine_http_request.relative_uri = "/"
    driven.engine.create_task(QUEUE, task)
    (dispatch,) = driven.due()
    driven.answer(dispatch, 429)
    assert driven.engine.queues[QUEUE].throttle.factor(driven.now_us) == 1


def test_a_cold_location_starts_at_500_a_second_and_grows_by_half_every_five_minutes() -> None:
    ramp, now, minutes = RampUp(NOON_US), NOON_US, []
    for _ in range(16):
        taken = 0
        for _ in range(60 * 20):
            while ramp.ready_us(now) == now:
                ramp.take(now)
                taken += 1
            now += SECOND // 20
        minutes.append(taken / 60)
    # The first minute has the bucket's one second more.
    assert minutes[1:5] == [500] * 4
    assert minutes[6:10] == [750] * 4
    assert minutes[11:15] == [1125] * 4


def test_a_location_that_was_idle_starts_anew() -> None:
    ramp = RampUp(NOON_US)
    hot = NOON_US + 900 * SECOND
    for second in range(0, 901, 30):
        ramp.take(NOON_US + second * SECOND)
    cold = hot + 301 * SECOND
    found = 0
    while ramp.ready_us(cold) == cold:
        ramp.take(cold)
        found += 1
    assert found == 500


def test_queues_of_a_location_ramp_up_together() -> None:
    driven = Driven(Options(ramp_up=True))
    for number in range(8):
        driven.queue(f"{PARENT}/queues/q{number}")
        for _ in range(200):
            driven.task(queue=f"{PARENT}/queues/q{number}")
    # 8 queues could dispatch 800 at once, and 4,000 a second.
    assert len(driven.run_until(NOON_US)) == 500
    assert len(driven.run_until(NOON_US + SECOND)) == 500


# RunTask, pause, purge


def test_a_run_task_is_not_dispatched_at_its_moment_again(driven: Driven) -> None:
    driven.queue()
    name = driven.task(delay=60)
    driven.engine.run_task(name)
    (dispatch,) = driven.due()
    assert dispatch.forced
    driven.turn(60)
    assert driven.due() == []
    driven.answer(dispatch, 200)
    assert refusal(driven.engine.run_task, name)[0] is Code.NOT_FOUND


def test_run_task_runs_though_paused_limited_or_running(driven: Driven) -> None:
    driven.queue(rate_limits__max_concurrent_dispatches=1, rate_limits__max_dispatches_per_second=0.001)
    name = driven.task()
    (first,) = driven.due()
    driven.engine.pause_queue(QUEUE)
    driven.engine.run_task(name)
    (second,) = driven.due()
    assert (first.retry_count, second.retry_count) == (0, 1)
    driven.answer(second, 200)
    driven.answer(first, 500)
    assert not driven.engine.queues[QUEUE].tasks


def test_a_failed_run_is_scheduled_from_the_call(driven: Driven) -> None:
    driven.queue(retry_config__min_backoff=10.0)
    name = driven.task(delay=3600)
    driven.engine.run_task(name)
    (dispatch,) = driven.due()
    driven.turn(4)
    driven.answer(dispatch, 500)
    assert driven.engine.task(name).schedule_us == NOON_US + 10 * SECOND


def test_run_task_may_be_called_60_times_a_minute(driven: Driven) -> None:
    driven.queue()
    names = [driven.task(delay=3600) for _ in range(61)]
    for name in names[:60]:
        driven.engine.run_task(name)
    assert refusal(driven.engine.run_task, names[60])[0] is Code.RESOURCE_EXHAUSTED
    driven.turn(60)
    driven.engine.run_task(names[60])


def test_a_paused_queue_dispatches_nothing_and_takes_tasks(driven: Driven) -> None:
    driven.queue()
    driven.engine.pause_queue(QUEUE)
    driven.task()
    assert driven.due() == []
    driven.restart()
    assert driven.due() == []
    driven.engine.resume_queue(QUEUE)
    assert len(driven.due()) == 1


def test_purge_ends_what_was_created_before_the_call(driven: Driven) -> None:
    driven.queue()
    before = driven.task("before", delay=60)
    config = driven.engine.purge_queue(QUEUE)
    assert config.purge_time.ToMicroseconds() == driven.now_us
    after = driven.task("after", delay=60)
    assert refusal(driven.engine.task, before)[0] is Code.NOT_FOUND
    assert driven.engine.task(after)
    assert refusal(driven.task, "before")[0] is Code.ALREADY_EXISTS


def test_the_answer_of_a_purged_tasks_attempt_changes_nothing(driven: Driven) -> None:
    driven.queue(rate_limits__max_concurrent_dispatches=1)
    driven.task()
    (dispatch,) = driven.due()
    driven.engine.purge_queue(QUEUE)
    driven.task()
    assert driven.due() == []
    driven.answer(dispatch, 500)
    assert len(driven.due()) == 1


# UpdateQueue


def test_update_creates_a_queue_that_does_not_exist(driven: Driven) -> None:
    made = driven.engine.update_queue(Queue(name=QUEUE), ["rate_limits"])
    assert made.rate_limits.max_dispatches_per_second == 500


def configured(driven: Driven) -> Any:
    return driven.queue(
        rate_limits__max_dispatches_per_second=7.0,
        rate_limits__max_concurrent_dispatches=9,
        retry_config__max_attempts=5,
        retry_config__min_backoff=2.0,
    )


def test_a_nested_mask_changes_that_field_alone(driven: Driven) -> None:
    configured(driven)
    change = Queue(name=QUEUE)
    change.rate_limits.max_dispatches_per_second = 50
    change.retry_config.max_attempts = 77
    changed = driven.engine.update_queue(change, ["rate_limits.max_dispatches_per_second"])
    assert changed.rate_limits.max_dispatches_per_second == 50
    assert changed.rate_limits.max_burst_size == 10
    assert changed.rate_limits.max_concurrent_dispatches == 9
    assert changed.retry_config.max_attempts == 5


def test_a_mask_of_a_message_changes_all_of_it(driven: Driven) -> None:
    configured(driven)
    change = Queue(name=QUEUE)
    change.retry_config.max_attempts = 77
    changed = driven.engine.update_queue(change, ["retry_config"])
    assert changed.retry_config.max_attempts == 77
    assert changed.retry_config.min_backoff.ToMilliseconds() == 100
    assert changed.rate_limits.max_concurrent_dispatches == 9


def test_an_empty_mask_is_all_fields(driven: Driven) -> None:
    configured(driven)
    changed = driven.engine.update_queue(Queue(name=QUEUE), [])
    assert changed.rate_limits.max_dispatches_per_second == 500
    assert changed.retry_config.max_attempts == 100


@pytest.mark.parametrize("paths", [[], ["state"], ["state", "rate_limits"]])
def test_the_state_cannot_be_patched(driven: Driven, paths: list[str]) -> None:
    driven.queue()
    driven.engine.pause_queue(QUEUE)
    running = Queue(name=QUEUE, state=Queue.State.Value("RUNNING"))
    assert driven.engine.update_queue(running, paths).state == Queue.State.Value("PAUSED")


@pytest.mark.parametrize("path", ["colour", "rate_limits.colour", "state.colour", "name.first"])
def test_a_mask_of_something_else_is_refused_and_changes_nothing(driven: Driven, path: str) -> None:
    before = configured(driven).SerializeToString(deterministic=True)
    assert refusal(driven.engine.update_queue, Queue(name=QUEUE), [path])[0] is Code.INVALID_ARGUMENT
    assert driven.engine.queue(QUEUE).config.SerializeToString(deterministic=True) == before


def test_an_update_out_of_bounds_changes_nothing(driven: Driven) -> None:
    configured(driven)
    change = Queue(name=QUEUE)
    change.rate_limits.max_dispatches_per_second = 501
    assert refusal(driven.engine.update_queue, change, [])[0] is Code.INVALID_ARGUMENT
    assert driven.engine.queue(QUEUE).config.rate_limits.max_dispatches_per_second == 7


# Sizes and accounts


def task_of_size(driven: Driven, body: int) -> tuple[Code, str] | int:
    task = Task(name=f"{QUEUE}/tasks/{'t' * 8}{body}")
    task.http_request.url = "http://localhost/"
    task.http_request.body = b"x" * body
    try:
        return int(driven.engine.create_task(QUEUE, task)[1].ByteSize())
    except Refused as fault:
        return fault.code, fault.message


def test_the_stored_form_may_have_1048569_bytes_and_no_more(driven: Driven) -> None:
    driven.queue()
    overhead = task_of_size(driven, 1_000_000)
    assert isinstance(overhead, int)
    largest = 1_048_569 - (overhead - 1_000_000)
    assert task_of_size(driven, largest) == 1_048_569
    assert task_of_size(driven, largest + 1) == (Code.INVALID_ARGUMENT, "Task size too large")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_a_body_goes_with_post_put_and_patch_only(driven: Driven, method: str) -> None:
    driven.queue()
    assert refusal(driven.task, http_method=method, body=b"x")[0] is Code.INVALID_ARGUMENT
    driven.task(http_method=method)


def test_an_address_may_have_2083_characters_and_no_more(driven: Driven) -> None:
    driven.queue()
    stem = "http://localhost/"
    driven.task(url=stem.ljust(2083, "x"))
    assert refusal(driven.task, url=stem.ljust(2084, "x"))[0] is Code.INVALID_ARGUMENT


def test_headers_of_80_kb_are_refused_and_those_that_cannot_be_sent_too(driven: Driven) -> None:
    driven.queue()
    for headers in ({"X-Long": "x" * 81_920}, {"X-Split": "a\r\nX-Other: b"}, {"X Space": "a"}, {"": "a"}):
        task = Task()
        task.http_request.url = "http://localhost/"
        for key, value in headers.items():
            task.http_request.headers[key] = value
        assert refusal(driven.engine.create_task, QUEUE, task)[0] is Code.INVALID_ARGUMENT


def test_a_service_account_that_does_not_exist_is_found_at_the_creation() -> None:
    driven = Driven(Options(service_accounts=frozenset({"known@p.iam.gserviceaccount.com"})))
    driven.queue()
    task = Task()
    task.http_request.url = "http://localhost/"
    task.http_request.oidc_token.service_account_email = "known@p.iam.gserviceaccount.com"
    driven.engine.create_task(QUEUE, task)
    task.http_request.oauth_token.service_account_email = "stranger@p.iam.gserviceaccount.com"
    assert refusal(driven.engine.create_task, QUEUE, task)[0] is Code.NOT_FOUND


# Restarts


def test_an_attempt_that_was_cut_off_is_made_once_more(driven: Driven) -> None:
    driven.queue(retry_config__max_attempts=1)
    driven.task()
    assert len(driven.due()) == 1
    driven.restart()
    (again,) = driven.due()
    assert (again.retry_count, again.previous) == (1, 504)
    driven.answer(again, 200)
    driven.restart()
    assert driven.due() == []


def test_counts_and_schedules_survive(driven: Driven) -> None:
    driven.queue(retry_config__min_backoff=10.0)
    name = driven.task("t")
    driven.attempts([404])
    before = driven.engine.task(name).record()
    driven.restart()
    assert driven.engine.task(name).record() == before
    assert driven.engine.next_moment() == before.schedule_us


def test_deleted_tasks_leave_no_weight_in_the_queue(driven: Driven) -> None:
    driven.queue()
    for _ in range(10_000):
        driven.engine.delete_task(driven.task(delay=3600))
    assert len(driven.engine.queues[QUEUE]._waiting) < 200

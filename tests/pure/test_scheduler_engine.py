"""What happens to jobs, decided without a clock, a disk or a network."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from emulators.api import Code, Refused
from emulators.cloud_scheduler.engine import FORCED_AT_ONCE_MAX, NEVER_RUN, Attempt, Engine
from emulators.cloud_scheduler.jobs import Job

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLACE = "projects/demo/locations/europe-west1"
NAME = f"{PLACE}/jobs/tick"
FAILED = int(Code.INTERNAL)
ALL = 1_000


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def job(name: str = NAME, **changes: Any) -> Any:
    given = {"schedule": "* * * * *", "http_target": {"uri": "http://127.0.0.1:1/tick"}}
    return Job(name=name, **{**given, **changes})


def retrying(count: int, low: int = 5) -> Any:
    made = job(schedule="*/10 * * * *")
    made.retry_config.retry_count = count
    made.retry_config.min_backoff_duration.seconds = low
    return made


def begun(engine: Engine, now: datetime) -> list[Attempt]:
    return engine.due(now, ALL)


def fail(engine: Engine, attempt: Attempt, now: datetime) -> None:
    engine.finished(attempt.job.name, attempt.execution, FAILED, "500", now)


def succeed(engine: Engine, attempt: Attempt, now: datetime) -> None:
    engine.finished(attempt.job.name, attempt.execution, 0, "200", now)


def test_a_new_job_shows_what_the_service_shows() -> None:
    shown = Engine().create(job(), at(1))
    assert (shown.state, shown.status.code, shown.time_zone) == (1, NEVER_RUN, "UTC")
    assert shown.schedule_time.ToDatetime(UTC) == at(60)
    assert shown.user_update_time.ToDatetime(UTC) == at(1)
    assert shown.attempt_deadline.seconds == 180
    assert not shown.HasField("retry_config")
    assert not shown.HasField("last_attempt_time")


def test_an_attempt_begins_at_its_moment_and_not_before() -> None:
    engine = Engine()
    engine.create(job(), NOON)
    assert engine.next_due() == at(60)
    assert begun(engine, at(59)) == []
    (attempt,) = begun(engine, at(60.2))
    assert attempt.slot == at(60)
    shown = engine.get(NAME)
    assert shown.last_attempt_time.ToDatetime(UTC) == at(60.2)
    assert shown.schedule_time.ToDatetime(UTC) == at(120)
    succeed(engine, attempt, at(61))
    assert engine.get(NAME).HasField("status")
    assert engine.get(NAME).status.code == 0


def test_a_moment_waits_for_the_attempt_that_is_under_way_and_those_in_between_are_left_out() -> None:
    engine = Engine()
    engine.create(job(), NOON)
    (first,) = begun(engine, at(60))
    assert begun(engine, at(200)) == []
    assert engine.next_due() is None
    succeed(engine, first, at(200))
    (second,) = begun(engine, at(200))
    assert second.slot == at(120)
    assert engine.get(NAME).schedule_time.ToDatetime(UTC) == at(240)


def test_a_failed_attempt_is_made_again_with_the_same_schedule_time_and_the_next_time_shown() -> None:
    engine = Engine()
    engine.create(retrying(2), NOON)
    (attempt,) = begun(engine, at(600))
    fail(engine, attempt, at(601))
    assert engine.get(NAME).status.code == FAILED
    assert engine.get(NAME).schedule_time.ToDatetime(UTC) == at(606)
    (again,) = begun(engine, at(606))
    assert (again.slot, again.execution) == (attempt.slot, attempt.execution)
    fail(engine, again, at(607))
    (last,) = begun(engine, at(617))
    fail(engine, last, at(618))
    assert engine.next_due() == at(1_200)


def test_retries_end_at_the_next_moment_of_the_schedule() -> None:
    engine = Engine()
    engine.create(retrying(5, low=400), NOON)
    (attempt,) = begun(engine, at(600))
    fail(engine, attempt, at(601))
    assert engine.next_due() == at(1_001)
    (again,) = begun(engine, at(1_001))
    fail(engine, again, at(1_002))
    (following,) = begun(engine, at(1_200))
    assert following.slot == at(1_200)
    assert following.execution != attempt.execution


def test_a_success_ends_the_retries() -> None:
    engine = Engine()
    engine.create(retrying(5), NOON)
    (attempt,) = begun(engine, at(600))
    fail(engine, attempt, at(600))
    (again,) = begun(engine, at(605))
    succeed(engine, again, at(606))
    assert engine.next_due() == at(1_200)


def test_a_paused_job_has_no_next_time_and_its_retries_are_given_up() -> None:
    engine = Engine()
    engine.create(retrying(5), NOON)
    (attempt,) = begun(engine, at(600))
    fail(engine, attempt, at(600))
    shown = engine.pause(NAME, at(601))
    assert shown.state == 2
    assert not shown.HasField("schedule_time")
    assert shown.user_update_time.ToDatetime(UTC) == at(601)
    assert engine.next_due() is None


def test_what_a_pause_went_over_is_not_made_up_for() -> None:
    engine = Engine()
    engine.create(job(), NOON)
    engine.pause(NAME, at(1))
    shown = engine.resume(NAME, at(1_000))
    assert shown.state == 1
    assert shown.schedule_time.ToDatetime(UTC) == at(1_020)
    assert begun(engine, at(1_000)) == []


def test_an_attempt_under_way_at_a_pause_is_reported_and_not_tried_again() -> None:
    engine = Engine()
    engine.create(retrying(5), NOON)
    (attempt,) = begun(engine, at(600))
    engine.pause(NAME, at(600))
    fail(engine, attempt, at(601))
    assert engine.get(NAME).status.code == FAILED
    assert engine.next_due() is None


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_pausing_twice_or_resuming_what_runs_is_refused(verb: str) -> None:
    engine = Engine()
    engine.create(job(), NOON)
    if verb == "pause":
        engine.pause(NAME, NOON)
    with pytest.raises(Refused) as refused:
        getattr(engine, verb)(NAME, NOON)
    assert refused.value.code is Code.FAILED_PRECONDITION


def test_a_forced_run_is_now_beside_another_one_and_is_told_the_next_schedule_time() -> None:
    engine = Engine()
    engine.create(job(), NOON)
    (regular,) = begun(engine, at(60))
    engine.run(NAME, at(70))
    (forced,) = begun(engine, at(70))
    assert forced.slot == at(120)
    assert forced.execution != regular.execution
    succeed(engine, forced, at(71))
    succeed(engine, regular, at(72))
    assert engine.next_due() == at(120)


def test_a_paused_job_can_be_forced() -> None:
    engine = Engine()
    engine.create(job(), NOON)
    engine.pause(NAME, NOON)
    engine.run(NAME, at(5))
    (forced,) = begun(engine, at(5))
    assert forced.slot == at(60)


def test_forced_runs_are_bounded() -> None:
    engine = Engine()
    engine.create(job(), NOON)
    for _ in range(FORCED_AT_ONCE_MAX):
        engine.run(NAME, NOON)
    with pytest.raises(Refused) as refused:
        engine.run(NAME, NOON)
    assert refused.value.code is Code.RESOURCE_EXHAUSTED


def test_after_a_restart_an_attempt_of_unknown_end_is_made_again_and_one_missed_moment_comes_late() -> None:
    engine = Engine()
    engine.create(job(), NOON)
    engine.create(job(f"{PLACE}/jobs/late"), at(60))
    (attempt,) = begun(engine, at(60))
    restarted = Engine(engine.entries, next_execution=2)
    restarted.recover(at(500))
    found = {(each.job.name, each.slot) for each in begun(restarted, at(500))}
    assert found == {(NAME, attempt.slot), (f"{PLACE}/jobs/late", at(120))}


def test_an_update_changes_what_its_mask_names_and_nothing_else() -> None:
    engine = Engine()
    engine.create(retrying(3), NOON)
    changed = job(schedule="0 9 * * *", description="ignored")
    changed.http_target.uri = "http://127.0.0.1:2/other"
    shown = engine.update(changed, ["schedule"], at(1))
    assert shown.schedule == "0 9 * * *"
    assert (shown.description, shown.http_target.uri) == ("", "http://127.0.0.1:1/tick")
    assert shown.retry_config.retry_count == 3
    assert shown.schedule_time.ToDatetime(UTC) == datetime(2026, 11, 21, 9, tzinfo=UTC)


def test_a_nested_mask_leaves_its_neighbours_alone_and_clears_what_is_not_given() -> None:
    engine = Engine()
    engine.create(retrying(3, low=7), NOON)
    shown = engine.update(Job(name=NAME), ["retry_config.retry_count"], at(1))
    assert shown.retry_config.retry_count == 0
    assert shown.retry_config.min_backoff_duration.seconds == 7


@pytest.mark.parametrize("path", ["timeZone", "state", "status", "nothing", "http_target.nothing", "name"])
def test_a_mask_that_names_no_field_of_the_user_is_refused_in_the_words_of_the_service(path: str) -> None:
    engine = Engine()
    engine.create(job(), NOON)
    with pytest.raises(Refused, match=f"Invalid mask for Job: {path}"):
        engine.update(job(), [path], NOON)


def test_what_could_not_be_stored_is_taken_back() -> None:
    engine = Engine()
    engine.create(job(), NOON)
    engine.settle()
    before = engine.get(NAME)
    engine.pause(NAME, at(1))
    engine.create(job(f"{PLACE}/jobs/other"), at(1))
    engine.undo()
    assert engine.get(NAME) == before
    assert engine.next_due() == at(60)
    assert len(engine.listed(PLACE)) == 1


def test_a_deleted_job_is_gone_and_the_report_of_its_attempt_is_ignored() -> None:
    engine = Engine()
    engine.create(job(), NOON)
    (attempt,) = begun(engine, at(60))
    engine.delete(NAME)
    succeed(engine, attempt, at(61))
    assert engine.next_due() is None
    with pytest.raises(Refused, match="Job not found"):
        engine.get(NAME)


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    engine = Engine()
    engine.create(job(), NOON)
    engine.run(NAME, at(100))
    (forced,) = begun(engine, at(70))
    assert forced.slot == at(60)
    succeed(engine, forced, at(71))
    (regular,) = begun(engine, at(71))
    assert regular.slot == at(60)


@dataclass
class _Known:
    """What the machine below knows of a job."""

    paused: bool = False
    under_way: list[Attempt] = field(default_factory=list)
    forced: int = 0


class Life(RuleBasedStateMachine):
    """Calls in any order, at any time: never two of a job's regular executions at once, never a lost one."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine()
        self.now = NOON
        self.restarts = 0
        self.known: dict[str, _Known] = {}

    names = st.sampled_from([f"{PLACE}/jobs/{each}" for each in "abc"])

    @rule(name=names, every=st.sampled_from(["* * * * *", "*/7 * * * *"]), count=st.integers(0, 3))
    def create(self, name: str, every: str, count: int) -> None:
        made = job(name, schedule=every)
        made.retry_config.retry_count = count
        if name in self.known:
            with pytest.raises(Refused):
                self.engine.create(made, self.now)
            return
        self.engine.create(made, self.now)
        self.known[name] = _Known()

    @rule(name=names)
    def delete(self, name: str) -> None:
        if self.known.pop(name, None) is not None:
            self.engine.delete(name)

    @rule(name=names)
    def pause_or_resume(self, name: str) -> None:
        if known := self.known.get(name):
            (self.engine.resume if known.paused else self.engine.pause)(name, self.now)
            known.paused = not known.paused

    @rule(name=names)
    def force(self, name: str) -> None:
        known = self.known.get(name)
        if known is None:
            return
        if len(self.engine._entry(name).executions) < FORCED_AT_ONCE_MAX:
            self.engine.run(name, self.now)
            known.forced += 1
        else:
            with pytest.raises(Refused, match="under way already"):
                self.engine.run(name, self.now)

    @rule(seconds=st.integers(0, 500), attempts_max=st.integers(1, 5))
    def time_goes_by(self, seconds: int, attempts_max: int) -> None:
        self.now += timedelta(seconds=seconds)
        for attempt in self.engine.due(self.now, attempts_max):
            self.known[attempt.job.name].under_way.append(attempt)

    @rule(seconds=st.integers(1, 500))
    def the_clock_is_set_back(self, seconds: int) -> None:
        self.now -= timedelta(seconds=seconds)

    @precondition(lambda self: any(each.under_way for each in self.known.values()))
    @rule(data=st.data(), code=st.sampled_from([0, FAILED]))
    def an_attempt_ends(self, data: st.DataObject, code: int) -> None:
        known = data.draw(st.sampled_from([each for each in self.known.values() if each.under_way]))
        attempt = known.under_way.pop(data.draw(st.integers(0, len(known.under_way) - 1)))
        self.engine.finished(attempt.job.name, attempt.execution, code, "", self.now)
        assert self.engine.get(attempt.job.name).status.code == code

    @rule()
    def the_disk_refuses(self) -> None:
        self.engine.settle()
        for name in self.known:
            self.engine.delete(name)
        self.engine.undo()

    @rule()
    def a_restart(self) -> None:
        # Ids begin after all that were ever given, as the server's do.
        self.restarts += 1
        self.engine = Engine(self.engine.entries, next_execution=self.restarts * 1_000_000)
        self.engine.recover(self.now)
        for known in self.known.values():
            known.under_way.clear()

    @invariant()
    def a_job_is_planned_unless_it_is_paused_or_runs(self) -> None:
        for name, known in self.known.items():
            entry = self.engine.entries[name]
            assert known.paused == (entry.slot is None)
            assert len(known.under_way) == sum(each.due is None for each in entry.executions)
            if not known.paused and not known.under_way:
                assert entry.due is not None
                assert (next_due := self.engine.next_due()) is not None
                assert next_due <= entry.due
            slots = [each.slot for each in known.under_way]
            assert len(slots) - known.forced <= 1


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

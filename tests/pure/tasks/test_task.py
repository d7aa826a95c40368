"""The states of a task, each transition against a model of its own, and the fence that decides between two."""

from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.pure.tasks.factories import NOON, a_task, at
from turnout.tasks import task as tasks
from turnout.tasks.books import Entries, entries_of
from turnout.tasks.errors import TransitionRefused
from turnout.tasks.retrying import TaskRetry
from turnout.tasks.task import ATTEMPTS_KEPT_MAX, Change, Ending, Standing, State, Stored, Task, standing

RESULT = '{"width":80}'
OFF_SECONDS = 2.0
LEASE_SECONDS = 30.0


@dataclass
class Model:
    """What a task is, told without the code under test: plain figures, in seconds after noon."""

    failures_max: int
    crashes_max: int
    run_at: float
    state: str = "waiting"
    lease_until: float = 0.0
    attempts: int = 0
    failures: int = 0
    crashes: int = 0
    worker: str = ""
    endings: list[str] = field(default_factory=list)
    crashes_ever: int = 0
    ended: dict[str, int] = field(default_factory=lambda: {"succeeded": 0, "failed": 0, "cancelled": 0})

    def can(self, what: str, now: float) -> bool:
        return {
            "claim": self.state == "waiting" and round(self.run_at - now, 6) <= 0,
            "take over": self.state == "running" and round(now - self.lease_until, 6) >= OFF_SECONDS,
            "settle": self.state == "running",
            "cancel": self.state in ("waiting", "running"),
            "hurry": self.state == "waiting",
            "redrive": self.state in ("failed", "cancelled"),
        }[what]

    def run(self, worker: str, now: float) -> None:
        self.state, self.worker, self.lease_until = "running", worker, now + LEASE_SECONDS
        self.attempts += 1

    def end(self, state: str) -> None:
        self.state = state
        self.ended[state] += 1


class TaskMachine(RuleBasedStateMachine):
    """Two workers, a person and the time act on one task; code and model must agree after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.writes = 0
        self.versions: list[Stored] = []
        self.books = Entries()

    @initialize(failures=st.integers(1, 4), crashes=st.integers(1, 3), ahead=st.floats(0, 100))
    def add(self, failures: int, crashes: int, ahead: float) -> None:
        retry = TaskRetry(failures_max=failures, crashes_max=crashes, first_seconds=1.0, max_seconds=8.0)
        ahead = round(ahead, 3)
        self.model = Model(failures, crashes, ahead)
        self._write(None, a_task(run_at=at(ahead), retry=retry))

    @property
    def task(self) -> Task:
        return self.versions[-1].task

    @property
    def stamp(self) -> str:
        return f"write-{self.writes + 1}"

    @rule(seconds=st.one_of(st.floats(0, 5), st.floats(20, 60)))
    def time_passes(self, seconds: float) -> None:
        # Whole milliseconds, so that floats and datetimes agree at every edge.
        self.now = round(self.now + seconds, 3)

    @rule(worker=st.sampled_from(["ann", "bob"]))
    def claim(self, worker: str) -> None:
        lease_until = at(self.now + LEASE_SECONDS)
        if self.model.can("claim", self.now):
            self._write(self.task, self._claimed(worker))
            self.model.run(worker, self.now)
        elif self.model.can("take over", self.now):
            after = tasks.taken_over(
                self.task, worker=worker, now=at(self.now), lease_until=lease_until, stamp=self.stamp
            )
            self._write(self.task, after)
            self.model.crashes += 1
            self.model.crashes_ever += 1
            self.model.endings.append("crashed")
            if self.model.crashes >= self.model.crashes_max:
                self.model.end("failed")
            else:
                self.model.run(worker, self.now)
        else:
            with pytest.raises(TransitionRefused):
                self._claimed(worker)

    @rule()
    def extend(self) -> None:
        if self._refused_unless("settle", lambda: tasks.extended(self.task, lease_until=at(0), stamp="")):
            return
        self.model.lease_until = max(self.model.lease_until, self.now + LEASE_SECONDS)
        self._write(
            self.task, tasks.extended(self.task, lease_until=at(self.model.lease_until), stamp=self.stamp)
        )

    @rule()
    def succeed(self) -> None:
        if not self._refused_unless("settle", lambda: self._succeeded(self.task)):
            self._write(self.task, self._succeeded(self.task))
            self.model.endings.append("succeeded")
            self.model.end("succeeded")

    @rule(is_final=st.booleans(), after=st.one_of(st.none(), st.integers(0, 50)), chance=st.floats(0, 0.999))
    def fail(self, *, is_final: bool, after: int | None, chance: float) -> None:
        def failed() -> Task:
            return tasks.failed(
                self.task,
                "no width" * 1_000,
                now=at(self.now),
                chance=lambda: chance,
                stamp=self.stamp,
                after_seconds=after,
                is_final=is_final,
            )

        if self._refused_unless("settle", failed):
            return
        self._write(self.task, failed())
        model = self.model
        model.failures += 1
        model.endings.append("failed")
        if is_final or model.failures >= model.failures_max:
            model.end("failed")
            return
        model.state = "waiting"
        waits = (self.task.progress.run_at - NOON).total_seconds() - self.now
        step = min(2 ** (model.failures - 1), 8)
        if after is None:
            assert step / 2 - 1e-5 <= waits <= step + 1e-5
        else:
            assert waits == pytest.approx(after, abs=1e-5)
        model.run_at = round(self.now + waits, 6)

    @rule(seconds=st.integers(0, 100))
    def snooze(self, seconds: int) -> None:
        def snoozed() -> Task:
            return tasks.snoozed(self.task, seconds, now=at(self.now), stamp=self.stamp)

        if not self._refused_unless("settle", snoozed):
            self._write(self.task, snoozed())
            self._wait("snoozed", self.now + seconds)

    @rule()
    def release(self) -> None:
        def released() -> Task:
            return tasks.released(self.task, now=at(self.now), stamp=self.stamp)

        if not self._refused_unless("settle", released):
            self._write(self.task, released())
            self._wait("released", self.now)

    @rule()
    def cancel(self) -> None:
        def cancelled() -> Task:
            return tasks.cancelled(self.task, now=at(self.now), stamp=self.stamp)

        if not self._refused_unless("cancel", cancelled):
            if self.model.state == "running":
                self.model.endings.append("cancelled")
            self._write(self.task, cancelled())
            self.model.end("cancelled")

    @rule()
    def hurry(self) -> None:
        def hurried() -> Task:
            return tasks.hurried(self.task, now=at(self.now), stamp=self.stamp)

        if not self._refused_unless("hurry", hurried):
            self._write(self.task, hurried())
            self.model.run_at = min(self.model.run_at, self.now)

    @rule()
    def redrive(self) -> None:
        def redriven() -> Task:
            return tasks.redriven(self.task, now=at(self.now), stamp=self.stamp)

        if not self._refused_unless("redrive", redriven):
            self.model.ended[self.model.state] -= 1
            self._write(self.task, redriven())
            self.model.state, self.model.run_at = "waiting", self.now
            self.model.failures = self.model.crashes = 0

    @rule(seconds=st.integers(0, 100))
    def watch(self, seconds: int) -> None:
        due_at = at(self.now + seconds)
        if not self._refused_unless("cancel", lambda: tasks.watched(self.task, due_at=due_at, stamp="")):
            self._write(self.task, tasks.watched(self.task, due_at=due_at, stamp=self.stamp))

    @precondition(lambda self: self.versions)
    @invariant()
    def agrees(self) -> None:
        progress, model = self.task.progress, self.model
        assert progress.state.value == model.state
        assert (progress.attempt, progress.failures, progress.crashes) == (
            model.attempts,
            model.failures,
            model.crashes,
        )
        assert [each.ending.value for each in progress.attempts] == model.endings[-ATTEMPTS_KEPT_MAX:]
        assert all(len(each.error) <= tasks.ERROR_CHARACTERS_MAX for each in progress.attempts)
        if model.state == "waiting":
            assert (progress.run_at - at(model.run_at)) < timedelta(milliseconds=1)
        is_running, is_final = model.state == "running", progress.state.is_final
        assert (progress.lease_until is not None) == is_running == bool(progress.worker)
        assert not is_running or progress.worker == model.worker
        assert (progress.ended_at is not None) == (progress.expire_at is not None) == is_final
        # Whatever has not ended is found by the sweep.
        assert (progress.due_at is None) == is_final
        assert (progress.result == RESULT) == (model.state == "succeeded")

    @precondition(lambda self: self.versions)
    @invariant()
    def books_balance(self) -> None:
        model = self.model
        assert self.books == Entries(
            created=1, attempts=model.attempts, crashed=model.crashes_ever, **model.ended
        )
        assert self.books.depth == (0 if self.task.state.is_final else 1)

    @precondition(lambda self: self.versions)
    @invariant()
    def its_standing_is_what_can_be_done(self) -> None:
        found = standing(self.task, at(self.now), clocks_off_seconds=OFF_SECONDS)
        assert (found is Standing.DUE) == self.model.can("claim", self.now)
        assert (found is Standing.ABANDONED) == self.model.can("take over", self.now)
        assert (found is Standing.ENDED) == self.task.state.is_final

    def _write(self, before: Task | None, after: Task) -> None:
        """Writes as a store does; that the stamps differ is what makes each write known."""
        stored = None if before is None else self.versions[-1]
        assert stored is None or stored.task.progress.stamp != after.progress.stamp
        self.books = self.books.plus(entries_of(Change(stored, after)))
        self.writes += 1
        self.versions.append(Stored(after, self.writes))
        # What is written is read as it was.
        assert msgspec.json.decode(msgspec.json.encode(after), type=Task) == after

    def _wait(self, ending: str, run_at: float) -> None:
        self.model.state, self.model.run_at = "waiting", run_at
        self.model.endings.append(ending)

    def _refused_unless(self, what: str, transition: object) -> bool:
        if self.model.can(what, self.now):
            return False
        assert callable(transition)
        before = self.task
        with pytest.raises(TransitionRefused):
            transition()
        assert self.task == before
        return True

    def _claimed(self, worker: str) -> Task:
        lease_until = at(self.now + LEASE_SECONDS)
        return tasks.claimed(
            self.task, worker=worker, now=at(self.now), lease_until=lease_until, stamp=self.stamp
        )

    def _succeeded(self, task: Task) -> Task:
        return tasks.succeeded(task, RESULT, now=at(self.now), stamp=self.stamp)


TestTask = TaskMachine.TestCase
TestTask.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


def a_running_task(retry: TaskRetry | None = None) -> Task:
    return tasks.claimed(
        a_task(retry=retry or TaskRetry()), worker="ann", now=NOON, lease_until=at(30), stamp="claim"
    )


def test_a_failure_leaves_the_count_of_crashes_and_a_crash_that_of_failures() -> None:
    task = a_running_task()
    task = tasks.taken_over(task, worker="bob", now=at(60), lease_until=at(90), stamp="over")
    task = tasks.failed(task, "no", now=at(61), chance=lambda: 0.0, stamp="failed")
    task = tasks.claimed(task, worker="ann", now=at(99), lease_until=at(120), stamp="claim")
    task = tasks.taken_over(task, worker="bob", now=at(200), lease_until=at(230), stamp="over")

    assert (task.progress.failures, task.progress.crashes, task.progress.attempt) == (1, 2, 4)
    assert [each.ending for each in task.progress.attempts] == [Ending.CRASHED, Ending.FAILED, Ending.CRASHED]


def test_a_task_that_ends_its_workers_fails_with_every_crash_told() -> None:
    task = a_running_task(TaskRetry(crashes_max=2))
    task = tasks.taken_over(task, worker="bob", now=at(60), lease_until=at(90), stamp="1")
    task = tasks.taken_over(task, worker="cas", now=at(120), lease_until=at(150), stamp="2")

    assert task.state is State.FAILED
    assert [each.worker for each in task.progress.attempts] == ["ann", "bob"]
    assert "did not renew its lease" in task.progress.attempts[-1].error


def test_a_lease_ends_only_when_it_has_by_every_clock() -> None:
    task = a_running_task()
    assert standing(task, at(31.9), clocks_off_seconds=2) is Standing.HELD
    assert standing(task, at(32), clocks_off_seconds=2) is Standing.ABANDONED


def test_a_final_failure_is_not_tried_again() -> None:
    task = tasks.failed(
        a_running_task(), "unknown handler", now=at(1), chance=lambda: 0.0, stamp="f", is_final=True
    )
    assert task.state is State.FAILED
    assert task.progress.expire_at == at(1 + task.work.result_ttl_seconds)


def test_the_fault_names_the_task_and_why() -> None:
    ended = tasks.cancelled(a_task(7), now=NOON, stamp="c")
    with pytest.raises(TransitionRefused, match="Task 7 cannot be cancelled: it has been cancelled"):
        tasks.cancelled(ended, now=NOON, stamp="d")
    with pytest.raises(TransitionRefused, match="Task 7 cannot be claimed: its moment lies ahead"):
        tasks.claimed(a_task(7, run_at=at(1)), worker="ann", now=NOON, lease_until=at(30), stamp="d")

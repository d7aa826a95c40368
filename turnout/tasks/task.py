"""A task: what was asked for, how far it is, and what becomes of it, as pure functions.

A transition takes a task and returns what it becomes; it never asks a clock, and it refuses what the state does not
allow. Who may make it is decided by the store: a change is written only if the task still has the version that it was
made from. So of two who change a task at once, one wins, and the other learns what there is now.
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from turnout.base.chance import Chance
from turnout.tasks.errors import TransitionRefused
from turnout.tasks.work import Work

#: Attempts that a task remembers, the last ones.
ATTEMPTS_KEPT_MAX = 10
#: Of an error's text so much is kept.
ERROR_CHARACTERS_MAX = 2_000
#: A handler that puts its task off more often than that, an hour apart for six weeks, does so for ever.
SNOOZES_MAX = 1_000


class State(StrEnum):
    """Where a task is.

    A waiting task is `scheduled` before its moment and `queued` from then on: that follows from the clock, so no write is
    spent on it.
    """

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing happens to such a task by itself any more."""
        return self in FINAL


FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


class Ending(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: Its worker died, or lost its lease.
    CRASHED = "crashed"
    #: The handler put it off; the worker gave it back; somebody cancelled the task.
    SNOOZED = "snoozed"
    RELEASED = "released"
    CANCELLED = "cancelled"


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run of a task, as it is remembered."""

    number: int
    worker: str
    began_at: datetime
    ended_at: datetime
    ending: Ending
    error: str = ""


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a task is: what a change writes."""

    #: Names the change that wrote it: who has lost the answer knows by it that the change went through.
    stamp: str
    state: State
    #: Nothing runs it before.
    run_at: datetime
    #: When somebody must look at it, whatever else is lost: None when nothing is to be done any more.
    due_at: datetime | None = None
    #: Attempts begun; of these, those that the handler failed and those that crashed since it was added or redriven.
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    #: How often its handler put it off, likewise.
    snoozes: int = 0
    #: Who runs it, since when, and until when nobody else may.
    worker: str = ""
    began_at: datetime | None = None
    lease_until: datetime | None = None
    attempts: tuple[Attempt, ...] = ()
    #: How far the running attempt is, as its handler says.
    note: str = ""
    #: The text of any JSON.
    result: str | None = None
    ended_at: datetime | None = None
    #: When it may be forgotten.
    expire_at: datetime | None = None


class Task(msgspec.Struct, frozen=True):
    """A task."""

    id: int
    work: Work
    progress: Progress

    @property
    def state(self) -> State:
        """Its state."""
        return self.progress.state


class Stored(msgspec.Struct, frozen=True):
    """A task as the store has it. Each write of it gives it another version, which the next write names."""

    task: Task
    version: int


class Change(msgspec.Struct, frozen=True):
    """What a task is to become if it still is what it was; `before` is None for a new one, whose id and key must be free."""

    before: Stored | None
    after: Task
    #: A new task that comes into being with the change, and not without it.
    born: Task | None = None


class Standing(StrEnum):
    """What can be done with a task at a moment."""

    #: It waits, and its moment lies ahead; or has come.
    AHEAD = "ahead"
    DUE = "due"
    #: It runs under a lease that is alive; or under one that has ended.
    HELD = "held"
    ABANDONED = "abandoned"
    ENDED = "ended"


def standing(task: Task, now: datetime, *, clocks_off_seconds: float) -> Standing:
    """What can be done with a task. A lease has ended only if it has by every clock that is at most so much off."""
    progress = task.progress
    if progress.state.is_final:
        return Standing.ENDED
    if progress.state is State.WAITING:
        return Standing.DUE if progress.run_at <= now else Standing.AHEAD
    if now < _moment(progress.lease_until) + timedelta(seconds=clocks_off_seconds):
        return Standing.HELD
    return Standing.ABANDONED


# Transitions.


def added(task_id: int, work: Work, *, run_at: datetime, stamp: str) -> Task:
    """A new task."""
    return Task(task_id, work, Progress(stamp=stamp, state=State.WAITING, run_at=run_at, due_at=run_at))


def claimed(task: Task, *, worker: str, now: datetime, lease_until: datetime, stamp: str) -> Task:
    """A waiting task whose moment has come runs, under a lease."""
    progress = task.progress
    if progress.state is not State.WAITING:
        raise TransitionRefused(task.id, "claimed", f"it is {progress.state}")
    if now < progress.run_at:
        raise TransitionRefused(task.id, "claimed", "its moment lies ahead")
    return _running(task, worker, now, lease_until, stamp)


def taken_over(task: Task, *, worker: str, now: datetime, lease_until: datetime, stamp: str) -> Task:
    """A task whose lease has ended runs again, for another worker; after too many crashes it has failed.

    Whether the lease has ended is `standing`'s to say.
    """
    _expect_running(task, "taken over")
    lease_ended_at = _moment(task.progress.lease_until)
    crash = _attempt(task, Ending.CRASHED, lease_ended_at, "its worker died, or did not renew its lease")
    crashed = _changed(task, attempts=_kept(task, crash), crashes=task.progress.crashes + 1)
    if crashed.progress.crashes >= task.work.retry.crashes_max:
        return _ended(crashed, State.FAILED, now, stamp)
    return _running(crashed, worker, now, lease_until, stamp)


def extended(task: Task, *, lease_until: datetime, stamp: str, note: str = "") -> Task:
    """A running task's lease ends later; its handler may say how far it is."""
    _expect_running(task, "extended")
    return _changed(
        task, stamp=stamp, lease_until=lease_until, due_at=lease_until, note=note or task.progress.note
    )


def succeeded(task: Task, result: str, *, now: datetime, stamp: str) -> Task:
    """A running task has its result."""
    _expect_running(task, "settled")
    attempts = _kept(task, _attempt(task, Ending.SUCCEEDED, now))
    return _ended(_changed(task, result=result, attempts=attempts), State.SUCCEEDED, now, stamp)


def failed(
    task: Task,
    error: str,
    *,
    now: datetime,
    chance: Chance,
    stamp: str,
    after_seconds: float | None = None,
    is_final: bool = False,
) -> Task:
    """A running task's attempt failed: it waits for the next one, or has failed after too many, or if it `is_final`.

    `after_seconds` takes the place of the wait that its retry policy gives.
    """
    _expect_running(task, "settled")
    retry, failures = task.work.retry, task.progress.failures + 1
    failure = _changed(
        task, failures=failures, attempts=_kept(task, _attempt(task, Ending.FAILED, now, error))
    )
    if is_final or failures >= retry.failures_max:
        return _ended(failure, State.FAILED, now, stamp)
    wait_seconds = retry.wait_seconds(failures, chance) if after_seconds is None else after_seconds
    return _waiting(failure, now + timedelta(seconds=wait_seconds), stamp)


def snoozed(task: Task, seconds: float, *, now: datetime, stamp: str) -> Task:
    """A running task is put off by its handler; that counts neither as a failure nor as a crash, up to `SNOOZES_MAX`."""
    _expect_running(task, "snoozed")
    snoozes = task.progress.snoozes + 1
    if snoozes > SNOOZES_MAX:
        tired = _attempt(task, Ending.FAILED, now, f"its handler put it off more than {SNOOZES_MAX:,} times")
        return _ended(_changed(task, attempts=_kept(task, tired)), State.FAILED, now, stamp)
    attempts = _kept(task, _attempt(task, Ending.SNOOZED, now))
    put_off = _changed(task, attempts=attempts, snoozes=snoozes)
    return _waiting(put_off, now + timedelta(seconds=seconds), stamp)


def released(task: Task, *, now: datetime, stamp: str) -> Task:
    """A running task is given back by a worker that ends: it waits for another, and nothing is counted against it."""
    _expect_running(task, "released")
    attempts = _kept(task, _attempt(task, Ending.RELEASED, now))
    return _waiting(_changed(task, attempts=attempts), now, stamp)


def cancelled(task: Task, *, now: datetime, stamp: str) -> Task:
    """A task that has not ended never will by itself. One that runs is asked to stop; its settlement loses."""
    if task.state.is_final:
        raise TransitionRefused(task.id, "cancelled", f"it has {_perfect(task.state)}")
    if task.state is State.RUNNING:
        task = _changed(task, attempts=_kept(task, _attempt(task, Ending.CANCELLED, now)))
    return _ended(task, State.CANCELLED, now, stamp)


def hurried(task: Task, *, now: datetime, stamp: str) -> Task:
    """A waiting task's moment is now."""
    if task.state is not State.WAITING:
        raise TransitionRefused(task.id, "run now", f"it is {task.state}")
    return _waiting(task, min(now, task.progress.run_at), stamp)


def redriven(task: Task, *, now: datetime, stamp: str) -> Task:
    """A task that failed or was cancelled begins again; its attempts are remembered, its failures and crashes forgiven."""
    if task.state not in (State.FAILED, State.CANCELLED):
        raise TransitionRefused(
            task.id, "redriven", f"it is {task.state}; only what failed or was cancelled can be"
        )
    forgiven = _changed(task, failures=0, crashes=0, snoozes=0, ended_at=None, expire_at=None)
    return _waiting(forgiven, now, stamp)


def watched(task: Task, *, due_at: datetime, stamp: str) -> Task:
    """A task that has not ended is to be looked at again at a later moment."""
    if task.state.is_final:
        raise TransitionRefused(task.id, "watched", f"it has {_perfect(task.state)}")
    return _changed(task, stamp=stamp, due_at=due_at)


def _running(task: Task, worker: str, now: datetime, lease_until: datetime, stamp: str) -> Task:
    return _changed(
        task,
        stamp=stamp,
        state=State.RUNNING,
        note="",
        attempt=task.progress.attempt + 1,
        worker=worker,
        began_at=now,
        lease_until=lease_until,
        due_at=lease_until,
    )


def _waiting(task: Task, run_at: datetime, stamp: str) -> Task:
    return _changed(
        task,
        stamp=stamp,
        state=State.WAITING,
        run_at=run_at,
        due_at=run_at,
        worker="",
        began_at=None,
        lease_until=None,
    )


def _ended(task: Task, state: State, now: datetime, stamp: str) -> Task:
    return _changed(
        task,
        stamp=stamp,
        state=state,
        due_at=None,
        worker="",
        began_at=None,
        lease_until=None,
        ended_at=now,
        expire_at=now + timedelta(seconds=task.work.result_ttl_seconds),
    )


def _changed(task: Task, **changes: object) -> Task:
    return Task(task.id, task.work, msgspec.structs.replace(task.progress, **changes))


def _attempt(task: Task, ending: Ending, ended_at: datetime, error: str = "") -> Attempt:
    progress = task.progress
    return Attempt(
        number=progress.attempt,
        worker=progress.worker,
        began_at=_moment(progress.began_at),
        ended_at=ended_at,
        ending=ending,
        error=error[:ERROR_CHARACTERS_MAX],
    )


def _kept(task: Task, attempt: Attempt) -> tuple[Attempt, ...]:
    return (*task.progress.attempts, attempt)[-ATTEMPTS_KEPT_MAX:]


def _expect_running(task: Task, what: str) -> None:
    if task.state is not State.RUNNING:
        raise TransitionRefused(task.id, what, f"it is {task.state}")


def _perfect(state: State) -> str:
    return "been cancelled" if state is State.CANCELLED else state


def _moment(moment: datetime | None) -> datetime:
    if moment is None:
        raise AssertionError("a running task has its moments")
    return moment

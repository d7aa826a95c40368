"""What happens to jobs, and when: decided here, done elsewhere. No clock, no disk and no network is known to it.

Entries are values: every change makes a new one, so that what could not be stored is taken back as if it had not been.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from emulators.api.refused import Code, Refused, failed_precondition, not_found
from emulators.cloud_scheduler import jobs
from emulators.cloud_scheduler.jobs import Job

#: The code of a job that has never run, as recorded of the service.
NEVER_RUN = -1
OK = 0
#: Executions of one job that were forced and have not ended.
FORCED_AT_ONCE_MAX = 10

ENABLED = 1
PAUSED = 2


@dataclass(frozen=True)
class Execution:
    """One run of a job: its attempts all bear the same schedule time."""

    id: int
    #: The schedule time that the attempts are told.
    slot: datetime
    #: When its next attempt begins; None while one is under way.
    due: datetime | None
    #: When its first attempt began.
    began: datetime | None = None
    failures: int = 0


@dataclass(frozen=True)
class Entry:
    """A job, and what is going on with it."""

    job: Any
    #: The next moment of its schedule; None while it is paused.
    slot: datetime | None
    executions: tuple[Execution, ...] = ()
    #: What the target answered last, for a person.
    answer: str = ""

    @property
    def running(self) -> bool:
        """Whether an attempt is under way."""
        return any(each.due is None for each in self.executions)

    @property
    def due(self) -> datetime | None:
        """When something is to be done next; a moment of the schedule waits for the attempt that is under way."""
        moments = [each.due for each in self.executions if each.due is not None]
        if self.slot is not None and not self.running:
            moments.append(self.slot)
        return min(moments, default=None)

    def shown(self) -> Any:
        """The job as clients see it."""
        job = Job()
        job.CopyFrom(self.job)
        moments = [each.due for each in self.executions if each.due is not None]
        if self.slot is not None:
            job.schedule_time.FromDatetime(min([*moments, self.slot]))
        return job


@dataclass(frozen=True)
class Attempt:
    """To be done now, and reported with `finished`."""

    job: Any
    execution: int
    slot: datetime


class Engine:
    """The jobs of all projects and locations."""

    def __init__(self, entries: Mapping[str, Entry] | None = None, next_execution: int = 1) -> None:
        self._entries: dict[str, Entry] = dict(entries or {})
        self._next_execution = next_execution
        self._heap: list[tuple[datetime, str]] = []
        self._before: dict[str, Entry | None] = {}
        for name, entry in self._entries.items():
            self._plan(name, entry)

    @property
    def entries(self) -> Mapping[str, Entry]:
        """All jobs by their names."""
        return self._entries

    def create(self, given: Any, now: datetime) -> Any:
        """A new job, enabled."""
        if given.name in self._entries:
            raise Refused(Code.ALREADY_EXISTS, f"Job {given.name} already exists.")
        job = jobs.completed(given)
        job.state = ENABLED
        job.status.code = NEVER_RUN
        job.user_update_time.FromDatetime(now)
        return self._set(Entry(job, jobs.schedule_of(job).next_after(now))).shown()

    def get(self, name: str) -> Any:
        """A job."""
        return self._entry(name).shown()

    def listed(self, parent: str) -> list[Any]:
        """The jobs of a location, by name."""
        return [
            entry.shown() for name, entry in sorted(self._entries.items()) if jobs.parent_of(name) == parent
        ]

    def update(self, given: Any, paths: Iterable[str], now: datetime) -> Any:
        """A job with other settings; what waits to be tried again is given up, what runs goes on."""
        entry = self._entry(given.name)
        job = jobs.updated(entry.job, given, list(paths))
        for field in ("state", "last_attempt_time", "status"):
            if entry.job.DESCRIPTOR.fields_by_name[field].message_type is None:
                setattr(job, field, getattr(entry.job, field))
            elif entry.job.HasField(field):
                getattr(job, field).CopyFrom(getattr(entry.job, field))
        job.user_update_time.FromDatetime(now)
        slot = jobs.schedule_of(job).next_after(now) if entry.slot else None
        return self._set(replace(entry, job=job, slot=slot, executions=_without_retries(entry))).shown()

    def delete(self, name: str) -> None:
        """Forgets a job."""
        self._entry(name)
        self._remember(name)
        del self._entries[name]

    def pause(self, name: str, now: datetime) -> Any:
        """Stops a job's schedule and its retries; an attempt that is under way ends as it may."""
        entry = self._entry(name)
        if entry.job.state == PAUSED:
            raise failed_precondition("Job must be in state ENABLED to be paused.")
        job = _with(entry.job, state=PAUSED, now=now)
        return self._set(replace(entry, job=job, slot=None, executions=_without_retries(entry))).shown()

    def resume(self, name: str, now: datetime) -> Any:
        """Goes on with the next moment of the schedule; those that went by are not made up for."""
        entry = self._entry(name)
        if entry.job.state != PAUSED:
            raise failed_precondition("Job must be in state PAUSED to be resumed.")
        job = _with(entry.job, state=ENABLED, now=now)
        return self._set(replace(entry, job=job, slot=jobs.schedule_of(job).next_after(now))).shown()

    def run(self, name: str, now: datetime) -> Any:
        """An execution now, even beside another one. It is told the next schedule time (recorded)."""
        entry = self._entry(name)
        if len(entry.executions) >= FORCED_AT_ONCE_MAX:
            raise Refused(
                Code.RESOURCE_EXHAUSTED,
                f"{len(entry.executions)} executions of the job are under way already.",
            )
        slot = entry.slot or jobs.schedule_of(entry.job).next_after(now) or now
        executions = (*entry.executions, Execution(self._new_id(), slot, due=now))
        return self._set(replace(entry, executions=executions)).shown()

    def due(self, now: datetime, attempts_max: int) -> list[Attempt]:
        """The attempts that begin now, at most so many; each one must be reported."""
        begun: list[Attempt] = []
        while len(begun) < attempts_max and (when := self.next_due()) is not None and when <= now:
            begun.extend(self._begin(self._heap[0][1], now))
        return begun

    def next_due(self) -> datetime | None:
        """When `due` has something; None: nothing is planned."""
        while self._heap:
            when, name = self._heap[0]
            entry = self._entries.get(name)
            if entry is not None and entry.due == when:
                return when
            heapq.heappop(self._heap)
        return None

    def finished(self, name: str, execution: int, code: int, answer: str, now: datetime) -> None:
        """An attempt ended with a gRPC code: zero is success, anything else may be tried again."""
        entry = self._entries.get(name)
        if entry is None or all(each.id != execution for each in entry.executions):
            return
        job = Job()
        job.CopyFrom(entry.job)
        job.ClearField("status")
        job.status.code = code
        executions = tuple(
            kept
            for each in entry.executions
            if (kept := each if each.id != execution else _after(entry, each, code, now)) is not None
        )
        self._set(Entry(job, entry.slot, executions, answer))

    def recover(self, now: datetime) -> None:
        """After a restart, attempts of which nobody knows the end are made again."""
        for entry in list(self._entries.values()):
            if entry.running:
                executions = tuple(
                    replace(each, due=now) if each.due is None else each for each in entry.executions
                )
                self._set(replace(entry, executions=executions))

    def changes(self) -> dict[str, Entry | None]:
        """What is new since `settle` or `undo`, by name; None for what is gone."""
        return {name: self._entries.get(name) for name in self._before}

    def settle(self) -> None:
        """The changes are stored."""
        self._before.clear()

    def undo(self) -> None:
        """The changes could not be stored: all is as it was."""
        for name, entry in self._before.items():
            if entry is None:
                self._entries.pop(name, None)
            else:
                self._entries[name] = entry
                self._plan(name, entry)
        self._before.clear()

    def _begin(self, name: str, now: datetime) -> list[Attempt]:
        entry = self._entries[name]
        at_its_moment = entry.slot is not None and entry.slot <= now and not entry.running
        untried = [each for each in entry.executions if not each.failures] if at_its_moment else []
        if entry.slot is not None and at_its_moment and not untried:
            # What failed and waits to be tried again has had its time: the next execution begins.
            execution = Execution(self._new_id(), entry.slot, due=now)
            following = jobs.schedule_of(entry.job).next_after(max(entry.slot, now))
            entry = replace(entry, slot=following, executions=(execution,))
        # What was forced, or is of unknown end, comes before the schedule, even if the clock was set back meanwhile.
        starting = [
            each for each in entry.executions if each.due is not None and (each.due <= now or each in untried)
        ]
        executions = tuple(
            replace(each, due=None, began=each.began or now) if each in starting else each
            for each in entry.executions
        )
        job = Job()
        job.CopyFrom(entry.job)
        job.last_attempt_time.FromDatetime(now)
        self._set(replace(entry, job=job, executions=executions))
        return [Attempt(job, each.id, each.slot) for each in starting]

    def _entry(self, name: str) -> Entry:
        entry = self._entries.get(jobs.checked_name(name))
        if entry is None:
            raise not_found("Job not found.")
        return entry

    def _set(self, entry: Entry) -> Entry:
        name = entry.job.name
        self._remember(name)
        self._entries[name] = entry
        self._plan(name, entry)
        return entry

    def _remember(self, name: str) -> None:
        self._before.setdefault(name, self._entries.get(name))

    def _plan(self, name: str, entry: Entry) -> None:
        if entry.due is not None:
            heapq.heappush(self._heap, (entry.due, name))

    def _new_id(self) -> int:
        self._next_execution += 1
        return self._next_execution - 1


def _after(entry: Entry, execution: Execution, code: int, now: datetime) -> Execution | None:
    """The execution after an attempt of it ended; None if it is over."""
    if code == OK or entry.slot is None:
        return None
    failures = execution.failures + 1
    at = jobs.retries_of(entry.job).next_attempt(failures, execution.began or now, now)
    # "Until the next scheduled execution time, whichever comes first."
    if at is None or at >= entry.slot:
        return None
    return replace(execution, failures=failures, due=at)


def _without_retries(entry: Entry) -> tuple[Execution, ...]:
    return tuple(each for each in entry.executions if each.due is None or not each.failures)


def _with(job: Any, *, state: int, now: datetime) -> Any:
    changed = Job()
    changed.CopyFrom(job)
    changed.state = state
    changed.user_update_time.FromDatetime(now)
    return changed


#: Reads a clock.
Clock = Callable[[], datetime]

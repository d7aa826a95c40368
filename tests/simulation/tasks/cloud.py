"""The cloud of tasks: the store, the alarms, and what must hold whenever something takes effect there."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from tests.simulation.cloud import Cloud
from tests.simulation.virtual import Process, at_once
from turnout.memory.tasks import MemoryAlarms, MemoryTaskStore
from turnout.queue.errors import MessageUnreadable
from turnout.queue.message import Message, Outgoing
from turnout.tasks.books import Entries
from turnout.tasks.messages import read_message
from turnout.tasks.settings import TaskSettings
from turnout.tasks.task import Change, State, Stored, Task
from turnout.tasks.telling import Ended

#: Clocks of processes differ by so much at most, and this is by how much a task may seem to begin early.
CLOCK_OFF_SECONDS_MAX = 0.5
#: Who is told how tasks end.
TOLD = "told"
#: Rounding of moments to microseconds.
ROUNDING_SECONDS = 0.001


class Lease(msgspec.Struct, frozen=True):
    """What a worker believes: it alone runs a task, until a second of the loop."""

    worker: str
    attempt: int
    ends: float


class TaskCloud(Cloud):
    """What is true of tasks."""

    def __init__(self, settings: TaskSettings) -> None:
        super().__init__(settings)
        self.store = MemoryTaskStore()
        self.alarms = MemoryAlarms()
        #: Tasks that were stored, and what has happened to each, counted beside the code under test.
        self.stored: dict[int, Task] = {}
        self.leases: dict[int, Lease] = {}
        self.crashes: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        self.attempts = 0
        self.crashes_ever = 0
        self.under_way: dict[int, Process] = {}
        self.processes: dict[str, Process] = {}

    def name_of(self, message: Outgoing) -> str:
        stored = read_message(message.data)
        return f"{stored.task.id % 100_000}.{stored.version}"

    def arrived(self, message: Outgoing) -> None:
        task_id = read_message(message.data).task.id
        if task_id not in self.stored:
            self.violate(f"task {task_id} was published before it was stored")

    def is_handled(self, message: Message) -> bool:
        """Whether a message is needed no more: the store knows the task, and when to look at it if it has not ended."""
        try:
            task = self.stored.get(read_message(message.data).task.id)
        except MessageUnreadable:
            return False
        return task is not None and (task.state.is_final or task.progress.due_at is not None)

    def commit(self, changes: Sequence[Change], book_shard: int, process: Process) -> Sequence[int]:
        present = at_once(self.store.get([change.after.id for change in changes]))
        versions = at_once(self.store.commit(changes, book_shard=book_shard))
        born = [Change(None, change.born) for change in changes if change.born is not None]
        for change in (*changes, *born):
            before = present.get(change.after.id)
            self._check(None if before is None else before.task, change.after, process)
            self.stored[change.after.id] = change.after
        return versions

    def begins(self, task: Task, process: Process) -> None:
        """A handler begins an attempt."""
        progress, now = task.progress, self._loop.time()
        early_seconds = (progress.run_at - self.clock.now()).total_seconds()
        if early_seconds > CLOCK_OFF_SECONDS_MAX + ROUNDING_SECONDS:
            self.violate(f"task {task.id} begins {early_seconds:.3f} s early")
        lease = self.leases.get(task.id)
        if lease is not None and lease.ends > now and lease.worker != process.name:
            self.violate(f"task {task.id} begins in {process.name} while {lease.worker} holds it")
        other = self.under_way.get(task.id)
        if other is not None and other.alive and other is not process and other.paused_until <= now:
            self.violate(f"task {task.id} begins in {process.name} while it runs in {other.name}")
        self.under_way[task.id] = process

    def ended(self, task: Task, process: Process) -> None:
        if self.under_way.get(task.id) is process:
            del self.under_way[task.id]

    def _check(self, before: Task | None, after: Task, process: Process) -> None:
        task_id, now = after.id, self._loop.time()
        old = None if before is None else before.progress
        new = after.progress
        if old is not None and old.state is State.WAITING and new.state is State.RUNNING:
            early_seconds = (old.run_at - self.clock.now()).total_seconds()
            if early_seconds > CLOCK_OFF_SECONDS_MAX + ROUNDING_SECONDS:
                self.violate(f"task {task_id} is claimed {early_seconds:.3f} s early")
        if old is not None and old.state.is_final and new.state is not State.WAITING:
            self.violate(f"task {task_id} is {new.state} after it was {old.state}")
        crashed = (
            old is not None
            and old.state is State.RUNNING
            and (new.attempt > old.attempt or (new.state is State.FAILED and new.crashes > old.crashes))
        )
        if crashed:
            self.crashes[task_id] = self.crashes.get(task_id, 0) + 1
            self.crashes_ever += 1
            lease = self.leases.get(task_id)
            if lease is not None and lease.ends > now:
                self.violate(f"task {task_id} was taken from {lease.worker}, whose lease was alive")
        if new.crashes != self.crashes.get(task_id, 0):
            self.violate(
                f"task {task_id} has crashed {self.crashes.get(task_id, 0)} times, and {new.crashes} are counted"
            )
        self.attempts += new.attempt - (0 if old is None else old.attempt)
        if new.state.is_final and (old is None or not old.state.is_final):
            self.ends[task_id] = self.ends.get(task_id, 0) + 1
        if new.state is State.SUCCEEDED and old is not None and old.worker != process.name:
            self.violate(f"{process.name} recorded a result of task {task_id}, which {old.worker} runs")
        self._note_lease(old is not None and old.attempt == new.attempt, after, process)

    def _note_lease(self, is_same: bool, after: Task, process: Process) -> None:  # noqa: FBT001
        progress = after.progress
        if progress.state is not State.RUNNING or progress.lease_until is None:
            self.leases.pop(after.id, None)
            return
        holder = self.processes.get(progress.worker, process)
        ends = (progress.lease_until - holder.clock.now()) / timedelta(seconds=1) + self._loop.time()
        self.leases[after.id] = Lease(progress.worker, progress.attempt, ends)

    def check_the_tasks_at_the_end(self, accepted: Sequence[int]) -> None:
        stored = self.store._tasks
        for task_id in accepted:
            if task_id not in stored:
                self.violate(f"task {task_id} was accepted, but is not stored")
        for each in stored.values():
            self._check_the_end_of(each)
        self._check_who_was_told([each.task for each in stored.values()])
        topics = {each.task.work.topic for each in stored.values()}
        for topic in sorted(topics):
            of_topic = [each.task for each in stored.values() if each.task.work.topic == topic]
            books = at_once(self.store.books(topic))
            states = [task.state for task in of_topic]
            crashes = sum(self.crashes.get(task.id, 0) for task in of_topic)
            expected = Entries(
                created=len(of_topic),
                succeeded=states.count(State.SUCCEEDED),
                failed=states.count(State.FAILED),
                cancelled=states.count(State.CANCELLED),
                attempts=sum(task.progress.attempt for task in of_topic),
                crashed=crashes,
            )
            if books.entries != expected or not books.balance:
                self.violate(f"the books of {topic} are {books.entries}, and should be {expected}")

    def _check_who_was_told(self, tasks: Sequence[Task]) -> None:
        """Each end that somebody wants to know of is told once, and no other."""
        told = sorted(
            (ended.task, ended.state)
            for task in tasks
            if task.work.handler == TOLD
            for ended in (msgspec.json.decode(task.work.payload, type=Ended),)
        )
        wanted = {State.SUCCEEDED: "on_success", State.FAILED: "on_failure"}
        expected = sorted(
            (task.id, task.state)
            for task in tasks
            if task.state in wanted and getattr(task.work, wanted[task.state])
        )
        if told != expected:
            self.violate(f"told was {told}, and should have been {expected}")

    def _check_the_end_of(self, stored: Stored) -> None:
        task = stored.task
        if not task.state.is_final:
            self.violate(f"task {task.id} is {task.state} at the end")
        if task.state.is_final and self.ends.get(task.id) != 1:
            self.violate(f"task {task.id} ended {self.ends.get(task.id, 0)} times")

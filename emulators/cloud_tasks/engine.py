"""The rules of Cloud Tasks over a clock: what is accepted, what is dispatched when, and what follows from an answer.

Nothing here waits, reads or writes. Calls and answers come in, dispatches come out of `due`, and what must be kept
gathers in `take_changes`. Whoever drives it sleeps until `next_moment`, or until a call or an answer comes.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from emulators.cloud_tasks import limits
from emulators.cloud_tasks.admission import accepted, service_account_of
from emulators.cloud_tasks.backoff import RETRY_AFTER_US_MAX, Retry, retry_of
from emulators.cloud_tasks.changes import (
    Change,
    Kept,
    QueueEnded,
    QueueSaved,
    TaskChanged,
    TaskCreated,
    TaskEnded,
)
from emulators.cloud_tasks.configuration import changed, completed
from emulators.cloud_tasks.errors import (
    InvalidArgument,
    NotFound,
    QueueExistedRecently,
    QueueExists,
    QueueNotFound,
    ServiceAccountNotFound,
    TaskExistedRecently,
    TaskExists,
    TaskGone,
    TooManyRuns,
)
from emulators.cloud_tasks.messages import PAUSED, RUNNING, Queue, RetryConfig
from emulators.cloud_tasks.names import (
    location_name,
    location_of,
    project_of,
    queue_name,
    task_name,
    task_name_in,
)
from emulators.cloud_tasks.queue import LiveQueue, LiveTask
from emulators.cloud_tasks.rate import RampUp
from emulators.cloud_tasks.tombstones import Tombstones

#: Microseconds since 1970.
Clock = Callable[[], int]
TOO_MANY_REQUESTS = 429
UNAVAILABLE = 503
SERVER_ERRORS = 500
MINUTE_US = 60 * limits.SECOND_US
#: So many at once, and then whoever drives the engine gets to other things.
DISPATCHES_AT_ONCE_MAX = 500


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose of the rules."""

    #: The slow start of locations that were idle.
    ramp_up: bool = True
    #: The service accounts that exist; None: all do.
    service_accounts: frozenset[str] | None = None
    task_name_held_us: int = limits.TASK_NAME_HELD_US
    queue_name_held_us: int = limits.QUEUE_NAME_HELD_US
    tombstones_max: int = limits.TOMBSTONES_MAX


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One attempt that is to be made now, with what its headers say."""

    task: LiveTask = field(repr=False)
    queue: str
    task_id: str
    order: int
    app_engine: bool
    #: The attempts before this one.
    retry_count: int
    execution_count: int
    schedule_us: int
    dispatch_us: int
    #: HTTP's status of the attempt before; -1 if this is the first.
    previous: int
    #: By RunTask.
    forced: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt ended: HTTP's status, or the one that stands for no answer (`answered` is False)."""

    status: int
    answered: bool = True
    retry_after_us: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether the task is done."""
        return self.answered and 200 <= self.status < 300  # noqa: PLR2004  # HTTP's class of successes


class Engine:
    """All queues and tasks, in memory but for the tasks' definitions."""

    def __init__(self, clock: Clock, ids: Callable[[], str], options: Options = Options()) -> None:  # frozen
        self.queues: dict[str, LiveQueue] = {}
        self._clock = clock
        self._ids = ids
        self._options = options
        self._held_queues: dict[str, int] = {}
        self._ramp_ups: dict[str, RampUp] = {}
        self._changes: list[Change] = []
        self._plans: list[tuple[int, int, LiveQueue]] = []
        self._plan_number = 0
        self._order = 0
        self._forced: list[Dispatch] = []
        self._runs: dict[str, deque[int]] = {}
        self._tombstones = Tombstones(options.tombstones_max)
        self._queue_number = 0
        #: No task grows too old before this moment.
        self._oldest_ends_us: int | None = None

    # Queues

    def create_queue(self, parent: str, given: Any) -> Any:
        """CreateQueue; the stored message."""
        name = queue_name(given.name)
        if location_of(name) != location_name(parent):
            raise InvalidArgument(f"The queue's name must begin with its parent: {parent}/queues/.")
        if name in self.queues:
            raise QueueExists
        return self._add_queue(name, given)

    def update_queue(self, given: Any, paths: Iterable[str]) -> Any:
        """UpdateQueue: creates the queue, or changes what the mask's paths name (snake case); the stored message."""
        name = queue_name(given.name)
        queue = self.queues.get(name)
        if queue is None:
            return self._add_queue(name, given)
        queue.configure(changed(queue.config, given, list(paths)), self._clock())
        return self._saved(queue)

    def queue(self, name: str) -> LiveQueue:
        """The queue of a name; `QueueNotFound`."""
        found = self.queues.get(queue_name(name))
        if found is None:
            raise QueueNotFound
        return found

    def delete_queue(self, name: str) -> None:
        """DeleteQueue: the queue with its tasks; the name is held back."""
        if queue_name(name) not in self.queues:
            raise NotFound
        queue = self.queues.pop(name)
        for task in queue.tasks.values():
            task.ended = True
            task.place = 0
        queue.tasks.clear()
        queue.plan = -1
        until_us = self._clock() + self._options.queue_name_held_us
        self._held_queues[name] = until_us
        self._changes.append(QueueEnded(name, until_us))

    def pause_queue(self, name: str) -> Any:
        """PauseQueue; the stored message."""
        queue = self.queue(name)
        queue.config.state = PAUSED
        return self._saved(queue)

    def resume_queue(self, name: str) -> Any:
        """ResumeQueue; the stored message."""
        queue = self.queue(name)
        queue.config.state = RUNNING
        return self._saved(queue)

    def purge_queue(self, name: str) -> Any:
        """PurgeQueue: ends all tasks that were created before the call; the stored message."""
        queue = self.queue(name)
        now_us = self._clock()
        queue.config.purge_time.FromMicroseconds(now_us)
        for task in list(queue.tasks.values()):
            self._end(task, now_us)
        return self._saved(queue)

    # Tasks

    def create_task(self, parent: str, given: Any) -> tuple[LiveTask, Any]:
        """CreateTask; the live task, and the message that is stored."""
        queue = self.queue(parent)
        now_us = self._clock()
        if given.name:
            task_id = task_name_in(queue.name, given.name)
            self._check_free(queue, task_id, now_us)
        else:
            task_id = self._fresh_id(queue)
        target = queue.config.http_target if queue.config.HasField("http_target") else None
        definition = accepted(given, f"{queue.name}/tasks/{task_id}", now_us, target, project_of(queue.name))
        self._check_service_account(definition)
        self._order += 1
        task = LiveTask(
            queue=queue,
            order=self._order,
            id=task_id,
            named=bool(given.name),
            app_engine=definition.HasField("app_engine_http_request"),
            create_us=now_us,
            schedule_us=definition.schedule_time.ToMicroseconds(),
            own_retry=retry_of(definition.retry_config) if definition.HasField("retry_config") else None,
        )
        self._add_task(task)
        own_retry = definition.retry_config.SerializeToString() if task.own_retry else b""
        self._changes.append(TaskCreated(task.record(), own_retry, definition.SerializeToString()))
        return task, definition

    def forget_task(self, task: LiveTask) -> None:
        """Takes back a task that could not be kept: as if it had never been created."""
        if not task.ended:
            task.ended = True
            task.place = 0
            del task.queue.tasks[task.id]
            self._plan(task.queue)

    def task(self, name: str) -> LiveTask:
        """The task of a name, waiting or running; `TaskGone` or `NotFound`."""
        queue_of_task, task_id = task_name(name)
        queue = self.queues.get(queue_of_task)
        if queue is None:
            raise NotFound
        found = queue.tasks.get(task_id)
        if found is None:
            raise TaskGone if self._is_held(queue, task_id, self._clock()) else NotFound
        return found

    def delete_task(self, name: str) -> None:
        """DeleteTask, of a waiting or running task; a running attempt goes on, and its answer changes nothing."""
        task = self.task(name)
        self._end(task, self._clock())
        self._plan(task.queue)

    def run_task(self, name: str) -> LiveTask:
        """RunTask: an attempt at once, whatever the queue's state and rates, and though one may be running."""
        task = self.task(name)
        now_us = self._clock()
        self._count_run(project_of(task.queue.name), now_us)
        # The run takes the place of the attempt that was scheduled; a failure schedules the next.
        task.place = 0
        self._forced.append(self._begin(task, now_us, forced=True))
        return task

    # Dispatching

    def due(self) -> list[Dispatch]:
        """The attempts that are to be made now; each must be answered once, by `answered`."""
        dispatches, self._forced = self._forced, []
        now_us = self._clock()
        self._end_old_tasks(now_us)
        while self._plans and self._plans[0][0] <= now_us and len(dispatches) < DISPATCHES_AT_ONCE_MAX:
            _, plan, queue = heapq.heappop(self._plans)
            if queue.plan != plan:
                continue
            queue.plan, queue.plan_us = 0, -1
            while len(dispatches) < DISPATCHES_AT_ONCE_MAX and queue.next_us(now_us) == now_us:
                dispatches.append(self._begin(queue.take(now_us), now_us, forced=False))
            self._plan(queue)
        return dispatches

    def next_moment(self) -> int | None:
        """The moment at which `due` has something, if no call and no answer comes before; None if never."""
        if self._forced:
            return self._clock()
        while self._plans and self._plans[0][2].plan != self._plans[0][1]:
            heapq.heappop(self._plans)
        planned = self._plans[0][0] if self._plans else None
        if self._oldest_ends_us is None:
            return planned
        return self._oldest_ends_us if planned is None else min(planned, self._oldest_ends_us)

    def answered(self, dispatch: Dispatch, answer: Answer) -> None:
        """Takes the end of an attempt: the task is done, or scheduled anew, or has failed for good."""
        task = dispatch.task
        queue = task.queue
        now_us = self._clock()
        _end_attempt(task)
        overloaded = answer.status == UNAVAILABLE or (
            answer.status == TOO_MANY_REQUESTS and not dispatch.app_engine
        )
        queue.throttle.note(now_us, failed=not answer.succeeded, overloaded=overloaded)
        if not task.ended:
            self._settle(task, dispatch, answer, now_us)
        self._plan(queue)

    def unsent(self, dispatch: Dispatch) -> None:
        """Takes back an attempt that could not be made, for a fault of ours: it is due again in a second."""
        task = dispatch.task
        _end_attempt(task)
        if not task.ended:
            task.dispatch_count -= 1
            if not task.dispatch_count:
                task.first_dispatch_us = 0
            task.schedule_us = self._clock() + limits.SECOND_US
            task.queue.wait(task)
        self._plan(task.queue)

    def take_changes(self) -> list[Change]:
        """What has changed since the last call, in order."""
        taken, self._changes = self._changes, []
        return taken

    def restore(self, kept: Kept) -> None:
        """Takes up what a store holds. A task whose attempt was cut off is due again at once."""
        now_us = self._clock()
        for serialized in kept.queues:
            config = Queue.FromString(serialized)
            self.queues[config.name] = self._live(config, now_us)
        self._held_queues.update(kept.held_queues)
        for queue_of_task, task_id, until_us in kept.held_tasks:
            if queue_of_task in self.queues:
                self._tombstones.hold(_held_name(self.queues[queue_of_task], task_id), until_us, now_us)
        for record, own_retry in kept.tasks:
            self._order = max(self._order, record.order)
            cut_off = record.dispatch_count > 0 and record.last_response_us == 0
            self._add_task(
                LiveTask(
                    queue=self.queues[record.queue],
                    order=record.order,
                    id=record.id,
                    named=record.named,
                    app_engine=record.app_engine,
                    create_us=record.create_us,
                    schedule_us=record.schedule_us,
                    own_retry=_own_retry(own_retry),
                    dispatch_count=record.dispatch_count,
                    response_count=record.response_count,
                    execution_count=record.execution_count,
                    first_dispatch_us=record.first_dispatch_us,
                    last_schedule_us=record.last_schedule_us,
                    last_dispatch_us=record.last_dispatch_us,
                    last_response_us=record.last_response_us,
                    previous=504 if cut_off else record.previous,
                )
            )

    # Beneath

    def _add_queue(self, name: str, given: Any) -> Any:
        now_us = self._clock()
        if self._held_queues.get(name, 0) > now_us:
            raise QueueExistedRecently
        self._held_queues.pop(name, None)
        queue = self._live(completed(given, Queue(name=name, state=RUNNING)), now_us)
        self.queues[name] = queue
        return self._saved(queue)

    def _live(self, config: Any, now_us: int) -> LiveQueue:
        self._queue_number += 1
        ramp_up = None
        if self._options.ramp_up:
            ramp_up = self._ramp_ups.setdefault(location_of(config.name), RampUp(now_us))
        return LiveQueue(self._queue_number, config, ramp_up, now_us)

    def _saved(self, queue: LiveQueue) -> Any:
        self._changes.append(QueueSaved(queue.name, queue.config.SerializeToString()))
        self._plan(queue)
        return queue.config

    def _check_free(self, queue: LiveQueue, task_id: str, now_us: int) -> None:
        if task_id in queue.tasks:
            raise TaskExists
        if self._is_held(queue, task_id, now_us):
            raise TaskExistedRecently

    def _fresh_id(self, queue: LiveQueue) -> str:
        now_us = self._clock()
        while (found := self._ids()) in queue.tasks or self._is_held(queue, found, now_us):
            pass
        return found

    def _check_service_account(self, definition: Any) -> None:
        email = service_account_of(definition)
        known = self._options.service_accounts
        if email and known is not None and email not in known:
            raise ServiceAccountNotFound(email)

    def _add_task(self, task: LiveTask) -> None:
        task.queue.tasks[task.id] = task
        task.queue.wait(task)
        ends_us = task.create_us + limits.TASK_LIFE_US
        if self._oldest_ends_us is None or ends_us < self._oldest_ends_us:
            self._oldest_ends_us = ends_us
        self._plan(task.queue)

    def _begin(self, task: LiveTask, now_us: int, *, forced: bool) -> Dispatch:
        dispatch = Dispatch(
            task=task,
            queue=task.queue.name,
            task_id=task.id,
            order=task.order,
            app_engine=task.app_engine,
            retry_count=task.dispatch_count,
            execution_count=task.execution_count,
            schedule_us=now_us if forced else task.schedule_us,
            dispatch_us=now_us,
            previous=task.previous,
            forced=forced,
        )
        task.queue.in_flight += 1
        task.queue.running.add(task)
        task.running += 1
        task.dispatch_count += 1
        task.first_dispatch_us = task.first_dispatch_us or now_us
        task.last_schedule_us = dispatch.schedule_us
        task.last_dispatch_us = now_us
        task.last_response_us = 0
        self._changes.append(TaskChanged(task.record()))
        return dispatch

    def _settle(self, task: LiveTask, dispatch: Dispatch, answer: Answer, now_us: int) -> None:
        if answer.succeeded:
            self._end(task, now_us)
            return
        task.response_count += answer.answered
        # An answer of the target's own server is no execution, but for App Engine [G].
        task.execution_count += answer.answered and (dispatch.app_engine or answer.status < SERVER_ERRORS)
        task.last_response_us = now_us
        task.previous = answer.status
        retry = task.retry
        from_us = dispatch.dispatch_us if dispatch.forced else now_us
        asked_us = min(answer.retry_after_us, RETRY_AFTER_US_MAX)
        next_us = from_us + max(retry.delay_us(task.dispatch_count), asked_us)
        if retry.is_over(task.dispatch_count, task.first_dispatch_us, next_us):
            self._end(task, now_us)
            return
        task.schedule_us = next_us
        task.queue.wait(task)
        self._changes.append(TaskChanged(task.record()))

    def _end(self, task: LiveTask, now_us: int) -> None:
        task.ended = True
        task.place = 0
        del task.queue.tasks[task.id]
        until_us = now_us + self._options.task_name_held_us
        self._tombstones.hold(_held_name(task.queue, task.id), until_us, now_us)
        # Ids that nobody chose come never again: after a restart they need not be known.
        self._changes.append(TaskEnded(task.order, task.queue.name, task.id, until_us if task.named else 0))

    def _end_old_tasks(self, now_us: int) -> None:
        if self._oldest_ends_us is None or now_us < self._oldest_ends_us:
            return
        for queue in self.queues.values():
            for task in list(queue.tasks.values()):
                if task.create_us + limits.TASK_LIFE_US <= now_us:
                    self._end(task, now_us)
            self._plan(queue)
        left = [task.create_us for queue in self.queues.values() for task in queue.tasks.values()]
        self._oldest_ends_us = min(left) + limits.TASK_LIFE_US if left else None

    def _is_held(self, queue: LiveQueue, task_id: str, now_us: int) -> bool:
        return self._tombstones.holds(_held_name(queue, task_id), now_us)

    def _count_run(self, project: str, now_us: int) -> None:
        runs = self._runs.setdefault(project, deque())
        while runs and runs[0] <= now_us - MINUTE_US:
            runs.popleft()
        if len(runs) >= limits.RUNS_PER_MINUTE_MAX:
            raise TooManyRuns(limits.RUNS_PER_MINUTE_MAX)
        runs.append(now_us)

    def _plan(self, queue: LiveQueue) -> None:
        if queue.plan == -1:
            return
        next_us = queue.next_us(self._clock())
        if next_us is None:
            queue.plan, queue.plan_us = 0, -1
        elif next_us != queue.plan_us:
            self._plan_number += 1
            queue.plan, queue.plan_us = self._plan_number, next_us
            heapq.heappush(self._plans, (next_us, self._plan_number, queue))


def _end_attempt(task: LiveTask) -> None:
    task.running -= 1
    task.queue.in_flight -= 1
    if not task.running:
        task.queue.running.discard(task)


def _held_name(queue: LiveQueue, task_id: str) -> str:
    return f"{queue.number}/{task_id}"


def _own_retry(serialized: bytes) -> Retry | None:
    return retry_of(RetryConfig.FromString(serialized)) if serialized else None

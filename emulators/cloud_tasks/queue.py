"""A live queue: its waiting tasks in order of their moments, and what holds them back."""

import heapq
from dataclasses import dataclass
from typing import Any

from emulators.cloud_tasks.backoff import Retry, retry_of
from emulators.cloud_tasks.changes import TaskRecord
from emulators.cloud_tasks.messages import PAUSED
from emulators.cloud_tasks.rate import RampUp, Throttle, TokenBucket


@dataclass(slots=True, eq=False)
class LiveTask:
    """A task that waits or runs; its definition lies in the store. The fields are those of `TaskRecord`."""

    queue: "LiveQueue"
    order: int
    id: str
    named: bool
    app_engine: bool
    create_us: int
    schedule_us: int
    own_retry: Retry | None
    dispatch_count: int = 0
    response_count: int = 0
    execution_count: int = 0
    first_dispatch_us: int = 0
    last_schedule_us: int = 0
    last_dispatch_us: int = 0
    last_response_us: int = 0
    previous: int = -1
    #: Attempts under way: more than one only by RunTask.
    running: int = 0
    #: The place in the queue's heap that is valid; 0 while it does not wait.
    place: int = 0
    ended: bool = False

    @property
    def name(self) -> str:
        """The task's full name."""
        return f"{self.queue.name}/tasks/{self.id}"

    @property
    def retry(self) -> Retry:
        """Its own retry configuration, or its queue's."""
        return self.own_retry or self.queue.retry

    def record(self) -> TaskRecord:
        """What is kept of it."""
        return TaskRecord(
            self.order,
            self.queue.name,
            self.id,
            self.named,
            self.app_engine,
            self.create_us,
            self.schedule_us,
            self.dispatch_count,
            self.response_count,
            self.execution_count,
            self.first_dispatch_us,
            self.last_schedule_us,
            self.last_dispatch_us,
            self.last_response_us,
            self.previous,
        )


class LiveQueue:
    """A queue's configuration, its tasks, and the moment at which it can next dispatch one."""

    def __init__(self, number: int, config: Any, ramp_up: RampUp | None, now_us: int) -> None:
        #: Tells it from an earlier queue of the same name.
        self.number = number
        self.name: str = config.name
        self.tasks: dict[str, LiveTask] = {}
        #: Attempts under way, those of tasks that have ended meanwhile included.
        self.in_flight = 0
        self.running: set[LiveTask] = set()
        self.throttle = Throttle()
        #: The plan to look at this queue again that is valid.
        self.plan = 0
        self.plan_us = -1
        self._ramp_up = ramp_up
        self._waiting: list[tuple[int, int, LiveTask]] = []
        self._places = 0
        self.config = config
        self.retry = retry_of(config.retry_config)
        rates = config.rate_limits
        self._bucket = TokenBucket(rates.max_dispatches_per_second, rates.max_burst_size, now_us)

    def configure(self, config: Any, now_us: int) -> None:
        """Takes another configuration."""
        self.config = config
        self.retry = retry_of(config.retry_config)
        self._set_rate(now_us)

    @property
    def paused(self) -> bool:
        """Whether it dispatches nothing but by RunTask."""
        return bool(self.config.state == PAUSED)

    def wait(self, task: LiveTask) -> None:
        """Puts a task into line at its schedule time; an earlier place of it is void."""
        self._places += 1
        task.place = self._places
        heapq.heappush(self._waiting, (task.schedule_us, task.place, task))
        self._tidy()

    def next_us(self, now_us: int) -> int | None:
        """The moment at which the next task can be dispatched; None if only a call or an answer can change that."""
        head = self._head()
        if head is None or self.paused or self.in_flight >= self.config.rate_limits.max_concurrent_dispatches:
            return None
        if head.schedule_us > now_us:
            return head.schedule_us
        self._set_rate(now_us)
        ready_us = self._bucket.ready_us(now_us)
        return max(ready_us, self._ramp_up.ready_us(now_us)) if self._ramp_up else ready_us

    def take(self, now_us: int) -> LiveTask:
        """Takes the task that `next_us` has promised for now, and a token for it."""
        task = heapq.heappop(self._waiting)[2]
        task.place = 0
        self._bucket.take(now_us)
        if self._ramp_up:
            self._ramp_up.take(now_us)
        return task

    def first(self, tasks_max: int) -> list[LiveTask]:
        """The tasks in line that are due first."""
        found: list[LiveTask] = []
        # A heap's smallest entries are found from its top, without looking at all of it.
        frontier = [(*self._waiting[0], 0)] if self._waiting else []
        while frontier and len(found) < tasks_max:
            _, place, task, index = heapq.heappop(frontier)
            if task.place == place:
                found.append(task)
            for child in (2 * index + 1, 2 * index + 2):
                if child < len(self._waiting):
                    heapq.heappush(frontier, (*self._waiting[child], child))
        return found

    def _head(self) -> LiveTask | None:
        while self._waiting:
            _, place, task = self._waiting[0]
            if task.place == place:
                return task
            heapq.heappop(self._waiting)
        return None

    def _tidy(self) -> None:
        # Places of deleted tasks stay in the heap until they are due, which may be in a month.
        if len(self._waiting) > 2 * len(self.tasks) + 64:
            self._waiting = [entry for entry in self._waiting if entry[2].place == entry[1]]
            heapq.heapify(self._waiting)

    def _set_rate(self, now_us: int) -> None:
        rates = self.config.rate_limits
        factor = self.throttle.factor(now_us)
        self._bucket.change(
            rates.max_dispatches_per_second * factor, max(1.0, rates.max_burst_size * factor), now_us
        )

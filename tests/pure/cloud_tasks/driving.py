"""An engine whose clock is turned by hand, and whose changes are kept by a dictionary."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest

from emulators.api.refused import Code, Refused
from emulators.cloud_tasks.changes import (
    Change,
    EncryptionSaved,
    Kept,
    PolicySaved,
    QueueEnded,
    QueueSaved,
    TaskChanged,
    TaskCreated,
    TaskEnded,
    TaskRecord,
)
from emulators.cloud_tasks.engine import Answer, Dispatch, Engine, Options
from emulators.cloud_tasks.messages import Queue, Task

SECOND = 1_000_000
PARENT = "projects/p/locations/l"
QUEUE = f"{PARENT}/queues/q"
#: 2026-11-21T12:00:00Z
NOON_US = 1_795_262_400 * SECOND
NO_RAMP_UP = Options(ramp_up=False)


@dataclass
class Disk:
    """What a store would hold: the changes, folded."""

    queues: dict[str, bytes] = field(default_factory=dict)
    tasks: dict[int, tuple[TaskRecord, bytes]] = field(default_factory=dict)
    held_queues: dict[str, int] = field(default_factory=dict)
    held_tasks: list[tuple[str, str, int]] = field(default_factory=list)

    def write(self, changes: list[Change]) -> None:
        for change in changes:
            match change:
                case TaskCreated(record, own_retry, _):
                    self.tasks[record.order] = (record, own_retry)
                case TaskChanged(record):
                    if record.order in self.tasks:
                        self.tasks[record.order] = (record, self.tasks[record.order][1])
                case TaskEnded(order, queue, task_id, until_us):
                    self.tasks.pop(order, None)
                    if until_us:
                        self.held_tasks.append((queue, task_id, until_us))
                case QueueSaved(name, definition):
                    self.queues[name] = definition
                    self.held_queues.pop(name, None)
                case QueueEnded(name, until_us):
                    del self.queues[name]
                    self.tasks = {key: kept for key, kept in self.tasks.items() if kept[0].queue != name}
                    self.held_tasks = [held for held in self.held_tasks if held[0] != name]
                    self.held_queues[name] = until_us
                case PolicySaved() | EncryptionSaved():
                    pass

    def kept(self) -> Kept:
        return Kept(
            queues=list(self.queues.values()),
            tasks=list(self.tasks.values()),
            held_queues=dict(self.held_queues),
            held_tasks=sorted(self.held_tasks, key=lambda held: held[2]),
            policies={},
            encryption={},
        )


class Driven:
    """One engine over time, across restarts."""

    def __init__(self, options: Options = NO_RAMP_UP) -> None:
        self.now_us = NOON_US
        self.disk = Disk()
        self._options = options
        self._ids = itertools.count(1)
        self.engine = self._make()

    def _make(self) -> Engine:
        return Engine(lambda: self.now_us, lambda: f"auto{next(self._ids)}", self._options)

    def restart(self) -> None:
        """As after SIGKILL: what was written is there, what was under way is not."""
        self.disk.write(self.engine.take_changes())
        self.engine = self._make()
        self.engine.restore(self.disk.kept())

    def turn(self, seconds: float) -> None:
        self.now_us += round(seconds * SECOND)

    def queue(self, name: str = QUEUE, **fields: Any) -> Any:
        config = Queue(name=name)
        for path, value in fields.items():
            *parents, leaf = path.split("__")
            target = config
            for parent in parents:
                target = getattr(target, parent)
            if isinstance(value, float) and leaf != "max_dispatches_per_second":
                getattr(target, leaf).FromMicroseconds(round(value * SECOND))
            else:
                setattr(target, leaf, value)
        return self.engine.create_queue(PARENT, config)

    def task(self, task_id: str = "", *, queue: str = QUEUE, delay: float = 0, **http: Any) -> str:
        """Creates a task that is due after a delay in seconds; its name."""
        given = Task(name=f"{queue}/tasks/{task_id}" if task_id else "")
        given.http_request.url = http.pop("url", "http://localhost/work")
        for key, value in http.items():
            setattr(given.http_request, key, value)
        if delay:
            given.schedule_time.FromMicroseconds(self.now_us + round(delay * SECOND))
        created = self.engine.create_task(queue, given)[0]
        return created.name

    def due(self) -> list[Dispatch]:
        found = self.engine.due()
        self.disk.write(self.engine.take_changes())
        return found

    def run_until(self, moment_us: int) -> list[tuple[int, Dispatch]]:
        """Lets time pass as the dispatcher would; what was dispatched when. Nothing is answered."""
        found = []
        while (next_us := self.engine.next_moment()) is not None and next_us <= moment_us:
            self.now_us = max(self.now_us, next_us)
            dispatched = self.due()
            found += [(self.now_us, each) for each in dispatched]
        self.now_us = moment_us
        return found

    def answer(self, dispatch: Dispatch, status: int, **more: Any) -> None:
        self.engine.answered(dispatch, Answer(status, **more))
        self.disk.write(self.engine.take_changes())

    def attempts(self, statuses: list[int]) -> list[Dispatch]:
        """Answers the one task's attempts, one after the other, each as soon as it is due; the attempts."""
        found = []
        for status in statuses:
            moment = self.engine.next_moment()
            assert moment is not None, "no further attempt is planned"
            self.now_us = max(self.now_us, moment)
            (dispatch,) = self.due()
            found.append(dispatch)
            self.answer(dispatch, status)
        return found


def refusal(call: Any, *arguments: Any, **named: Any) -> tuple[Code, str]:
    """The code and message with which a call is refused."""
    with pytest.raises(Refused) as caught:
        call(*arguments, **named)
    return caught.value.code, caught.value.message

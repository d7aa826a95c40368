"""Steering: what a person does with a task."""

from collections.abc import Callable

from turnout.base.chance import NewId
from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable
from turnout.tasks.commits import Commits, Made
from turnout.tasks.errors import TaskUnknown
from turnout.tasks.ports import TaskStore
from turnout.tasks.task import Change, State, Stored, Task, cancelled, hurried, redriven, released
from turnout.tasks.timetable import Timetable

#: Tries against others who change the same task.
TRIES_MAX = 8


class Steering:
    """Changes tasks by hand. `TransitionRefused`: the task's state does not allow it; `TaskUnknown`: there is none."""

    def __init__(
        self, store: TaskStore, commits: Commits, timetable: Timetable, *, clock: Clock, new_id: NewId
    ) -> None:
        self._store = store
        self._commits = commits
        self._timetable = timetable
        self._clock = clock
        self._new_id = new_id

    async def cancel(self, task_id: int) -> Stored:
        """Ends a task. If it runs, its worker is told with the next renewal of its lease, and its settlement loses."""
        stamp = self._new_id()
        return await self._change(task_id, lambda task: cancelled(task, now=self._clock.now(), stamp=stamp))

    async def run_now(self, task_id: int) -> Stored:
        """Runs a waiting task now, whatever its moment."""
        stamp = self._new_id()
        return await self._change(task_id, lambda task: hurried(task, now=self._clock.now(), stamp=stamp))

    async def redrive(self, task_id: int) -> Stored:
        """Begins a task again that failed or was cancelled."""
        stamp = self._new_id()
        return await self._change(task_id, lambda task: redriven(task, now=self._clock.now(), stamp=stamp))

    async def retry(self, task_id: int) -> Stored:
        """Tries a task again now: one that waits is run, one that failed or was cancelled is redriven."""
        stamp = self._new_id()

        def again(task: Task) -> Task:
            verb = hurried if task.state is State.WAITING else redriven
            return verb(task, now=self._clock.now(), stamp=stamp)

        return await self._change(task_id, again)

    async def release(self, task_id: int) -> Stored:
        """Takes a running task from its worker by force, for another to run; what that worker says of it loses."""
        stamp = self._new_id()
        return await self._change(task_id, lambda task: released(task, now=self._clock.now(), stamp=stamp))

    async def _change(self, task_id: int, transition: Callable[[Task], Task]) -> Stored:
        present = (await self._store.get([task_id])).get(task_id)
        for _ in range(TRIES_MAX):
            if present is None:
                raise TaskUnknown(task_id)
            outcome = await self._commits.make(Change(present, transition(present.task)))
            if isinstance(outcome, Made):
                await self._timetable.arrange([outcome.stored])
                return outcome.stored
            present = outcome.present
        raise ServiceUnavailable("The tasks' store", f"task {task_id} changes faster than it can be changed")

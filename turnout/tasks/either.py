"""A task is done by its handler, by a call of its URL, or only comes due."""

from turnout.tasks.new_task import BUILT_IN_DUE
from turnout.tasks.running import Run, Runner


class EitherRunner:
    """Runs a task by who does it."""

    def __init__(self, handlers: Runner, callbacks: Runner, due: Runner) -> None:
        self._handlers = handlers
        self._callbacks = callbacks
        self._due = due

    async def run(self, run: Run) -> str:
        """The result, as the text of any JSON."""
        work = run.task.work
        if work.call is not None:
            return await self._callbacks.run(run)
        return await (self._due if work.handler == BUILT_IN_DUE else self._handlers).run(run)

"""A task is done by its handler, or by a call of its URL."""

from turnout.tasks.running import Run, Runner


class EitherRunner:
    """Runs a task by its handler, or by a call of its URL."""

    def __init__(self, handlers: Runner, callbacks: Runner) -> None:
        self._handlers = handlers
        self._callbacks = callbacks

    async def run(self, run: Run) -> str:
        """The result, as the text of any JSON."""
        runner = self._handlers if run.task.work.call is None else self._callbacks
        return await runner.run(run)

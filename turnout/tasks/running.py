"""Running: what a handler of tasks is given, and what it can say beside a result."""

from datetime import datetime
from typing import Protocol

import msgspec

from turnout.tasks.task import Task


class Retry(Exception):
    """A handler raises it: this attempt failed, and the next one is to come after so many seconds, not as configured."""

    def __init__(self, after_seconds: float, why: str = "the handler asks for another attempt") -> None:
        self.after_seconds = after_seconds
        super().__init__(why)


class Fail(Exception):
    """A handler raises it: no further attempt would succeed."""


class Snooze(Exception):
    """A handler raises it: not now, but in so many seconds; that is neither a success nor a failure."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"put off by {seconds:g} s")


class Run(msgspec.Struct, frozen=True):
    """One attempt of a task, as its handler sees it."""

    task: Task
    #: The attempt's number, from 1; and when it is ended if the handler has not.
    attempt: int
    deadline: datetime

    @property
    def idempotency_key(self) -> str:
        """The same for all attempts of the task: an effect that is bound to it can be made once."""
        return f"{self.task.work.topic}/{self.task.id}"


class Runner(Protocol):
    """What runs tasks. It is cancelled at the deadline, when the task is cancelled, and when its lease is lost."""

    async def run(self, run: Run) -> str:
        """Does a task's work and returns its result, as the text of any JSON.

        `Retry`, `Fail` and `Snooze` say what is to become of the task; any other exception is a failed attempt of this
        task alone.
        """
        ...

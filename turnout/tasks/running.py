"""Running: what a handler of tasks is given, and what it can say beside a result."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from turnout.tasks.task import Task
from turnout.tasks.times import read_duration

#: A handler's own wait before the next attempt: a day, as a server's Retry-After is obeyed.
RETRY_AFTER_SECONDS_MAX = 86_400.0
#: Below a second a handler that snoozes would be a busy loop over the store.
SNOOZE_SECONDS_MIN = 1.0
SNOOZE_SECONDS_MAX = 366 * 86_400.0


class Retry(Exception):
    """A handler raises it: this attempt failed, and the next one is to come after that, not as configured."""

    def __init__(self, after: float | str, why: str = "the handler asks for another attempt") -> None:
        """`after`: seconds, or a duration as `"5m"`; a day at most."""
        self.after_seconds = _bounded(after, "after", 0.0, RETRY_AFTER_SECONDS_MAX)
        super().__init__(why)


class Fail(Exception):
    """A handler raises it: no further attempt would succeed."""


class Snooze(Exception):
    """A handler raises it: not now, but in a while; that is neither a success nor a failure."""

    def __init__(self, seconds: float | str) -> None:
        """`seconds`: or a duration as `"1h"`; one second to 366 days."""
        self.seconds = _bounded(seconds, "seconds", SNOOZE_SECONDS_MIN, SNOOZE_SECONDS_MAX)
        super().__init__(f"put off by {self.seconds:g} s")


class Run(msgspec.Struct, frozen=True):
    """One attempt of a task, as its handler sees it."""

    task: Task
    #: The attempt's number, from 1; and when it is ended if the handler has not.
    attempt: int
    deadline: datetime
    #: Says how far it is: shown with the task from the next renewal of its lease on.
    report: Callable[[str], None] = lambda _: None

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


def _bounded(given: float | str, field: str, least: float, most: float) -> float:
    """The seconds; `ValueError` if they are outside the bounds, which then is the attempt's failure."""
    seconds = read_duration(given, field=field) if isinstance(given, str) else float(given)
    if not least <= seconds <= most:
        raise ValueError(f"{field} is {least:g} to {most:g} seconds, not {seconds:g}")
    return seconds

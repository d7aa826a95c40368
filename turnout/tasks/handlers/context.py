"""The context of one attempt: what a handler may know of its task, and say while it runs."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec


class Attempted(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of an attempt; they travel to a process of its own as they are."""

    id: int
    topic: str
    #: From 1.
    attempt: int
    #: When the attempt is ended if the handler has not.
    deadline: datetime
    #: The same for all attempts of the task: an effect that is bound to it can be made once.
    idempotency_key: str
    #: W3C's traceparent, if the task was added with one; and all that travels along.
    trace: str = ""
    context: Mapping[str, str] = {}


class Context:
    """What a handler is given beside its payload, if it has a parameter that is annotated so."""

    def __init__(self, facts: Attempted, report: Callable[[str], None] = lambda _: None) -> None:
        self.facts = facts
        self._report = report
        self._is_cancelled = False

    @property
    def id(self) -> int:
        """The task's id."""
        return self.facts.id

    @property
    def topic(self) -> str:
        """The task's topic."""
        return self.facts.topic

    @property
    def attempt(self) -> int:
        """The attempt's number, from 1."""
        return self.facts.attempt

    @property
    def deadline(self) -> datetime:
        """When the attempt is ended if the handler has not."""
        return self.facts.deadline

    @property
    def seconds_left(self) -> float:
        """How long until the deadline."""
        return (self.facts.deadline - datetime.now(UTC)).total_seconds()

    @property
    def idempotency_key(self) -> str:
        """The same for all attempts of the task: an effect that is bound to it can be made once."""
        return self.facts.idempotency_key

    @property
    def trace(self) -> str:
        """W3C's traceparent, if the task was added with one."""
        return self.facts.trace

    @property
    def values(self) -> Mapping[str, str]:
        """All that was added to travel along."""
        return self.facts.context

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for the handler any more: its time is up, or its task is cancelled or another's.

        A synchronous handler in a thread cannot be ended from outside: one that runs for long asks now and then. In a
        process of its own it need not, for that is killed.
        """
        return self._is_cancelled

    def cancel(self) -> None:
        """Says that nobody waits any more."""
        self._is_cancelled = True

    def progress(self, note: str) -> None:
        """Says how far it is, in some words; shown with the task within a third of its lease."""
        self._report(note)

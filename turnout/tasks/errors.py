"""What can go wrong with tasks."""

from collections.abc import Sequence

from turnout.base.errors import TurnoutError, ValueRefused
from turnout.queue.errors import MessageUnreadable, QueueUnavailable

#: Of the handlers that there are, so many are named.
NAMES_SHOWN_MAX = 20
FULL_RETRY_AFTER_SECONDS = 5.0


class TransitionRefused(TurnoutError):
    """A task's state does not allow what is asked of it."""

    def __init__(self, task_id: int, what: str, why: str) -> None:
        self.task_id = task_id
        super().__init__(f"Task {task_id} cannot be {what}: {why}.")


class TaskUnknown(TurnoutError):
    """No task has this id, or it is kept no longer."""

    def __init__(self, task_id: int) -> None:
        self.task_id = task_id
        super().__init__(f"There is no task {task_id}, or it is kept no longer.")


class HandlerUnknown(ValueRefused):
    """No handler has this name."""

    def __init__(self, name: str, names: Sequence[str], *, field: str) -> None:
        known = ", ".join(names[:NAMES_SHOWN_MAX]) or "none: name their package by TURNOUT_HANDLERS"
        super().__init__(f"There is no handler {name!r}; there are {known}.", field=field)


class TopicFull(QueueUnavailable):
    """As many of a topic's tasks wait as may."""

    def __init__(self, topic: str, tasks_max: int) -> None:
        super().__init__(
            f"The topic {topic} has {tasks_max:,} tasks that have not ended; send this one later.",
            retry_after_seconds=FULL_RETRY_AFTER_SECONDS,
        )


class CountDiffers(TurnoutError):
    """More tasks would be purged than the person who purges expects."""

    def __init__(self, topic: str, expected: int, waiting: int) -> None:
        self.waiting = waiting
        super().__init__(
            f"In topic {topic} {waiting:,} tasks wait, not {expected:,}; nothing was purged. Confirm that number."
        )


class KeyReused(TurnoutError):
    """The key belongs to another task of the topic: one with other work."""

    def __init__(self, topic: str, key: str, task_id: int) -> None:
        self.task_id = task_id
        super().__init__(
            f"In topic {topic} the key {key[:100]!r} belongs to task {task_id}, whose work differs; "
            "use another key, or send the same work."
        )


class TasksChanged(TurnoutError):
    """A task in a commit is not what it was when the commit was made, or a new one's id or key exists.

    Nothing of the commit was applied.
    """


class TaskUnreadable(MessageUnreadable):
    """A message's data is not a task."""

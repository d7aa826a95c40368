"""Alarms: one for each shard and second in which something is due, however many tasks that are.

Cloud Tasks takes no alarm more than thirty days ahead. A later one is a chain: its hops lie a whole number of spans
before the second itself, so that all who want an alarm for this second, whenever they ask, want the same hops by name.
"""

from datetime import UTC, datetime, timedelta

import msgspec

from turnout.tasks.ids import shard_of
from turnout.tasks.task import Task

#: Below Cloud Tasks' 720 hours, by more than a day for clocks, retries and outages.
HOP_SECONDS = 28 * 86_400
#: More than any moment needs that a task may have.
HOPS_MAX = 1_000


class Alarm(msgspec.Struct, frozen=True):
    """Rings when the tasks of a shard and second are to be published; `hops` more alarms come after this one."""

    shard: int
    #: Unix seconds; the alarm is of the tasks whose moment lies in this second.
    second: int
    hops: int = 0

    @property
    def name(self) -> str:
        """What makes it unique. It begins with the shard: names that grow with time slow Cloud Tasks down."""
        return f"{self.shard:03}-{self.second}-{self.hops}"

    @property
    def rings_at(self) -> datetime:
        """When it rings."""
        return datetime.fromtimestamp(self.second - self.hops * HOP_SECONDS, UTC)


def second_of(moment: datetime) -> int:
    """The Unix second in which a moment lies."""
    return int(moment.timestamp() // 1)


def alarm_of(task: Task, now: datetime, *, ahead_seconds: float) -> Alarm | None:
    """The alarm that will wake a task, or None if its moment is too near to rely on one.

    An alarm is relied on only if it rings more than `ahead_seconds` from now. Others may have set it long ago: one that
    is about to ring, or has rung, may already have read the store without finding this task. `now` is therefore a moment
    *after* the task is stored. Of a chain, a hop that is too near is passed over for the one after it.
    """
    due_at = task.progress.due_at
    if due_at is None:
        return None
    second = second_of(due_at)
    remaining = datetime.fromtimestamp(second, UTC) - (now + timedelta(seconds=ahead_seconds))
    if remaining <= timedelta(0):
        return None
    return Alarm(shard_of(task.id), second, int(remaining.total_seconds() // HOP_SECONDS))

"""The books of a topic: what has become of its tasks, counted in the very commits that make it so."""

from collections.abc import Iterable

import msgspec

from turnout.tasks.task import Change, State


class Entries(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of tasks and attempts: what a commit adds to a topic's books, or what they hold.

    `succeeded`, `failed` and `cancelled` are the tasks that are so now: a redrive takes one off.
    """

    created: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    #: Attempts begun, and of these those that crashed.
    attempts: int = 0
    crashed: int = 0

    @property
    def depth(self) -> int:
        """Tasks that have not ended."""
        return self.created - self.succeeded - self.failed - self.cancelled

    def plus(self, other: "Entries") -> "Entries":
        """The sum."""
        return Entries(
            **{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__}
        )


class Books(msgspec.Struct, frozen=True):
    """Both sides of a topic's accounts, read at one moment: what was counted, and what there is."""

    entries: Entries
    #: Tasks that have not ended, counted one by one.
    unended: int

    @property
    def balance(self) -> bool:
        """Whether both sides agree. Tasks that have ended expire, so that they are not counted one by one."""
        return self.entries.depth == self.unended


#: The states that the books count.
_COUNTED = {State.SUCCEEDED: "succeeded", State.FAILED: "failed", State.CANCELLED: "cancelled"}


def entries_of(change: Change) -> Entries:
    """What a change adds to its topic's books."""
    after = change.after.progress
    counts = {"attempts": after.attempt}
    if change.before is None:
        counts["created"] = 1
    else:
        before = change.before.task.progress
        counts["attempts"] -= before.attempt
        # A redrive forgives crashes; they happened all the same.
        counts["crashed"] = max(after.crashes - before.crashes, 0)
        if before.state in _COUNTED:
            counts[_COUNTED[before.state]] = -1
    if after.state in _COUNTED:
        counts[_COUNTED[after.state]] = counts.get(_COUNTED[after.state], 0) + 1
    return Entries(**counts)


def entries_by_topic(changes: Iterable[Change]) -> dict[str, Entries]:
    """What changes add to the books of each topic; topics whose books stay as they are, are left out."""
    sums: dict[str, Entries] = {}
    for change in changes:
        born = [] if change.born is None else [Change(None, change.born)]
        for each in (change, *born):
            topic = each.after.work.topic
            sums[topic] = sums.get(topic, Entries()).plus(entries_of(each))
    return {topic: entries for topic, entries in sums.items() if entries != Entries()}

"""Telling: who wants to know how a task ended gets a task of its own, born in the very commit that ends it.

So whoever is told is told once for each end, and never of an end that did not come about; the telling is retried, and
ends among the failed ones, as any task.
"""

import msgspec

from turnout.base.chance import Chance, NewId
from turnout.base.clock import Clock, moment
from turnout.tasks.ids import draw_task_ids
from turnout.tasks.task import Change, State, Stored, Task, added
from turnout.tasks.work import Call, Work

URL_STARTS = ("http://", "https://")


def is_url(by: str) -> bool:
    """Whether who is to be told is a URL, and not a handler's name."""
    return by.startswith(URL_STARTS)


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What is told: the payload of the telling."""

    task: int
    topic: str
    state: State
    attempts: int
    added_at: str
    ended_at: str
    #: Any JSON.
    result: object
    error: str | None
    context: dict[str, str]


class Telling:
    """Makes changes; one that ends a task brings the telling along."""

    def __init__(self, *, clock: Clock, chance: Chance, new_id: NewId) -> None:
        self._clock = clock
        self._chance = chance
        self._new_id = new_id

    def change(self, before: Stored, after: Task) -> Change:
        """The change from what is stored, with the telling if it wants one."""
        if after.state is before.task.state:
            return Change(before, after)
        work = after.work
        match after.state:
            case State.SUCCEEDED:
                by = work.on_success
            case State.FAILED:
                by = work.on_failure
            case _:
                by = ""
        return Change(before, after, self._born(after, by) if by else None)

    def _born(self, ended: Task, by: str) -> Task:
        now, stamp = self._clock.now(), self._new_id()
        (task_id,) = draw_task_ids(1, now, self._chance)
        work = Work(
            topic=ended.work.topic,
            handler="" if is_url(by) else by,
            call=Call(url=by) if is_url(by) else None,
            payload=msgspec.Raw(msgspec.json.encode(ended_of(ended))),
            added_at=now,
            origin=stamp,
            retry=ended.work.retry,
            context=ended.work.context,
        )
        return added(task_id, work, run_at=now, stamp=stamp)


def ended_of(task: Task) -> Ended:
    """What is told of a task that has ended."""
    progress = task.progress
    last = progress.attempts[-1] if progress.attempts else None
    return Ended(
        task=task.id,
        topic=task.work.topic,
        state=progress.state,
        attempts=progress.attempt,
        added_at=moment(task.work.added_at),
        ended_at="" if progress.ended_at is None else moment(progress.ended_at),
        result=None if progress.result is None else msgspec.json.decode(progress.result),
        error=last.error if last is not None and last.error else None,
        context=dict(task.work.context),
    )

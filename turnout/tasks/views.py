"""Views: a task as people and programs read it. What a URL answered is shown to who asks for that very task, in no list."""

from datetime import datetime

import msgspec

from turnout.base.clock import moment
from turnout.tasks.books import Entries
from turnout.tasks.task import Attempt, State, Task


class AttemptView(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One run, as it is remembered."""

    number: int
    worker: str
    began_at: str
    ended_at: str | None = None
    ending: str | None = None
    error: str | None = None


class TaskView(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A task."""

    id: int
    topic: str
    #: scheduled, queued, running, succeeded, failed or cancelled.
    state: str
    handler: str | None = None
    url: str | None = None
    key: str | None = None
    added_at: str
    run_at: str
    ended_at: str | None = None
    expire_at: str | None = None
    #: Attempts begun; those that failed, and those whose worker died.
    attempt: int
    failures: int
    crashes: int
    #: While it runs: by whom, since when, until when it is nobody else's, and how far it is.
    worker: str | None = None
    began_at: str | None = None
    lease_until: str | None = None
    progress: str | None = None
    #: Of the last attempt that failed.
    error: str | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    attempts: list[AttemptView] | msgspec.UnsetType = msgspec.UNSET
    context: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class TopicView(msgspec.Struct, frozen=True, kw_only=True):
    """A topic: its books."""

    topic: str
    is_paused: bool
    #: Tasks that have not ended.
    depth: int
    created: int
    succeeded: int
    failed: int
    cancelled: int
    attempts: int
    crashed: int


def view(task: Task, now: datetime, *, is_whole: bool) -> TaskView:
    """A task; with its payload, result and attempts if the view `is_whole`, as a list's is not."""
    work, progress = task.work, task.progress
    failures = [each.error for each in progress.attempts if each.error]
    shown = TaskView(
        id=task.id,
        topic=work.topic,
        state=state_shown(task, now),
        handler=work.handler or None,
        url=None if work.call is None else work.call.url,
        key=work.key,
        added_at=moment(work.added_at),
        run_at=moment(progress.run_at),
        ended_at=_moment(progress.ended_at),
        expire_at=_moment(progress.expire_at),
        attempt=progress.attempt,
        failures=progress.failures,
        crashes=progress.crashes,
        worker=progress.worker or None,
        began_at=_moment(progress.began_at),
        lease_until=_moment(progress.lease_until),
        progress=progress.note or None,
        error=failures[-1] if failures and progress.state is not State.SUCCEEDED else None,
    )
    if not is_whole:
        return shown
    result = msgspec.UNSET if progress.result is None else msgspec.Raw(progress.result.encode())
    return msgspec.structs.replace(
        shown,
        result=result,
        payload=work.payload,
        attempts=[_attempt(each) for each in progress.attempts],
        context=dict(work.context),
    )


def state_shown(task: Task, now: datetime) -> str:
    """The state, with `waiting` told apart by the clock."""
    if task.state is not State.WAITING:
        return str(task.state)
    return "scheduled" if now < task.progress.run_at else "queued"


def topic_view(topic: str, entries: Entries, *, is_paused: bool) -> TopicView:
    """A topic."""
    counts = {name: getattr(entries, name) for name in Entries.__struct_fields__}
    return TopicView(topic=topic, is_paused=is_paused, depth=entries.depth, **counts)


def _attempt(attempt: Attempt) -> AttemptView:
    return AttemptView(
        number=attempt.number,
        worker=attempt.worker,
        began_at=moment(attempt.began_at),
        ended_at=moment(attempt.ended_at),
        ending=str(attempt.ending),
        error=attempt.error or None,
    )


def _moment(at: datetime | None) -> str | None:
    return None if at is None else moment(at)

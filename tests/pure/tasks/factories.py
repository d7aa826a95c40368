"""Tasks that tests are about."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from turnout.tasks.task import Stored, Task, added
from turnout.tasks.work import Work

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """A moment, in seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def some_work(payload: Any = None, **changes: Any) -> Work:
    given: dict[str, Any] = {
        "topic": "thumbnails",
        "handler": "resize",
        "payload": msgspec.Raw(msgspec.json.encode(payload)),
        "added_at": NOON,
        "origin": "origin",
        **changes,
    }
    return Work(**given)


def a_task(task_id: int = 1, *, run_at: datetime = NOON, **changes: Any) -> Task:
    return added(task_id, some_work(**changes), run_at=run_at, stamp=f"added-{task_id}")


def a_stored_task(task_id: int = 1, version: int = 1, **changes: Any) -> Stored:
    return Stored(a_task(task_id, **changes), version)

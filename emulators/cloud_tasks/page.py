"""The page in the browser: queues, tasks and attempts, and the few things that one does by hand."""

from typing import Any

import msgspec
from aiohttp import web

from emulators.api.over_rest import json_response
from emulators.api.page import file_routes
from emulators.cloud_tasks.attempts import Attempts
from emulators.cloud_tasks.names import location_of, queue_id
from emulators.cloud_tasks.queue import LiveQueue, LiveTask
from emulators.cloud_tasks.service import Service

TASKS_SHOWN_MAX = 100
ATTEMPTS_SHOWN_MAX = 20
QUEUES_SHOWN_MAX = 500


class QueueRow(msgspec.Struct, frozen=True):
    """A queue, as the page shows it."""

    name: str
    id: str
    location: str
    paused: bool
    #: Tasks that wait or run.
    tasks: int
    running: int
    per_second: float
    #: What is left of the rate while the target is overloaded.
    throttle: float


class TaskRow(msgspec.Struct, frozen=True):
    """A task, as the page shows it."""

    name: str
    id: str
    schedule_us: int
    running: int
    attempts: int
    #: HTTP's status of the last answer; -1 before the first.
    previous: int


def page_routes(service: Service, attempts: Attempts) -> list[web.RouteDef]:
    """The routes of the page; it shows text that comes from outside, and never as markup."""

    async def overview(request: web.Request) -> web.Response:
        return json_response(_overview(service, attempts, request.query.get("queue", "")))

    return [*file_routes("emulators.cloud_tasks"), web.get("/page/overview", overview)]


def _overview(service: Service, attempts: Attempts, name: str) -> dict[str, Any]:
    queues = service.engine.queues
    now_us = service.now_us()
    shown = sorted(queues.values(), key=lambda queue: queue.name)
    # A queue that was deleted meanwhile is no fault: another one is shown.
    chosen = queues.get(name) or next(iter(shown), None)
    latest = attempts.latest(chosen.name)[:ATTEMPTS_SHOWN_MAX] if chosen else []
    content: dict[str, Any] = msgspec.to_builtins(
        {
            "now_us": now_us,
            "queues": [_queue_row(queue, now_us) for queue in shown[:QUEUES_SHOWN_MAX]],
            "queues_all": len(shown),
            "queue": chosen.name if chosen else "",
            "tasks": _task_rows(chosen) if chosen else [],
            "attempts": latest,
        }
    )
    return content


def _queue_row(queue: LiveQueue, now_us: int) -> QueueRow:
    return QueueRow(
        name=queue.name,
        id=queue_id(queue.name),
        location=location_of(queue.name).removeprefix("projects/").replace("/locations/", " · "),
        paused=queue.paused,
        tasks=len(queue.tasks),
        running=queue.in_flight,
        per_second=queue.config.rate_limits.max_dispatches_per_second,
        throttle=queue.throttle.factor(now_us),
    )


def _task_rows(queue: LiveQueue) -> list[TaskRow]:
    running = sorted((task for task in queue.running if not task.ended), key=lambda task: task.order)
    waiting = [task for task in queue.first(TASKS_SHOWN_MAX) if not task.running]
    return [_task_row(task) for task in [*running, *waiting][:TASKS_SHOWN_MAX]]


def _task_row(task: LiveTask) -> TaskRow:
    return TaskRow(task.name, task.id, task.schedule_us, task.running, task.dispatch_count, task.previous)

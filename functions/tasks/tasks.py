"""`/tasks…`: private, for whoever adds tasks, asks for them and steers them."""

from collections.abc import Sequence

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from functions.http.cors import preflight
from functions.http.direct import directly
from functions.http.replies import answer_for, json_reply, problem_document
from functions.http.request import (
    expect_method,
    header,
    idempotency_key,
    media_type,
    read_body,
    whole_number,
)
from functions.tasks import instance
from functions.tasks.problems import ANSWERS, answering_tasks
from functions.tasks.topics import topics
from turnout.base.clock import SystemClock
from turnout.base.errors import BatchRefused, PathUnknown, RequestInvalid
from turnout.tasks.errors import KeyReused
from turnout.tasks.ids import TASK_ID_MAX, first_id_at
from turnout.tasks.intake import CALL_TASKS_MAX, Accepted
from turnout.tasks.new_task import NAME, NewTask
from turnout.tasks.reading import WAIT_SECONDS_MAX
from turnout.tasks.task import State, Stored
from turnout.tasks.times import read_duration, read_moment
from turnout.tasks.views import view
from turnout.tasks.wanted import is_array, parse_many, parse_one

#: What one commit takes, and more than what all tasks of one call usually do.
BODY_BYTES_MAX = 8_000_000
LISTED_MAX = 1_000
LISTED_DEFAULT = 100
OK = 200
ACCEPTED = 202
CONFLICT = 409
#: What can be done with one task, beside asking for it.
VERBS = ("cancel", "run", "retry", "redrive", "release")

_clock = SystemClock()


@functions_framework.aio.http
@directly
@answering_tasks
async def tasks(request: Request) -> Response:
    """Adds and lists tasks at `/tasks`; shows one at `/tasks/{id}`, steers it below; topics at `/tasks/topics/{topic}`."""
    path = request.scope["path"].strip("/").removeprefix("tasks").strip("/")
    parts = path.split("/") if path else []
    if not parts:
        return await _all(request)
    if parts[0] == "topics":
        return await topics(request, parts[1:])
    return await _one(request, parts)


async def _all(request: Request) -> Response:
    if request.method == "OPTIONS":
        return preflight("GET, HEAD, POST, OPTIONS")
    if expect_method(request, "GET", "HEAD", "POST") != "POST":
        return await _list(request)
    media_type(request, ("application/json",))
    body = await read_body(request, BODY_BYTES_MAX, instance.body_deadline())
    key, now = idempotency_key(request), _clock.now()
    if is_array(body):
        return _answers(await instance.intake().add(parse_many(body, now, key, CALL_TASKS_MAX)))
    try:
        (outcome,) = await instance.intake().add([_traced(parse_one(body, now, key), request)])
    except BatchRefused as refused:
        # Of a single task, its own fault says more.
        raise refused.faults[0] from None
    if isinstance(outcome, KeyReused):
        raise outcome
    return json_reply(
        {"id": outcome.task_id, "is_repeat": outcome.is_repeat},
        status=OK if outcome.is_repeat else ACCEPTED,
        headers={"Location": f"/tasks/{outcome.task_id}"},
    )


def _answers(outcomes: Sequence[Accepted | KeyReused]) -> Response:
    documents = [_answer(each) for each in outcomes]
    if any(isinstance(each, KeyReused) for each in outcomes):
        status = CONFLICT
    else:
        status = OK if all(each.is_repeat for each in outcomes if isinstance(each, Accepted)) else ACCEPTED
    accepted = sum(isinstance(each, Accepted) for each in outcomes)
    return json_reply({"accepted": accepted, "tasks": documents}, status=status)


def _answer(outcome: Accepted | KeyReused) -> dict[str, object]:
    if isinstance(outcome, Accepted):
        return {"id": outcome.task_id, "is_repeat": outcome.is_repeat}
    return {"id": outcome.task_id, "problem": problem_document(outcome, answer_for(outcome, ANSWERS))}


async def _list(request: Request) -> Response:
    given = request.query_params
    topic = given.get("topic", "")
    if NAME.fullmatch(topic) is None:
        raise RequestInvalid("The parameter 'topic' names the topic whose tasks are listed.", field="topic")
    since, until = given.get("since"), given.get("until")
    from_id = 0 if since is None else first_id_at(read_moment(_moment(since), field="since"))
    before_id = whole_number(request, "before", TASK_ID_MAX, least=0, most=TASK_ID_MAX)
    if until is not None:
        before_id = min(before_id, first_id_at(read_moment(_moment(until), field="until")))
    page = await instance.reader().page(
        topic,
        limit=whole_number(request, "limit", LISTED_DEFAULT, least=1, most=LISTED_MAX),
        state=_state(given.get("state")),
        before_id=before_id,
        from_id=from_id,
    )
    now = _clock.now()
    shown = [view(each.task, now, is_whole=False) for each in page.tasks]
    return json_reply({"tasks": shown, "before": page.before})


async def _one(request: Request, parts: list[str]) -> Response:
    if len(parts) > 2 or (len(parts) == 2 and parts[1] not in VERBS):  # noqa: PLR2004  # an id and a verb
        raise PathUnknown(request.scope["path"])
    methods = ("POST",) if len(parts) == 2 else ("GET", "HEAD")  # noqa: PLR2004
    if request.method == "OPTIONS":
        return preflight(", ".join((*methods, "OPTIONS")))
    expect_method(request, *methods)
    task_id = _task_id(parts[0])
    if len(parts) == 1:
        return await _show(request, task_id)
    steering = instance.steering()
    verb = {
        "cancel": steering.cancel,
        "run": steering.run_now,
        "retry": steering.retry,
        "redrive": steering.redrive,
        "release": steering.release,
    }[parts[1]]
    return _shown(await verb(task_id))


async def _show(request: Request, task_id: int) -> Response:
    wait = request.query_params.get("wait")
    if wait is None:
        return _shown(await instance.reader().get(task_id))
    seconds = read_duration(float(wait) if wait.isdecimal() else wait, field="wait")
    if seconds > WAIT_SECONDS_MAX:
        raise RequestInvalid(f"The parameter 'wait' is {WAIT_SECONDS_MAX:g} seconds at most.", field="wait")
    found = await instance.reader().wait(task_id, seconds)
    return _shown(found, status=OK if found.task.state.is_final else ACCEPTED)


def _shown(stored: Stored, *, status: int = OK) -> Response:
    return json_reply(view(stored.task, _clock.now(), is_whole=True), status=status)


def _traced(new: NewTask, request: Request) -> NewTask:
    """The request's trace travels along, unless the task brings one."""
    trace = header(request, b"traceparent")
    return new.with_trace(trace) if trace else new


def _task_id(given: str) -> int:
    if not (given.isascii() and given.isdecimal() and len(given) <= len(str(TASK_ID_MAX))):
        raise RequestInvalid("A task's id is a whole number.", field="id")
    return min(int(given), TASK_ID_MAX)


def _state(given: str | None) -> State | None:
    if given is None:
        return None
    try:
        return State(given)
    except ValueError:
        raise RequestInvalid(f"The parameter 'state' is one of {', '.join(State)}.", field="state") from None


def _moment(given: str) -> str | float:
    return float(given) if given.isascii() and given.isdecimal() else given

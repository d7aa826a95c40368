"""`/tasks/topics/{topic}…`: a topic's books; pause, resume, purge and redrive."""

from datetime import datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from functions.http.cors import preflight
from functions.http.replies import json_reply
from functions.http.request import expect_method, read_body, read_json
from functions.tasks import instance
from turnout.base.errors import PathUnknown, RequestInvalid
from turnout.tasks.herding import Herded
from turnout.tasks.ids import first_id_at
from turnout.tasks.new_task import NAME
from turnout.tasks.task import State
from turnout.tasks.times import read_moment

BODY_BYTES_MAX = 4_096
VERBS = ("pause", "resume", "purge", "redrive")


class Purge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Without `confirm`: say only how many tasks wait."""

    confirm: int | None = None


class Redrive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Failed tasks that were added from `since` to before `until`; without both, all."""

    since: str | float | None = None
    until: str | float | None = None


_purge = msgspec.json.Decoder(Purge)
_redrive = msgspec.json.Decoder(Redrive)


async def topics(request: Request, parts: list[str]) -> Response:
    """A topic, or what is done with it."""
    if not 1 <= len(parts) <= 2 or (len(parts) == 2 and parts[1] not in VERBS):  # noqa: PLR2004  # a name and a verb
        raise PathUnknown(request.scope["path"])
    methods = ("GET", "HEAD") if len(parts) == 1 else ("POST",)
    if request.method == "OPTIONS":
        return preflight(", ".join((*methods, "OPTIONS")))
    expect_method(request, *methods)
    topic = parts[0]
    if NAME.fullmatch(topic) is None:
        raise RequestInvalid("This is not a topic's name.", field="topic")
    if len(parts) == 1:
        return await _show(topic)
    return await {"pause": _pause, "resume": _resume, "purge": _purged, "redrive": _redriven}[parts[1]](
        request, topic
    )


async def _show(topic: str) -> Response:
    return json_reply(await instance.reader().topic(topic))


async def _pause(request: Request, topic: str) -> Response:
    await _expect_small(request)
    await instance.herding().pause(topic)
    return await _show(topic)


async def _resume(request: Request, topic: str) -> Response:
    await _expect_small(request)
    return _herded(topic, await instance.herding().resume(topic), "woken")


async def _purged(request: Request, topic: str) -> Response:
    wanted = await read_json(request, _purge, BODY_BYTES_MAX, instance.body_deadline())
    if wanted.confirm is None:
        waiting = await instance.herding().count(topic, State.WAITING)
        return json_reply({"topic": topic, "waiting": waiting})
    return _herded(topic, await instance.herding().purge(topic, wanted.confirm), "cancelled")


async def _redriven(request: Request, topic: str) -> Response:
    wanted = await read_json(request, _redrive, BODY_BYTES_MAX, instance.body_deadline())
    since, until = _moment(wanted.since, "/since"), _moment(wanted.until, "/until")
    herded = await instance.herding().redrive(
        topic,
        from_id=0 if since is None else first_id_at(since),
        before_id=None if until is None else first_id_at(until),
    )
    return _herded(topic, herded, "redriven")


def _herded(topic: str, herded: Herded, done: str) -> Response:
    return json_reply({"topic": topic, done: herded.tasks, "is_partial": herded.is_partial})


def _moment(given: str | float | None, field: str) -> datetime | None:
    return None if given is None else read_moment(given, field=field)


async def _expect_small(request: Request) -> None:
    """What needs no body is given a bounded one at most."""
    await read_body(request, BODY_BYTES_MAX, instance.body_deadline())

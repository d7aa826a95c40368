"""`POST`, `GET` and `PATCH /polls…`: private, for a poll's owner."""

import functions_framework.aio
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from functions.http.cors import preflight
from functions.http.replies import json_reply
from functions.http.request import expect_method, read_json
from functions.votes import instance
from functions.votes.problems import answering_votes
from turnout.base.errors import PathUnknown, RequestInvalid
from turnout.votes.administration import PollView
from turnout.votes.poll import NewPoll, PollChange, check_poll_id

#: 10,000 choices of 100 characters, escaped as JSON.
BODY_BYTES_MAX = 8 * 1024 * 1024
LISTED_MAX = 1_000
LISTED_DEFAULT = 100
CREATED = 201

_new_poll = msgspec.json.Decoder(NewPoll)
_change = msgspec.json.Decoder(PollChange)


@functions_framework.aio.http
@answering_votes
async def polls(request: Request) -> Response:
    """Creates and lists polls at `/polls`; shows, opens, closes and certifies one at `/polls/{id}`."""
    path = request.scope["path"].strip("/").removeprefix("polls").strip("/")
    if path:
        return await _one(request, path)
    if request.method == "OPTIONS":
        return preflight("GET, HEAD, POST, OPTIONS")
    if expect_method(request, "GET", "HEAD", "POST") != "POST":
        views = await instance.administration().list(_limit(request))
        return json_reply({"polls": [_document(view) for view in views]})
    plan = await read_json(request, _new_poll, BODY_BYTES_MAX, instance.body_deadline())
    view = await instance.administration().create(plan)
    return json_reply(_document(view), status=CREATED, headers={"Location": f"/polls/{view.poll.id}"})


async def _one(request: Request, poll_id: str) -> Response:
    if "/" in poll_id:
        raise PathUnknown(request.scope["path"])
    if request.method == "OPTIONS":
        return preflight("GET, HEAD, PATCH, OPTIONS")
    method = expect_method(request, "GET", "HEAD", "PATCH")
    check_poll_id(poll_id, field="poll")
    if method != "PATCH":
        return json_reply(_document(await instance.administration().get(poll_id)))
    change = await read_json(request, _change, BODY_BYTES_MAX, instance.body_deadline())
    return json_reply(_document(await instance.administration().change(poll_id, change)))


def _limit(request: Request) -> int:
    given = request.query_params.get("limit", str(LISTED_DEFAULT))
    plain = given.isascii() and given.isdecimal() and len(given) <= len(str(LISTED_MAX))
    if not (plain and 1 <= int(given) <= LISTED_MAX):
        raise RequestInvalid(f"The parameter 'limit' is 1 to {LISTED_MAX:,}.", field="limit")
    return int(given)


def _document(view: PollView) -> dict[str, object]:
    return {**msgspec.structs.asdict(view.poll), "state": view.state}

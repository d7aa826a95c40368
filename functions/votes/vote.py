"""`POST /vote`, `POST /vote/{poll}` and `POST /votes`: ballots in, receipts out."""

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from functions.http.cors import cross_origin, preflight
from functions.http.direct import directly
from functions.http.replies import Accepted
from functions.http.request import expect_method, idempotency_key, media_type, read_body
from functions.votes import instance
from functions.votes.problems import answering_votes
from turnout.base.errors import PathUnknown
from turnout.votes.ballot import parse_batch, parse_form, parse_item, parse_json, parse_lines

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
NDJSON = "application/x-ndjson"


@functions_framework.aio.http
@directly
@cross_origin
@answering_votes
async def vote(request: Request) -> Response:
    """Takes one vote at `/vote` (or the root of its own address) or `/vote/{poll}`, and a batch at `/votes`."""
    path = request.scope["path"].rstrip("/")
    poll = None if path in ("", "/vote", "/votes") else _poll_in(path)
    if request.method == "OPTIONS":
        return preflight("POST, OPTIONS")
    expect_method(request, "POST")
    return await (_take_batch(request) if path == "/votes" else _take_one(request, poll))


def _poll_in(path: str) -> str:
    poll = path.removeprefix("/vote/")
    if "/" in poll:
        raise PathUnknown(path)
    return poll


async def _take_one(request: Request, poll: str | None) -> Response:
    settings = instance.settings()
    kind = media_type(request, (JSON, FORM))
    body = await read_body(request, settings.vote_body_bytes_max, instance.body_deadline())
    if kind == FORM:
        ballot = parse_form(body, poll)
    else:
        ballot = parse_json(body) if poll is None else parse_item(body, poll)
    receipt = await instance.intake().accept(ballot, idempotency_key(request))
    return Accepted(receipt)


async def _take_batch(request: Request) -> Response:
    settings = instance.settings()
    kind = media_type(request, (JSON, NDJSON))
    body = await read_body(request, settings.votes_body_bytes_max, instance.body_deadline())
    parse = parse_batch if kind == JSON else parse_lines
    ballots = parse(body, settings.request_votes_max)
    receipts = await instance.intake().accept_all(ballots, idempotency_key(request))
    return Accepted({"accepted": len(receipts), "votes": receipts})

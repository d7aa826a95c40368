"""`GET /results/{poll}`: totals as JSON or CSV, or as a page with live bars."""

import csv
import hashlib
from base64 import b64encode
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Literal, cast

import functions_framework.aio
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from functions.http.cors import cross_origin, preflight
from functions.http.negotiation import has_already, preferred
from functions.http.request import expect_method
from functions.votes import instance
from functions.votes.problems import answering_votes
from turnout.base.errors import PathUnknown, RequestInvalid, ServiceUnavailable
from turnout.votes.errors import PollUnknown
from turnout.votes.poll import check_poll_id
from turnout.votes.results import Results, Source

OK = 200
NOT_FOUND = 404
NOT_MODIFIED = 304
Format = Literal["json", "csv", "html"]
MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
}
#: A cell that begins with one of these is a formula to a spreadsheet.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@functions_framework.aio.http
@cross_origin
@answering_votes
async def results(request: Request) -> Response:
    """Answers with a poll's results, as asked for by `?format=` or `Accept`, from `?source=` live or persisted."""
    if request.method == "OPTIONS":
        return preflight("GET, HEAD, OPTIONS")
    expect_method(request, "GET", "HEAD")
    poll_id = _poll_id(request.scope["path"])
    wanted = _format(request)
    source = _one_of(request, "source", ("live", "persisted"), "live")
    if wanted == "html":
        return await _page(poll_id)
    check_poll_id(poll_id, field="poll")
    read = await instance.results().read(poll_id, cast("Source", source))
    tag = _tag(read, wanted)
    headers = {"Cache-Control": "public, max-age=1", "ETag": tag, "Vary": "Accept"}
    if has_already(request.headers, tag):
        return Response(status_code=NOT_MODIFIED, headers=headers)
    body = msgspec.json.encode(read) if wanted == "json" else _csv(read)
    return Response(body, headers=headers, media_type=MEDIA_TYPES[wanted])


def _poll_id(path: str) -> str:
    poll_id = path.strip("/").removeprefix("results/")
    if not poll_id or "/" in poll_id or poll_id == "results":
        raise PathUnknown(path)
    return poll_id


def _format(request: Request) -> Format:
    # A client that accepts none of the forms gets JSON: RFC 9110 allows it, and it tells more than a 406 would.
    accepted: Format = preferred(request.headers, MEDIA_TYPES, "json")
    return cast("Format", _one_of(request, "format", tuple(MEDIA_TYPES), accepted))


def _one_of(request: Request, name: str, values: tuple[str, ...], otherwise: str) -> str:
    given = request.query_params.get(name, otherwise)
    if given not in values:
        raise RequestInvalid(f"The parameter {name!r} is one of {', '.join(values)}.", field=name)
    return given


def _tag(read: Results, wanted: Format) -> str:
    """A weak ETag: the same totals in the same state have the same one, whenever they were read."""
    shown = msgspec.structs.replace(read, as_of=None)
    digest = hashlib.sha256(wanted.encode() + msgspec.json.encode(shown)).hexdigest()[:24]
    return f'W/"{digest}"'


def _csv(read: Results) -> str:
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(["choice", "votes", "percent"])
    for row in read.choices:
        guarded = f"'{row.choice}" if row.choice.startswith(FORMULA_STARTS) else row.choice
        writer.writerow([guarded, row.votes, row.percent])
    return text.getvalue()


async def _page(poll_id: str) -> Response:
    """The page; it asks for the totals by itself, and says so when there is no such poll."""
    html, policy = _page_and_policy()
    status = await _page_status(poll_id)
    headers = {
        # An unknown poll may be created any moment.
        "Cache-Control": "public, max-age=60" if status == OK else "no-store",
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept",
    }
    return Response(html, status, headers, MEDIA_TYPES["html"])


async def _page_status(poll_id: str) -> int:
    try:
        await instance.results().read(poll_id, "live")
    except PollUnknown:
        return NOT_FOUND
    except ServiceUnavailable:
        return OK  # the page tries again by itself
    return OK


@cache
def _page_and_policy() -> tuple[str, str]:
    """The page, and the policy that lets it load nothing from anywhere: its own style and script are named by hash."""
    html = Path(__file__).with_name("results.html").read_text(encoding="utf-8")
    style, script = (
        _hash(html.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]) for tag in ("style", "script")
    )
    return html, (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

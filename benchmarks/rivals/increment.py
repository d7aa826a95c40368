"""The obvious design: each POST increments one Firestore document, and answers when that is done.

`functions-framework --source increment.py --target vote`, with ASGI, as Turnout's own functions are served. It counts a
vote twice whenever a client or a library repeats a request, and all votes of a poll meet in one document.
"""

from functools import cache

import functions_framework.aio
import msgspec
from google.cloud.firestore import AsyncClient, Increment
from starlette.requests import Request
from starlette.responses import Response

POLLS = "rival-polls"


class Ballot(msgspec.Struct):
    """One vote."""

    poll: str
    choice: str


ballot_decoder = msgspec.json.Decoder(Ballot)


@cache
def database() -> AsyncClient:
    """The client of this process: made with its first request, for gRPC does not survive a fork."""
    return AsyncClient()


@functions_framework.aio.http
async def vote(request: Request) -> Response:
    """Takes one vote."""
    try:
        ballot = ballot_decoder.decode(await request.body())
    except msgspec.MsgspecError as fault:
        return Response(str(fault), status_code=400)
    counted = {"votes": Increment(1), "counts": {ballot.choice: Increment(1)}}
    await database().collection(POLLS).document(ballot.poll).set(counted, merge=True)
    return Response(b'{"counted":true}', status_code=202, media_type="application/json")

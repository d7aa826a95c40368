"""Commands that talk to Turnout over HTTP, as any client would: polls, votes, results, persistence."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from urllib.parse import quote

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from cli.client import FAULTS_FROM, Client, fault
from cli.faults import NoAnswer
from cli.screen import console, counted, results_view
from cli.target import base_url, own_addresses
from turnout.votes.persistence import PersistReport
from turnout.votes.poll import NewPoll
from turnout.votes.results import Results, Source

LOOK_SECONDS = 1.0
#: Lines of a terminal that are not choices.
LINES_AROUND = 7
ROWS_MAX = 20


class PollDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A poll as the API shows it."""

    id: str
    title: str
    state: str
    choices: list[str]
    opens_at: datetime
    closes_at: datetime
    created_at: datetime
    one_per: str
    shards: int
    certified_at: datetime | None = None


class PollList(msgspec.Struct, frozen=True):
    """Polls, newest first."""

    polls: list[PollDocument]


class Receipt(msgspec.Struct, frozen=True):
    """What a voter gets."""

    vote_id: str
    poll: str
    choice: str
    accepted_at: datetime


@asynccontextmanager
async def _client() -> AsyncIterator[Client]:
    async with Client(base_url(os.environ), own=own_addresses(os.environ)) as client:
        yield client


async def create_poll(plan: NewPoll) -> PollDocument:
    """Creates a poll."""
    wanted = {name: value for name, value in msgspec.structs.asdict(plan).items() if value not in (None, "")}
    async with _client() as client:
        return await client.call("POST", "/polls", PollDocument, body=wanted)


async def list_polls(limit: int) -> PollList:
    """The newest polls."""
    async with _client() as client:
        return await client.call("GET", f"/polls?limit={limit}", PollList)


async def show_poll(poll: str) -> PollDocument:
    """One poll."""
    async with _client() as client:
        return await client.call("GET", _path("polls", poll), PollDocument)


async def change_poll(poll: str, change: dict[str, object]) -> PollDocument:
    """Opens, closes or certifies a poll."""
    async with _client() as client:
        return await client.call("PATCH", _path("polls", poll), PollDocument, body=change)


async def vote(poll: str, choice: str, voter: str | None, idempotency_key: str | None) -> Receipt:
    """Votes once. Without a key of the caller's own, a fresh one: a repeat by the network does not vote twice."""
    ballot = {"poll": poll, "choice": choice} | ({} if voter is None else {"voter": voter})
    headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
    async with _client() as client:
        return await client.call("POST", "/vote", Receipt, body=ballot, headers=headers)


async def results(poll: str, source: Source) -> Results:
    """A poll's results."""
    async with _client() as client:
        return await _results(client, poll, source)


async def watch(poll: str, source: Source) -> None:
    """Shows a poll's results as they change, until a signal comes."""
    screen = console()
    async with _client() as client:
        read = await _results(client, poll, source)
        try:
            if screen.is_terminal:
                await _watch_bars(screen, client, read)
            else:
                await _watch_lines(screen, client, read)
        except asyncio.CancelledError:
            # To be ended is this command's good end.
            return


async def persist() -> PersistReport:
    """Persists every poll's tally now."""
    async with _client() as client:
        answer = await client.ask("POST", "/persist")
        if answer.status >= FAULTS_FROM:
            why = fault(answer, client.address("/persist"))
            try:
                # A run that failed for some polls answers 503 with its report all the same.
                return msgspec.json.decode(answer.body, type=PersistReport)
            except msgspec.DecodeError:
                raise why from None
        return client.read(answer, PersistReport)


async def _watch_bars(screen: Console, client: Client, read: Results) -> None:
    rows_max = max(1, screen.height - LINES_AROUND)
    with Live(results_view(read, rows_max), console=screen, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                view = results_view(await _results(client, read.poll, read.source), rows_max)
            except NoAnswer as error:
                # It may come back; what was shown last stays.
                view = Text(str(error), "red")
            live.update(view, refresh=True)


async def _watch_lines(screen: Console, client: Client, read: Results) -> None:
    """Without a terminal: a line whenever the totals have changed."""
    shown: tuple[int, ...] = ()
    while True:
        counts = tuple(row.votes for row in read.choices)
        if counts != shown:
            totals = " · ".join(f"{row.choice} {row.votes:,}" for row in read.choices)
            screen.print(Text(f"{counted(read.votes, 'vote')}: {totals}"), soft_wrap=True)
            shown = counts
        await asyncio.sleep(LOOK_SECONDS)
        read = await _results(client, read.poll, read.source)


async def _results(client: Client, poll: str, source: Source) -> Results:
    return await client.call("GET", _path("results", poll) + f"?source={source}&format=json", Results)


def _path(collection: str, poll: str) -> str:
    return f"/{collection}/{quote(poll, safe='')}"

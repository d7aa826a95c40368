"""Freshness: how old the newest counted vote is for those who read `GET /results`.

A confirmation is the moment of a 202, with the number of votes confirmed until then. Its age is the time from there to
the arrival of the first `/results` that shows at least that many votes; it so includes the queue, the drain, the cache
of the results (a second by default) and the time between two readings. An age is never below 0: a drain may count a
vote before its answer has come back. Every confirmation gives one age; p50 and p99 are over all of a run.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Self

import aiohttp
import msgspec

from benchmarks.cloud import Inexact
from turnout.votes.results import Results

READ_SECONDS = 0.05
#: What was confirmed is shown by then, or something is wrong.
SHOWN_SECONDS_MAX = 60.0


class Sight(msgspec.Struct, frozen=True):
    """A number of votes at a moment of the monotonic clock, in seconds."""

    at: float
    votes: int


def ages(confirmed: Sequence[Sight], shown: Sequence[Sight]) -> list[float]:
    """The age in seconds of each confirmation; both are in the order of time. `Inexact` if one was never shown."""
    found: list[float] = []
    readings = iter(shown)
    reading = next(readings, None)
    for confirmation in confirmed:
        while reading is not None and reading.votes < confirmation.votes:
            reading = next(readings, None)
        if reading is None:
            raise Inexact(f"{confirmation.votes:,} votes were confirmed, and the results never showed them.")
        found.append(max(0.0, reading.at - confirmation.at))
    return found


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


class Reader:
    """Reads a poll's results again and again, as a page does; `async with Reader(...) as reader`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        votes: Callable[[Results], int] = lambda read: read.votes,
    ) -> None:
        self.shown: list[Sight] = []
        self._session = session
        self._url = url
        self._votes = votes

    async def __aenter__(self) -> Self:
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def until_shown(self, votes: int) -> None:
        """Waits until the results show so many votes."""
        async with asyncio.timeout(SHOWN_SECONDS_MAX):
            while not self.shown or self.shown[-1].votes < votes:
                if self._reading.done():
                    self._reading.result()
                await asyncio.sleep(READ_SECONDS)

    async def _read(self) -> None:
        while True:
            async with self._session.get(self._url, headers={"Accept": "application/json"}) as answer:
                body = await answer.read()
                if answer.status != HTTPStatus.OK:
                    raise Inexact(f"The results were answered with {answer.status}: {body[:200]!r}")
            votes = self._votes(msgspec.json.decode(body, type=Results))
            # The processes that answer have a cache each: one may be behind what another has shown already.
            newest = max(votes, self.shown[-1].votes if self.shown else 0)
            self.shown.append(Sight(time.monotonic(), newest))
            await asyncio.sleep(READ_SECONDS)

"""The whole way: from the first POST to the persisted and audited tally, while a drain runs; and how fresh `/results` is.

500,000 votes come in batches of 1,000. The clock runs from the first POST until the audit of Firestore and Datastore has
found every vote once: posted, counted, persisted, audited. Freshness is measured there, and once more while votes come
one a POST as fast as the intake takes them; `benchmarks.freshness` says what it is.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
import msgspec

from benchmarks.cloud import CHOICES, Inexact, ended, expect_exact, open_poll, start_drain
from benchmarks.freshness import Reader, Sight, ages, percentile
from benchmarks.intake import vote_url, warm_up
from benchmarks.load import Load, post
from benchmarks.progress import say
from benchmarks.table import Figure, median_of
from emulators.cloud_scheduler.target import scheduler_headers
from emulators.identity.tokens import utc_now
from emulators.stack import LocalCloud
from turnout.gcp.votes.wiring import Wiring
from turnout.votes.poll import OnePer, Poll

VOTES = 500_000
BATCH_VOTES = 1_000
#: Batches under way at once.
CONNECTIONS = 16
#: One a POST, at full speed.
FULL_CONNECTIONS = 512
MARK_SECONDS = 0.05
#: The choice of the load, and the one that only the marks choose.
LOADED, MARKED = 0, 1
COUNTED_SECONDS_MAX = 300.0
LOOK_SECONDS = 0.1
#: Longer than anything here: the drain is told to stop.
IDLE_SECONDS = 120.0
ANSWER_SECONDS_MAX = 60.0
TOTAL_GOAL = "≤ 30"
FRESHNESS_GOAL = "≤ 2"


class Journey(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from the first POST to each milestone, and the ages of the votes in `/results`, in seconds."""

    posted: float
    counted: float
    persisted: float
    audited: float
    ages: list[float]
    peak_memory_mb: float


async def bench(cloud: LocalCloud, *, rounds: int, seconds: float, votes: int = VOTES) -> list[Figure]:
    """The journeys of votes without keys and with voters; then the freshness at full speed."""
    figures: list[Figure] = []
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    async with Wiring(cloud.settings) as wiring, aiohttp.ClientSession(timeout=timeout) as session:
        await warm_up(wiring, vote_url(cloud), seconds)
        for mode in (OnePer.NONE, OnePer.VOTER):
            journeys = []
            for turn in range(1, rounds + 1):
                say(f"whole way: {votes:,} votes, {mode.value}, round {turn} of {rounds}")
                journeys.append(await _journey(cloud, wiring, session, mode, votes))
            figures += _journey_figures(mode, journeys)
        full = []
        for turn in range(1, rounds + 1):
            say(f"whole way: freshness at full speed, round {turn} of {rounds}")
            full.append(await _at_full_speed(cloud, wiring, session, seconds))
        figures += _full_figures(full)
    await cloud.reset()
    return figures


async def _journey(
    cloud: LocalCloud, wiring: Wiring, session: aiohttp.ClientSession, mode: OnePer, votes: int
) -> Journey:
    await cloud.reset()
    poll = await open_poll(wiring, mode)
    bodies = [_batch(poll, start, min(BATCH_VOTES, votes - start)) for start in range(0, votes, BATCH_VOTES)]
    confirmed: list[Sight] = []
    async with _draining(cloud) as peak_mb, Reader(session, _results_url(cloud, poll)) as reader:
        began = time.monotonic()
        await _post_all(session, vote_url(cloud) + "s", bodies, confirmed)
        posted = time.monotonic()
        await _until_counted(wiring, poll, votes)
        counted = time.monotonic()
        await _persist(cloud, session)
        persisted = time.monotonic()
        await _expect_persisted(wiring, poll, votes)
        audited = time.monotonic()
        await reader.until_shown(votes)
    return Journey(
        posted=posted - began,
        counted=counted - began,
        persisted=persisted - began,
        audited=audited - began,
        ages=ages(confirmed, reader.shown),
        peak_memory_mb=peak_mb[0],
    )


def _batch(poll: Poll, start: int, votes: int) -> tuple[int, bytes]:
    """The number of votes in a body, and the body; made before the clock runs."""
    ballots: list[dict[str, str]] = []
    for number in range(start, start + votes):
        ballot = {"poll": poll.id, "choice": CHOICES[number % len(CHOICES)]}
        if poll.one_per is OnePer.VOTER:
            ballot["voter"] = f"voter-{number}"
        ballots.append(ballot)
    return votes, msgspec.json.encode(ballots)


async def _post_all(
    session: aiohttp.ClientSession, url: str, bodies: list[tuple[int, bytes]], confirmed: list[Sight]
) -> None:
    """Posts every body once, some at a time; notes the votes that are confirmed so far, as they are."""
    waiting = iter(bodies)

    async def voter() -> None:
        for votes, body in waiting:
            await _post(session, url, body)
            so_far = confirmed[-1].votes if confirmed else 0
            confirmed.append(Sight(time.monotonic(), so_far + votes))

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(voter())


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> None:
    async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
        said = await answer.read()
        if answer.status != HTTPStatus.ACCEPTED:
            raise Inexact(f"Votes were answered with {answer.status}: {said[:200]!r}")


async def _until_counted(wiring: Wiring, poll: Poll, votes: int) -> None:
    async with asyncio.timeout(COUNTED_SECONDS_MAX):
        while (await wiring.counters().tally(poll)).votes < votes:  # noqa: ASYNC110  # other processes count
            await asyncio.sleep(LOOK_SECONDS)


async def _persist(cloud: LocalCloud, session: aiohttp.ClientSession) -> None:
    """What Cloud Scheduler does each minute."""
    url = cloud.function_urls["persist"] + "/persist"
    async with session.post(url, headers=scheduler_headers("persist", utc_now())) as answer:
        answer.raise_for_status()


async def _expect_persisted(wiring: Wiring, poll: Poll, votes: int) -> None:
    """`Inexact` unless shards, ledger and persisted tally agree that each vote was counted once."""
    verdict = await wiring.audit().audit(poll.id)
    persisted = verdict.persisted.votes if verdict.persisted else 0
    sums = verdict.books.shards
    if not verdict.exact or (sums.votes, sums.duplicates, persisted) != (votes, 0, votes):
        raise Inexact(
            f"{votes:,} votes were confirmed; {sums.votes:,} and {sums.duplicates:,} duplicates are counted, "
            f"{persisted:,} persisted. {'; '.join(verdict.faults)}"
        )


@asynccontextmanager
async def _draining(cloud: LocalCloud) -> AsyncIterator[list[float]]:
    """A drain runs for as long as the block does; what it yields holds its peak memory in MB afterwards."""
    peak_mb: list[float] = []
    execution = start_drain(cloud, idle_seconds=IDLE_SECONDS)
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            while b'"drain started"' not in execution.logs[0].read_bytes():
                execution.raise_if_failed()
                await asyncio.sleep(LOOK_SECONDS)
        yield peak_mb
        execution.terminate()
        peak_mb.append((await ended(execution)).peak_memory_mb)
    finally:
        execution.let_go()


class FullSpeed(msgspec.Struct, frozen=True, kw_only=True):
    """The load at full speed, and the ages of the marks that were sent among it."""

    load: Load
    ages: list[float]


async def _at_full_speed(
    cloud: LocalCloud, wiring: Wiring, session: aiohttp.ClientSession, seconds: float
) -> FullSpeed:
    """wrk sends one vote a POST; marks, votes for a choice of their own, are sent among them and timed."""
    await cloud.reset()
    poll = await open_poll(wiring)
    url = vote_url(cloud)
    marked: list[Sight] = []
    reader = Reader(session, _results_url(cloud, poll), lambda read: read.choices[MARKED].votes)
    async with _draining(cloud), reader:
        marking = asyncio.create_task(_mark(session, url, poll, marked))
        try:
            body = {"poll": poll.id, "choice": CHOICES[LOADED]}
            load = await post(url, body, connections=FULL_CONNECTIONS, seconds=seconds)
            if marking.done():
                marking.result()  # a mark was refused
        finally:
            marking.cancel()
            await asyncio.gather(marking, return_exceptions=True)
        if not marked:
            raise Inexact("No mark was confirmed while the load ran.")
        if load.errors:
            raise Inexact(f"{load.errors:,} of {load.requests:,} requests failed.")
        await reader.until_shown(marked[-1].votes)
        await _until_counted(wiring, poll, load.requests + marked[-1].votes)
    sent = load.requests + marked[-1].votes
    # One answer a connection may have come too late for wrk, and one for the marks.
    await expect_exact(wiring, poll, at_least=sent, at_most=sent + FULL_CONNECTIONS + 1)
    return FullSpeed(load=load, ages=ages(marked, reader.shown))


async def _mark(session: aiohttp.ClientSession, url: str, poll: Poll, marked: list[Sight]) -> None:
    body = msgspec.json.encode({"poll": poll.id, "choice": CHOICES[MARKED]})
    while True:
        await _post(session, url, body)
        marked.append(Sight(time.monotonic(), len(marked) + 1))
        await asyncio.sleep(MARK_SECONDS)


def _results_url(cloud: LocalCloud, poll: Poll) -> str:
    return f"{cloud.function_urls['results']}/results/{poll.id}"


def _journey_figures(mode: OnePer, journeys: list[Journey]) -> list[Figure]:
    name = f"whole way, {mode.value}"
    return [
        median_of(name, "s posted", [each.posted for each in journeys]),
        median_of(name, "s counted", [each.counted for each in journeys]),
        median_of(name, "s persisted", [each.persisted for each in journeys]),
        median_of(name, "s audited", [each.audited for each in journeys], TOTAL_GOAL),
        median_of(name, "freshness p50 s", [percentile(each.ages, 50) for each in journeys]),
        median_of(name, "freshness p99 s", [percentile(each.ages, 99) for each in journeys]),
        median_of(name, "MB, drain", [each.peak_memory_mb for each in journeys]),
    ]


def _full_figures(full: list[FullSpeed]) -> list[Figure]:
    name = f"freshness, one a POST, {FULL_CONNECTIONS} connections"
    return [
        median_of(name, "votes/s", [each.load.per_second for each in full]),
        median_of(name, "freshness p50 s", [percentile(each.ages, 50) for each in full]),
        median_of(name, "freshness p99 s", [percentile(each.ages, 99) for each in full], FRESHNESS_GOAL),
    ]

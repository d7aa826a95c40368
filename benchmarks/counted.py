"""One load through the queue and a drain, counted at the clients; the cost and growth benches are made of these."""

import asyncio
import random
import time
from collections.abc import Sequence

import msgspec

from benchmarks.cloud import Inexact
from benchmarks.operations import CountingWiring, Meter, Operations
from benchmarks.queue import fill
from emulators.stack import LocalCloud
from turnout.gcp.votes.wiring import Wiring
from turnout.votes.poll import Poll

IDLE_SECONDS = 1.0
AUDITS_AT_ONCE = 8
#: Polls whose books are read after one load.
BOOKS_MAX = 20


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What a load took, per million of its votes."""

    per_million: Operations
    votes_per_second: float
    votes_a_bundle: float


async def counted_load(cloud: LocalCloud, polls: Sequence[Poll], *, votes: int, bundles: int) -> Counted:
    """Publishes the bundles, a request each as a bundler does, drains them in this process, and audits."""
    total = votes * bundles
    async with CountingWiring(cloud.settings) as wiring:
        await fill(wiring.topic(), polls, votes=votes, bundles=bundles, per_publish=1)
        published = wiring.done.times(1e6 / total)
    counted = await counted_drain(cloud, polls, at_least=total, at_most=total)
    return msgspec.structs.replace(counted, per_million=counted.per_million.plus(published))


async def counted_drain(cloud: LocalCloud, polls: Sequence[Poll], *, at_least: int, at_most: int) -> Counted:
    """Drains what waits in the queue in this process, and audits; `Inexact` unless so many votes were there."""
    settings = cloud.settings.model_copy(update={"idle_seconds": IDLE_SECONDS})
    async with CountingWiring(settings) as wiring:
        with Meter(wiring) as meter:
            progress = await wiring.drain().run()
        if not at_least <= progress.votes <= at_most:
            raise Inexact(f"{progress.votes:,} votes were counted, {at_least:,} to {at_most:,} are right.")
        await _expect_exact(wiring, polls, progress.votes)
    return Counted(
        per_million=meter.done.times(1e6 / progress.votes),
        votes_per_second=progress.votes
        / max(progress.busy_seconds, time.get_clock_info("monotonic").resolution),
        votes_a_bundle=progress.votes / progress.bundles,
    )


async def _expect_exact(wiring: Wiring, polls: Sequence[Poll], votes: int) -> None:
    """Every poll's tally together are so many votes, and the books balance of those that are drawn for it.

    The emulator reads the whole ledger for each poll's books: those of a thousand polls would take it minutes.
    """
    places = asyncio.Semaphore(AUDITS_AT_ONCE)

    async def tallied(poll: Poll) -> int:
        async with places:
            return (await wiring.counters().tally(poll)).votes

    async def expect_balance(poll: Poll) -> None:
        async with places:
            books = await wiring.counters().books(poll)
        if not books.balance:
            raise Inexact(f"The books of {poll.id} do not balance: {'; '.join(books.faults)}.")

    found = sum(await asyncio.gather(*(tallied(poll) for poll in polls)))
    if found != votes:
        raise Inexact(f"The shards hold {found:,} votes, {votes:,} were counted.")
    await asyncio.gather(*(expect_balance(poll) for poll in random.sample(polls, min(len(polls), BOOKS_MAX))))

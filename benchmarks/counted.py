"""One load through the queue and a drain, counted at the clients; the cost and growth benches are made of these."""

import time
from collections.abc import Sequence

import msgspec

from benchmarks.cloud import Inexact
from benchmarks.operations import CountingWiring, Meter, Operations
from benchmarks.queue import fill
from emulators.stack import LocalCloud
from turnout.poll import Poll

IDLE_SECONDS = 1.0


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What a load took, per million of its votes."""

    per_million: Operations
    votes_per_second: float


async def counted_load(cloud: LocalCloud, polls: Sequence[Poll], *, votes: int, bundles: int) -> Counted:
    """Publishes the bundles, a request each as a bundler does, drains them in this process, and audits every poll."""
    settings = cloud.settings.model_copy(update={"idle_seconds": IDLE_SECONDS})
    total = votes * bundles
    async with CountingWiring(settings) as wiring:
        await fill(wiring.publisher(), polls, votes=votes, bundles=bundles, per_publish=1)
        published = msgspec.structs.replace(wiring.done)
        with Meter(wiring) as meter:
            progress = await wiring.drain().run()
        if progress.votes != total:
            raise Inexact(f"{progress.votes:,} votes were counted, {total:,} are right.")
        for poll in polls:
            books = await wiring.counters().books(poll)
            if not books.balance:
                raise Inexact(f"The books of {poll.id} do not balance: {'; '.join(books.faults)}.")
    return Counted(
        per_million=published.plus(meter.done).times(1e6 / total),
        votes_per_second=total / max(progress.busy_seconds, time.get_clock_info("monotonic").resolution),
    )

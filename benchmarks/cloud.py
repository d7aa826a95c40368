"""What the benchmarks stand on: the local cloud, polls in it, and what its processes used."""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from emulators.execution import Execution
from emulators.stack import LocalCloud
from turnout.gcp.votes.wiring import Wiring
from turnout.votes.poll import OnePer, Poll
from turnout.votes.tally import Tally

CHOICES = ("Ada", "Grace", "Katherine", "Radia")
SHARDS = 32
IDLE_SECONDS = 1.0


class Inexact(Exception):
    """A benchmark's votes were not counted exactly once: its figures are worth nothing."""


async def open_poll(
    wiring: Wiring, one_per: OnePer = OnePer.NONE, choices: tuple[str, ...] = CHOICES
) -> Poll:
    """A new poll, open for a day."""
    now = datetime.now(UTC)
    poll = Poll(
        id=f"bench-{secrets.token_hex(6)}",
        title="A benchmark",
        choices=choices,
        opens_at=now,
        closes_at=now + timedelta(days=1),
        created_at=now,
        one_per=one_per,
        shards=SHARDS,
    )
    await wiring.polls().create(poll)
    return poll


async def expect_exact(wiring: Wiring, poll: Poll, *, at_least: int, at_most: int) -> Tally:
    """The poll's tally, if its books balance and its total lies between what was promised and what was sent."""
    books = await wiring.counters().books(poll)
    tally = await wiring.counters().tally(poll)
    if not books.balance:
        raise Inexact(f"The books of {poll.id} do not balance: {'; '.join(books.faults)}.")
    if not at_least <= tally.votes <= at_most:
        raise Inexact(f"{tally.votes:,} votes were counted, {at_least:,} to {at_most:,} are right.")
    return tally


class DrainRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a drain execution says of itself at its end, over all of its tasks."""

    votes: int
    busy_seconds: float
    peak_memory_mb: float
    cpu_seconds: float


async def drain(cloud: LocalCloud, tasks: int = 1) -> DrainRun:
    """Runs the drain job until the queue is idle."""
    return await ended(start_drain(cloud, tasks))


def start_drain(cloud: LocalCloud, tasks: int = 1, *, idle_seconds: float = IDLE_SECONDS) -> Execution:
    """Starts the drain job; it ends when the queue has been idle for so long."""
    return cloud.start_job("drain", tasks=tasks, settings={"TURNOUT_IDLE_SECONDS": f"{idle_seconds:g}"})


async def ended(execution: Execution) -> DrainRun:
    """What a drain execution says at its end."""
    await execution.wait()
    execution.raise_if_failed()
    ends = [_end(log) for log in execution.logs]
    return DrainRun(
        votes=sum(end.votes for end in ends),
        busy_seconds=max(end.busy_seconds for end in ends),
        peak_memory_mb=max(end.peak_memory_mb for end in ends),
        cpu_seconds=sum(end.cpu_seconds for end in ends),
    )


def _end(log: Path) -> DrainRun:
    """The figures of a task's last log line."""
    lines = [line for line in log.read_bytes().splitlines() if b'"drain ended"' in line]
    return msgspec.json.decode(lines[-1], type=DrainRun)

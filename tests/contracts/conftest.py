import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from tests.contracts.services import Services
from turnout.gcp.wiring import Wiring
from turnout.memory import (
    MemoryCounters,
    MemoryDeadLetters,
    MemoryDrainLog,
    MemoryPolls,
    MemoryPublisher,
    MemoryQueue,
    MemoryTallies,
    Topic,
)


@pytest.fixture(params=["memory", "emulator"])
async def services(request: pytest.FixtureRequest) -> AsyncIterator[Services]:
    """Every port, in memory or on Google's emulators: the same tests judge both."""
    if request.param == "memory":
        yield in_memory()
        return
    async with Wiring(request.getfixturevalue("settings")) as wiring:
        yield Services(
            publisher=wiring.publisher(),
            queue=wiring.queue(),
            dead_letters=wiring.dead_letters(),
            dead_queue=wiring.dead_letter_queue(),
            polls=wiring.polls(),
            counters=wiring.counters(),
            drain_log=wiring.drain_log(),
            tallies=wiring.tallies(),
        )


def in_memory() -> Services:
    monotonic = asyncio.get_running_loop().time

    def clock() -> datetime:
        return datetime.now(UTC)

    votes = Topic(monotonic=monotonic, clock=clock)
    dead = Topic(monotonic=monotonic, clock=clock)
    return Services(
        publisher=MemoryPublisher(votes),
        queue=MemoryQueue(votes, ack_deadline_seconds=10, monotonic=monotonic),
        dead_letters=MemoryDeadLetters(dead),
        dead_queue=MemoryQueue(dead, ack_deadline_seconds=10, monotonic=monotonic),
        polls=MemoryPolls(),
        counters=MemoryCounters(clock=clock),
        drain_log=MemoryDrainLog(),
        tallies=MemoryTallies(),
    )

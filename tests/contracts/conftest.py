from collections.abc import AsyncIterator

import pytest

from tests.contracts.services import Services
from turnout.base.clock import SystemClock
from turnout.gcp.votes.wiring import Wiring
from turnout.memory.queue import Mailbox, MemoryConsumerLog, MemorySubscription, MemoryTopic
from turnout.memory.votes import MemoryCounters, MemoryPollStore, MemoryTallies


@pytest.fixture(params=["memory", "emulator"])
async def services(request: pytest.FixtureRequest) -> AsyncIterator[Services]:
    """Every port, in memory or on Google's emulators: the same tests judge both."""
    if request.param == "memory":
        yield in_memory()
        return
    async with Wiring(request.getfixturevalue("settings")) as wiring:
        yield Services(
            topic=wiring.topic(),
            subscription=wiring.subscription(),
            dead_letter_topic=wiring.dead_letter_topic(),
            dead_letter_subscription=wiring.dead_letter_subscription(),
            polls=wiring.polls(),
            counters=wiring.counters(),
            consumer_log=wiring.consumer_log(),
            tallies=wiring.tallies(),
        )


def in_memory() -> Services:
    clock = SystemClock()
    votes = Mailbox(clock=clock)
    dead = Mailbox(clock=clock)
    return Services(
        topic=MemoryTopic(votes),
        subscription=MemorySubscription(votes, ack_deadline_seconds=10, clock=clock),
        dead_letter_topic=MemoryTopic(dead),
        dead_letter_subscription=MemorySubscription(dead, ack_deadline_seconds=10, clock=clock),
        polls=MemoryPollStore(),
        counters=MemoryCounters(clock=clock),
        consumer_log=MemoryConsumerLog(),
        tallies=MemoryTallies(),
    )

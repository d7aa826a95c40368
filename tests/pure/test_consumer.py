"""The consumer: when it leases, when it stops, what it gives back, and what its record says, in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.simulation.virtual import BEGINNING, LoopClock, VirtualLoop
from turnout.base.errors import ServiceUnavailable
from turnout.memory.queue import Mailbox, MemoryConsumerLog, MemorySubscription, MemoryTopic
from turnout.queue.consumer import LEASE_GRACE_SECONDS, Consumer
from turnout.queue.leases import Leases
from turnout.queue.message import Message, Outgoing
from turnout.queue.ports import ConsumerRecord
from turnout.queue.settings import QueueSettings


class Records(MemoryConsumerLog):
    """The consumer's records; while it is away, none is written."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.written: list[ConsumerRecord] = []

    async def record(self, consumer: ConsumerRecord) -> None:
        if self.away:
            raise ServiceUnavailable("Firestore", "it is away")
        self.written.append(consumer)
        await super().record(consumer)


class Handling:
    """Takes a while for each lease; fails as often as it is told."""

    def __init__(self, seconds: float = 0.0, failures: int = 0) -> None:
        self.seconds = seconds
        self.failures = failures
        self.began_at: list[float] = []
        self.handled: list[str] = []

    async def handle(self, messages: Sequence[Message], leases: Leases) -> None:
        self.began_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        if self.failures:
            self.failures -= 1
            raise ServiceUnavailable("A store", "it is away")
        await leases.acknowledge(messages)
        self.handled += [message.id for message in messages]


class Scene:
    """A consumer of a mailbox."""

    def __init__(self, handler: Handling, **settings: Any) -> None:
        quick: dict[str, Any] = {
            "lanes": 1,
            "lease_messages_max": 5,
            "idle_seconds": 10.0,
            "ack_deadline_seconds": 30,
            "backoff_first_seconds": 1.0,
            "backoff_max_seconds": 4.0,
        }
        self.settings = QueueSettings(**{**quick, **settings})
        self.loop = asyncio.get_running_loop()
        clock = LoopClock(self.loop)
        self.mailbox, self.dead = Mailbox(clock=clock), Mailbox(clock=clock)
        self.records = Records()
        self.handler = handler
        self.subscription = MemorySubscription(
            self.mailbox, ack_deadline_seconds=self.settings.ack_deadline_seconds, clock=clock
        )
        self.consumer = Consumer(
            "consumer",
            [handler] * self.settings.lanes,
            subscription=self.subscription,
            dead_letters=MemoryTopic(self.dead),
            consumer_log=self.records,
            settings=self.settings,
            clock=clock,
            chance=lambda: 1.0,
        )

    def publish(self, number: int) -> None:
        for index in range(number):
            self.mailbox.put(Outgoing(b"message %d" % index))


def played(script: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A script in virtual time."""
    loop = VirtualLoop(turns_max=100_000)
    try:
        loop.run_until_complete(script())
    finally:
        loop.close()


def at(seconds: float) -> datetime:
    return BEGINNING + timedelta(seconds=seconds)


def test_it_handles_what_is_there_and_ends_when_nothing_was_held_for_a_while() -> None:
    async def script() -> None:
        scene = Scene(Handling(seconds=2))
        scene.publish(12)
        progress = await scene.consumer.run()
        assert (progress.messages, progress.released, len(scene.mailbox)) == (12, 0, 0)
        assert progress.busy_seconds == pytest.approx(6.0)
        # Three leases of two seconds, then ten seconds of idleness.
        assert scene.loop.time() == pytest.approx(16.0, abs=0.3)
        last = scene.records.written[-1]
        assert last.ended_at == last.seen_at
        assert last.leased_at == at(6.0)
        assert last.empty_at is not None

    played(script)


def test_what_could_not_be_handled_is_released_after_a_pause_that_grows() -> None:
    async def script() -> None:
        scene = Scene(Handling(failures=4))
        scene.publish(1)
        progress = await scene.consumer.run()
        assert scene.handler.began_at == [pytest.approx(each) for each in (0, 1, 3, 7, 11)]
        assert (progress.released, len(scene.mailbox)) == (4, 0)

    played(script)


def test_nothing_is_leased_before_the_first_record_is_written() -> None:
    async def script() -> None:
        scene = Scene(Handling(), commit_attempts_max=3)
        scene.publish(1)
        scene.records.away = True
        with pytest.raises(ServiceUnavailable):
            await scene.consumer.run()
        assert scene.handler.began_at == []
        assert len(scene.mailbox) == 1

    played(script)


def test_nothing_is_leased_while_the_record_is_too_old() -> None:
    async def script() -> None:
        scene = Scene(Handling(), idle_seconds=60.0, heartbeat_seconds=5.0)
        running = asyncio.create_task(scene.consumer.run())
        await asyncio.sleep(12)
        scene.records.away = True
        await asyncio.sleep(20)
        scene.publish(1)
        await asyncio.sleep(10)
        assert scene.handler.began_at == []
        scene.records.away = False
        await running
        assert len(scene.handler.began_at) == 1

    played(script)


def test_stopped_it_finishes_what_it_handles_and_leases_no_more() -> None:
    async def script() -> None:
        scene = Scene(Handling(seconds=3), shutdown_seconds=8.0)
        scene.publish(20)
        running = asyncio.create_task(scene.consumer.run())
        await asyncio.sleep(4)
        scene.consumer.stop()
        await running
        assert scene.loop.time() == pytest.approx(6.0)
        assert (len(scene.handler.handled), len(scene.mailbox)) == (10, 10)
        assert scene.records.written[-1].ended_at is None

    played(script)


@pytest.mark.parametrize("shutdown_seconds", [1.0, 3.0, 8.0, 10.0])
def test_stopped_it_releases_what_takes_too_long_within_its_time(shutdown_seconds: float) -> None:
    async def script() -> None:
        scene = Scene(Handling(seconds=100), shutdown_seconds=shutdown_seconds)
        scene.publish(5)
        running = asyncio.create_task(scene.consumer.run())
        await asyncio.sleep(1)
        scene.consumer.stop()
        progress = await running
        took = scene.loop.time() - 1
        assert took <= shutdown_seconds
        assert took >= shutdown_seconds / 2
        assert progress.released == 5
        assert len(await scene.subscription.lease(10, wait_seconds=0)) == 5
        assert scene.records.written[-1].leased_at == at(scene.loop.time())

    played(script)


def test_stopped_while_it_waits_for_a_message_it_ends_after_a_grace_and_says_that_it_may_hold_one() -> None:
    async def script() -> None:
        scene = Scene(Handling())
        running = asyncio.create_task(scene.consumer.run())
        await asyncio.sleep(2)
        scene.consumer.stop()
        await running
        assert scene.loop.time() == pytest.approx(2 + LEASE_GRACE_SECONDS)
        assert scene.records.written[-1].leased_at == at(2 + LEASE_GRACE_SECONDS)

    played(script)


def test_a_fault_in_a_handlers_code_ends_it_and_gives_everything_back() -> None:
    class Mistaken(Handling):
        async def handle(self, messages: Sequence[Message], leases: Leases) -> None:
            raise ZeroDivisionError

    async def script() -> None:
        scene = Scene(Mistaken(), lanes=3)
        scene.publish(9)
        with pytest.raises(ZeroDivisionError):
            await scene.consumer.run()
        assert len(await scene.subscription.lease(10, wait_seconds=0)) == 9
        assert scene.records.written[-1].ended_at is None

    played(script)


def test_a_queue_that_does_not_answer_to_the_last_is_a_fault() -> None:
    async def script() -> None:
        scene = Scene(Handling())

        async def away(messages_max: int, *, wait_seconds: float) -> list[Message]:
            raise ServiceUnavailable("Pub/Sub", "it is away")

        scene.subscription.lease = away  # type: ignore[method-assign]
        with pytest.raises(ServiceUnavailable):
            await scene.consumer.run()
        last = scene.records.written[-1]
        assert last.ended_at is not None
        assert last.leased_at is not None

    played(script)


def test_no_lease_is_waited_for_longer_than_a_heartbeat_or_than_the_queue_may_be_idle() -> None:
    async def script() -> None:
        scene = Scene(Handling(), heartbeat_seconds=3.0, idle_seconds=7.0)
        waits: list[float] = []
        lease = scene.subscription.lease

        async def watched(messages_max: int, *, wait_seconds: float) -> list[Message]:
            waits.append(wait_seconds)
            return await lease(messages_max, wait_seconds=wait_seconds)

        scene.subscription.lease = watched  # type: ignore[method-assign]
        await scene.consumer.run()
        assert max(waits) == 3.0
        assert waits[-1] < 1.0
        assert scene.loop.time() == pytest.approx(7.0, abs=0.3)

    played(script)


def test_it_beats_while_it_works_and_says_what_it_holds() -> None:
    async def script() -> None:
        scene = Scene(Handling(seconds=12), heartbeat_seconds=5.0)
        scene.publish(1)
        await scene.consumer.run()
        seen = [(record.seen_at, record.leased_at) for record in scene.records.written]
        assert seen[:4] == [
            (at(0), None),
            (at(5), at(5)),
            (at(10), at(10)),
            (at(15), at(12)),
        ]

    played(script)

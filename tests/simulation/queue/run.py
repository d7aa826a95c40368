"""One run of the queue by itself: producers, consumers and strangers, with a family of two lines that adds numbers."""

import asyncio
import random
from collections import Counter
from datetime import datetime
from functools import partial

from tests.simulation.queue.plants import Plant
from tests.simulation.queue.sums import NumbersInTheMaking, SumCloud, SumHandler
from tests.simulation.simulation import Outcome, Simulation, play
from tests.simulation.virtual import Process, at_once
from tests.simulation.weather import Weather
from tests.simulation.wire import (
    Wire,
    WiredConsumerLog,
    WiredDeadLetterTopic,
    WiredSubscription,
    WiredTopic,
)
from turnout.queue.batcher import BatcherBounds
from turnout.queue.consumer import Consumer
from turnout.queue.drained import relevant_since, why_not_drained
from turnout.queue.errors import QueueUnavailable
from turnout.queue.publishing import publishing_batcher
from turnout.queue.settings import QueueSettings

#: When the last number is sent, how long the faults last, and how long all may take to settle after them.
SENDING_SECONDS = 20.0
CHAOS_SECONDS_MAX = 45.0
SETTLING_SECONDS_MAX = 3_000.0
#: After the faults have ended, so that handlers can be seen to keep their leases.
LATE_NUMBERS = 12
LOOK_SECONDS = 0.5
#: Moments of which it is asked whether the queue holds anything of until then.
MOMENTS_MAX = 6
MOMENT_SHARE = 0.1

SumWire = Wire[SumCloud, QueueSettings]


def run(seed: int, plant: type[Plant] = Plant) -> Outcome:
    """Runs a seed; raises `InvariantViolated` or `RunCrashed`, with the seed and the last events."""
    return play("queue", seed, lambda: QueueSimulation(seed, plant)).outcome()


class QueueSimulation(Simulation):
    """What happens to numbers on their way through the queue."""

    cloud: SumCloud

    def __init__(self, seed: int, plant: type[Plant]) -> None:
        super().__init__(seed)
        self.settings = self._draw_settings()
        self._shutdown_seconds = self.settings.shutdown_seconds
        self.weather = Weather(
            self.chance,
            services=("topic", "queue", "store", "consumer log"),
            process_kinds=("", "producer", "consumer-1", "consumer"),
        )
        self._plant = plant(random.Random(seed))
        self.cloud = self._plant.cloud(SumCloud(self.settings))
        self._promised: list[int] = []
        self._sent = 0

    def outcome(self) -> Outcome:
        return Outcome(
            seed=self.seed,
            events=tuple(self.cloud.events),
            promised=len(self._promised),
            counted=sum(map(len, self.cloud.added.values())),
            duplicates=self.cloud.repeats,
        )

    async def _course(self) -> None:
        self._start_world(
            self._schedule(
                self._consume,
                every_seconds=self.chance.uniform(3, 12),
                running_max=self.chance.choice((1, 2, 3)),
            )
        )
        self._start_world(self._poison())
        self._start_world(self._watch_whether_drained())
        producing = [self._start_world(self._produce()) for _ in range(self.chance.choice((1, 2)))]
        await asyncio.sleep(self.chance.uniform(SENDING_SECONDS, CHAOS_SECONDS_MAX))
        self.weather.heal(self._loop.time())
        self.cloud.note("world", "the faults are healed")
        await asyncio.wait(producing)
        await self._produce_late()
        await self._settle()
        self._check_the_end()

    async def _settle(self) -> None:
        until = self._loop.time() + SETTLING_SECONDS_MAX
        while self._loop.time() < until and len(self.cloud.mailbox):  # noqa: ASYNC110  # the mailbox tells nobody
            await asyncio.sleep(5)

    # Producers.

    async def _produce(self) -> None:
        """An instance that takes numbers in, now and then in bursts; some are killed, and another takes over."""
        until = self._loop.time() + SENDING_SECONDS
        while self._loop.time() < until:
            process = self._new_process("producer")
            producing = process.start(self._take_in(process, until))
            if self.chance.random() < 0.4:
                self._loop.call_later(self.chance.uniform(0.5, 15), self._kill, process)
            await self._watch(producing)

    async def _produce_late(self) -> None:
        await asyncio.sleep(self.settings.ack_deadline_seconds)
        process = self._new_process("producer")
        await self._watch(process.start(self._take_in(process, self._loop.time(), bursts=LATE_NUMBERS)))

    async def _take_in(self, process: Process, until: float, *, bursts: int = 0) -> None:
        bounds = BatcherBounds(
            enough_items=self.settings.lease_messages_max,
            pending_items_max=50,
            flushes_in_flight_max=self.settings.publishes_in_flight_max,
        )
        batcher = publishing_batcher(
            partial(NumbersInTheMaking, self.chance.choice((3, 8)), process.clock, self._new_id),
            self._plant.topic(WiredTopic(self._wire(process))),
            bounds,
            self.settings,
            clock=process.clock,
            chance=self.chance.random,
        )
        self._watch_batcher(process, batcher, bounds.pending_items_max)
        answers: list[asyncio.Task[None]] = []
        while self._loop.time() < until or bursts > 0:
            bursts -= 1
            for _ in range(self.chance.choice((1, 1, 5))):
                numbers = [self._next_number() for _ in range(self.chance.choice((1, 3)))]
                try:
                    confirmation = batcher.add(numbers)
                except QueueUnavailable:
                    continue
                answers.append(process.start(self._await(process, confirmation, numbers)))
            await asyncio.sleep(self.chance.uniform(0.05, 2))
        await batcher.settle()
        await asyncio.gather(*answers)

    async def _await(self, process: Process, confirmation: asyncio.Future[None], numbers: list[int]) -> None:
        try:
            await confirmation
        except QueueUnavailable:
            return
        if not process.alive:
            return
        if not set(numbers) <= self.cloud.arrived_numbers:
            self.cloud.violate(f"{numbers} were confirmed before they were queued")
        self._promised += numbers

    def _next_number(self) -> int:
        self._sent += 1
        return self._sent

    # Consumers.

    async def _consume(self, _running: int) -> None:
        process = self._new_process("consumer")
        wire = self._wire(process)
        settings = self.settings
        consumer = Consumer(
            process.name,
            [SumHandler(wire, self.chance.random) for _ in range(settings.lanes)],
            subscription=self._plant.subscription(WiredSubscription(wire)),
            dead_letters=WiredDeadLetterTopic(wire),
            consumer_log=self._plant.consumer_log(WiredConsumerLog(wire)),
            settings=settings,
            clock=process.clock,
            chance=self.chance.random,
        )
        consuming = process.start(consumer.run())
        self._draw_end(
            (0.1, 0.02, partial(self._kill, process)),
            (0.25, 0.85, partial(self._kill_when_it_holds, process, consumer)),
            (0.15, 0.05, partial(self._terminate, process, consumer, consuming)),
        )
        await self._watch_consumer(consumer, consuming, settings)

    async def _poison(self) -> None:
        """A stranger publishes what nobody can read."""
        for _ in range(self.chance.choice((0, 1, 3))):
            await asyncio.sleep(self.chance.uniform(0, 15))
            self.cloud.publish_poison(self.chance.choice((b"", b"\xff\x00poison", b"{}")))

    async def _watch_whether_drained(self) -> None:
        """Whenever the records prove that the queue holds nothing of what was accepted until a moment, it must be so."""
        moments: list[datetime] = []
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = self.cloud.clock.now()
            if len(moments) < MOMENTS_MAX and self.chance.random() < MOMENT_SHARE:
                moments.append(now)
            for moment in list(moments):
                since = relevant_since(moment, now, self.settings)
                records = at_once(self.cloud.consumer_log.since(since))
                if not why_not_drained(moment, records, self.settings):
                    self.cloud.expect_drained(moment)
                    moments.remove(moment)

    # What must hold.

    def _check_the_end(self) -> None:
        cloud = self.cloud
        cloud.check_the_queue_at_the_end()
        added = Counter(number for numbers in cloud.added.values() for number in numbers)
        for number, times in sorted(added.items()):
            if times > 1:
                cloud.violate(f"{number} was added {times} times")
        for number in self._promised:
            if number not in added:
                cloud.violate(f"{number} was confirmed, but is not in the sum")
        if set(added) != cloud.arrived_numbers:
            cloud.violate("the sum is not of the numbers that reached the queue")

    # What the seed draws.

    def _draw_settings(self) -> QueueSettings:
        chance = self.chance
        attempt_seconds = chance.uniform(0.5, 4)
        ack_deadline_seconds = chance.choice((10, 20))
        return QueueSettings(
            publishes_in_flight_max=chance.choice((1, 2, 3)),
            publish_attempt_seconds=attempt_seconds,
            publish_deadline_seconds=attempt_seconds * chance.choice((1, 3)),
            breaker_failures_max=chance.choice((2, 5)),
            breaker_open_seconds=chance.uniform(0.5, 5),
            lanes=chance.choice((1, 1, 2, 3)),
            lease_messages_max=chance.choice((1, 3, 10)),
            ack_deadline_seconds=ack_deadline_seconds,
            lease_seconds_max=ack_deadline_seconds * chance.choice((1, 3, 10)),
            commit_attempts_max=chance.choice((2, 3, 5)),
            backoff_first_seconds=0.1,
            backoff_max_seconds=chance.uniform(0.2, 3),
            idle_seconds=chance.uniform(2, 8),
            heartbeat_seconds=chance.uniform(2.5, 6),
            shutdown_seconds=chance.choice((1.0, 3.0, 8.0)),
        )

    def _wire(self, process: Process) -> SumWire:
        return SumWire(self.cloud, process, self.weather, self.settings)

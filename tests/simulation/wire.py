"""The wire between a process and the cloud: the queue's ports again, but calls are lost, doubled, delayed and overtaken."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from tests.simulation.cloud import Cloud
from tests.simulation.virtual import Process, at_once
from tests.simulation.weather import Fate, Weather
from turnout.base.errors import OutcomeUnknown, ServiceUnavailable, TurnoutError
from turnout.queue.dead_letters import MESSAGE_ID_ATTRIBUTE
from turnout.queue.message import Message, Outgoing
from turnout.queue.ports import ConsumerRecord
from turnout.queue.settings import QueueSettings

T = TypeVar("T")
C = TypeVar("C", bound=Cloud)
S = TypeVar("S", bound=QueueSettings)

#: What a read or a short write may take before the caller gives up.
CALL_SECONDS = 5.0
#: How long after its caller gave up a request can still take effect.
LATE_SECONDS_MAX = 1.0
UNREACHABLE = "the connection broke"


class Wire(Generic[C, S]):
    """One process's connection to the cloud."""

    def __init__(self, cloud: C, process: Process, weather: Weather, settings: S) -> None:
        self.cloud = cloud
        self.process = process
        self.weather = weather
        self.settings = settings

    async def call(
        self, service: str, what: str, effect: Callable[[], T], *, seconds: float = CALL_SECONDS, writes: bool
    ) -> T:
        """Has an effect in the cloud and returns its result, or what fate has for the call."""
        self.note(f"{what} …")
        return await Call(self, self.fate(service), service, what, effect, writes=writes).answered(seconds)

    async def lease(self, messages_max: int, wait_seconds: float) -> list[Message]:
        """Leases, waiting in the cloud: when the answer is lost, the messages are leased nevertheless."""
        loop = asyncio.get_running_loop()
        fate = self.fate("queue")
        self.note("lease …")
        asked_at = loop.time()
        await asyncio.sleep(min(fate.go_seconds, wait_seconds / 2))
        if fate.dies_asking:
            self.die("while asking")
        if fate.request_lost:
            await asyncio.sleep(0 if fate.told else wait_seconds)
            raise ServiceUnavailable("queue", UNREACHABLE)
        # The service answers a second before the caller gives up, as the emulator does.
        until = asked_at + wait_seconds - 1.0
        while True:
            self.alive()
            self.weather.disturb(self.cloud.mailbox)
            messages = at_once(self.cloud.subscription.lease(messages_max, wait_seconds=0))
            remaining = until - loop.time()
            if messages or remaining <= 0:
                break
            await self.cloud.mailbox.change(remaining)
        self.note(f"leased {[message.ack_id for message in messages]}")
        if fate.answer_lost:
            await asyncio.sleep(0 if fate.told else max(asked_at + wait_seconds - loop.time(), 0))
            raise ServiceUnavailable("queue", UNREACHABLE)
        await asyncio.sleep(min(fate.back_seconds, max(asked_at + wait_seconds - loop.time(), 0.01)))
        if fate.dies_answered:
            self.die("when answered")
        self.alive()
        return messages

    def fate(self, service: str) -> Fate:
        """Draws the fate of a call; the dead make none."""
        self.alive()
        return self.weather.fate(self.process, service, asyncio.get_running_loop().time())

    def alive(self) -> None:
        if not self.process.alive:
            raise asyncio.CancelledError

    def die(self, when: str) -> None:
        if self.process.alive:
            self.note(f"dies {when}")
            self.process.kill()

    def note(self, what: str) -> None:
        self.cloud.note(self.process.name, what)


class Call(Generic[T]):
    """One call on its way: to the cloud, into effect, and back."""

    def __init__(
        self,
        wire: Wire[Any, Any],
        fate: Fate,
        service: str,
        what: str,
        effect: Callable[[], T],
        *,
        writes: bool,
    ) -> None:
        self._wire = wire
        self._fate = fate
        self._service = service
        self._what = what
        self._effect = effect
        self._lost = OutcomeUnknown if writes else ServiceUnavailable
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[T] = self._loop.create_future()

    async def answered(self, seconds: float) -> T:
        """The answer, or a fault after `seconds`; what was sent can take effect even later, but not much."""
        fate, loop = self._fate, self._loop
        latest_seconds = seconds + LATE_SECONDS_MAX
        go_seconds = min(fate.go_seconds, latest_seconds)
        loop.call_later(go_seconds, self._arrive)
        if fate.again_after_seconds is not None and not fate.request_lost:
            again_seconds = min(go_seconds + fate.again_after_seconds, latest_seconds)
            loop.call_later(again_seconds, self._take_effect, "again: ")
        timer = loop.call_later(seconds, self._fail, "no answer came in time")
        try:
            return await self._answer
        except TurnoutError as error:
            self._wire.note(f"{self._what}: {type(error).__name__}")
            raise
        finally:
            timer.cancel()

    def _arrive(self) -> None:
        fate = self._fate
        if fate.dies_asking:
            self._wire.die("while asking")
        if fate.request_lost:
            self._lose("request")
            return
        outcome = self._take_effect()
        if fate.answer_lost:
            self._lose("answer")
            return
        self._loop.call_later(fate.back_seconds, self._deliver, outcome)

    def _take_effect(self, which: str = "") -> T | TurnoutError:
        try:
            outcome: T | TurnoutError = self._effect()
        except TurnoutError as error:
            outcome = error
        self._wire.note(f"{self._what}: {which}{'refused' if isinstance(outcome, TurnoutError) else 'done'}")
        return outcome

    def _lose(self, which: str) -> None:
        self._wire.note(f"{self._what}: {which} lost")
        if self._fate.told:
            self._fail(UNREACHABLE)

    def _deliver(self, outcome: T | TurnoutError) -> None:
        if self._fate.dies_answered:
            self._wire.die("when answered")
        elif self._answer.done():
            return
        elif isinstance(outcome, TurnoutError):
            self._answer.set_exception(outcome)
        else:
            self._answer.set_result(outcome)

    def _fail(self, why: str) -> None:
        if not self._answer.done():
            self._answer.set_exception(self._lost(self._service, why))


class WiredTopic:
    """The topic; publishes in flight are watched."""

    def __init__(self, wire: Wire[Any, Any]) -> None:
        self._wire = wire
        self._in_flight = 0

    async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:
        wire = self._wire
        self._in_flight += 1
        if self._in_flight > wire.settings.publishes_in_flight_max:
            wire.cloud.violate(f"{self._in_flight} publishes are in flight in {wire.process.name}")
        names = [wire.cloud.name_of(message) for message in messages]
        try:
            await wire.call(
                "topic",
                f"publish {names}",
                lambda: wire.cloud.publish(messages),
                seconds=timeout_seconds,
                writes=True,
            )
        finally:
            self._in_flight -= 1


class WiredSubscription:
    """The subscription."""

    def __init__(self, wire: Wire[Any, Any], on_release: Callable[[], None] = lambda: None) -> None:
        self._wire = wire
        self._on_release = on_release

    async def lease(self, messages_max: int, *, wait_seconds: float) -> list[Message]:
        if messages_max > self._wire.settings.lease_messages_max:
            self._wire.cloud.violate(f"{messages_max} messages were to be leased at once")
        return await self._wire.lease(messages_max, wait_seconds)

    async def acknowledge(self, ack_ids: Sequence[str]) -> None:
        ack_ids = list(ack_ids)
        await self._wire.call(
            "queue", f"ack {ack_ids}", lambda: self._wire.cloud.acknowledge(ack_ids), writes=True
        )

    async def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        ack_ids = list(ack_ids)
        await self._wire.call(
            "queue",
            f"extend {ack_ids}",
            lambda: at_once(self._wire.cloud.subscription.extend(ack_ids, seconds)),
            writes=True,
        )

    async def release(self, ack_ids: Sequence[str]) -> None:
        ack_ids = list(ack_ids)
        self._on_release()
        await self._wire.call(
            "queue",
            f"release {ack_ids}",
            lambda: at_once(self._wire.cloud.subscription.release(ack_ids)),
            writes=True,
        )


class WiredDeadLetterTopic:
    """The dead-letter topic."""

    def __init__(self, wire: Wire[Any, Any]) -> None:
        self._wire = wire

    async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:
        (letter,) = messages
        await self._wire.call(
            "topic",
            f"bury {letter.attributes[MESSAGE_ID_ATTRIBUTE]}",
            lambda: self._wire.cloud.bury(letter),
            seconds=min(timeout_seconds, CALL_SECONDS),
            writes=True,
        )


class WiredConsumerLog:
    """The consumers' records."""

    def __init__(self, wire: Wire[Any, Any]) -> None:
        self._wire = wire

    async def record(self, consumer: ConsumerRecord) -> None:
        await self._wire.call(
            "consumer log",
            "record",
            lambda: at_once(self._wire.cloud.consumer_log.record(consumer)),
            writes=True,
        )

    async def since(self, moment: datetime) -> list[ConsumerRecord]:
        return await self._wire.call(
            "consumer log",
            "since",
            lambda: at_once(self._wire.cloud.consumer_log.since(moment)),
            writes=False,
        )

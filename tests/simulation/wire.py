"""The wire between a process and the cloud: the ports again, but calls are lost, doubled, delayed and overtaken."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from tests.simulation.cloud import Cloud
from tests.simulation.virtual import Process, at_once
from turnout.base.errors import OutcomeUnknown, ServiceUnavailable, TurnoutError
from turnout.gcp.votes.settings import Settings
from turnout.memory.queue import Mailbox
from turnout.queue.dead_letters import MESSAGE_ID_ATTRIBUTE
from turnout.queue.message import Message, Outgoing
from turnout.queue.ports import ConsumerRecord
from turnout.votes.bundle import decode
from turnout.votes.errors import AlreadyCounted
from turnout.votes.fold import Posting
from turnout.votes.handler import first_lane_number
from turnout.votes.poll import Poll
from turnout.votes.tally import Books, Tally

T = TypeVar("T")
Lane = asyncio.Task[Any] | None

#: What a read or a short write may take before the caller gives up.
CALL_SECONDS = 5.0
#: How long after its caller gave up a request can still take effect.
LATE_SECONDS_MAX = 1.0


@dataclass(frozen=True)
class Fate:
    """What becomes of one call."""

    go_seconds: float = 0.004
    back_seconds: float = 0.004
    #: The request never arrives; or its answer never does.
    request_lost: bool = False
    answer_lost: bool = False
    #: A loss is told at once, as a broken connection; else the caller waits until its time is up.
    told: bool = True
    #: The request arrives a second time, this much later.
    again_after_seconds: float | None = None
    #: The process dies while the request is under way; or when the answer arrives.
    dies_asking: bool = False
    dies_answered: bool = False


CALM = Fate()
UNREACHABLE = "the connection broke"


@dataclass(frozen=True)
class Outage:
    """A time in which no request of a kind of process reaches a service."""

    service: str
    process_kind: str
    begins: float
    ends: float


class Weather:
    """Draws the fate of each call from the seed, until the faults are healed."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._lost = chance.choice((0.0, 0.02, 0.08))
        self._doubled = chance.choice((0.0, 0.03))
        self._slow = chance.choice((0.0, 0.05, 0.15))
        self._slow_seconds_max = chance.choice((0.5, 3.0, 12.0))
        self._deadly = chance.choice((0.0, 0.003, 0.012))
        self._outages = [self._outage() for _ in range(chance.choice((0, 0, 1, 3)))]
        self._reorders = chance.choice((0.0, 0.3))
        self._breaks_leases = chance.choice((0.0, 0.05))
        self.healed = False

    def fate(self, process: Process, service: str, now: float) -> Fate:
        if self.healed:
            return CALM
        chance = self._chance
        cut_off = any(
            outage.service == service
            and process.name.startswith(outage.process_kind)
            and outage.begins <= now < outage.ends
            for outage in self._outages
        )
        loses = cut_off or chance.random() < self._lost
        before = cut_off or chance.random() < 0.5
        return Fate(
            go_seconds=self._delay(),
            back_seconds=self._delay(),
            request_lost=loses and before,
            answer_lost=loses and not before,
            told=chance.random() < 0.6,
            again_after_seconds=chance.uniform(0, 4) if chance.random() < self._doubled else None,
            dies_asking=chance.random() < self._deadly,
            dies_answered=chance.random() < self._deadly,
        )

    def disturb(self, topic: Mailbox) -> None:
        """What a subscription may do at any time: change the order, and deliver a leased message once more."""
        if self.healed:
            return
        if self._chance.random() < self._reorders:
            self._chance.shuffle(topic._waiting)
        if self._chance.random() < self._breaks_leases:
            topic.extend(self._chance.sample(sorted(topic._leases), k=min(1, len(topic._leases))), 0)

    def _delay(self) -> float:
        if self._chance.random() < self._slow:
            return self._chance.uniform(0.01, self._slow_seconds_max)
        return self._chance.uniform(0.001, 0.02)

    def _outage(self) -> Outage:
        begins = self._chance.uniform(0, 40)
        return Outage(
            service=self._chance.choice(("topic", "queue", "counters", "polls", "drain log", "tallies")),
            process_kind=self._chance.choice(("", "intake", "drain-1", "drain", "persist")),
            begins=begins,
            ends=begins + self._chance.uniform(1, 25),
        )


class Wire:
    """One process's connection to the cloud."""

    def __init__(self, cloud: Cloud, process: Process, weather: Weather, settings: Settings) -> None:
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
            self.weather.disturb(self.cloud.topic)
            messages = at_once(self.cloud.subscription.lease(messages_max, wait_seconds=0))
            remaining = until - loop.time()
            if messages or remaining <= 0:
                break
            await self.cloud.topic.change(remaining)
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
        self, wire: Wire, fate: Fate, service: str, what: str, effect: Callable[[], T], *, writes: bool
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
    """The topic; publishes in flight and the size of bundles are watched."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._in_flight = 0

    async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:
        wire, settings = self._wire, self._wire.settings
        self._in_flight += 1
        if self._in_flight > settings.publishes_in_flight_max:
            wire.cloud.violate(f"{self._in_flight} publishes are in flight in {wire.process.name}")
        bundles = [decode(message.data) for message in messages]
        for bundle in bundles:
            if bundle.votes > settings.bundle_votes_max:
                wire.cloud.violate(f"bundle {bundle.id} holds {bundle.votes} votes")
        ids = [bundle.id[:6] for bundle in bundles]
        try:
            await wire.call(
                "topic",
                f"publish {ids}",
                lambda: wire.cloud.publish(messages),
                seconds=timeout_seconds,
                writes=True,
            )
        finally:
            self._in_flight -= 1


class WiredSubscription:
    """The subscription."""

    def __init__(self, wire: Wire, lanes: "LaneWatch") -> None:
        self._wire = wire
        self._lanes = lanes

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
        self._lanes.gave_up()
        await self._wire.call(
            "queue",
            f"release {ack_ids}",
            lambda: at_once(self._wire.cloud.subscription.release(ack_ids)),
            writes=True,
        )


class WiredDeadLetterTopic:
    """The dead-letter topic."""

    def __init__(self, wire: Wire) -> None:
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


class LaneWatch:
    """What each lane of a drain may do: repeat the very same writes when an outcome is unknown, on its own shard alone.

    A lane commits from its own task, so the present task tells the lanes apart.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._unknown: dict[Lane, bytes] = {}
        self._shard_of: dict[tuple[Lane, str], int] = {}

    def commits(self, posting: Posting) -> None:
        lane = asyncio.current_task()
        before = self._unknown.pop(lane, None)
        if before is not None and before != msgspec.msgpack.encode(posting):
            self._violate("a commit whose outcome is unknown was repeated with other writes")
        settings = self._wire.settings
        for delta in posting.deltas:
            shard = self._shard_of.setdefault((lane, delta.poll), delta.shard)
            shards = self._wire.cloud.poll(delta.poll).shards
            first = first_lane_number(settings.execution, settings.task_index, settings.lanes)
            if shard != delta.shard:
                self._violate(f"a lane writes to shard {delta.shard} after shard {shard}")
            if delta.shard not in {(first + number) % shards for number in range(settings.lanes)}:
                self._violate(f"a lane writes to shard {delta.shard}, which is none of its task's")
        entries = len(posting.names)
        if len(posting.bundles) > 1 and entries > settings.commit_entries_max:
            self._violate(f"a commit holds {entries} ledger entries")

    def outcome_unknown(self, posting: Posting) -> None:
        self._unknown[asyncio.current_task()] = msgspec.msgpack.encode(posting)

    def ledger_answered(self) -> None:
        self._unknown.pop(asyncio.current_task(), None)

    def gave_up(self) -> None:
        """Its lease is released: what comes next is another batch."""
        self._unknown.pop(asyncio.current_task(), None)

    def _violate(self, why: str) -> None:
        self._wire.cloud.violate(f"{self._wire.process.name}: {why}")


class WiredCounters:
    """Shards and ledger."""

    def __init__(self, wire: Wire, lanes: LaneWatch) -> None:
        self._wire = wire
        self._lanes = lanes

    async def commit(self, posting: Posting) -> None:
        wire = self._wire
        self._lanes.commits(posting)
        # The request is what was sent: nobody changes it afterwards.
        sent = msgspec.msgpack.decode(msgspec.msgpack.encode(posting), type=Posting)
        names = [entry.name[-6:] for entry in posting.bundles]
        try:
            await wire.call(
                "counters",
                f"commit {names} + {len(posting.keys)} keys",
                lambda: wire.cloud.commit(sent),
                seconds=wire.settings.commit_attempt_seconds,
                writes=True,
            )
        except AlreadyCounted:
            raise
        except ServiceUnavailable:
            self._lanes.outcome_unknown(posting)
            raise

    async def existing(self, names: Sequence[str]) -> set[str]:
        names = list(names)
        found = await self._read("existing", lambda: at_once(self._wire.cloud.counters.existing(names)))
        self._lanes.ledger_answered()
        return found

    async def tally(self, poll: Poll) -> Tally:
        return await self._read(f"tally {poll.id}", lambda: at_once(self._wire.cloud.counters.tally(poll)))

    async def books(self, poll: Poll) -> Books:
        return await self._read(f"books {poll.id}", lambda: at_once(self._wire.cloud.counters.books(poll)))

    async def _read(self, what: str, effect: Callable[[], T]) -> T:
        return await self._wire.call("counters", what, effect, writes=False)


class WiredPollStore:
    """The polls' settings."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def get(self, poll_id: str) -> Poll | None:
        return await self._wire.call(
            "polls", f"get {poll_id}", lambda: at_once(self._wire.cloud.polls.get(poll_id)), writes=False
        )

    async def create(self, poll: Poll) -> None:
        await self._wire.call(
            "polls", f"create {poll.id}", lambda: at_once(self._wire.cloud.polls.create(poll)), writes=True
        )

    async def replace(self, old: Poll, new: Poll) -> None:
        await self._wire.call(
            "polls",
            f"replace {old.id}, closing at {new.closes_at:%T.%f}, certified {new.certified_at is not None}",
            lambda: self._wire.cloud.replace(old, new),
            writes=True,
        )

    async def list(self, limit: int) -> AsyncIterator[Poll]:
        polls = self._wire.cloud.polls
        for poll in await self._wire.call(
            "polls", "list", lambda: at_once(_collect(polls.list(limit))), writes=False
        ):
            yield poll


class WiredConsumerLog:
    """The drains' records."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def record(self, consumer: ConsumerRecord) -> None:
        await self._wire.call(
            "drain log",
            "record",
            lambda: at_once(self._wire.cloud.consumer_log.record(consumer)),
            writes=True,
        )

    async def since(self, moment: datetime) -> list[ConsumerRecord]:
        return await self._wire.call(
            "drain log", "since", lambda: at_once(self._wire.cloud.consumer_log.since(moment)), writes=False
        )


class WiredTallies:
    """The persisted tallies."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def get(self, poll_id: str) -> Tally | None:
        return await self._wire.call(
            "tallies", "get tally", lambda: at_once(self._wire.cloud.tallies.get(poll_id)), writes=False
        )

    async def put(self, tally: Tally, poll: Poll, slot: datetime) -> bool:
        certified = " certified" if tally.certified_at else ""
        return await self._wire.call(
            "tallies",
            f"put{certified} tally of {poll.id}, {tally.votes} votes",
            lambda: self._wire.cloud.put(tally, poll, slot),
            writes=True,
        )

    async def history(self, poll_id: str, limit: int) -> list[tuple[datetime, Tally]]:
        return await self._wire.call(
            "tallies",
            "history",
            lambda: at_once(self._wire.cloud.tallies.history(poll_id, limit)),
            writes=False,
        )


async def _collect(polls: AsyncIterator[Poll]) -> list[Poll]:
    return [poll async for poll in polls]

"""A family of two lines: messages carry numbers, and the handler adds them, each message's once."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import msgspec

from tests.simulation.cloud import Cloud
from tests.simulation.wire import Wire
from turnout.base.chance import Chance, NewId
from turnout.base.clock import Clock
from turnout.queue.drained import LONG_AGO
from turnout.queue.errors import MessageUnreadable
from turnout.queue.leases import Leases
from turnout.queue.message import Message, Outgoing
from turnout.queue.settings import QueueSettings

#: Of the messages, those that take long, and how long: several acknowledgement deadlines.
SLOW_SHARE = 0.1
SLOW_DEADLINES_MAX = 2.5
#: Calls of before the faults ended may take effect for so long after it.
LATE_SECONDS = 15.0
#: When, and by whom, a message is handled that nobody handles.
NOBODY = (0.0, "")


class Numbers(msgspec.Struct, frozen=True):
    """What one message carries, under an id that is kept over retries."""

    id: str
    accepted_at: datetime
    numbers: tuple[int, ...]


def read(data: bytes) -> Numbers:
    """The numbers in a message; `MessageUnreadable` if it carries something else."""
    try:
        return msgspec.json.decode(data, type=Numbers)
    except msgspec.MsgspecError as error:
        raise MessageUnreadable(f"The data are not numbers: {error}.") from None


class NumbersInTheMaking:
    """Numbers that travel together."""

    def __init__(self, items_max: int, clock: Clock, new_id: NewId) -> None:
        self._items_max = items_max
        self._clock = clock
        self._new_id = new_id
        self._numbers: list[int] = []

    def fits(self, numbers: Sequence[int]) -> bool:
        return len(self._numbers) + len(numbers) <= self._items_max

    def add(self, numbers: Sequence[int]) -> None:
        self._numbers += numbers

    def pack(self) -> list[Outgoing]:
        carried = Numbers(self._new_id(), self._clock.now(), tuple(self._numbers))
        return [Outgoing(msgspec.json.encode(carried))]


class SumCloud(Cloud):
    """What was added, by the id of the message that carried it."""

    def __init__(self, settings: QueueSettings) -> None:
        super().__init__(settings)
        self.added: dict[str, tuple[int, ...]] = {}
        self.arrived_numbers: set[int] = set()
        self.repeats = 0
        #: What was accepted until then has been proved to be handled.
        self._drained_until = LONG_AGO
        #: Since when each message is leased by the one who handles it, and who that is.
        self.under_way: dict[str, tuple[float, str]] = {}

    def name_of(self, message: Outgoing) -> str:
        return read(message.data).id[:6]

    def arrived(self, message: Outgoing) -> None:
        carried = read(message.data)
        self.arrived_numbers |= set(carried.numbers)
        if carried.accepted_at <= self._drained_until:
            self.violate(f"{carried.id[:6]} arrived after the queue was proved to hold nothing of it")

    def is_handled(self, message: Message) -> bool:
        try:
            return read(message.data).id in self.added
        except MessageUnreadable:
            return False

    def expect_drained(self, until: datetime) -> None:
        """The records prove that the queue holds nothing of what was accepted until a moment."""
        self._drained_until = max(self._drained_until, until)
        leased = [lease.message for lease in self.mailbox._leases.values()]
        for message in (*self.mailbox._waiting, *leased):
            published_at = message.published_at
            if published_at is None or published_at > until:
                continue
            if message.id not in self.buried and not self.is_handled(message):
                self.violate(f"message {message.id} waits, though the queue was proved to be drained")

    def add(self, carried: Numbers) -> None:
        """Adds what a message carries, unless it was added before."""
        if carried.id in self.added:
            self.repeats += 1
        else:
            self.added[carried.id] = carried.numbers


class SumHandler:
    """Adds, then acknowledges."""

    def __init__(self, wire: Wire[SumCloud, QueueSettings], chance: Chance) -> None:
        self._wire = wire
        self._chance = chance

    async def handle(self, messages: Sequence[Message], leases: Leases) -> None:
        leased_at = asyncio.get_running_loop().time()
        for message in messages:
            try:
                carried = read(message.data)
            except MessageUnreadable as fault:
                await leases.bury(message, str(fault))
                continue
            await self._add(message, carried, leased_at)
            await leases.acknowledge([message])

    async def _add(self, message: Message, carried: Numbers, leased_at: float) -> None:
        wire, cloud = self._wire, self._wire.cloud
        self._expect_alone(message, leased_at)
        cloud.under_way[message.id] = (leased_at, wire.process.name)
        try:
            if self._chance() < SLOW_SHARE:
                deadline_seconds = wire.settings.ack_deadline_seconds
                await asyncio.sleep(self._chance() * SLOW_DEADLINES_MAX * deadline_seconds)
            await wire.call("store", f"add {carried.id[:6]}", lambda: cloud.add(carried), writes=True)
        finally:
            if cloud.under_way[message.id] == (leased_at, wire.process.name):
                cloud.under_way[message.id] = NOBODY

    def _expect_alone(self, message: Message, leased_at: float) -> None:
        """While nothing fails, a message that a living handler works on is leased to nobody else."""
        wire = self._wire
        held_since, holder = wire.cloud.under_way.get(message.id, NOBODY)
        healed_at, lease_seconds_max = wire.weather.healed_at, wire.settings.lease_seconds_max
        if not holder or healed_at is None or held_since < healed_at + LATE_SECONDS:
            return
        # Who comes with an older lease has let it end.
        if held_since < leased_at < held_since + lease_seconds_max:
            wire.cloud.violate(
                f"message {message.id} came to {wire.process.name} while {holder} was handling it"
            )

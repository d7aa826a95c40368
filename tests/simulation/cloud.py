"""The cloud of a run: a queue in memory, and what must hold whenever something takes effect there."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from tests.simulation.virtual import LoopClock, at_once
from turnout.memory.queue import Mailbox, MemoryConsumerLog, MemorySubscription, MemoryTopic
from turnout.queue.dead_letters import MESSAGE_ID_ATTRIBUTE, REASON_ATTRIBUTE
from turnout.queue.message import Message, Outgoing
from turnout.queue.settings import QueueSettings

#: Events that a failure prints.
EVENTS_SHOWN = 60
EVENTS_MAX = 20_000


class Cloud(ABC):
    """What is true: the services' state, the trace of events, and the first invariant that was violated."""

    def __init__(self, settings: QueueSettings) -> None:
        loop = asyncio.get_running_loop()
        self.clock = LoopClock(loop)
        self.mailbox = Mailbox(clock=self.clock)
        self.dead_mailbox = Mailbox(clock=self.clock)
        self.subscription = MemorySubscription(
            self.mailbox, ack_deadline_seconds=settings.ack_deadline_seconds, clock=self.clock
        )
        self.consumer_log = MemoryConsumerLog()
        #: Ids of messages that nobody can handle, and of messages that were buried.
        self.poison: set[str] = set()
        self.buried: set[str] = set()
        self.events: list[tuple[float, str, str]] = []
        self.violation: asyncio.Future[str] = loop.create_future()
        self._loop = loop

    @abstractmethod
    def name_of(self, message: Outgoing) -> str:
        """How the events call a message."""

    @abstractmethod
    def arrived(self, message: Outgoing) -> None:
        """A message is in the queue: what is promised from here on is true."""

    @abstractmethod
    def is_handled(self, message: Message) -> bool:
        """Whether the effect of a message is durable."""

    def note(self, who: str, what: str) -> None:
        self.events.append((self._loop.time(), who, what))
        if len(self.events) > EVENTS_MAX:
            self.violate(f"more than {EVENTS_MAX:,} events: something turns without an end")

    def violate(self, why: str) -> None:
        if not self.violation.done():
            self.events.append((self._loop.time(), "checker", why))
            self.violation.set_result(why)

    # What takes effect, and what must hold then.

    def publish(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            self.arrived(message)
        at_once(MemoryTopic(self.mailbox).publish(messages, timeout_seconds=1.0))

    def publish_poison(self, data: bytes) -> None:
        """A stranger publishes what nobody can handle."""
        self.mailbox.put(Outgoing(data))
        self.poison.add(str(self.mailbox._published))

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        for ack_id in ack_ids:
            message = self.mailbox.leased(ack_id)
            if message is not None and message.id not in self.buried and not self.is_handled(message):
                self.violate(f"message {message.id} was acknowledged, but is neither handled nor buried")
        at_once(self.subscription.acknowledge(ack_ids))

    def bury(self, letter: Outgoing) -> None:
        message_id, reason = letter.attributes[MESSAGE_ID_ATTRIBUTE], letter.attributes[REASON_ATTRIBUTE]
        if message_id not in self.poison:
            self.violate(f"message {message_id} can be handled, but was dead-lettered: {reason}")
        if not reason:
            self.violate(f"message {message_id} was dead-lettered without a reason")
        self.buried.add(message_id)
        self.dead_mailbox.put(letter)

    def check_the_queue_at_the_end(self) -> None:
        if len(self.mailbox):
            self.violate(f"{len(self.mailbox)} messages are still in the queue")
        for message_id in sorted(self.poison - self.buried):
            self.violate(f"message {message_id} cannot be handled, but was not dead-lettered")

"""A topic with its pull subscription: messages are leased, and come back when their lease ends."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import msgspec

from turnout.base.clock import Clock
from turnout.queue.message import Message, Outgoing, expect_one_request
from turnout.queue.ports import ConsumerRecord


class _Lease(msgspec.Struct):
    message: Message
    ends_at: float


class Mailbox:
    """The messages of one topic with one subscription, in the order in which they can be leased."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[Message] = []
        self._leases: dict[str, _Lease] = {}
        self._leasers: list[asyncio.Future[None]] = []
        self._published = 0
        self._leased = 0

    def __len__(self) -> int:
        """Messages that are not acknowledged, leased or not."""
        return len(self._waiting) + len(self._leases)

    def put(self, message: Outgoing) -> None:
        """Publishes a message."""
        self._published += 1
        self._waiting.append(
            Message(
                ack_id="",
                id=str(self._published),
                data=message.data,
                attributes=dict(message.attributes),
                published_at=self._clock.now(),
            )
        )
        self._wake()

    def lease(self, messages_max: int, seconds: float) -> list[Message]:
        """Leases what can be leased now."""
        self._end_leases()
        chosen, self._waiting = self._waiting[:messages_max], self._waiting[messages_max:]
        ends_at = self._clock.monotonic() + seconds
        leased = []
        for message in chosen:
            self._leased += 1
            again = msgspec.structs.replace(message, ack_id=f"{message.id}-{self._leased}")
            self._leases[again.ack_id] = _Lease(again, ends_at)
            leased.append(again)
        return leased

    def delete(self, ack_ids: Sequence[str]) -> None:
        """Deletes leased messages; one whose lease has ended stays."""
        self._end_leases()
        for ack_id in ack_ids:
            self._leases.pop(ack_id, None)

    def extend(self, ack_ids: Sequence[str], seconds: float) -> None:
        """Moves the ends of leases; 0 ends them at once."""
        self._end_leases()
        ends_at = self._clock.monotonic() + seconds
        for ack_id in ack_ids:
            lease = self._leases.get(ack_id)
            if lease is not None:
                lease.ends_at = ends_at
        self._wake()

    def leased(self, ack_id: str) -> Message | None:
        """The message of a lease that has not ended."""
        self._end_leases()
        lease = self._leases.get(ack_id)
        return None if lease is None else lease.message

    async def change(self, seconds: float) -> None:
        """Waits until something may have become leasable, `seconds` at most."""
        next_end = min((lease.ends_at for lease in self._leases.values()), default=None)
        if next_end is not None:
            seconds = min(seconds, max(next_end - self._clock.monotonic(), 0.0))
        leaser: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leasers.append(leaser)
        try:
            await asyncio.wait((leaser,), timeout=seconds)
        finally:
            self._leasers.remove(leaser)
            leaser.cancel()

    def _end_leases(self) -> None:
        now = self._clock.monotonic()
        for ack_id, lease in list(self._leases.items()):
            if lease.ends_at <= now:
                del self._leases[ack_id]
                self._waiting.append(lease.message)

    def _wake(self) -> None:
        for leaser in self._leasers:
            if not leaser.done():
                leaser.set_result(None)


class MemoryTopic:
    """Publishes to a mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:  # noqa: ARG002  # it takes no time
        """Publishes messages in one request, all or none."""
        expect_one_request(messages)
        for message in messages:
            self._mailbox.put(message)


class MemorySubscription:
    """Leases from a mailbox."""

    def __init__(self, mailbox: Mailbox, *, ack_deadline_seconds: float, clock: Clock) -> None:
        self._mailbox = mailbox
        self._ack_deadline_seconds = ack_deadline_seconds
        self._clock = clock

    async def lease(self, messages_max: int, *, wait_seconds: float) -> list[Message]:
        """Leases messages, and waits for the first."""
        until = self._clock.monotonic() + wait_seconds
        while True:
            messages = self._mailbox.lease(messages_max, self._ack_deadline_seconds)
            remaining = until - self._clock.monotonic()
            if messages or remaining <= 0:
                return messages
            await self._mailbox.change(remaining)

    async def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Deletes leased messages."""
        self._mailbox.delete(ack_ids)

    async def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        """Sets the leases' deadlines to `seconds` from now."""
        self._mailbox.extend(ack_ids, seconds)

    async def release(self, ack_ids: Sequence[str]) -> None:
        """Ends leases at once."""
        self._mailbox.extend(ack_ids, 0)


class MemoryConsumerLog:
    """The records of one subscription's consumers."""

    def __init__(self) -> None:
        self._records: dict[str, ConsumerRecord] = {}

    async def record(self, consumer: ConsumerRecord) -> None:
        """Writes a consumer's record over its earlier one."""
        self._records[consumer.id] = consumer

    async def since(self, moment: datetime) -> list[ConsumerRecord]:
        """The consumers that were seen at or after a moment."""
        return [record for record in self._records.values() if record.seen_at >= moment]

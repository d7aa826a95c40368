"""A topic with its pull subscription: messages are leased, and come back when their lease ends."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from turnout.votes.bundle import Bundle, encode
from turnout.votes.ports import Clock, Message


class _Lease(msgspec.Struct):
    message: Message
    ends_at: float


class Topic:
    """The messages of one topic with one subscription, in the order in which they can be leased."""

    def __init__(self, *, monotonic: Callable[[], float], clock: Clock) -> None:
        self._monotonic = monotonic
        self._clock = clock
        self._waiting: list[Message] = []
        self._leases: dict[str, _Lease] = {}
        self._leasers: list[asyncio.Future[None]] = []
        self._published = 0
        self._leased = 0

    def __len__(self) -> int:
        """Messages that are not acknowledged, leased or not."""
        return len(self._waiting) + len(self._leases)

    def put(self, data: bytes, attributes: dict[str, str] | None = None) -> None:
        """Publishes a message."""
        self._published += 1
        self._waiting.append(
            Message(
                receipt="",
                id=str(self._published),
                data=data,
                attributes=attributes or {},
                published_at=self._clock(),
            )
        )
        self._wake()

    def lease(self, messages_max: int, seconds: float) -> list[Message]:
        """Leases what can be leased now."""
        self._end_leases()
        chosen, self._waiting = self._waiting[:messages_max], self._waiting[messages_max:]
        ends_at = self._monotonic() + seconds
        leased = []
        for message in chosen:
            self._leased += 1
            again = msgspec.structs.replace(message, receipt=f"{message.id}-{self._leased}")
            self._leases[again.receipt] = _Lease(again, ends_at)
            leased.append(again)
        return leased

    def delete(self, receipts: Sequence[str]) -> None:
        """Deletes leased messages; one whose lease has ended stays."""
        self._end_leases()
        for receipt in receipts:
            self._leases.pop(receipt, None)

    def extend(self, receipts: Sequence[str], seconds: float) -> None:
        """Moves the ends of leases; 0 ends them at once."""
        self._end_leases()
        ends_at = self._monotonic() + seconds
        for receipt in receipts:
            lease = self._leases.get(receipt)
            if lease is not None:
                lease.ends_at = ends_at
        self._wake()

    def leased(self, receipt: str) -> Message | None:
        """The message of a lease that has not ended."""
        self._end_leases()
        lease = self._leases.get(receipt)
        return None if lease is None else lease.message

    async def change(self, seconds: float) -> None:
        """Waits until something may have become leasable, `seconds` at most."""
        next_end = min((lease.ends_at for lease in self._leases.values()), default=None)
        if next_end is not None:
            seconds = min(seconds, max(next_end - self._monotonic(), 0.0))
        leaser: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leasers.append(leaser)
        try:
            await asyncio.wait((leaser,), timeout=seconds)
        finally:
            self._leasers.remove(leaser)
            leaser.cancel()

    def _end_leases(self) -> None:
        now = self._monotonic()
        for receipt, lease in list(self._leases.items()):
            if lease.ends_at <= now:
                del self._leases[receipt]
                self._waiting.append(lease.message)

    def _wake(self) -> None:
        for leaser in self._leasers:
            if not leaser.done():
                leaser.set_result(None)


class MemoryPublisher:
    """Publishes bundles to a topic."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    async def publish(self, bundles: Sequence[Bundle], *, timeout_seconds: float) -> None:  # noqa: ARG002  # it takes no time
        """Publishes bundles, a message each."""
        for bundle in bundles:
            self._topic.put(encode(bundle))


class MemoryQueue:
    """Leases from a topic's subscription."""

    def __init__(self, topic: Topic, *, ack_deadline_seconds: float, monotonic: Callable[[], float]) -> None:
        self._topic = topic
        self._ack_deadline_seconds = ack_deadline_seconds
        self._monotonic = monotonic

    async def lease(self, messages_max: int, *, wait_seconds: float) -> list[Message]:
        """Leases messages, and waits for the first."""
        until = self._monotonic() + wait_seconds
        while True:
            messages = self._topic.lease(messages_max, self._ack_deadline_seconds)
            remaining = until - self._monotonic()
            if messages or remaining <= 0:
                return messages
            await self._topic.change(remaining)

    async def acknowledge(self, receipts: Sequence[str]) -> None:
        """Deletes leased messages."""
        self._topic.delete(receipts)

    async def extend(self, receipts: Sequence[str], seconds: int) -> None:
        """Sets the leases' deadlines to `seconds` from now."""
        self._topic.extend(receipts, seconds)

    async def release(self, receipts: Sequence[str]) -> None:
        """Ends leases at once."""
        self._topic.extend(receipts, 0)


class MemoryDeadLetters:
    """The dead-letter topic."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    async def bury(self, message: Message, reason: str) -> None:
        """Publishes a message's data with the reason and the id of the original."""
        self._topic.put(message.data, {"reason": reason, "message_id": message.id})

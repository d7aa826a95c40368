"""What the queue needs from the world. `turnout/gcp/` implements it on Google's services, `turnout/memory/` in memory.

One contract suite judges both. Every method may raise `ServiceUnavailable`; one that writes may raise its subtype
`OutcomeUnknown`. None retries by itself.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from turnout.queue.message import Message, Outgoing


class Topic(Protocol):
    """A topic that messages are published to."""

    async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:
        """Publishes messages in one request, all or none; returns when they are durable.

        `ValueError`: they do not fit into one request (`PUBLISH_MESSAGES_MAX`, `PUBLISH_BYTES_MAX`).
        """
        ...


class Subscription(Protocol):
    """A pull subscription that messages are leased from."""

    async def lease(self, messages_max: int, *, wait_seconds: float) -> list[Message]:
        """Leases up to `messages_max` messages; waits up to `wait_seconds` for the first. Empty does not mean drained."""
        ...

    async def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Deletes leased messages. One whose lease has ended may come back nevertheless."""
        ...

    async def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        """Sets the leases' deadlines to `seconds` from now."""
        ...

    async def release(self, ack_ids: Sequence[str]) -> None:
        """Ends leases at once: the messages can be leased again."""
        ...


class ConsumerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer says of itself, as of `seen_at`."""

    id: str
    started_at: datetime
    seen_at: datetime
    #: The last moment at which it may have kept messages out of sight, and the last at which it saw the queue empty.
    leased_at: datetime | None = None
    empty_at: datetime | None = None
    #: When it ended of itself, holding nothing; None while it runs, and for ever if it was killed.
    ended_at: datetime | None = None


class ConsumerLog(Protocol):
    """The records of one subscription's consumers: from them follows whether the queue is drained."""

    async def record(self, consumer: ConsumerRecord) -> None:
        """Writes a consumer's record over its earlier one."""
        ...

    async def since(self, moment: datetime) -> list[ConsumerRecord]:
        """The consumers that were seen at or after a moment."""
        ...

"""Messages: what is published, and what is leased."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

#: Pub/Sub's limits for one publish request (cloud.google.com/pubsub/quotas): messages, and bytes with the envelope.
PUBLISH_MESSAGES_MAX = 1_000
PUBLISH_BYTES_MAX = 10_000_000
#: What a message takes in a request beside its data and attributes, and an attribute beside its texts: ample.
MESSAGE_ENVELOPE_BYTES = 32
ATTRIBUTE_ENVELOPE_BYTES = 16


class Outgoing(msgspec.Struct, frozen=True):
    """A message to be published: data that its family encoded, and attributes that anybody may read."""

    data: bytes
    attributes: Mapping[str, str] = {}

    @property
    def size_bytes(self) -> int:
        """What it takes of a publish request, at most."""
        attributes = sum(
            len(name.encode()) + len(value.encode()) + ATTRIBUTE_ENVELOPE_BYTES
            for name, value in self.attributes.items()
        )
        return len(self.data) + attributes + MESSAGE_ENVELOPE_BYTES


class Message(msgspec.Struct, frozen=True):
    """A leased message. `ack_id` names this lease of it: another lease of the same message has another one."""

    ack_id: str
    id: str
    data: bytes
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    published_at: datetime | None = None


def expect_one_request(messages: Sequence[Outgoing]) -> None:
    """`ValueError` if messages are too many, or too large, for one publish request: a batch is cut before it is sent."""
    if len(messages) > PUBLISH_MESSAGES_MAX:
        raise ValueError(f"one publish takes {PUBLISH_MESSAGES_MAX:,} messages, not {len(messages):,}")
    size_bytes = sum(message.size_bytes for message in messages)
    if size_bytes > PUBLISH_BYTES_MAX:
        raise ValueError(f"one publish takes {PUBLISH_BYTES_MAX:,} bytes, not {size_bytes:,}")

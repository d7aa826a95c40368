"""The dead letters: what could not be handled. A person looks at them, mends the cause, and sends them again."""

import contextlib
from collections.abc import AsyncIterator, Collection
from datetime import datetime

import msgspec

from turnout.queue.message import Message, Outgoing
from turnout.queue.ports import Subscription, Topic

#: Messages asked for at once, and how long a look waits for the first of them.
LEASE_MESSAGES_MAX = 1_000
LEASE_WAIT_SECONDS = 1.0
#: An empty answer does not mean an empty queue: so many in a row are taken to.
EMPTY_LEASES_MAX = 2
PUBLISH_SECONDS = 10.0
REASON_ATTRIBUTE = "reason"
MESSAGE_ID_ATTRIBUTE = "message_id"
REDRIVEN_ATTRIBUTE = "redriven_from"
#: Pub/Sub's limit for an attribute's value is 1,024 bytes.
REASON_BYTES_MAX = 1_000


class DeadLetterTopic:
    """Where a consumer sends what it cannot handle."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    async def bury(self, message: Message, reason: str) -> None:
        """Publishes a message's data with the reason and the id of the original; returns when it is durable."""
        shown = reason.encode(errors="replace")[:REASON_BYTES_MAX].decode(errors="ignore")
        attributes = {**message.attributes, REASON_ATTRIBUTE: shown, MESSAGE_ID_ATTRIBUTE: message.id}
        await self._topic.publish([Outgoing(message.data, attributes)], timeout_seconds=PUBLISH_SECONDS)


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could not be handled, without its data: that may hold what nobody should see."""

    id: str
    buried_at: datetime | None
    reason: str
    size_bytes: int


class Redriven(msgspec.Struct, frozen=True, kw_only=True):
    """What a redrive did."""

    redriven: tuple[str, ...] = ()
    #: Asked for by id, but not among the dead letters.
    missing: tuple[str, ...] = ()


class DeadLetterOffice:
    """Looks at dead letters, and sends them again. What is only looked at stays where it is."""

    def __init__(self, subscription: Subscription, topic: Topic) -> None:
        self._subscription = subscription
        self._topic = topic

    async def look(self, limit: int) -> list[DeadLetter]:
        """The dead letters, oldest first, `limit` at most."""
        async with self._leased(limit) as messages:
            letters = [_letter(message) for message in messages]
        return sorted(letters, key=lambda letter: (str(letter.buried_at), letter.id))

    async def redrive(self, limit: int, ids: Collection[str] = ()) -> Redriven:
        """Sends dead letters to the topic they were meant for, all or the named ones, and deletes them.

        A crash between the two sends one twice, which its handler bears, as it bears every redelivery.
        """
        redriven: list[str] = []
        async with self._leased(limit) as messages:
            for message in [each for each in messages if not ids or each.id in ids]:
                await self._topic.publish([_as_it_was(message)], timeout_seconds=PUBLISH_SECONDS)
                await self._subscription.acknowledge([message.ack_id])
                messages.remove(message)
                redriven.append(message.id)
        return Redriven(redriven=tuple(redriven), missing=tuple(sorted(set(ids) - set(redriven))))

    @contextlib.asynccontextmanager
    async def _leased(self, limit: int) -> AsyncIterator[list[Message]]:
        """Leases what is there; what the list still holds at the end is released."""
        held: dict[str, Message] = {}
        messages: list[Message] = []
        try:
            empty = 0
            while empty < EMPTY_LEASES_MAX and len(held) < limit:
                asked_for = min(LEASE_MESSAGES_MAX, limit - len(held))
                leased = await self._subscription.lease(asked_for, wait_seconds=LEASE_WAIT_SECONDS)
                # A message whose lease has ended meanwhile comes again, with a new ack id.
                held.update({message.id: message for message in leased})
                empty = 0 if leased else empty + 1
            messages.extend(held.values())
            held.clear()
            yield messages
        finally:
            ack_ids = [message.ack_id for message in (*held.values(), *messages)]
            if ack_ids:
                await self._subscription.release(ack_ids)


def _as_it_was(letter: Message) -> Outgoing:
    """The message that was buried, with a note of where it comes from."""
    own = {
        name: value
        for name, value in letter.attributes.items()
        if name not in (REASON_ATTRIBUTE, MESSAGE_ID_ATTRIBUTE)
    }
    return Outgoing(letter.data, {**own, REDRIVEN_ATTRIBUTE: letter.id})


def _letter(message: Message) -> DeadLetter:
    return DeadLetter(
        id=message.id,
        buried_at=message.published_at,
        reason=message.attributes.get(REASON_ATTRIBUTE, "no reason was given"),
        size_bytes=len(message.data),
    )

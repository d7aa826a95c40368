"""The dead letters: what could not be read. A person looks at them, mends the cause, and sends them the votes' way again."""

import contextlib
from collections.abc import AsyncIterator, Collection
from datetime import datetime

import msgspec

from turnout.votes.ports import Message, Queue, Redrive

#: Messages asked for at once, and how long a look waits for the first of them.
LEASE_MESSAGES_MAX = 1_000
LEASE_WAIT_SECONDS = 1.0
#: An empty answer does not mean an empty queue: so many in a row are taken to.
EMPTY_LEASES_MAX = 2
REASON_ATTRIBUTE = "reason"
REDRIVEN_ATTRIBUTE = "redriven_from"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could not be read, without its data: that may hold keys and choices."""

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

    def __init__(self, queue: Queue, votes: Redrive) -> None:
        self._queue = queue
        self._votes = votes

    async def look(self, limit: int) -> list[DeadLetter]:
        """The dead letters, oldest first, `limit` at most."""
        async with self._leased(limit) as messages:
            letters = [_letter(message) for message in messages]
        return sorted(letters, key=lambda letter: (str(letter.buried_at), letter.id))

    async def redrive(self, limit: int, ids: Collection[str] = ()) -> Redriven:
        """Sends dead letters to the votes' topic, all or the named ones, and deletes them.

        A crash between the two sends one twice: a bundle keeps its id, so it is counted once all the same.
        """
        redriven: list[str] = []
        async with self._leased(limit) as messages:
            for message in [each for each in messages if not ids or each.id in ids]:
                await self._votes.put(message.data, {REDRIVEN_ATTRIBUTE: message.id})
                await self._queue.acknowledge([message.receipt])
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
                leased = await self._queue.lease(asked_for, wait_seconds=LEASE_WAIT_SECONDS)
                # A message whose lease has ended meanwhile comes again, with a new receipt.
                held.update({message.id: message for message in leased})
                empty = 0 if leased else empty + 1
            messages.extend(held.values())
            held.clear()
            yield messages
        finally:
            receipts = [message.receipt for message in (*held.values(), *messages)]
            if receipts:
                await self._queue.release(receipts)


def _letter(message: Message) -> DeadLetter:
    return DeadLetter(
        id=message.id,
        buried_at=message.published_at,
        reason=message.attributes.get(REASON_ATTRIBUTE, "no reason was given"),
        size_bytes=len(message.data),
    )

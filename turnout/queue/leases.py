"""The leases that a consumer holds. They are extended while a handler works, and released when the consumer ends.

Certification relies on `hidden_at`: the last moment at which the consumer may have put messages out of everybody's
sight. So it is noted here, where leases are taken, extended and given back, and not by those who ask for it.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime

import structlog

from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable
from turnout.queue.dead_letters import DeadLetterTopic
from turnout.queue.message import Message
from turnout.queue.ports import Subscription
from turnout.queue.progress import ConsumerProgress

log = structlog.get_logger()

#: Extensions in one acknowledgement deadline: two may fail before a lease ends under a handler's hands.
EXTENSIONS_PER_DEADLINE = 3


class Leases:
    """The ack ids that are leased and neither acknowledged nor released, with the moment of their lease."""

    def __init__(
        self,
        subscription: Subscription,
        dead_letters: DeadLetterTopic,
        progress: ConsumerProgress,
        *,
        ack_deadline_seconds: int,
        lease_seconds_max: float,
        clock: Clock,
    ) -> None:
        self._subscription = subscription
        self._dead_letters = dead_letters
        self._progress = progress
        self._ack_deadline_seconds = ack_deadline_seconds
        self._lease_seconds_max = lease_seconds_max
        self._clock = clock
        self._held: dict[str, float] = {}
        self._hidden_at: datetime | None = None
        self._busy_at = clock.monotonic()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def hidden_at(self) -> datetime | None:
        """The last moment at which messages may have been put out of sight; now, while any is held."""
        return self._clock.now() if self._held else self._hidden_at

    @property
    def idle_seconds(self) -> float:
        """For how long nothing has been held."""
        return 0.0 if self._held else self._clock.monotonic() - self._busy_at

    def begin_idle(self) -> None:
        """Counts idle time from now."""
        self._busy_at = self._clock.monotonic()

    def take(self, messages: Iterable[Message]) -> None:
        """Notes that these were leased now."""
        now = self._clock.monotonic()
        self._held.update((message.ack_id, now) for message in messages)
        self._note_held()

    def note_hidden(self) -> None:
        """Messages may be out of sight from now on: a lease was asked for or extended, and what came of it is not known."""
        self._hidden_at = self._clock.now()

    async def acknowledge(self, messages: Iterable[Message]) -> None:
        """Acknowledges what was handled. If that fails, the messages come back, and their family knows them again."""
        ack_ids = self._drop(message.ack_id for message in messages)
        try:
            await self._subscription.acknowledge(ack_ids)
        except ServiceUnavailable as error:
            log.warning("acknowledgement failed; the messages come back", error=str(error))

    async def release(self, messages: Iterable[Message]) -> None:
        """Gives leases back. If that fails, the messages come back when their deadline has passed."""
        await self._release(self._drop(message.ack_id for message in messages))

    async def release_all(self) -> None:
        """Gives all leases back."""
        await self._release(self._drop(list(self._held)))

    async def bury(self, message: Message, reason: str) -> None:
        """Sends a message that cannot be handled to the dead letters, with the reason, and acknowledges it."""
        # Bury first: a crash between the two buries it twice, which loses nothing.
        await self._dead_letters.bury(message, reason)
        await self.acknowledge([message])
        self._progress.dead_letters += 1
        log.error("message dead-lettered", message_id=message.id, reason=reason)

    async def keep(self, may_extend: Callable[[], bool]) -> None:
        """Extends the leases until it is cancelled; one that is older than `lease_seconds_max` is left to its deadline.

        While `may_extend` says no, all are: certification must know for how long a consumer can hold a lease.
        """
        while True:
            await asyncio.sleep(self._ack_deadline_seconds / EXTENSIONS_PER_DEADLINE)
            oldest = self._clock.monotonic() - self._lease_seconds_max
            young = [ack_id for ack_id, leased_at in self._held.items() if leased_at > oldest]
            if not young or not may_extend():
                continue
            try:
                await self._subscription.extend(young, self._ack_deadline_seconds)
            except ServiceUnavailable as error:
                log.warning("extension failed; it is tried again before the lease ends", error=str(error))
            # Some may have been released meanwhile, and an extension that arrives late hides them once more.
            self.note_hidden()

    def _drop(self, ack_ids: Iterable[str]) -> list[str]:
        """Those of the ack ids that were held: up to now, and no longer."""
        dropped = [ack_id for ack_id in ack_ids if self._held.pop(ack_id, None) is not None]
        if dropped:
            self._note_held()
        return dropped

    async def _release(self, ack_ids: list[str]) -> None:
        self._progress.released += len(ack_ids)
        if not ack_ids:
            return
        try:
            await self._subscription.release(ack_ids)
        except ServiceUnavailable as error:
            log.warning("release failed; the messages come back when their lease ends", error=str(error))

    def _note_held(self) -> None:
        """Messages are held up to now: whatever happens to the call that follows, they may stay out of sight."""
        self._hidden_at = self._clock.now()
        self._busy_at = self._clock.monotonic()

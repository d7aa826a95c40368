"""The heartbeat: a consumer's record says that it lives, and until when it may have hidden messages.

Certification counts on knowing every consumer, so nothing is leased before the first record is written, nor while the
latest is too old.
"""

import asyncio
from datetime import datetime

import msgspec
import structlog

from turnout.base.chance import Chance
from turnout.base.clock import Clock
from turnout.base.errors import ServiceUnavailable
from turnout.queue.leases import Leases
from turnout.queue.ports import ConsumerLog, ConsumerRecord
from turnout.queue.settings import QueueSettings

log = structlog.get_logger()

#: Heartbeats that may fail in a row before the lanes stop leasing.
HEARTBEATS_MISSED_MAX = 2


class Heartbeat:
    """Writes one consumer's record, again and again."""

    def __init__(
        self,
        consumer_id: str,
        consumer_log: ConsumerLog,
        leases: Leases,
        settings: QueueSettings,
        *,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._log = consumer_log
        self._leases = leases
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._beat_at = float("-inf")
        now = clock.now()
        self._record = ConsumerRecord(id=consumer_id, started_at=now, seen_at=now)

    @property
    def is_fresh(self) -> bool:
        """Whether the latest record is young enough for certification to count on."""
        age_seconds = self._clock.monotonic() - self._beat_at
        return age_seconds <= HEARTBEATS_MISSED_MAX * self._settings.heartbeat_seconds

    def saw_empty(self, at: datetime) -> None:
        """The queue was empty when it was asked at this moment: the next record says so."""
        self._note(empty_at=at)

    async def begin(self) -> None:
        """Writes the first record, however often that has to be tried; `ServiceUnavailable` if it cannot be."""
        await self._settings.write_retry.run(
            self._beat,
            clock=self._clock,
            chance=self._chance,
            on_failure=lambda fault: log.warning("the first record was not written", error=str(fault)),
        )

    async def keep(self) -> None:
        """Beats until it is cancelled."""
        while True:
            await asyncio.sleep(self._settings.heartbeat_seconds)
            try:
                await self._beat()
            except ServiceUnavailable as error:
                log.warning("heartbeat failed", error=str(error))

    async def end(self, *, of_itself: bool) -> None:
        """Writes the last record. A consumer that ended of itself leases no more; of another nobody can be sure."""
        if of_itself:
            self._note(ended_at=self._clock.now())
        await self._beat()

    async def _beat(self) -> None:
        began_at = self._clock.monotonic()
        self._note(seen_at=self._clock.now(), leased_at=self._leases.hidden_at)
        await self._log.record(self._record)
        self._beat_at = began_at

    def _note(self, **fields: object) -> None:
        self._record = msgspec.structs.replace(self._record, **fields)

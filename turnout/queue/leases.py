"""Holdings: the leases that a drain task holds. They are extended while their lane works, and released when it ends."""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from turnout.base.errors import ServiceUnavailable
from turnout.votes.ports import Queue

log = structlog.get_logger()


class Holdings:
    """The receipts that are leased and neither acknowledged nor released, with the moment of their lease."""

    def __init__(
        self,
        queue: Queue,
        *,
        ack_deadline_seconds: int,
        lease_seconds_max: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._ack_deadline_seconds = ack_deadline_seconds
        self._lease_seconds_max = lease_seconds_max
        self._monotonic = monotonic
        self._held: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._held)

    def take(self, receipts: Iterable[str]) -> None:
        """Notes that these were leased now."""
        now = self._monotonic()
        self._held.update((receipt, now) for receipt in receipts)

    async def acknowledge(self, receipts: Iterable[str]) -> None:
        """Acknowledges what was counted. If that fails, the redelivery stops at the ledger: it is no fault."""
        chosen = self._drop(receipts)
        try:
            await self._queue.acknowledge(chosen)
        except ServiceUnavailable as error:
            log.warning(
                "acknowledgement failed; the messages come back and stop at the ledger", error=str(error)
            )

    async def release(self, receipts: Iterable[str]) -> None:
        """Gives leases back. If that fails, they come back when their deadline has passed."""
        chosen = self._drop(receipts)
        if not chosen:
            return
        try:
            await self._queue.release(chosen)
        except ServiceUnavailable as error:
            log.warning("release failed; the messages come back when their lease ends", error=str(error))

    async def release_all(self) -> None:
        """Gives all leases back."""
        await self.release(list(self._held))

    async def keep(self, may_extend: Callable[[], bool]) -> None:
        """Extends the leases until it is cancelled; one that is older than `lease_seconds_max` is left to its deadline.

        While `may_extend` says no, all are: certification must know for how long a drain can hold a lease.
        """
        while True:
            await asyncio.sleep(self._ack_deadline_seconds / 3)
            oldest = self._monotonic() - self._lease_seconds_max
            young = [receipt for receipt, leased_at in self._held.items() if leased_at > oldest]
            if not young or not may_extend():
                continue
            try:
                await self._queue.extend(young, self._ack_deadline_seconds)
            except ServiceUnavailable as error:
                log.warning("extension failed; it is tried again before the lease ends", error=str(error))

    def _drop(self, receipts: Iterable[str]) -> list[str]:
        return [receipt for receipt in receipts if self._held.pop(receipt, None) is not None]

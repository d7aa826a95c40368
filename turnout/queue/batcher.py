"""The batcher: what arrives together travels together.

It needs no tuning: it flushes at once when nothing is in flight, else it gathers until a flush returns or the batch has
enough. So batches grow with the load and with the latency of what they are flushed to, and a lone item never waits.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec

from turnout.base.errors import TurnoutError
from turnout.queue.errors import QueueUnavailable

Item = TypeVar("Item")
Batch = TypeVar("Batch")
Item_contra = TypeVar("Item_contra", contravariant=True)
Batch_co = TypeVar("Batch_co", covariant=True)

RETRY_AFTER_SECONDS = 1.0


class Confirmation(asyncio.Future[None]):
    """Done when the flush that carries a caller's items is confirmed.

    Many callers await one, so it refuses to be cancelled: a caller under `asyncio.timeout` leaves when the flush ends,
    which is bounded, and not before. Who must leave earlier awaits `asyncio.shield(confirmation)`.
    """

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002  # the base class's signature
        """Refuses: a caller that goes away takes no other caller's answer with it."""
        return False


class Gathering(Protocol[Item_contra, Batch_co]):
    """A batch in the making. Its family knows how much one flush can carry."""

    def fits(self, items: Sequence[Item_contra]) -> bool:
        """Whether one flush can carry these as well. Asked only if something was gathered before."""
        ...

    def add(self, items: Sequence[Item_contra]) -> None:
        """Gathers items."""
        ...

    def pack(self) -> Batch_co:
        """The batch, made once before the first attempt to flush it: ids that it is given are kept over retries."""
        ...


class BatcherBounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much a batcher holds, in items."""

    #: So many items are flushed without waiting for the flushes under way.
    enough_items: int
    #: Items that wait for their flush, or for its confirmation; beyond it callers are refused.
    pending_items_max: int
    flushes_in_flight_max: int


class _Forming(Generic[Item, Batch]):
    """What is gathered for one flush, how many items that are, and what those who added them await."""

    __slots__ = ("confirmation", "gathering", "items")

    def __init__(self, gathering: Gathering[Item, Batch]) -> None:
        self.gathering = gathering
        self.items = 0
        self.confirmation = Confirmation()


class Batcher(Generic[Item, Batch]):
    """Gathers items and flushes them in batches; holds nothing but what waits for its confirmation.

    `gather` begins a batch. `flush` returns when a batch is durable; it is bounded in time, and its faults reach every
    caller whose items it carried. `gate` raises when nothing should be taken in now, as an open circuit breaker does.
    """

    def __init__(
        self,
        gather: Callable[[], Gathering[Item, Batch]],
        flush: Callable[[Batch], Awaitable[None]],
        bounds: BatcherBounds,
        *,
        gate: Callable[[], None] = lambda: None,
    ) -> None:
        self._gather = gather
        self._flush = flush
        self._bounds = bounds
        self._gate = gate
        self._forming: _Forming[Item, Batch] | None = None
        self._full: deque[_Forming[Item, Batch]] = deque()
        self._scheduled = False
        self._unconfirmed_items = 0
        self._flushes: set[asyncio.Task[None]] = set()

    @property
    def unconfirmed_items(self) -> int:
        """Items that wait for their flush or for its confirmation."""
        return self._unconfirmed_items

    def add(self, items: Sequence[Item]) -> Confirmation:
        """Takes items in, all in one flush; await the confirmation (see there what a timeout does).

        `QueueUnavailable`, or what the gate raises: none was taken.
        """
        self._gate()
        bounds = self._bounds
        if self._unconfirmed_items + len(items) > bounds.pending_items_max:
            raise QueueUnavailable("Too much waits for the queue.", retry_after_seconds=RETRY_AFTER_SECONDS)
        forming = self._forming
        if forming is not None and not forming.gathering.fits(items):
            self._full.append(forming)
            forming = None
        if forming is None:
            forming = self._forming = _Forming(self._gather())
        forming.gathering.add(items)
        forming.items += len(items)
        self._unconfirmed_items += len(items)
        if self._full or forming.items >= bounds.enough_items:
            self._flush_if_possible()
        elif not self._flushes and not self._scheduled:
            # One turn of the loop later: requests that are being parsed right now come along.
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush_scheduled)
        return forming.confirmation

    async def settle(self) -> None:
        """Waits until nothing is in flight."""
        while self._unconfirmed_items:
            self._flush_if_possible()
            await asyncio.wait(self._flushes)

    def _flush_scheduled(self) -> None:
        self._scheduled = False
        if not self._flushes:
            self._flush_if_possible()

    def _flush_if_possible(self) -> None:
        if len(self._flushes) >= self._bounds.flushes_in_flight_max:
            return
        if self._full:
            formed = self._full.popleft()
        elif self._forming is not None:
            formed, self._forming = self._forming, None
        else:
            return
        flush = asyncio.get_running_loop().create_task(self._flush_formed(formed))
        self._flushes.add(flush)
        flush.add_done_callback(self._flushed)

    def _flushed(self, flush: asyncio.Task[None]) -> None:
        self._flushes.discard(flush)
        if not flush.cancelled():
            flush.result()  # expected faults go to the callers: what still rises is a programmer's error
            self._flush_if_possible()

    async def _flush_formed(self, formed: _Forming[Item, Batch]) -> None:
        confirmation = formed.confirmation
        try:
            await self._flush(formed.gathering.pack())
        except BaseException as error:
            confirmation.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            confirmation.exception()  # a caller may have gone away: its answer is nobody's then
            if not isinstance(error, TurnoutError):
                raise
        else:
            confirmation.set_result(None)
        finally:
            self._unconfirmed_items -= formed.items

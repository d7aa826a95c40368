"""The bundler: the votes that arrive together at an instance are published together.

It needs no tuning: it sends at once when nothing is in flight, else it gathers until a publish returns or the bundle is
full. So the bundles grow with the load and with the latency of the queue, and a lone vote never waits.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import structlog

from turnout.base.backoff import waits
from turnout.base.breaker import Breaker
from turnout.base.errors import QueueUnavailable, ServiceUnavailable
from turnout.votes.bundle import Bundle, pack, split_by_poll
from turnout.votes.ports import Chance, Clock, NewId, Publisher
from turnout.votes.settings import Settings
from turnout.votes.vote import Vote

log = structlog.get_logger()


class Confirmation(asyncio.Future[None]):
    """Done when the publish that carries a vote is confirmed. Many callers await one: none of them may cancel it."""

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002  # the base class's signature
        """Refuses: a caller that goes away takes no other caller's answer with it."""
        return False


class Bundler:
    """Gathers votes and publishes them; holds nothing but votes that wait for their answer."""

    def __init__(
        self,
        publisher: Publisher,
        breaker: Breaker,
        settings: Settings,
        *,
        clock: Clock,
        new_id: NewId,
        chance: Chance,
    ) -> None:
        self._publisher = publisher
        self._breaker = breaker
        self._settings = settings
        self._clock = clock
        self._new_id = new_id
        self._chance = chance
        self._pending: list[Vote] = []
        self._confirmation: Confirmation | None = None
        self._scheduled = False
        self._unconfirmed_votes = 0
        self._publishes: set[asyncio.Task[None]] = set()

    @property
    def unconfirmed_votes(self) -> int:
        """Votes that wait for their publish or for its confirmation."""
        return self._unconfirmed_votes

    def add(self, votes: Sequence[Vote]) -> Confirmation:
        """Takes votes in, all in one publish; await the confirmation. `QueueUnavailable`: none was taken."""
        refused_for = self._breaker.refuses_for_seconds()
        if refused_for:
            raise QueueUnavailable("The queue does not answer.", retry_after_seconds=refused_for)
        if self._unconfirmed_votes + len(votes) > self._settings.pending_votes_max:
            raise QueueUnavailable("Too many votes wait for the queue.", retry_after_seconds=1.0)
        if self._confirmation is None:
            self._confirmation = Confirmation()
        confirmation = self._confirmation
        self._pending.extend(votes)
        self._unconfirmed_votes += len(votes)
        if len(self._pending) >= self._settings.bundle_votes_max:
            self._send_if_possible()
        elif not self._publishes and not self._scheduled:
            # One turn of the loop later: requests that are being parsed right now come along.
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._send_scheduled)
        return confirmation

    async def settle(self) -> None:
        """Waits until nothing is in flight."""
        while self._publishes or self._pending:
            self._send_if_possible()
            await asyncio.wait(self._publishes)

    def _send_scheduled(self) -> None:
        self._scheduled = False
        if not self._publishes:
            self._send_if_possible()

    def _send_if_possible(self) -> None:
        confirmation = self._confirmation
        if confirmation is None or len(self._publishes) >= self._settings.publishes_in_flight_max:
            return
        votes, self._pending, self._confirmation = self._pending, [], None
        publish = asyncio.get_running_loop().create_task(self._publish(votes, confirmation))
        self._publishes.add(publish)
        publish.add_done_callback(self._published)

    def _published(self, publish: asyncio.Task[None]) -> None:
        self._publishes.discard(publish)
        if not publish.cancelled():
            publish.result()  # `_publish` hands every fault to its callers: what still rises is a programmer's error
            self._send_if_possible()

    async def _publish(self, votes: list[Vote], confirmation: Confirmation) -> None:
        try:
            await self._publish_with_retries(self._bundles(votes, self._clock()))
        except ServiceUnavailable as error:
            log.warning("publish failed", votes=len(votes), error=str(error))
            confirmation.set_exception(
                QueueUnavailable("The queue did not confirm the vote.", retry_after_seconds=1.0)
            )
            confirmation.exception()  # a caller may have gone away: its answer is nobody's then
        except BaseException as error:
            confirmation.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            confirmation.exception()
            raise
        else:
            confirmation.set_result(None)
        finally:
            self._unconfirmed_votes -= len(votes)

    async def _publish_with_retries(self, bundles: list[Bundle]) -> None:
        """Repeats the very same bundles, ids and all, so that a publish whose answer was lost is counted once."""
        settings = self._settings
        loop = asyncio.get_running_loop()
        deadline = loop.time() + settings.publish_deadline_seconds
        pauses = waits(settings.backoff_first_seconds, settings.backoff_max_seconds, self._chance)
        while True:
            self._breaker.begin()
            timeout_seconds = min(settings.publish_attempt_seconds, deadline - loop.time())
            try:
                await self._publisher.publish(bundles, timeout_seconds=timeout_seconds)
            except ServiceUnavailable:
                self._breaker.failed()
                pause = next(pauses)
                if loop.time() + pause >= deadline:
                    raise
                await asyncio.sleep(pause)
            else:
                self._breaker.succeeded()
                return

    def _bundles(self, votes: list[Vote], now: datetime) -> list[Bundle]:
        size = self._settings.bundle_votes_max
        accepted_at_ms = int(now.timestamp() * 1000)
        return [
            pack(self._new_id(), poll, accepted_at_ms, of_poll[start : start + size])
            for poll, of_poll in split_by_poll(votes).items()
            for start in range(0, len(of_poll), size)
        ]

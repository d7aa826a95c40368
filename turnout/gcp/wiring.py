"""The wiring: the verbs on Google's services, built by hand, once per process and event loop."""

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import grpc.aio

from turnout.base.breaker import Breaker
from turnout.base.errors import SettingsInvalid
from turnout.gcp.datastore import DatastoreTallies, open_datastore_channel
from turnout.gcp.firestore import (
    FirestoreCounters,
    FirestoreDatabase,
    FirestoreDrainLog,
    FirestorePolls,
    open_firestore_channel,
)
from turnout.gcp.pubsub import (
    PubsubDeadLetters,
    PubsubPublisher,
    PubsubQueue,
    open_publisher_channel,
    open_subscriber_channel,
)
from turnout.queue.batcher import Bundler
from turnout.queue.consumer import Drain
from turnout.votes.administration import Administration
from turnout.votes.audit import Audit
from turnout.votes.intake import Intake
from turnout.votes.persistence import Persistence
from turnout.votes.poll_cache import PollCache
from turnout.votes.results import ResultsReader
from turnout.votes.settings import Settings
from turnout.votes.vote import Hasher, vote_id_text


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A random id of 32 hex digits."""
    return secrets.token_hex(16)


def new_vote_id() -> str:
    """A random vote id."""
    return vote_id_text(secrets.token_bytes(16))


class Wiring:
    """Opens channels as they are first used, and closes them: `async with Wiring(settings) as wiring`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the channels; calls under way are cancelled."""
        channels, self._channels = self._channels, {}
        await asyncio.gather(*(channel.close() for channel in channels.values()))

    def polls(self) -> FirestorePolls:
        """The polls' settings."""
        return FirestorePolls(self._firestore())

    def poll_cache(self) -> PollCache:
        """A cache of the polls."""
        settings = self.settings
        return PollCache(
            self.polls(),
            seconds=settings.poll_cache_seconds,
            polls_max=settings.poll_cache_polls_max,
            monotonic=time.monotonic,
        )

    def counters(self) -> FirestoreCounters:
        """Shards and ledger."""
        return FirestoreCounters(self._firestore(), commit_seconds=self.settings.commit_attempt_seconds)

    def drain_log(self) -> FirestoreDrainLog:
        """The drains' records."""
        return FirestoreDrainLog(self._firestore())

    def tallies(self) -> DatastoreTallies:
        """The persisted tallies."""
        host = self.settings.datastore_emulator_host
        channel = self._channel("datastore", lambda: open_datastore_channel(host))
        return DatastoreTallies(channel, self.settings.project, self.settings.datastore_database)

    def publisher(self) -> PubsubPublisher:
        """The topic for bundles."""
        return PubsubPublisher(self._publisher_channel(), self.settings.project, self.settings.topic)

    def queue(self) -> PubsubQueue:
        """The subscription that the drain leases from."""
        return PubsubQueue(self._subscriber_channel(), self.settings.project, self.settings.subscription)

    def dead_letters(self) -> PubsubDeadLetters:
        """The dead-letter topic."""
        return PubsubDeadLetters(
            self._publisher_channel(), self.settings.project, self.settings.dead_letter_topic
        )

    def dead_letter_queue(self) -> PubsubQueue:
        """The dead-letter topic's subscription."""
        return PubsubQueue(
            self._subscriber_channel(), self.settings.project, self.settings.dead_letter_subscription
        )

    def redrive(self) -> PubsubDeadLetters:
        """The votes' topic, for messages as they are."""
        return PubsubDeadLetters(self._publisher_channel(), self.settings.project, self.settings.topic)

    def hasher(self) -> Hasher:
        """The hasher of voters and Idempotency-Keys; `SettingsInvalid` without a pepper."""
        if self.settings.pepper is None:
            raise SettingsInvalid(["TURNOUT_PEPPER is missing: the intake hashes voters and keys under it"])
        return Hasher(self.settings.pepper.get_secret_value().encode())

    def intake(self) -> Intake:
        """The intake, with its bundler."""
        settings = self.settings
        breaker = Breaker(
            failures_max=settings.breaker_failures_max,
            open_seconds=settings.breaker_open_seconds,
            trials_max=settings.breaker_trials_max,
            monotonic=time.monotonic,
        )
        bundler = Bundler(self.publisher(), breaker, settings, clock=now, new_id=new_id, chance=random.random)
        return Intake(self.poll_cache(), bundler, self.hasher(), clock=now, new_vote_id=new_vote_id)

    def drain(self) -> Drain:
        """A drain task."""
        settings = self.settings
        return Drain(
            f"{settings.execution}-{settings.task_index}-{new_id()}",
            queue=self.queue(),
            counters=self.counters(),
            polls=self.poll_cache(),
            dead_letters=self.dead_letters(),
            drain_log=self.drain_log(),
            settings=settings,
            clock=now,
            chance=random.random,
        )

    def persistence(self) -> Persistence:
        """Persistence and certification."""
        return Persistence(
            self.polls(), self.counters(), self.drain_log(), self.tallies(), self.settings, clock=now
        )

    def administration(self) -> Administration:
        """What a poll's owner may do."""
        return Administration(self.polls(), self.persistence(), self.settings, clock=now)

    def results(self) -> ResultsReader:
        """The reader of results."""
        settings = self.settings
        return ResultsReader(
            self.poll_cache(),
            self.counters(),
            self.tallies(),
            cache_seconds=settings.results_cache_seconds,
            polls_max=settings.poll_cache_polls_max,
            clock=now,
            monotonic=time.monotonic,
        )

    def audit(self) -> Audit:
        """The audit."""
        return Audit(self.polls(), self.counters(), self.tallies(), self.settings, clock=now)

    def _firestore(self) -> FirestoreDatabase:
        settings = self.settings
        host = settings.firestore_emulator_host
        channel = self._channel("firestore", lambda: open_firestore_channel(host))
        return FirestoreDatabase(channel, settings.project, settings.firestore_database, emulated=bool(host))

    def _publisher_channel(self) -> grpc.aio.Channel:
        return self._channel("publisher", lambda: open_publisher_channel(self.settings.pubsub_emulator_host))

    def _subscriber_channel(self) -> grpc.aio.Channel:
        return self._channel(
            "subscriber", lambda: open_subscriber_channel(self.settings.pubsub_emulator_host)
        )

    def _channel(self, name: str, opener: Callable[[], grpc.aio.Channel]) -> grpc.aio.Channel:
        if name not in self._channels:
            self._channels[name] = opener()
        return self._channels[name]

"""The wiring of votes: the verbs on Google's services, built by hand, once per process and event loop."""

import random
import secrets
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from turnout.base.chance import random_id
from turnout.base.clock import Clock, SystemClock
from turnout.base.environment import read
from turnout.base.errors import SettingsInvalid
from turnout.gcp.connections import Connections
from turnout.gcp.consumers import FirestoreConsumerLog
from turnout.gcp.pubsub import PubsubSubscription, PubsubTopic
from turnout.gcp.votes.counters import FirestoreCounters
from turnout.gcp.votes.polls import FirestorePollStore
from turnout.gcp.votes.settings import Settings
from turnout.queue.dead_letters import DeadLetterOffice
from turnout.votes.administration import Administration
from turnout.votes.audit import Audit
from turnout.votes.drain import Drain
from turnout.votes.handler import first_lane_number
from turnout.votes.intake import Intake, assemble_intake
from turnout.votes.persistence import Persistence
from turnout.votes.poll_cache import PollCache
from turnout.votes.results import ResultsReader
from turnout.votes.vote import Hasher, vote_id_text

if TYPE_CHECKING:
    from turnout.gcp.votes.tallies import DatastoreTallies

#: The collection of the drains' records.
DRAINS = "drains"


def new_vote_id() -> str:
    """A random vote id."""
    return vote_id_text(secrets.token_bytes(16))


class Wiring:
    """Builds the verbs: `async with Wiring(settings) as wiring`."""

    def __init__(
        self,
        settings: Settings,
        *,
        connections: Connections | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self._connections = connections or Connections(settings)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """With the settings in an environment; `SettingsInvalid` lists every fault."""
        return cls(read(Settings, environment))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.__aexit__(kind, error, trace)

    def polls(self) -> FirestorePollStore:
        """The polls' settings."""
        return FirestorePollStore(self._connections.firestore())

    def poll_cache(self) -> PollCache:
        """A cache of the polls."""
        return PollCache(self.polls(), self.settings, clock=self.clock)

    def counters(self) -> FirestoreCounters:
        """Shards and ledger."""
        return FirestoreCounters(
            self._connections.firestore(), commit_seconds=self.settings.commit_attempt_seconds
        )

    def consumer_log(self) -> FirestoreConsumerLog:
        """The drains' records."""
        return FirestoreConsumerLog(self._connections.firestore(), DRAINS)

    def tallies(self) -> "DatastoreTallies":
        """The persisted tallies."""
        # A drain never asks for them, and their client takes a tenth of its start.
        from turnout.gcp.datastore import DatastoreDatabase, open_datastore_channel  # noqa: PLC0415
        from turnout.gcp.votes.tallies import DatastoreTallies  # noqa: PLC0415

        settings = self.settings
        host = settings.datastore_emulator_host
        channel = self._connections.channel("datastore", lambda: open_datastore_channel(host))
        database = DatastoreDatabase(channel, settings.project, settings.datastore_database)
        return DatastoreTallies(database, clock=self.clock, chance=random.random)

    def topic(self) -> PubsubTopic:
        """The topic for bundles."""
        return self._connections.topic(self.settings.topic)

    def subscription(self) -> PubsubSubscription:
        """The subscription that the drain leases from."""
        return self._connections.subscription(self.settings.subscription)

    def dead_letter_topic(self) -> PubsubTopic:
        """The topic for what cannot be read."""
        return self._connections.topic(self.settings.dead_letter_topic)

    def dead_letter_subscription(self) -> PubsubSubscription:
        """Where the dead letters wait for a person."""
        return self._connections.subscription(self.settings.dead_letter_subscription)

    def dead_letter_office(self) -> DeadLetterOffice:
        """Where a person looks at dead letters, and sends them again."""
        return DeadLetterOffice(self.dead_letter_subscription(), self.topic())

    def hasher(self) -> Hasher:
        """The hasher of voters and Idempotency-Keys; `SettingsInvalid` without a pepper."""
        if self.settings.pepper is None:
            raise SettingsInvalid(["TURNOUT_PEPPER is missing: the intake hashes voters and keys under it"])
        return Hasher(self.settings.pepper.get_secret_value().encode())

    def intake(self) -> Intake:
        """The intake."""
        return assemble_intake(
            self.topic(),
            self.polls(),
            self.hasher(),
            self.settings,
            clock=self.clock,
            chance=random.random,
            new_id=random_id,
            new_vote_id=new_vote_id,
        )

    def drain(self) -> Drain:
        """A drain task."""
        settings = self.settings
        return Drain(
            f"{settings.execution}-{settings.task_index}-{random_id()}",
            first_lane_number(settings.execution, settings.task_index, settings.lanes),
            subscription=self.subscription(),
            dead_letters=self.dead_letter_topic(),
            consumer_log=self.consumer_log(),
            counters=self.counters(),
            polls=self.poll_cache(),
            settings=settings,
            clock=self.clock,
            chance=random.random,
        )

    def persistence(self) -> Persistence:
        """Persistence and certification."""
        return Persistence(
            self.polls(),
            self.counters(),
            self.consumer_log(),
            self.tallies(),
            self.settings,
            clock=self.clock,
        )

    def administration(self) -> Administration:
        """What a poll's owner may do."""
        return Administration(self.polls(), self.persistence(), self.settings, clock=self.clock)

    def results(self) -> ResultsReader:
        """The reader of results."""
        return ResultsReader(
            self.poll_cache(), self.counters(), self.tallies(), self.settings, clock=self.clock
        )

    def audit(self) -> Audit:
        """The audit."""
        return Audit(
            self.polls(),
            self.counters(),
            self.tallies(),
            self.settings,
            clock=self.clock,
            chance=random.random,
        )

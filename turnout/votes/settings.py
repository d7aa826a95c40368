"""The settings: environment variables, read once into one typed object.

Every bound of the code is here, with its unit as the last word of its name. `Settings.from_environment` lists every
fault at once.
"""

from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from turnout.base.errors import SettingsInvalid

PEPPER_BYTES_MIN = 16
#: How long a dead letter waits for a person: the retention of its subscription.
DEAD_LETTER_DAYS = 7
#: Beyond the last moment at which a message can come.
MARGIN_DAYS = 7

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """What a function, a job or the command line is told by its environment.

    Turnout's own variables begin with `TURNOUT_`; the others keep Google's standard names.
    """

    model_config = SettingsConfigDict(
        env_prefix="TURNOUT_", frozen=True, extra="ignore", populate_by_name=True
    )

    #: The Google Cloud project that everything lives in.
    project: str = Field(alias="GOOGLE_CLOUD_PROJECT", min_length=1)

    #: Pub/Sub's topic for bundles, its pull subscription, and the topic for what cannot be read, with its subscription.
    topic: str = "votes"
    subscription: str = "votes"
    dead_letter_topic: str = "votes-dead"
    dead_letter_subscription: str = "votes-dead"

    #: The Firestore database (native mode) with polls, shards and ledger; the Datastore-mode one with tallies.
    firestore_database: str = "(default)"
    datastore_database: str = "record"

    #: Addresses of emulators, `host:port`; empty in the cloud.
    pubsub_emulator_host: str = Field(default="", alias="PUBSUB_EMULATOR_HOST")
    firestore_emulator_host: str = Field(default="", alias="FIRESTORE_EMULATOR_HOST")
    datastore_emulator_host: str = Field(default="", alias="DATASTORE_EMULATOR_HOST")

    #: The secret under which voters and Idempotency-Keys are hashed; the intake alone needs it.
    pepper: SecretStr | None = None

    # Intake.
    #: The largest body of `POST /vote` and of `POST /votes`.
    vote_body_bytes_max: Count = 16_384
    votes_body_bytes_max: Count = 1_048_576
    #: Votes in one `POST /votes`.
    request_votes_max: Count = 1_000
    #: Votes in one publish request. Above 1,000 the drain's commits grow beyond what a keyed poll can commit at once.
    bundle_votes_max: Annotated[int, Field(gt=0, le=1_000)] = 500
    #: Publish requests in flight at once, per instance.
    publishes_in_flight_max: Count = 8
    #: Votes that wait in an instance for their publish; beyond it, callers get 503.
    pending_votes_max: Count = 20_000
    #: How long a bundle may try to get published, all attempts together; then its callers get 503.
    publish_deadline_seconds: Seconds = 10.0
    #: One attempt to publish.
    publish_attempt_seconds: Seconds = 5.0
    #: Failed publishes in a row that open the circuit breaker, how long it stays open, and trial publishes when half-open.
    breaker_failures_max: Count = 5
    breaker_open_seconds: Seconds = 5.0
    breaker_trials_max: Count = 1
    #: How long an instance trusts what it read of a poll. A close by hand takes effect this much later, everywhere at once.
    poll_cache_seconds: Seconds = 5.0
    #: Polls kept in an instance's cache.
    poll_cache_polls_max: Count = 10_000

    # Polls.
    #: A poll closes at most this long after its creation; the ledger's entries outlive that.
    poll_days_max: Count = 92
    #: A poll's shards, when its creation does not say.
    poll_shards_default: Annotated[int, Field(gt=0, le=1_000)] = 32

    # Drain.
    #: Lease–count–acknowledge loops in one drain task.
    lanes: Annotated[int, Field(gt=0, le=256)] = 8
    #: Messages that a lane leases at once (Pub/Sub's limit is 1,000).
    lease_messages_max: Annotated[int, Field(gt=0, le=1_000)] = 200
    #: The subscription's acknowledgement deadline.
    ack_deadline_seconds: Annotated[int, Field(ge=10, le=600)] = 60
    #: The subscription's longest back-off before a message that was released, or whose lease ended, comes again.
    retry_backoff_max_seconds: Annotated[float, Field(ge=0, le=600)] = 0.0
    #: The longest that a lane keeps extending one lease.
    lease_seconds_max: Seconds = 300.0
    #: Ledger entries in one commit; a bundle is never split, so one commit may hold a bundle more.
    commit_entries_max: Annotated[int, Field(gt=0, le=5_000)] = 500
    #: Attempts of one commit whose outcome is unknown, before its lease is released.
    commit_attempts_max: Count = 5
    #: One attempt to commit.
    commit_attempt_seconds: Seconds = 20.0
    #: The first and the longest wait between attempts (exponential, with jitter).
    backoff_first_seconds: Seconds = 0.1
    backoff_max_seconds: Seconds = 10.0
    #: The drain ends when it has leased nothing for this long.
    idle_seconds: Seconds = 20.0
    #: How often a drain says that it lives.
    heartbeat_seconds: Seconds = 5.0
    #: After SIGTERM the drain finishes or releases what it holds within this time (Cloud Run allows 10 s).
    shutdown_seconds: Annotated[float, Field(gt=0, le=10)] = 8.0
    #: How long a message can come back (retention, seek): the ledger's entries live longer.
    message_retention_days: Annotated[int, Field(gt=0, le=31)] = 7

    # Results and persistence.
    #: How long an instance may show the same live results again.
    results_cache_seconds: Annotated[float, Field(ge=0)] = 1.0
    #: Polls that one persist run takes on.
    persist_polls_max: Count = 10_000
    #: Polls persisted at once.
    persist_in_flight_max: Count = 8

    # Cloud Run's own.
    service: str = Field(default="local", alias="K_SERVICE")
    execution: str = Field(default="local", alias="CLOUD_RUN_EXECUTION")
    task_index: Annotated[int, Field(ge=0)] = Field(default=0, alias="CLOUD_RUN_TASK_INDEX")
    task_count: Count = Field(default=1, alias="CLOUD_RUN_TASK_COUNT")
    task_attempt: Annotated[int, Field(ge=0)] = Field(default=0, alias="CLOUD_RUN_TASK_ATTEMPT")

    @classmethod
    def from_environment(cls) -> Self:
        """Reads the environment; `SettingsInvalid` lists every fault."""
        try:
            return cls()  # the environment fills the fields
        except ValidationError as error:
            raise SettingsInvalid([_fault(each["loc"], each["msg"]) for each in error.errors()]) from None

    @model_validator(mode="after")
    def _related_bounds_fit(self) -> Self:
        faults = []
        if self.pepper is not None and len(self.pepper.get_secret_value().encode()) < PEPPER_BYTES_MIN:
            faults.append(f"TURNOUT_PEPPER must have at least {PEPPER_BYTES_MIN} bytes")
        if self.publish_attempt_seconds > self.publish_deadline_seconds:
            faults.append("TURNOUT_PUBLISH_ATTEMPT_SECONDS must not exceed TURNOUT_PUBLISH_DEADLINE_SECONDS")
        if self.pending_votes_max < self.request_votes_max:
            faults.append("TURNOUT_PENDING_VOTES_MAX must not be below TURNOUT_REQUEST_VOTES_MAX")
        if self.lease_seconds_max < self.ack_deadline_seconds:
            faults.append("TURNOUT_LEASE_SECONDS_MAX must not be below TURNOUT_ACK_DEADLINE_SECONDS")
        if self.commit_attempt_seconds >= self.ack_deadline_seconds:
            faults.append("TURNOUT_COMMIT_ATTEMPT_SECONDS must be below TURNOUT_ACK_DEADLINE_SECONDS")
        if self.backoff_first_seconds > self.backoff_max_seconds:
            faults.append("TURNOUT_BACKOFF_FIRST_SECONDS must not exceed TURNOUT_BACKOFF_MAX_SECONDS")
        if self.task_index >= self.task_count:
            faults.append("CLOUD_RUN_TASK_INDEX must be below CLOUD_RUN_TASK_COUNT")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def hidden_seconds_max(self) -> float:
        """How long a message that nobody extends is out of every drain's sight: its lease, and the back-off after it."""
        return self.ack_deadline_seconds + self.retry_backoff_max_seconds

    @property
    def ledger_margin_seconds(self) -> float:
        """How much longer a ledger entry lives than its poll or its message.

        A message may wait in the queue, then among the dead letters, and once it is redriven in the queue again.
        """
        return (2 * self.message_retention_days + DEAD_LETTER_DAYS + MARGIN_DAYS) * 86_400.0


def _fault(location: tuple[int | str, ...], message: str) -> str:
    if not location:
        return message.removeprefix("Value error, ")
    name = str(location[0])
    variable = name if name.isupper() else f"TURNOUT_{name.upper()}"
    return f"{variable}: {message}"

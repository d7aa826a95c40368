"""The settings of votes, beside those of their queue: environment variables, with the unit as the last word of each name."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from turnout.queue.message import PUBLISH_MESSAGES_MAX
from turnout.queue.settings import Count, QueueSettings, Seconds
from turnout.votes.bundle import BUNDLE_VOTES_MAX

PEPPER_BYTES_MIN = 16
#: How long a dead letter waits for a person: the retention of its subscription.
DEAD_LETTER_DAYS = 7
#: Beyond the last moment at which a message can come.
MARGIN_DAYS = 7


class VoteSettings(QueueSettings):
    """What a function, a job or the command line is told about votes."""

    #: Pub/Sub's topic for bundles, its pull subscription, and the topic for what cannot be read, with its subscription.
    topic: str = "votes"
    subscription: str = "votes"
    dead_letter_topic: str = "votes-dead"
    dead_letter_subscription: str = "votes-dead"

    #: The secret under which voters and Idempotency-Keys are hashed; the intake alone needs it.
    pepper: SecretStr | None = None

    # Intake.
    #: The largest body of `POST /vote` and of `POST /votes`.
    vote_body_bytes_max: Count = 16_384
    votes_body_bytes_max: Count = 1_048_576
    #: From a request's headers to the end of its body, whatever its path; slower ones are answered with 408.
    body_seconds_max: Seconds = 30.0
    #: Votes in one `POST /votes`. They are published in one request, a message for each poll among them.
    request_votes_max: Annotated[int, Field(gt=0, le=PUBLISH_MESSAGES_MAX)] = 1_000
    #: Votes in one bundle. Above the limit the drain's commits grow beyond what a keyed poll can commit at once.
    bundle_votes_max: Annotated[int, Field(gt=0, le=BUNDLE_VOTES_MAX)] = 500
    #: Votes that wait in an instance for their publish; beyond it, callers get 503.
    pending_votes_max: Count = 20_000
    #: How long an instance trusts what it read of a poll. A close by hand takes effect this much later, everywhere at once.
    poll_cache_seconds: Seconds = 5.0
    #: Polls kept in an instance's cache.
    poll_cache_polls_max: Count = 10_000

    # Polls.
    #: A poll closes at most this long after its creation; the ledger's entries outlive that.
    poll_days_max: Count = 92
    #: A poll's shards, when its creation does not say.
    poll_shards_default: Annotated[int, Field(gt=0, le=1_000)] = 32

    # The drain.
    #: Ledger entries in one commit; a bundle is never split, so one commit may hold a bundle more.
    commit_entries_max: Annotated[int, Field(gt=0, le=5_000)] = 500
    #: One attempt to commit.
    commit_attempt_seconds: Seconds = 20.0

    # Results and persistence.
    #: How long an instance may show the same live results again.
    results_cache_seconds: Annotated[float, Field(ge=0)] = 1.0
    #: Polls that one persist run takes on.
    persist_polls_max: Count = 10_000
    #: Polls persisted at once.
    persist_in_flight_max: Count = 8

    @model_validator(mode="after")
    def _vote_bounds_fit(self) -> Self:
        faults = []
        if self.pepper is not None and len(self.pepper.get_secret_value().encode()) < PEPPER_BYTES_MIN:
            faults.append(f"TURNOUT_PEPPER must have at least {PEPPER_BYTES_MIN} bytes")
        if self.pending_votes_max < self.request_votes_max:
            faults.append("TURNOUT_PENDING_VOTES_MAX must not be below TURNOUT_REQUEST_VOTES_MAX")
        if self.commit_attempt_seconds >= self.ack_deadline_seconds:
            faults.append("TURNOUT_COMMIT_ATTEMPT_SECONDS must be below TURNOUT_ACK_DEADLINE_SECONDS")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def ledger_margin_seconds(self) -> float:
        """How much longer a ledger entry lives than its poll or its message.

        A message may wait in the queue, then among the dead letters, and once it is redriven in the queue again.
        """
        return (2 * self.message_retention_days + DEAD_LETTER_DAYS + MARGIN_DAYS) * 86_400.0

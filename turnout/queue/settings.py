"""The queue's settings: every bound of publishing and consuming, with its unit as the last word of its name.

A family's settings extend these, with defaults of its own where its messages want others.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from turnout.base.environment import SettingsModel
from turnout.base.retry import RetryPolicy

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class QueueSettings(SettingsModel):
    """What anything that publishes to a topic, or consumes a subscription, is told."""

    # Publishing.
    #: Publish requests in flight at once, per instance.
    publishes_in_flight_max: Count = 8
    #: How long a batch may try to get published, all attempts together; then its callers get 503.
    publish_deadline_seconds: Seconds = 10.0
    #: One attempt to publish.
    publish_attempt_seconds: Seconds = 5.0
    #: Failed publishes in a row that open the circuit breaker, how long it stays open, and trial publishes when half-open.
    breaker_failures_max: Count = 5
    breaker_open_seconds: Seconds = 5.0
    breaker_trials_max: Count = 1

    # Consuming.
    #: Lease–handle–acknowledge loops in one consumer.
    lanes: Annotated[int, Field(gt=0, le=256)] = 8
    #: Messages that a lane leases at once (Pub/Sub's limit is 1,000).
    lease_messages_max: Annotated[int, Field(gt=0, le=1_000)] = 200
    #: The subscription's acknowledgement deadline.
    ack_deadline_seconds: Annotated[int, Field(ge=10, le=600)] = 60
    #: The subscription's longest back-off before a message that was released, or whose lease ended, comes again.
    retry_backoff_max_seconds: Annotated[float, Field(ge=0, le=600)] = 0.0
    #: The longest that a consumer keeps extending one lease.
    lease_seconds_max: Seconds = 300.0
    #: A consumer ends when it has held nothing for this long.
    idle_seconds: Seconds = 20.0
    #: How often a consumer says that it lives.
    heartbeat_seconds: Seconds = 5.0
    #: After SIGTERM a consumer finishes or releases what it holds within this time (Cloud Run allows 10 s).
    shutdown_seconds: Annotated[float, Field(gt=0, le=10)] = 8.0
    #: How long a message can come back (retention, seek): what remembers it must live longer.
    message_retention_days: Annotated[int, Field(gt=0, le=31)] = 7

    # Retrying.
    #: The first and the longest wait between attempts (exponential, with jitter).
    backoff_first_seconds: Seconds = 0.1
    backoff_max_seconds: Seconds = 10.0
    #: Attempts of one write whose outcome is unknown, before its lease is released.
    commit_attempts_max: Count = 5

    @model_validator(mode="after")
    def _queue_bounds_fit(self) -> Self:
        faults = []
        if self.publish_attempt_seconds > self.publish_deadline_seconds:
            faults.append("TURNOUT_PUBLISH_ATTEMPT_SECONDS must not exceed TURNOUT_PUBLISH_DEADLINE_SECONDS")
        if self.lease_seconds_max < self.ack_deadline_seconds:
            faults.append("TURNOUT_LEASE_SECONDS_MAX must not be below TURNOUT_ACK_DEADLINE_SECONDS")
        if self.backoff_first_seconds > self.backoff_max_seconds:
            faults.append("TURNOUT_BACKOFF_FIRST_SECONDS must not exceed TURNOUT_BACKOFF_MAX_SECONDS")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def hidden_seconds_max(self) -> float:
        """How long a message that nobody extends is out of every consumer's sight: its lease, and the back-off after it."""
        return self.ack_deadline_seconds + self.retry_backoff_max_seconds

    @property
    def endless_retry(self) -> RetryPolicy:
        """For loops that go on until they are stopped."""
        return RetryPolicy(first_seconds=self.backoff_first_seconds, max_seconds=self.backoff_max_seconds)

    @property
    def write_retry(self) -> RetryPolicy:
        """For a write whose outcome may be unknown."""
        return RetryPolicy(
            first_seconds=self.backoff_first_seconds,
            max_seconds=self.backoff_max_seconds,
            attempts_max=self.commit_attempts_max,
        )

    @property
    def publish_retry(self) -> RetryPolicy:
        """For a publish that callers wait for."""
        return RetryPolicy(
            first_seconds=self.backoff_first_seconds,
            max_seconds=self.backoff_max_seconds,
            deadline_seconds=self.publish_deadline_seconds,
        )

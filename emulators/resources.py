"""What terraform creates in the cloud, created on the emulators: topics and subscriptions."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

import grpc
from google.api_core.exceptions import AlreadyExists
from google.protobuf.duration_pb2 import Duration
from google.pubsub_v1 import PublisherAsyncClient, SubscriberAsyncClient, Subscription
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
from google.pubsub_v1.types import ExpirationPolicy, Topic

from turnout.gcp.settings import CloudSettings
from turnout.gcp.tasks.settings import Settings as TaskSettings
from turnout.gcp.votes.settings import Settings
from turnout.votes.settings import DEAD_LETTER_DAYS

CALL_SECONDS_MAX = 20.0
DAY_SECONDS = 86_400


async def create_resources(settings: Settings) -> None:
    """Creates what votes need, for the settings' project; what exists stays as it is."""
    await _create_all(
        settings,
        (
            _Wanted(settings.topic, settings.subscription, settings.message_retention_days),
            _Wanted(settings.dead_letter_topic, settings.dead_letter_subscription, DEAD_LETTER_DAYS),
        ),
        settings.ack_deadline_seconds,
    )


async def create_task_resources(settings: TaskSettings) -> None:
    """Creates what tasks need, likewise."""
    await _create_all(
        settings,
        (
            _Wanted(settings.tasks_topic, settings.tasks_subscription, settings.message_retention_days),
            _Wanted(
                settings.tasks_dead_letter_topic, settings.tasks_dead_letter_subscription, DEAD_LETTER_DAYS
            ),
        ),
        settings.ack_deadline_seconds,
    )


@dataclass(frozen=True)
class _Wanted:
    """A topic with its subscription."""

    topic: str
    subscription: str
    retention_days: int


async def _create_all(settings: CloudSettings, wanted: Sequence[_Wanted], ack_deadline_seconds: int) -> None:
    async with grpc.aio.insecure_channel(settings.pubsub_emulator_host) as channel:
        publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))
        subscriber = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
        await asyncio.gather(
            *(_create(publisher, subscriber, settings.project, each, ack_deadline_seconds) for each in wanted)
        )


async def _create(
    publisher: PublisherAsyncClient,
    subscriber: SubscriberAsyncClient,
    project: str,
    wanted: _Wanted,
    ack_deadline_seconds: int,
) -> None:
    topic_path = f"projects/{project}/topics/{wanted.topic}"
    await _unless_it_exists(publisher.create_topic(request=Topic(name=topic_path), timeout=CALL_SECONDS_MAX))
    # No dead-letter policy: the consumer itself sends what it cannot read, with the reason, and nothing else goes there.
    subscription = Subscription(
        name=f"projects/{project}/subscriptions/{wanted.subscription}",
        topic=topic_path,
        ack_deadline_seconds=ack_deadline_seconds,
        message_retention_duration=Duration(seconds=wanted.retention_days * DAY_SECONDS),
        expiration_policy=ExpirationPolicy(),
    )
    await _unless_it_exists(subscriber.create_subscription(request=subscription, timeout=CALL_SECONDS_MAX))


async def _unless_it_exists(creation: Awaitable[object]) -> None:
    try:
        await creation
    except AlreadyExists:
        return

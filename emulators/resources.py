"""What terraform creates in the cloud, created on the emulators: topics and subscriptions."""

import asyncio
from collections.abc import Awaitable

import grpc
from google.api_core.exceptions import AlreadyExists
from google.protobuf.duration_pb2 import Duration
from google.pubsub_v1 import PublisherAsyncClient, SubscriberAsyncClient, Subscription
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
from google.pubsub_v1.types import ExpirationPolicy, Topic

from turnout.gcp.votes.settings import Settings
from turnout.votes.settings import DEAD_LETTER_DAYS

CALL_SECONDS_MAX = 20.0
DAY_SECONDS = 86_400


async def create_resources(settings: Settings) -> None:
    """Creates the topics and their subscriptions for the settings' project; what exists stays as it is."""
    async with grpc.aio.insecure_channel(settings.pubsub_emulator_host) as channel:
        publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))
        subscriber = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
        await asyncio.gather(
            _create(
                publisher,
                subscriber,
                settings,
                settings.topic,
                settings.subscription,
                settings.message_retention_days,
            ),
            _create(
                publisher,
                subscriber,
                settings,
                settings.dead_letter_topic,
                settings.dead_letter_subscription,
                DEAD_LETTER_DAYS,
            ),
        )


async def _create(
    publisher: PublisherAsyncClient,
    subscriber: SubscriberAsyncClient,
    settings: Settings,
    topic: str,
    subscription: str,
    retention_days: int,
) -> None:
    topic_path = f"projects/{settings.project}/topics/{topic}"
    await _unless_it_exists(publisher.create_topic(request=Topic(name=topic_path), timeout=CALL_SECONDS_MAX))
    # No dead-letter policy: the drain itself sends what it cannot read, with the reason, and nothing else goes there.
    wanted = Subscription(
        name=f"projects/{settings.project}/subscriptions/{subscription}",
        topic=topic_path,
        ack_deadline_seconds=settings.ack_deadline_seconds,
        message_retention_duration=Duration(seconds=retention_days * DAY_SECONDS),
        expiration_policy=ExpirationPolicy(),
    )
    await _unless_it_exists(subscriber.create_subscription(request=wanted, timeout=CALL_SECONDS_MAX))


async def _unless_it_exists(creation: Awaitable[object]) -> None:
    try:
        await creation
    except AlreadyExists:
        return

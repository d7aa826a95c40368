"""The page that shows how to add a family is followed, on Google's emulators."""

import grpc
import pytest
from google.pubsub_v1 import PublisherAsyncClient, SubscriberAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from tests.new_family import load
from turnout.gcp.votes.settings import Settings


async def test_the_page_adds_up_numbers_on_pubsub_and_firestore(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with grpc.aio.insecure_channel(settings.pubsub_emulator_host) as channel:
        publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))
        subscriber = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
        for name in ("sums", "sums-dead"):
            topic = f"projects/{settings.project}/topics/{name}"
            await publisher.create_topic(name=topic)
            await subscriber.create_subscription(
                name=f"projects/{settings.project}/subscriptions/{name}", topic=topic
            )
    for variable, value in {
        "GOOGLE_CLOUD_PROJECT": settings.project,
        "PUBSUB_EMULATOR_HOST": settings.pubsub_emulator_host,
        "FIRESTORE_EMULATOR_HOST": settings.firestore_emulator_host,
        "TURNOUT_IDLE_SECONDS": "2",
    }.items():
        monkeypatch.setenv(variable, value)

    store = await load().try_on_google(range(1, 101))

    assert store.total == 5_050

"""Pub/Sub behind the queue's ports: a topic, and a pull subscription."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
from google.protobuf import empty_pb2
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from turnout.gcp.channels import fault, open_channel, unary
from turnout.queue.message import Message, Outgoing, expect_one_request

SERVICE = "Pub/Sub"
PublishRequest = types.PublishRequest.pb()
PublishResponse = types.PublishResponse.pb()
PullRequest = types.PullRequest.pb()
PullResponse = types.PullResponse.pb()
AcknowledgeRequest = types.AcknowledgeRequest.pb()
ModifyAckDeadlineRequest = types.ModifyAckDeadlineRequest.pb()

#: Calls that change a lease: short, for they are tried again or come to nothing.
CALL_SECONDS = 10.0
#: Ack ids in one call: Pub/Sub bounds the request at 512 KiB, an ack id has some 200 bytes.
ACK_IDS_MAX = 1_000


def open_publisher_channel(emulator_host: str) -> grpc.aio.Channel:
    """A channel for publishing."""
    return open_channel(PublisherGrpcAsyncIOTransport, emulator_host)


def open_subscriber_channel(emulator_host: str) -> grpc.aio.Channel:
    """A channel for pulling."""
    return open_channel(SubscriberGrpcAsyncIOTransport, emulator_host)


class PubsubTopic:
    """A topic."""

    def __init__(self, channel: grpc.aio.Channel, project: str, topic: str) -> None:
        self._topic = f"projects/{project}/topics/{topic}"
        self._metadata = (("x-goog-request-params", f"topic={self._topic}"),)
        self._publish = unary(channel, "/google.pubsub.v1.Publisher/Publish", PublishRequest, PublishResponse)

    async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:
        """Publishes messages in one request, all or none."""
        expect_one_request(messages)
        request = PublishRequest(topic=self._topic)
        for message in messages:
            # Pub/Sub refuses a message with neither data nor attributes.
            request.messages.add(data=message.data, attributes=message.attributes)
        try:
            await self._publish(request, timeout=timeout_seconds, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise fault(SERVICE, error) from error


class PubsubSubscription:
    """A pull subscription."""

    def __init__(self, channel: grpc.aio.Channel, project: str, subscription: str) -> None:
        self._subscription = f"projects/{project}/subscriptions/{subscription}"
        self._metadata = (("x-goog-request-params", f"subscription={self._subscription}"),)
        service = "/google.pubsub.v1.Subscriber/"
        self._pull = unary(channel, service + "Pull", PullRequest, PullResponse)
        self._acknowledge = unary(channel, service + "Acknowledge", AcknowledgeRequest, empty_pb2.Empty)
        self._modify = unary(
            channel, service + "ModifyAckDeadline", ModifyAckDeadlineRequest, empty_pb2.Empty
        )

    async def lease(self, messages_max: int, *, wait_seconds: float) -> list[Message]:
        """Leases messages; an answer that does not come in time is an empty one."""
        request = PullRequest(subscription=self._subscription, max_messages=messages_max)
        try:
            response = await self._pull(request, timeout=wait_seconds, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return []
            raise fault(SERVICE, error) from error
        return [
            Message(
                ack_id=received.ack_id,
                id=received.message.message_id,
                data=received.message.data,
                attributes=dict(received.message.attributes) if received.message.attributes else {},
                published_at=_moment(received.message.publish_time),
            )
            for received in response.received_messages
        ]

    async def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Deletes leased messages."""
        for start in range(0, len(ack_ids), ACK_IDS_MAX):
            request = AcknowledgeRequest(
                subscription=self._subscription, ack_ids=ack_ids[start : start + ACK_IDS_MAX]
            )
            await self._call(self._acknowledge, request)

    async def extend(self, ack_ids: Sequence[str], seconds: int) -> None:
        """Sets the leases' deadlines to `seconds` from now."""
        for start in range(0, len(ack_ids), ACK_IDS_MAX):
            request = ModifyAckDeadlineRequest(
                subscription=self._subscription,
                ack_ids=ack_ids[start : start + ACK_IDS_MAX],
                ack_deadline_seconds=seconds,
            )
            await self._call(self._modify, request)

    async def release(self, ack_ids: Sequence[str]) -> None:
        """Ends leases at once."""
        await self.extend(ack_ids, 0)

    async def _call(self, stub: grpc.aio.UnaryUnaryMultiCallable, request: object) -> None:
        try:
            await stub(request, timeout=CALL_SECONDS, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise fault(SERVICE, error) from error


def _moment(timestamp: Any) -> datetime:
    """A timestamp as a moment, in half the time of its own conversion: the drain asks for one a message."""
    return datetime.fromtimestamp(timestamp.seconds + timestamp.nanos / 1e9, UTC)

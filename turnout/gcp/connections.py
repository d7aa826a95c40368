"""Channels to Google's services, opened as they are first used and closed together."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

import grpc.aio

from turnout.gcp.firestore import FirestoreDatabase, open_firestore_channel
from turnout.gcp.pubsub import (
    PubsubSubscription,
    PubsubTopic,
    open_publisher_channel,
    open_subscriber_channel,
)
from turnout.gcp.settings import CloudSettings


class Connections:
    """One process's connections, for one event loop: gRPC does not survive a fork.

    `async with connections:` closes them; calls under way are cancelled.
    """

    def __init__(self, settings: CloudSettings) -> None:
        self._settings = settings
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        channels, self._channels = self._channels, {}
        await asyncio.gather(*(channel.close() for channel in channels.values()))

    def topic(self, name: str) -> PubsubTopic:
        """A topic of the project."""
        host = self._settings.pubsub_emulator_host
        channel = self.channel("publisher", lambda: open_publisher_channel(host))
        return PubsubTopic(channel, self._settings.project, name)

    def subscription(self, name: str) -> PubsubSubscription:
        """A pull subscription of the project."""
        host = self._settings.pubsub_emulator_host
        channel = self.channel("subscriber", lambda: open_subscriber_channel(host))
        return PubsubSubscription(channel, self._settings.project, name)

    def firestore(self) -> FirestoreDatabase:
        """The Firestore database in native mode."""
        settings = self._settings
        host = settings.firestore_emulator_host
        channel = self.channel("firestore", lambda: open_firestore_channel(host))
        return FirestoreDatabase(channel, settings.project, settings.firestore_database, emulated=bool(host))

    def channel(self, name: str, opener: Callable[[], grpc.aio.Channel]) -> grpc.aio.Channel:
        """The channel of this name; opened when it is first asked for."""
        if name not in self._channels:
            self._channels[name] = opener()
        return self._channels[name]

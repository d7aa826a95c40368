"""What a drain could reach at most: the calls that it makes, prepared as bytes, and nothing else done with them.

A program, run beside the drain's own: `python -m benchmarks.raw pull|commit|both|client --poll … --votes … --bundles …`.

- `pull`: leases messages and acknowledges them; nothing is counted.
- `commit`: commits the ledger entries and the shard's increments of as many bundles; nothing is leased.
- `both`: leases, commits as many entries as the messages' bundles have, acknowledges. This is the ceiling that the
  drain is held against, for on one machine the two services and their client share the cores: the slower of `pull` and
  `commit` alone would be more than any program that needs both could reach.
- `client`: the Firestore client without folding: each bundle a commit of its own, a `create` per entry and `Increment`s.

Lanes, messages a lease and entries a commit are those of the drain's settings. The entries are real: the books balance
after each run, so that nothing easier than the drain's own commits is measured.
"""

import argparse
import asyncio
import itertools
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import grpc
import grpc.aio
import msgspec
import uvloop
from google.cloud.firestore import AsyncClient, Increment
from google.cloud.firestore_v1 import types as firestore
from google.protobuf import empty_pb2
from google.pubsub_v1 import types as pubsub

from turnout.base.chance import random_id
from turnout.base.environment import read
from turnout.gcp.channels import unary
from turnout.gcp.firestore import open_firestore_channel
from turnout.gcp.pubsub import open_subscriber_channel
from turnout.gcp.votes.settings import Settings
from turnout.votes.ledger import bundle_prefix, key_prefix
from turnout.votes.vote import KEY_BYTES

CommitRequest = firestore.CommitRequest.pb()
PullRequest = pubsub.PullRequest.pb()
PullResponse = pubsub.PullResponse.pb()
AcknowledgeRequest = pubsub.AcknowledgeRequest.pb()

#: The emulator's most messages in an answer to a pull.
PULLED_MAX = 100
PULL_SECONDS = 1.0
CALL_SECONDS = 30.0
IDLE_SECONDS = 1.0
CLIENT_SECONDS = 2.0
CHOICES = 4
EXPIRE_AFTER = timedelta(days=100)


class Kind(StrEnum):
    """What is run."""

    PULL = "pull"
    COMMIT = "commit"
    BOTH = "both"
    CLIENT = "client"


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """So many bundles of a poll, each with so many votes, each vote with a key or none."""

    poll: str
    votes: int
    bundles: int
    keyed: bool

    @property
    def entries(self) -> int:
        """A bundle's ledger entries."""
        return 1 + self.votes * self.keyed

    @property
    def counts(self) -> dict[int, int]:
        """A bundle's votes per choice."""
        spread = {choice: len(range(choice, self.votes, CHOICES)) for choice in range(CHOICES)}
        return {choice: votes for choice, votes in spread.items() if votes}


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did, from its first bundle to its last call's answer."""

    bundles: int
    busy_seconds: float


class Clock:
    """Notes when the first bundle was there and when the last call was answered."""

    def __init__(self) -> None:
        self._first = float("inf")
        self._last = 0.0
        self._bundles = 0

    def began(self) -> None:
        """There is something to do."""
        self._first = min(self._first, time.monotonic())

    def did(self, bundles: int) -> None:
        """So many bundles are done."""
        self._bundles += bundles
        self._last = time.monotonic()

    @property
    def span(self) -> Span:
        """All of it."""
        return Span(bundles=self._bundles, busy_seconds=max(0.0, self._last - self._first))


class Commits:
    """Commits of ledger entries that were prepared as bytes: a request is put together by appending, as protobuf allows."""

    def __init__(self, channel: grpc.aio.Channel, settings: Settings, load: Load) -> None:
        self._load = load
        name = f"projects/{settings.project}/databases/{settings.firestore_database}"
        self._documents = f"{name}/documents"
        self._head = CommitRequest(database=name).SerializeToString()
        # Without serializers the stub takes bytes and gives bytes.
        self._stub = channel.unary_unary("/google.firestore.v1.Firestore/Commit")
        self._metadata = (("google-cloud-resource-prefix", name), ("authorization", "Bearer owner"))
        self._expire_at = datetime.now(UTC) + EXPIRE_AFTER

    def prepare(self) -> Iterator[bytes]:
        """The entries of each bundle."""
        return iter([self._entries() for _ in range(self._load.bundles)])

    async def commit(self, bundles: list[bytes], shard: int) -> None:
        """One commit: the entries of these bundles, and the increments of one shard."""
        request = b"".join((self._head, *bundles, self._increments(len(bundles), shard)))
        await self._stub(request, timeout=CALL_SECONDS, metadata=self._metadata)

    def _entries(self) -> bytes:
        load = self._load
        request = CommitRequest()
        ledger = f"{self._documents}/ledger/"
        write = request.writes.add()
        write.update.name = f"{ledger}{bundle_prefix(load.poll)}{random_id()}"
        write.current_document.exists = False
        fields = write.update.fields
        fields["poll"].string_value = load.poll
        fields["votes"].integer_value = load.votes
        fields["duplicates"].integer_value = 0
        fields["keys"].integer_value = load.votes * load.keyed
        fields["expire_at"].timestamp_value.FromDatetime(self._expire_at)
        for _ in range(load.votes * load.keyed):
            write = request.writes.add()
            write.update.name = f"{ledger}{key_prefix(load.poll)}{secrets.token_hex(KEY_BYTES)}"
            write.current_document.exists = False
            write.update.fields["expire_at"].timestamp_value.FromDatetime(self._expire_at)
        return bytes(request.SerializeToString())

    def _increments(self, bundles: int, shard: int) -> bytes:
        request = CommitRequest()
        write = request.writes.add()
        write.update.name = f"{self._documents}/polls/{self._load.poll}/shards/{shard}"
        write.update_mask.SetInParent()
        increments = {
            "votes": self._load.votes,
            "duplicates": 0,
            "bundles": 1,
            **{f"counts.`{choice}`": votes for choice, votes in self._load.counts.items()},
        }
        for path, number in increments.items():
            write.update_transforms.add(field_path=path).increment.integer_value = number * bundles
        write.update_transforms.add(field_path="updated_at", set_to_server_value=1)
        return bytes(request.SerializeToString())


class Pulls:
    """Leases and acknowledgements."""

    def __init__(self, channel: grpc.aio.Channel, settings: Settings) -> None:
        self._subscription = f"projects/{settings.project}/subscriptions/{settings.subscription}"
        self._messages_max = settings.lease_messages_max
        service = "/google.pubsub.v1.Subscriber/"
        self._pull = unary(channel, service + "Pull", PullRequest, PullResponse)
        self._acknowledge = unary(channel, service + "Acknowledge", AcknowledgeRequest, empty_pb2.Empty)

    async def pull(self) -> list[str]:
        """The receipts of leased messages; none if none came in time."""
        request = PullRequest(subscription=self._subscription, max_messages=self._messages_max)
        try:
            response = await self._pull(request, timeout=PULL_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return []
            raise
        return [received.ack_id for received in response.received_messages]

    async def acknowledge(self, receipts: list[str]) -> None:
        """Deletes leased messages."""
        request = AcknowledgeRequest(subscription=self._subscription, ack_ids=receipts)
        await self._acknowledge(request, timeout=CALL_SECONDS)


async def run(kind: Kind, load: Load, settings: Settings) -> Span:
    """Runs one kind to its end."""
    if kind is Kind.CLIENT:
        return await count_without_folding(load, settings)
    async with (
        open_subscriber_channel(settings.pubsub_emulator_host) as subscriber,
        open_firestore_channel(settings.firestore_emulator_host) as database,
    ):
        pulls, commits = Pulls(subscriber, settings), Commits(database, settings, load)
        bundles_a_commit = max(1, settings.commit_entries_max // load.entries)
        if kind is Kind.COMMIT:
            return await commit_all(commits, settings.lanes, min(bundles_a_commit, PULLED_MAX))
        return await pull_all(pulls, settings.lanes, bundles_a_commit, commits if kind is Kind.BOTH else None)


async def commit_all(commits: Commits, lanes: int, bundles_a_commit: int) -> Span:
    """Commits everything that is prepared, lanes side by side, each into its own shard."""
    clock = Clock()
    prepared = commits.prepare()

    async def lane(shard: int) -> None:
        while bundles := list(itertools.islice(prepared, bundles_a_commit)):
            await commits.commit(bundles, shard)
            clock.did(len(bundles))

    clock.began()
    await _side_by_side(lane, lanes)
    return clock.span


async def pull_all(pulls: Pulls, lanes: int, bundles_a_commit: int, commits: Commits | None) -> Span:
    """Leases and acknowledges until the queue is idle; with `commits`, the bundles' entries are committed in between."""
    clock = Clock()
    prepared = commits.prepare() if commits else iter(())
    # Lanes of several processes must not meet in a shard.
    first_shard = secrets.randbelow(1_000) * lanes
    idle_since = time.monotonic()

    async def lane(number: int) -> None:
        nonlocal idle_since
        while time.monotonic() < idle_since + IDLE_SECONDS:
            receipts = await pulls.pull()
            if receipts:
                clock.began()
            for start in range(0, len(receipts), bundles_a_commit):
                chosen = receipts[start : start + bundles_a_commit]
                if commits:
                    await commits.commit([next(prepared) for _ in chosen], first_shard + number)
                await pulls.acknowledge(chosen)
                clock.did(len(chosen))
                idle_since = time.monotonic()

    await _side_by_side(lane, lanes)
    return clock.span


async def count_without_folding(load: Load, settings: Settings) -> Span:
    """Each bundle in a commit of its own through google-cloud-firestore, for some seconds."""
    clock = Clock()
    database = AsyncClient(project=settings.project, database=settings.firestore_database)
    ledger = database.collection("ledger")
    shards = database.collection("polls").document(load.poll).collection("shards")
    expire_at = datetime.now(UTC) + EXPIRE_AFTER
    entry = {
        "poll": load.poll,
        "votes": load.votes,
        "duplicates": 0,
        "keys": load.votes * load.keyed,
        "expire_at": expire_at,
    }
    increments = {
        "votes": Increment(load.votes),
        "bundles": Increment(1),
        "counts": {str(choice): Increment(votes) for choice, votes in load.counts.items()},
    }
    end = time.monotonic() + CLIENT_SECONDS

    async def lane(number: int) -> None:
        while time.monotonic() < end:
            batch: Any = database.batch()
            batch.create(ledger.document(bundle_prefix(load.poll) + random_id()), entry)
            for _ in range(load.votes * load.keyed):
                name = key_prefix(load.poll) + secrets.token_hex(KEY_BYTES)
                batch.create(ledger.document(name), {"expire_at": expire_at})
            batch.set(shards.document(str(number)), increments, merge=True)
            await batch.commit(timeout=CALL_SECONDS)
            clock.did(1)

    clock.began()
    await _side_by_side(lane, settings.lanes)
    return clock.span


async def _side_by_side(lane: Callable[[int], Awaitable[None]], lanes: int) -> None:
    await asyncio.gather(*(lane(number) for number in range(lanes)))


def main() -> None:
    """The program: prints its span as JSON."""
    parser = argparse.ArgumentParser(description="The calls of a drain, and nothing else.")
    parser.add_argument("kind", type=Kind)
    parser.add_argument("--poll", required=True)
    parser.add_argument("--votes", type=int, required=True)
    parser.add_argument("--bundles", type=int, required=True)
    parser.add_argument("--keyed", action="store_true")
    given = parser.parse_args()
    load = Load(poll=given.poll, votes=given.votes, bundles=given.bundles, keyed=given.keyed)
    span = uvloop.run(run(given.kind, load, read(Settings, os.environ)))
    sys.stdout.write(msgspec.json.encode(span).decode() + "\n")


if __name__ == "__main__":
    main()

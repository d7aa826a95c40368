"""The wire of votes: their ports, with what a lane may do watched."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from tests.simulation.virtual import at_once
from tests.simulation.votes.cloud import VoteCloud
from tests.simulation.wire import Wire, WiredTopic
from turnout.base.errors import ServiceUnavailable
from turnout.gcp.votes.settings import Settings
from turnout.queue.message import Outgoing
from turnout.votes.bundle import decode
from turnout.votes.errors import AlreadyCounted
from turnout.votes.fold import Posting
from turnout.votes.handler import first_lane_number
from turnout.votes.poll import Poll
from turnout.votes.tally import Books, Tally

T = TypeVar("T")
Lane = asyncio.Task[Any] | None
VoteWire = Wire[VoteCloud, Settings]


class WiredVoteTopic(WiredTopic):
    """The votes' topic; the size of bundles is watched."""

    async def publish(self, messages: Sequence[Outgoing], *, timeout_seconds: float) -> None:
        for message in messages:
            bundle = decode(message.data)
            if bundle.votes > self._wire.settings.bundle_votes_max:
                self._wire.cloud.violate(f"bundle {bundle.id} holds {bundle.votes} votes")
        await super().publish(messages, timeout_seconds=timeout_seconds)


class LaneWatch:
    """What each lane of a drain may do: repeat the very same writes when an outcome is unknown, on its own shard alone.

    A lane commits from its own task, so the present task tells the lanes apart.
    """

    def __init__(self, wire: VoteWire) -> None:
        self._wire = wire
        self._unknown: dict[Lane, bytes] = {}
        self._shard_of: dict[tuple[Lane, str], int] = {}

    def commits(self, posting: Posting) -> None:
        lane = asyncio.current_task()
        before = self._unknown.pop(lane, None)
        if before is not None and before != msgspec.msgpack.encode(posting):
            self._violate("a commit whose outcome is unknown was repeated with other writes")
        settings = self._wire.settings
        for delta in posting.deltas:
            shard = self._shard_of.setdefault((lane, delta.poll), delta.shard)
            shards = self._wire.cloud.poll(delta.poll).shards
            first = first_lane_number(settings.execution, settings.task_index, settings.lanes)
            if shard != delta.shard:
                self._violate(f"a lane writes to shard {delta.shard} after shard {shard}")
            if delta.shard not in {(first + number) % shards for number in range(settings.lanes)}:
                self._violate(f"a lane writes to shard {delta.shard}, which is none of its task's")
        entries = len(posting.names)
        if len(posting.bundles) > 1 and entries > settings.commit_entries_max:
            self._violate(f"a commit holds {entries} ledger entries")

    def outcome_unknown(self, posting: Posting) -> None:
        self._unknown[asyncio.current_task()] = msgspec.msgpack.encode(posting)

    def ledger_answered(self) -> None:
        self._unknown.pop(asyncio.current_task(), None)

    def gave_up(self) -> None:
        """Its lease is released: what comes next is another batch."""
        self._unknown.pop(asyncio.current_task(), None)

    def _violate(self, why: str) -> None:
        self._wire.cloud.violate(f"{self._wire.process.name}: {why}")


class WiredCounters:
    """Shards and ledger."""

    def __init__(self, wire: VoteWire, lanes: LaneWatch) -> None:
        self._wire = wire
        self._lanes = lanes

    async def commit(self, posting: Posting) -> None:
        wire = self._wire
        self._lanes.commits(posting)
        # The request is what was sent: nobody changes it afterwards.
        sent = msgspec.msgpack.decode(msgspec.msgpack.encode(posting), type=Posting)
        names = [entry.name[-6:] for entry in posting.bundles]
        try:
            await wire.call(
                "counters",
                f"commit {names} + {len(posting.keys)} keys",
                lambda: wire.cloud.commit(sent),
                seconds=wire.settings.commit_attempt_seconds,
                writes=True,
            )
        except AlreadyCounted:
            raise
        except ServiceUnavailable:
            self._lanes.outcome_unknown(posting)
            raise

    async def existing(self, names: Sequence[str]) -> set[str]:
        names = list(names)
        found = await self._read("existing", lambda: at_once(self._wire.cloud.counters.existing(names)))
        self._lanes.ledger_answered()
        return found

    async def tally(self, poll: Poll) -> Tally:
        return await self._read(f"tally {poll.id}", lambda: at_once(self._wire.cloud.counters.tally(poll)))

    async def books(self, poll: Poll) -> Books:
        return await self._read(f"books {poll.id}", lambda: at_once(self._wire.cloud.counters.books(poll)))

    async def _read(self, what: str, effect: Callable[[], T]) -> T:
        return await self._wire.call("counters", what, effect, writes=False)


class WiredPollStore:
    """The polls' settings."""

    def __init__(self, wire: VoteWire) -> None:
        self._wire = wire

    async def get(self, poll_id: str) -> Poll | None:
        return await self._wire.call(
            "polls", f"get {poll_id}", lambda: at_once(self._wire.cloud.polls.get(poll_id)), writes=False
        )

    async def create(self, poll: Poll) -> None:
        await self._wire.call(
            "polls", f"create {poll.id}", lambda: at_once(self._wire.cloud.polls.create(poll)), writes=True
        )

    async def replace(self, old: Poll, new: Poll) -> None:
        await self._wire.call(
            "polls",
            f"replace {old.id}, closing at {new.closes_at:%T.%f}, certified {new.certified_at is not None}",
            lambda: self._wire.cloud.replace(old, new),
            writes=True,
        )

    async def list(self, limit: int) -> AsyncIterator[Poll]:
        polls = self._wire.cloud.polls
        for poll in await self._wire.call(
            "polls", "list", lambda: at_once(_collect(polls.list(limit))), writes=False
        ):
            yield poll


class WiredTallies:
    """The persisted tallies."""

    def __init__(self, wire: VoteWire) -> None:
        self._wire = wire

    async def get(self, poll_id: str) -> Tally | None:
        return await self._wire.call(
            "tallies", "get tally", lambda: at_once(self._wire.cloud.tallies.get(poll_id)), writes=False
        )

    async def put(self, tally: Tally, poll: Poll, slot: datetime) -> bool:
        certified = " certified" if tally.certified_at else ""
        return await self._wire.call(
            "tallies",
            f"put{certified} tally of {poll.id}, {tally.votes} votes",
            lambda: self._wire.cloud.put(tally, poll, slot),
            writes=True,
        )

    async def history(self, poll_id: str, limit: int) -> list[tuple[datetime, Tally]]:
        return await self._wire.call(
            "tallies",
            "history",
            lambda: at_once(self._wire.cloud.tallies.history(poll_id, limit)),
            writes=False,
        )


async def _collect(polls: AsyncIterator[Poll]) -> list[Poll]:
    return [poll async for poll in polls]

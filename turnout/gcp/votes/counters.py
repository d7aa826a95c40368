"""Firestore behind the port of the counters: shards and ledger in one database, so that a commit spans them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio

from turnout.base.errors import ServiceUnavailable
from turnout.gcp.channels import fault
from turnout.gcp.firestore import (
    CALL_SECONDS,
    LOOKUP_NAMES_MAX,
    REQUEST_TIME,
    SERVICE,
    CommitRequest,
    FirestoreDatabase,
    Operator,
    StructuredQuery,
    Value,
    from_collection,
    where,
)
from turnout.votes.errors import AlreadyCounted
from turnout.votes.fold import Delta, Posting
from turnout.votes.ledger import key_prefix
from turnout.votes.poll import Poll
from turnout.votes.tally import Books, Sums, Tally

#: Choices in one shard document: Firestore takes 500 transforms a document in a commit. More choices have more pages.
PAGE_CHOICES = 400


class FirestoreCounters:
    """Shards and ledger."""

    def __init__(self, database: FirestoreDatabase, *, commit_seconds: float = CALL_SECONDS) -> None:
        self._database = database
        self._commit_seconds = commit_seconds

    async def commit(self, posting: Posting) -> None:
        """Creates the ledger's entries and increments the shards, in one atomic commit."""
        request = CommitRequest(database=self._database.name)
        ledger = self._database.documents + "/ledger/"
        expiries: dict[datetime, Any] = {}
        for bundle in posting.bundles:
            write = request.writes.add()
            write.update.name = ledger + bundle.name
            write.current_document.exists = False
            fields = write.update.fields
            fields["poll"].string_value = bundle.poll
            fields["votes"].integer_value = bundle.votes
            fields["duplicates"].integer_value = bundle.duplicates
            fields["keys"].integer_value = bundle.keys
            fields["expire_at"].CopyFrom(_value_of(bundle.expire_at, expiries))
        for key in posting.keys:
            write = request.writes.add()
            write.update.name = ledger + key.name
            write.current_document.exists = False
            write.update.fields["expire_at"].CopyFrom(_value_of(key.expire_at, expiries))
        for delta in posting.deltas:
            self._add_increments(request, delta)
        try:
            await self._database.commit(request, timeout_seconds=self._commit_seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.ALREADY_EXISTS:
                raise AlreadyCounted(f"A ledger entry exists: {error.details()}") from error
            raise fault(SERVICE, error) from error

    async def existing(self, names: Sequence[str]) -> set[str]:
        """Which of these ledger entries exist."""
        ledger = self._database.documents + "/ledger/"
        found: set[str] = set()
        for start in range(0, len(names), LOOKUP_NAMES_MAX):
            chosen = [ledger + name for name in names[start : start + LOOKUP_NAMES_MAX]]
            # The name is all that is asked for: the least that can be read.
            async for document in self._database.lookup(chosen, ["__name__"]):
                found.add(document.name.removeprefix(ledger))
        return found

    async def tally(self, poll: Poll) -> Tally:
        """The sum of a poll's shards."""
        return (await self._read_shards(poll))[0]

    async def books(self, poll: Poll) -> Books:
        """Shards and ledger, both as of the moment at which the shards were read."""
        tally, bundles, read_time = await self._read_shards(poll)
        ledger = StructuredQuery()
        from_collection(ledger, "ledger")
        where(ledger, "poll", Operator.EQUAL).string_value = poll.id
        prefix = f"{self._database.documents}/ledger/{key_prefix(poll.id)}"
        keys = StructuredQuery()
        from_collection(keys, "ledger")
        where(keys, "__name__", Operator.GREATER_THAN_OR_EQUAL).reference_value = prefix
        # The character after ":" ends the range of names that begin with the prefix.
        where(keys, "__name__", Operator.LESS_THAN).reference_value = prefix[:-1] + ";"
        sums, key_entries = await self._aggregate_both(ledger, keys, read_time)
        return Books(
            poll=poll.id,
            as_of=tally.as_of,
            shards=Sums(tally.votes, tally.duplicates, bundles),
            ledger=Sums(sums.get("votes", 0), sums.get("duplicates", 0), sums.get("count", 0)),
            choices_votes=sum(tally.counts),
            keys=sums.get("keys", 0),
            key_entries=key_entries.get("count", 0),
        )

    async def _aggregate_both(
        self, ledger: Any, keys: Any, read_time: Any
    ) -> tuple[dict[str, int], dict[str, int]]:
        """The ledger's sums and the number of key entries, side by side: each takes seconds over millions of entries."""
        try:
            async with asyncio.TaskGroup() as group:
                sums = group.create_task(
                    self._database.aggregate(ledger, ("votes", "duplicates", "keys"), read_time)
                )
                key_entries = group.create_task(self._database.aggregate(keys, (), read_time))
        except* ServiceUnavailable as faults:
            raise faults.exceptions[0] from None
        return sums.result(), key_entries.result()

    def _add_increments(self, request: Any, delta: Delta) -> None:
        """One write per page of the shard; the totals are on the first page."""
        pages: dict[int, list[tuple[str, int]]] = {
            0: [("votes", delta.votes), ("duplicates", delta.duplicates), ("bundles", delta.bundles)]
        }
        for choice, number in delta.counts.items():
            pages.setdefault(choice // PAGE_CHOICES, []).append((f"counts.`{choice}`", number))
        shards = f"{self._database.documents}/polls/{delta.poll}/shards/"
        for page, increments in sorted(pages.items()):
            write = request.writes.add()
            write.update.name = f"{shards}{delta.shard}-{page}" if page else f"{shards}{delta.shard}"
            # An empty mask keeps what is there: only the increments apply.
            write.update_mask.SetInParent()
            for path, number in increments:
                transform = write.update_transforms.add(field_path=path)
                transform.increment.integer_value = number
            write.update_transforms.add(field_path="updated_at", set_to_server_value=REQUEST_TIME)

    async def _read_shards(self, poll: Poll) -> tuple[Tally, int, Any]:
        query = StructuredQuery()
        from_collection(query, "shards")
        counts = [0] * len(poll.choices)
        votes = duplicates = bundles = 0
        read_time = None
        async for response in self._database.query(f"{self._database.documents}/polls/{poll.id}", query):
            read_time = response.read_time
            if not response.HasField("document"):
                continue
            fields = response.document.fields
            votes += fields["votes"].integer_value
            duplicates += fields["duplicates"].integer_value
            bundles += fields["bundles"].integer_value
            for choice, number in fields["counts"].map_value.fields.items():
                counts[int(choice)] += number.integer_value
        if read_time is None:
            raise ServiceUnavailable(SERVICE, "a query was answered without the moment of its read")
        tally = Tally(
            poll=poll.id,
            counts=tuple(counts),
            votes=votes,
            duplicates=duplicates,
            as_of=read_time.ToDatetime(tzinfo=UTC),
        )
        return tally, bundles, read_time


def _value_of(moment: datetime, known: dict[datetime, Any]) -> Any:
    """A moment as a field's value; few differ within a commit, and converting one takes as long as all else of an entry."""
    value = known.get(moment)
    if value is None:
        value = known[moment] = Value()
        value.timestamp_value.FromDatetime(moment)
    return value

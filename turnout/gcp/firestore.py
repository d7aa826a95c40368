"""Firestore behind the ports of polls, counters and the drains' log: one database, so that a commit spans them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import grpc
import grpc.aio
from google.cloud.firestore_v1 import types
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcAsyncIOTransport

from turnout.base.errors import AlreadyCounted, PollChanged, PollExists, ServiceUnavailable
from turnout.gcp.channels import fault, open_channel, streaming, unary
from turnout.votes.fold import Delta, Posting
from turnout.votes.ledger import key_prefix
from turnout.votes.poll import OnePer, Poll
from turnout.votes.ports import DrainRecord
from turnout.votes.tally import Books, Sums, Tally

SERVICE = "Firestore"
CommitRequest = types.CommitRequest.pb()
CommitResponse = types.CommitResponse.pb()
BatchGetDocumentsRequest = types.BatchGetDocumentsRequest.pb()
BatchGetDocumentsResponse = types.BatchGetDocumentsResponse.pb()
RunQueryRequest = types.RunQueryRequest.pb()
RunQueryResponse = types.RunQueryResponse.pb()
RunAggregationQueryRequest = types.RunAggregationQueryRequest.pb()
RunAggregationQueryResponse = types.RunAggregationQueryResponse.pb()
StructuredQuery = types.StructuredQuery.pb()
Value = types.Value.pb()
Operator = StructuredQuery.FieldFilter.Operator
Direction = StructuredQuery.Direction
REQUEST_TIME = types.DocumentTransform.pb().FieldTransform.ServerValue.REQUEST_TIME

CALL_SECONDS = 20.0
#: A sum over a ledger of millions of entries takes its time.
AGGREGATION_SECONDS = 120.0
#: Choices in one shard document: Firestore takes 500 transforms a document in a commit. More choices have more pages.
PAGE_CHOICES = 400
#: Names in one lookup.
LOOKUP_NAMES_MAX = 1_000
#: A drain's record is of use for as long as a lease of its could be under way; this is ample.
DRAIN_RECORD_DAYS = 2


def open_firestore_channel(emulator_host: str) -> grpc.aio.Channel:
    """A channel to Firestore."""
    return open_channel(FirestoreGrpcAsyncIOTransport, emulator_host)


class FirestoreDatabase:
    """The calls that Turnout makes to a database, on protobuf messages, without retries."""

    def __init__(
        self, channel: grpc.aio.Channel, project: str, database: str, *, emulated: bool = False
    ) -> None:
        self.name = f"projects/{project}/databases/{database}"
        self.documents = f"{self.name}/documents"
        # The emulator takes everybody for a client with rules; this names the owner.
        owner = (("authorization", "Bearer owner"),) if emulated else ()
        self._metadata = (
            ("google-cloud-resource-prefix", self.name),
            ("x-goog-request-params", f"project_id={project}&database_id={database}"),
            *owner,
        )
        service = "/google.firestore.v1.Firestore/"
        self._commit = unary(channel, service + "Commit", CommitRequest, CommitResponse)
        self._batch_get = streaming(
            channel, service + "BatchGetDocuments", BatchGetDocumentsRequest, BatchGetDocumentsResponse
        )
        self._run_query = streaming(channel, service + "RunQuery", RunQueryRequest, RunQueryResponse)
        self._run_aggregation = streaming(
            channel, service + "RunAggregationQuery", RunAggregationQueryRequest, RunAggregationQueryResponse
        )

    async def commit(self, request: Any, *, timeout_seconds: float = CALL_SECONDS) -> None:
        """Commits writes; lets `AioRpcError` through, for its code says which precondition failed."""
        await self._commit(request, timeout=timeout_seconds, metadata=self._metadata)

    async def lookup(self, names: Sequence[str], fields: Sequence[str] | None = None) -> AsyncIterator[Any]:
        """The documents that exist among full names, with all fields or those named."""
        request = BatchGetDocumentsRequest(database=self.name, documents=names)
        if fields is not None:
            request.mask.field_paths.extend(fields)
        async for response in self._stream(self._batch_get, request):
            if response.HasField("found"):
                yield response.found

    async def query(self, parent: str, query: Any, read_time: Any = None) -> AsyncIterator[Any]:
        """The responses of a query: documents, and the moment they were read at."""
        request = RunQueryRequest(parent=parent, structured_query=query)
        if read_time is not None:
            request.read_time.CopyFrom(read_time)
        async for response in self._stream(self._run_query, request):
            yield response

    async def aggregate(self, query: Any, sums: Sequence[str], read_time: Any) -> dict[str, int]:
        """The sums of fields over a query's documents, and their `count`, as of a moment."""
        request = RunAggregationQueryRequest(parent=self.documents, read_time=read_time)
        aggregation = request.structured_aggregation_query
        aggregation.structured_query.CopyFrom(query)
        aggregation.aggregations.add(alias="count").count.SetInParent()
        for field in sums:
            aggregation.aggregations.add(alias=field).sum.field.field_path = field
        totals: dict[str, int] = {}
        async for response in self._stream(self._run_aggregation, request, AGGREGATION_SECONDS):
            for alias, value in response.result.aggregate_fields.items():
                totals[alias] = totals.get(alias, 0) + value.integer_value
        return totals

    async def _stream(
        self, stub: Any, request: Any, timeout_seconds: float = CALL_SECONDS
    ) -> AsyncIterator[Any]:
        try:
            async for response in stub(request, timeout=timeout_seconds, metadata=self._metadata):
                yield response
        except grpc.aio.AioRpcError as error:
            raise fault(SERVICE, error) from error


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
        _from(ledger, "ledger")
        _where(ledger, "poll", Operator.EQUAL).string_value = poll.id
        prefix = f"{self._database.documents}/ledger/{key_prefix(poll.id)}"
        keys = StructuredQuery()
        _from(keys, "ledger")
        _where(keys, "__name__", Operator.GREATER_THAN_OR_EQUAL).reference_value = prefix
        # The character after ":" ends the range of names that begin with the prefix.
        _where(keys, "__name__", Operator.LESS_THAN).reference_value = prefix[:-1] + ";"
        sums, key_entries = await self._aggregate_both(
            (ledger, ("votes", "duplicates", "keys")), (keys, ()), read_time
        )
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
        self, one: tuple[Any, tuple[str, ...]], other: tuple[Any, tuple[str, ...]], read_time: Any
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Two aggregations side by side: each takes seconds over millions of entries."""
        results = await asyncio.gather(
            *(self._database.aggregate(query, sums, read_time) for query, sums in (one, other)),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return cast("tuple[dict[str, int], dict[str, int]]", tuple(results))

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
        _from(query, "shards")
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


class FirestorePolls:
    """The polls' settings."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database

    async def get(self, poll_id: str) -> Poll | None:
        """The poll, or None."""
        found = await self._get_document(poll_id)
        return None if found is None else _poll(found)

    async def create(self, poll: Poll) -> None:
        """Stores a new poll."""
        request = CommitRequest(database=self._database.name)
        write = request.writes.add()
        self._fill(write.update, poll)
        write.current_document.exists = False
        try:
            await self._database.commit(request)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.ALREADY_EXISTS:
                raise PollExists(poll.id) from error
            raise fault(SERVICE, error) from error

    async def replace(self, old: Poll, new: Poll) -> None:
        """Replaces a poll that still is `old`."""
        found = await self._get_document(old.id)
        if found is None or _poll(found) != old:
            raise PollChanged(old.id)
        request = CommitRequest(database=self._database.name)
        write = request.writes.add()
        self._fill(write.update, new)
        write.current_document.update_time.CopyFrom(found.update_time)
        try:
            await self._database.commit(request)
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND):
                raise PollChanged(old.id) from error
            raise fault(SERVICE, error) from error

    async def list(self, limit: int) -> AsyncIterator[Poll]:
        """The polls, newest first."""
        query = StructuredQuery()
        _from(query, "polls")
        query.order_by.add(direction=Direction.DESCENDING).field.field_path = "created_at"
        query.limit.value = limit
        async for response in self._database.query(self._database.documents, query):
            if response.HasField("document"):
                yield _poll(response.document)

    async def _get_document(self, poll_id: str) -> Any:
        async for document in self._database.lookup([f"{self._database.documents}/polls/{poll_id}"]):
            return document
        return None

    def _fill(self, document: Any, poll: Poll) -> None:
        document.name = f"{self._database.documents}/polls/{poll.id}"
        fields = document.fields
        fields["title"].string_value = poll.title
        fields["one_per"].string_value = poll.one_per
        fields["shards"].integer_value = poll.shards
        for choice in poll.choices:
            fields["choices"].array_value.values.add(string_value=choice)
        for name in ("opens_at", "closes_at", "created_at"):
            fields[name].timestamp_value.FromDatetime(getattr(poll, name))
        if poll.certified_at is None:
            fields["certified_at"].null_value = 0
        else:
            fields["certified_at"].timestamp_value.FromDatetime(poll.certified_at)


class FirestoreDrainLog:
    """The drains' records; they expire by themselves."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database

    async def record(self, drain: DrainRecord) -> None:
        """Writes a drain's record over its earlier one."""
        request = CommitRequest(database=self._database.name)
        document = request.writes.add().update
        document.name = f"{self._database.documents}/drains/{drain.id}"
        moments = {
            "started_at": drain.started_at,
            "seen_at": drain.seen_at,
            "leased_at": drain.leased_at,
            "empty_at": drain.empty_at,
            "ended_at": drain.ended_at,
            "expire_at": drain.seen_at + timedelta(days=DRAIN_RECORD_DAYS),
        }
        for name, moment in moments.items():
            if moment is not None:
                document.fields[name].timestamp_value.FromDatetime(moment)
        try:
            await self._database.commit(request)
        except grpc.aio.AioRpcError as error:
            raise fault(SERVICE, error) from error

    async def since(self, moment: datetime) -> list[DrainRecord]:
        """The drains that were seen at or after a moment."""
        query = StructuredQuery()
        _from(query, "drains")
        _where(query, "seen_at", Operator.GREATER_THAN_OR_EQUAL).timestamp_value.FromDatetime(moment)
        records = []
        async for response in self._database.query(self._database.documents, query):
            if response.HasField("document"):
                fields = response.document.fields
                records.append(
                    DrainRecord(
                        id=_id(response.document),
                        started_at=_moment(fields["started_at"]),
                        seen_at=_moment(fields["seen_at"]),
                        leased_at=_optional_moment(fields, "leased_at"),
                        empty_at=_optional_moment(fields, "empty_at"),
                        ended_at=_optional_moment(fields, "ended_at"),
                    )
                )
        return records


def _value_of(moment: datetime, known: dict[datetime, Any]) -> Any:
    """A moment as a field's value; few differ within a commit, and converting one takes as long as all else of an entry."""
    value = known.get(moment)
    if value is None:
        value = known[moment] = Value()
        value.timestamp_value.FromDatetime(moment)
    return value


def _from(query: Any, collection: str) -> None:
    query.from_.add(collection_id=collection)


def _where(query: Any, path: str, operator: int) -> Any:
    """Adds a condition to a query, and returns its value to be filled in."""
    where = query.where.composite_filter
    where.op = StructuredQuery.CompositeFilter.Operator.AND
    field_filter = where.filters.add().field_filter
    field_filter.field.field_path = path
    field_filter.op = operator
    return field_filter.value


def _poll(document: Any) -> Poll:
    fields = document.fields
    return Poll(
        id=_id(document),
        title=fields["title"].string_value,
        choices=tuple(value.string_value for value in fields["choices"].array_value.values),
        opens_at=_moment(fields["opens_at"]),
        closes_at=_moment(fields["closes_at"]),
        created_at=_moment(fields["created_at"]),
        one_per=OnePer(fields["one_per"].string_value),
        shards=fields["shards"].integer_value,
        certified_at=_optional_moment(fields, "certified_at"),
    )


def _id(document: Any) -> str:
    name: str = document.name
    return name.rsplit("/", 1)[-1]


def _moment(value: Any) -> datetime:
    moment: datetime = value.timestamp_value.ToDatetime(tzinfo=UTC)
    return moment


def _optional_moment(fields: Any, name: str) -> datetime | None:
    return _moment(fields[name]) if fields[name].HasField("timestamp_value") else None

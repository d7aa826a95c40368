"""Datastore behind the port of the persisted tallies."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
from google.cloud.datastore_v1 import types
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcAsyncIOTransport

from turnout.base.errors import OutcomeUnknown, ServiceUnavailable
from turnout.gcp.channels import fault, open_channel, unary
from turnout.votes.poll import Poll
from turnout.votes.tally import Tally

SERVICE = "Datastore"
BeginTransactionRequest = types.BeginTransactionRequest.pb()
BeginTransactionResponse = types.BeginTransactionResponse.pb()
LookupRequest = types.LookupRequest.pb()
LookupResponse = types.LookupResponse.pb()
CommitRequest = types.CommitRequest.pb()
CommitResponse = types.CommitResponse.pb()
RollbackRequest = types.RollbackRequest.pb()
RollbackResponse = types.RollbackResponse.pb()
RunQueryRequest = types.RunQueryRequest.pb()
RunQueryResponse = types.RunQueryResponse.pb()
Operator = types.PropertyFilter.pb().Operator
Direction = types.PropertyOrder.pb().Direction

CALL_SECONDS = 20.0
#: A transaction is tried this often when another one is in its way.
TRANSACTION_ATTEMPTS_MAX = 5


def open_datastore_channel(emulator_host: str) -> grpc.aio.Channel:
    """A channel to Datastore."""
    return open_channel(DatastoreGrpcAsyncIOTransport, emulator_host)


class DatastoreTallies:
    """`Tally`, one entity a poll, and `TallyHistory`, one a poll and slot."""

    def __init__(self, channel: grpc.aio.Channel, project: str, database: str) -> None:
        # Google's API calls the default database by the empty string.
        self._place = {"project_id": project, "database_id": "" if database == "(default)" else database}
        self._metadata = (
            ("x-goog-request-params", f"project_id={project}&database_id={self._place['database_id']}"),
        )
        service = "/google.datastore.v1.Datastore/"
        self._begin = unary(
            channel, service + "BeginTransaction", BeginTransactionRequest, BeginTransactionResponse
        )
        self._lookup = unary(channel, service + "Lookup", LookupRequest, LookupResponse)
        self._commit = unary(channel, service + "Commit", CommitRequest, CommitResponse)
        self._rollback = unary(channel, service + "Rollback", RollbackRequest, RollbackResponse)
        self._run_query = unary(channel, service + "RunQuery", RunQueryRequest, RunQueryResponse)

    async def get(self, poll_id: str) -> Tally | None:
        """The persisted tally, or None."""
        entity = await self._get(poll_id)
        return None if entity is None else _tally(poll_id, entity)

    async def put(self, tally: Tally, poll: Poll, slot: datetime) -> bool:
        """Persists a tally and its place in the history, in one transaction, if both are later than what is there."""
        for _ in range(TRANSACTION_ATTEMPTS_MAX - 1):
            try:
                return await self._put_once(tally, poll, slot)
            except OutcomeUnknown:
                # If it went through, the next attempt finds it and changes nothing.
                continue
        return await self._put_once(tally, poll, slot)

    async def history(self, poll_id: str, limit: int) -> list[tuple[datetime, Tally]]:
        """The newest slots with their tallies, in the order of time."""
        request = RunQueryRequest(**self._place)
        request.partition_id.CopyFrom(self._key("Tally", poll_id).partition_id)
        query = request.query
        query.kind.add(name="TallyHistory")
        condition = query.filter.property_filter
        condition.property.name = "poll"
        condition.op = Operator.EQUAL
        condition.value.string_value = poll_id
        query.order.add(direction=Direction.DESCENDING).property.name = "slot"
        query.limit.value = limit
        response = await self._call(self._run_query, request)
        newest_first = [result.entity for result in response.batch.entity_results]
        return [
            (entity.properties["slot"].timestamp_value.ToDatetime(tzinfo=UTC), _tally(poll_id, entity))
            for entity in reversed(newest_first)
        ]

    async def _put_once(self, tally: Tally, poll: Poll, slot: datetime) -> bool:
        begin = BeginTransactionRequest(**self._place)
        begin.transaction_options.read_write.SetInParent()
        transaction = (await self._call(self._begin, begin)).transaction
        try:
            current = await self._get(tally.poll, transaction)
            if current is not None:
                current_slot = current.properties["slot"].timestamp_value.ToDatetime(tzinfo=UTC)
                if slot <= current_slot or not tally.supersedes(_tally(tally.poll, current)):
                    await self._rollback_quietly(transaction)
                    return False
            await self._call(self._commit, self._write(tally, poll, slot, transaction))
        except BaseException:
            # A transaction that is left open holds its lock until the service gives it up.
            await self._rollback_quietly(transaction)
            raise
        return True

    def _write(self, tally: Tally, poll: Poll, slot: datetime, transaction: bytes) -> Any:
        """The commit that replaces the tally and adds to the history."""
        commit = CommitRequest(
            transaction=transaction, mode=types.CommitRequest.pb().Mode.TRANSACTIONAL, **self._place
        )
        latest = commit.mutations.add().upsert
        latest.key.CopyFrom(self._key("Tally", tally.poll))
        _fill(latest, tally, slot)
        for choice in poll.choices:
            _unindexed(latest.properties["choices"].array_value.values.add()).string_value = choice
        past = commit.mutations.add().upsert
        past.key.CopyFrom(self._key("TallyHistory", f"{tally.poll}@{slot.isoformat()}"))
        _fill(past, tally, slot)
        return commit

    async def _rollback_quietly(self, transaction: bytes) -> None:
        """Ends a transaction that changes nothing; if that fails, the service ends it in time."""
        with suppress(ServiceUnavailable):
            await self._call(self._rollback, RollbackRequest(transaction=transaction, **self._place))

    async def _get(self, poll_id: str, transaction: bytes = b"") -> Any:
        request = LookupRequest(keys=[self._key("Tally", poll_id)], **self._place)
        if transaction:
            request.read_options.transaction = transaction
        response = await self._call(self._lookup, request)
        return response.found[0].entity if response.found else None

    def _key(self, kind: str, name: str) -> Any:
        key = types.Key.pb()()
        key.partition_id.project_id = self._place["project_id"]
        key.partition_id.database_id = self._place["database_id"]
        key.path.add(kind=kind, name=name)
        return key

    async def _call(self, stub: grpc.aio.UnaryUnaryMultiCallable, request: Any) -> Any:
        try:
            return await stub(request, timeout=CALL_SECONDS, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise fault(SERVICE, error) from error


def _fill(entity: Any, tally: Tally, slot: datetime) -> None:
    properties = entity.properties
    properties["poll"].string_value = tally.poll
    properties["votes"].integer_value = tally.votes
    properties["duplicates"].integer_value = tally.duplicates
    properties["as_of"].timestamp_value.FromDatetime(tally.as_of)
    properties["slot"].timestamp_value.FromDatetime(slot)
    if tally.certified_at is None:
        properties["certified_at"].null_value = 0
    else:
        properties["certified_at"].timestamp_value.FromDatetime(tally.certified_at)
    properties["counts"].array_value.SetInParent()
    for count in tally.counts:
        _unindexed(properties["counts"].array_value.values.add()).integer_value = count


def _unindexed(value: Any) -> Any:
    """Excludes a value from the indexes: nobody looks for it, and an entity has at most 20,000 index entries."""
    value.exclude_from_indexes = True
    return value


def _tally(poll_id: str, entity: Any) -> Tally:
    properties = entity.properties
    certified = properties["certified_at"]
    return Tally(
        poll=poll_id,
        counts=tuple(value.integer_value for value in properties["counts"].array_value.values),
        votes=properties["votes"].integer_value,
        duplicates=properties["duplicates"].integer_value,
        as_of=properties["as_of"].timestamp_value.ToDatetime(tzinfo=UTC),
        certified_at=(
            certified.timestamp_value.ToDatetime(tzinfo=UTC)
            if certified.HasField("timestamp_value")
            else None
        ),
    )

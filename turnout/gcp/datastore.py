"""A Datastore-mode database: the calls that Turnout makes. What is stored is the families' to say."""

from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
from google.cloud.datastore_v1 import types
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcAsyncIOTransport

from turnout.base.errors import ServiceUnavailable
from turnout.gcp.channels import fault, open_channel, unary

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
Mode = types.CommitRequest.pb().Mode

CALL_SECONDS = 20.0


def open_datastore_channel(emulator_host: str) -> grpc.aio.Channel:
    """A channel to Datastore."""
    return open_channel(DatastoreGrpcAsyncIOTransport, emulator_host)


class DatastoreDatabase:
    """The calls to a database, on protobuf messages, without retries; a failed one is a `ServiceUnavailable`."""

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

    def key(self, kind: str, name: str) -> Any:
        """The key of an entity."""
        key = types.Key.pb()()
        key.partition_id.project_id = self._place["project_id"]
        key.partition_id.database_id = self._place["database_id"]
        key.path.add(kind=kind, name=name)
        return key

    async def begin(self) -> bytes:
        """Begins a transaction that reads and writes; whoever begins it commits it or rolls it back."""
        request = BeginTransactionRequest(**self._place)
        request.transaction_options.read_write.SetInParent()
        transaction: bytes = (await self._call(self._begin, request)).transaction
        return transaction

    async def lookup(self, key: Any, transaction: bytes = b"") -> Any:
        """The entity with a key, or None."""
        request = LookupRequest(keys=[key], **self._place)
        if transaction:
            request.read_options.transaction = transaction
        response = await self._call(self._lookup, request)
        return response.found[0].entity if response.found else None

    def new_commit(self, transaction: bytes) -> Any:
        """A commit of a transaction, whose mutations are to be filled in."""
        return CommitRequest(transaction=transaction, mode=Mode.TRANSACTIONAL, **self._place)

    async def commit(self, request: Any) -> None:
        """Commits."""
        await self._call(self._commit, request)

    async def rollback_quietly(self, transaction: bytes) -> None:
        """Ends a transaction that changes nothing; if that fails, the service ends it in time."""
        with suppress(ServiceUnavailable):
            await self._call(self._rollback, RollbackRequest(transaction=transaction, **self._place))

    def new_query(self, kind: str) -> Any:
        """A query over a kind, whose conditions are to be filled in."""
        request = RunQueryRequest(**self._place)
        request.partition_id.project_id = self._place["project_id"]
        request.partition_id.database_id = self._place["database_id"]
        request.query.kind.add(name=kind)
        return request

    async def query(self, request: Any) -> list[Any]:
        """The entities that a query finds, in its order."""
        response = await self._call(self._run_query, request)
        return [result.entity for result in response.batch.entity_results]

    async def _call(self, stub: grpc.aio.UnaryUnaryMultiCallable, request: Any) -> Any:
        try:
            return await stub(request, timeout=CALL_SECONDS, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise fault(SERVICE, error) from error

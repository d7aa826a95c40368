"""A Firestore database: the calls that Turnout makes, and its values. What is stored is the families' to say."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
from google.cloud.firestore_v1 import types
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcAsyncIOTransport

from turnout.gcp.channels import fault, open_channel, streaming, unary

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
#: Names in one lookup.
LOOKUP_NAMES_MAX = 1_000


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

    async def commit(self, request: Any, *, timeout_seconds: float = CALL_SECONDS) -> Any:
        """Commits writes and returns the response, with a result for each of them in order.

        Lets `AioRpcError` through, for its code says which precondition failed.
        """
        return await self._commit(request, timeout=timeout_seconds, metadata=self._metadata)

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
        """The sums of fields over a query's documents, and their `count`, as of a moment; None: now."""
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


def from_collection(query: Any, collection: str) -> None:
    """Names the collection that a query reads."""
    query.from_.add(collection_id=collection)


def where(query: Any, path: str, operator: int) -> Any:
    """Adds a condition to a query, and returns its value to be filled in."""
    where = query.where.composite_filter
    where.op = StructuredQuery.CompositeFilter.Operator.AND
    field_filter = where.filters.add().field_filter
    field_filter.field.field_path = path
    field_filter.op = operator
    return field_filter.value


def document_id(document: Any) -> str:
    """The last part of a document's name."""
    name: str = document.name
    return name.rsplit("/", 1)[-1]


def moment_of(value: Any) -> datetime:
    """A timestamp value as a moment."""
    moment: datetime = value.timestamp_value.ToDatetime(tzinfo=UTC)
    return moment


def optional_moment_of(fields: Any, name: str) -> datetime | None:
    """A field's moment; None if it is null or missing."""
    return moment_of(fields[name]) if fields[name].HasField("timestamp_value") else None
